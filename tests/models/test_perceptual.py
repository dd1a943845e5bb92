"""LPIPS and DISTS built from a backbone file, against the packages that define them."""

from pathlib import Path
from typing import Any

import lpips
import pytest
import torch
from torch import nn
from torchmetrics.functional.image import dists
from torchvision import models

from expnet.errors import InputError, MissingAssetError
from expnet.models.perceptual import PerceptualNetwork, load_dists, load_lpips

BUILDERS = {"alex": models.alexnet, "squeeze": models.squeezenet1_1, "vgg": models.vgg16}


def backbone_file(folder: Path, backbone: str) -> Path:
    """A file as torchvision publishes it, with random weights."""
    torch.manual_seed(5)
    path = folder / f"{backbone}.pth"
    state = BUILDERS[backbone](weights=None).state_dict()
    # The full classifier of VGG would make a file of half a gigabyte that nothing reads.
    torch.save({name: value for name, value in state.items() if name.startswith("features")}, path)
    return path


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    first = torch.rand(2, 3, 64, 72, generator=generator)
    return first, (first + 0.2 * torch.randn(first.shape, generator=generator)).clamp(0, 1)


@torch.no_grad()
@pytest.mark.parametrize("backbone", ["alex", "squeeze", pytest.param("vgg", marks=pytest.mark.slow)])
def test_lpips_equals_the_package_with_torchvision_weights(
    backbone: str, pair: tuple[torch.Tensor, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = backbone_file(tmp_path, backbone)

    def published(pretrained: bool) -> nn.Module:
        """Return what torchvision returns after its download."""
        network = BUILDERS[backbone](weights=None)
        network.load_state_dict(torch.load(path, weights_only=True), strict=False)
        return network

    network = load_lpips(backbone, path)
    assert network.name == f"lpips_{backbone}"
    monkeypatch.setattr(lpips.pretrained_networks.tv, BUILDERS[backbone].__name__, published)
    package = lpips.LPIPS(net=backbone, verbose=False)
    expected = package(*pair, normalize=True).flatten()
    assert expected.min() > 1e-3
    assert torch.equal(network(*(2 * images - 1 for images in pair)), expected)


@pytest.mark.slow
@torch.no_grad()
def test_dists_equals_torchmetrics(
    pair: tuple[torch.Tensor, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = backbone_file(tmp_path, "vgg")

    def published(**_: Any) -> nn.Module:
        network = models.vgg16(weights=None)
        network.load_state_dict(torch.load(path, weights_only=True), strict=False)
        return network

    network = load_dists(path)
    monkeypatch.setattr(dists, "vgg16", published)
    expected = dists.DISTSNetwork()(*pair)
    assert expected.min() > 1e-3
    assert torch.equal(network(*pair), expected)
    assert network.name == "dists"
    torch.testing.assert_close(network(pair[0], pair[0]), torch.zeros(2), atol=1e-5, rtol=0)


def test_a_random_backbone_says_so_and_is_always_the_same(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    state = torch.random.get_rng_state()
    first, second, other = load_lpips("squeeze"), load_lpips("squeeze"), load_lpips("squeeze", seed=1)
    assert torch.equal(state, torch.random.get_rng_state())
    assert "random weights" in first.name
    assert torch.equal(first(*pair), second(*pair))
    assert not torch.equal(first(*pair), other(*pair))


def test_wrong_files_and_names(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"features\.\d+"):
        load_lpips("squeeze", backbone_file(tmp_path, "alex"))
    with pytest.raises(MissingAssetError, match="no such"):
        load_lpips("alex", tmp_path / "missing.pth")
    with pytest.raises(ValueError, match="backbone"):
        PerceptualNetwork("resnet")
