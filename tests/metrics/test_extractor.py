"""Networks of metrics: frozen, in full precision, not part of the module that holds the metric."""

import copy
import pickle

import torch
from torch import nn

from expnet.metrics.base import ClipMetric
from expnet.metrics.extractor import Extractor, as_extractor


class _Brightness(ClipMetric):
    """Mean of a network's output."""

    def __init__(self, extractor: Extractor) -> None:
        super().__init__()
        self.extractor = extractor

    def score(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        values = self.extractor(images).double().mean(-1)
        return values, torch.ones_like(values)


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 4))


def test_a_parent_module_neither_saves_nor_casts_nor_trains_the_network() -> None:
    metric = _Brightness(Extractor(_network()))
    parent = nn.Module()
    parent.metric = metric
    images = torch.rand(5, 8)
    metric.update(images)
    before = metric.compute()
    assert not parent.state_dict()
    assert not list(parent.parameters())
    parent.train()
    parent.to(torch.bfloat16)
    metric.reset()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        metric.update(images)
    assert metric.compute() == before
    assert metric.total.dtype is torch.float64


def test_calls_are_repeatable_and_without_gradient() -> None:
    extractor = Extractor(_network())
    images = torch.rand(5, 8, requires_grad=True)
    first, second = extractor(images), extractor(images)
    assert torch.equal(first, second)  # no dropout
    assert not first.requires_grad


def test_copies_share_the_network_and_pickles_keep_it() -> None:
    metric = _Brightness(Extractor(_network(), checksum="abc"))
    clone = copy.deepcopy(metric)
    assert clone.extractor.network is metric.extractor.network
    loaded = pickle.loads(pickle.dumps(metric))
    images = torch.rand(3, 8)
    assert torch.equal(loaded.extractor(images), metric.extractor(images))
    assert loaded.extractor.checksum == "abc"


def test_a_module_is_wrapped_under_its_own_name_and_an_extractor_is_kept() -> None:
    network = _network()
    assert as_extractor(network).name == "Sequential"
    network.name = "two layers"
    wrapped = as_extractor(network)
    assert (wrapped.name, as_extractor(wrapped)) == ("two layers", wrapped)
