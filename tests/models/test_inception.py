"""The FID Inception network against torch-fidelity's and pytorch-fid's, with the same random weights."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import inception_v3

from expnet.errors import InputError, MissingAssetError
from expnet.metrics import FrechetInceptionDistance
from expnet.metrics.functional import inception_input
from expnet.models.inception import FidInception, load_inception


def weights() -> Iterator[tuple[str, torch.Tensor]]:
    """Entries of a weight file, with a random value for every statistic and slope."""
    torch.manual_seed(0)
    network = FidInception()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
    yield from network.state_dict().items()
    yield from {"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}.items()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    torch.save(dict(weights()), path)
    return path


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randint(0, 256, (2, 3, 200, 256), dtype=torch.uint8, generator=torch.manual_seed(1))


def test_names_and_shapes_are_those_of_the_published_files() -> None:
    published = inception_v3(num_classes=1008, aux_logits=False, init_weights=False).state_dict()
    expected = {name: value.shape for name, value in published.items()}
    assert {name: value.shape for name, value in weights()} == expected


@torch.no_grad()
def test_features_equal_torch_fidelity(file: Path, images: torch.Tensor) -> None:
    package = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    theirs = package.FeatureExtractorInceptionV3(
        "theirs", ["64", "192", "768", "2048"], feature_extractor_weights_path=str(file)
    )(images)
    for features, expected in zip((64, 192, 768, 2048), theirs, strict=True):
        network = load_inception(file, features=features)
        ours = network(inception_input(images, "torch_fidelity"))
        assert expected.std() > 0.1
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_features_equal_pytorch_fid(file: Path, images: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    package = pytest.importorskip("pytorch_fid.inception")
    monkeypatch.setattr(package, "load_state_dict_from_url", lambda *_, **__: torch.load(file, weights_only=True))
    expected = package.InceptionV3().eval()(images / 255)[0].mean((-1, -2))
    ours = load_inception(file)(inception_input(images, "pytorch_fid"))
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)


def test_the_metric_uses_its_features(images: torch.Tensor) -> None:
    torch.manual_seed(0)
    metric = FrechetInceptionDistance(FidInception(64), features=64)
    metric.update(images, real=True)
    metric.update(255 - images, real=False)
    assert metric.compute() > 0
    assert metric.protocol["extractor"] == "FidInception"


@pytest.mark.filterwarnings("ignore:.*torch.jit", "ignore:.*TorchScript")
def test_files_that_cannot_be_used_say_so(file: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingAssetError, match="no such weight file"):
        load_inception(tmp_path / "missing.pth")
    script = tmp_path / "inception-2015-12-05.pt"
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), script)
    with pytest.raises(InputError, match="TorchScript"):
        load_inception(script)
    module = tmp_path / "module.pth"
    torch.save(nn.Linear(2, 2), module)
    with pytest.raises(InputError, match="code"):
        load_inception(module)
    other = tmp_path / "other.pth"
    torch.save(nn.Linear(2, 2).state_dict(), other)
    with pytest.raises(InputError, match="FidInception"):
        load_inception(other)
    with pytest.raises(ValueError, match="features"):
        FidInception(100)
