"""LPIPS and DISTS as clip metrics: averages of the network's distances per frame, ranges, precision."""

import pickle

import pytest
import torch
from torch import nn

from expnet.metrics import Extractor, LearnedPerceptualDistance, StructureTextureDistance
from expnet.models.perceptual import load_dists, load_lpips


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return load_lpips("squeeze")


@pytest.fixture(scope="module")
def clips() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    first = torch.randint(0, 256, (2, 3, 3, 64, 64), generator=generator)
    noise = torch.randint(-40, 41, first.shape, generator=generator)
    return (first + noise).clamp(0, 255).byte(), first.byte()


def test_frames_then_clips(network: nn.Module, clips: tuple[torch.Tensor, torch.Tensor]) -> None:
    predicted, target = clips
    valid = torch.tensor([[True, True, False], [True, True, True]])
    metric = LearnedPerceptualDistance(network, backbone="squeeze")
    metric.update(predicted, target, valid=valid)
    with torch.no_grad():
        frames = torch.stack([network(*(clip / 127.5 - 1 for clip in pair)) for pair in zip(*clips, strict=True)])
    expected = (frames[0, :2].mean() + frames[1].mean()) / 2
    assert metric.compute().item() == pytest.approx(expected.item(), rel=1e-5)
    assert metric.compute().dtype is torch.float64
    images = LearnedPerceptualDistance(network, backbone="squeeze")
    images.update(predicted.flatten(0, 1).float() / 255, target.flatten(0, 1).float() / 255)
    assert images.compute().item() == pytest.approx(frames.mean().item(), rel=1e-5)
    assert int(images.clips) == 6


def test_identity_empty_and_unscored(network: nn.Module, clips: tuple[torch.Tensor, torch.Tensor]) -> None:
    metric = LearnedPerceptualDistance(network, backbone="squeeze")
    metric.update(clips[0], clips[0])
    assert metric.compute().item() == 0
    metric.update(clips[0][:0], clips[1][:0])
    metric.update(clips[0], clips[1], valid=torch.zeros(2, 3, dtype=torch.bool))
    assert (int(metric.clips), int(metric.unscored)) == (2, 2)
    assert metric.compute().item() == 0


def test_wrong_range_shape_and_name(network: nn.Module, clips: tuple[torch.Tensor, torch.Tensor]) -> None:
    metric = LearnedPerceptualDistance(network)
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        metric.update(clips[0] / 127.5 - 1, clips[1] / 127.5 - 1)
    with pytest.raises(ValueError, match="images must be"):
        metric.update(clips[0], clips[1][..., :32])
    with pytest.raises(ValueError, match="backbone"):
        LearnedPerceptualDistance(network, backbone="resnet")
    assert metric.protocol["extractor"] == "lpips_squeeze, random weights"
    assert LearnedPerceptualDistance(network, backbone="vgg").name == "lpips_vgg"


def test_a_bfloat16_parent_under_autocast_changes_nothing(
    network: nn.Module, clips: tuple[torch.Tensor, torch.Tensor]
) -> None:
    metric = LearnedPerceptualDistance(Extractor(network), backbone="squeeze")
    metric.update(*clips)
    expected = metric.compute().item()
    parent = nn.Module()
    parent.metric = metric
    parent.to(torch.bfloat16)
    metric.reset()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        metric.update(*clips)
    assert metric.compute().item() == metric.compute().item() == expected
    assert pickle.loads(pickle.dumps(metric)).compute().item() == expected
    assert not parent.state_dict()


def test_dists_is_fed_zero_to_one(clips: tuple[torch.Tensor, torch.Tensor]) -> None:
    network = load_dists()
    metric = StructureTextureDistance(network)
    metric.update(*clips)
    with torch.no_grad():
        expected = network(*(clip.flatten(0, 1) / 255 for clip in clips)).mean()
    assert metric.compute().item() == pytest.approx(expected.item(), rel=1e-4)
