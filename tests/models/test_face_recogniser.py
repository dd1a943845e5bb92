"""The ArcFace networks: names, sizes and depth of the published files, and what is refused."""

from pathlib import Path

import pytest
import torch
from torch import nn

from expnet.errors import InputError
from expnet.models.face_recogniser import IResNet, load_recogniser


@pytest.mark.parametrize(("layers", "parameters"), [(18, 24_025_600), (50, 43_590_848), (100, 65_156_160)])
def test_sizes_are_the_published_ones(layers: int, parameters: int) -> None:
    with torch.device("meta"):
        network = IResNet(layers)
    assert sum(value.numel() for value in network.parameters()) == parameters


@torch.no_grad()
def test_the_depth_follows_from_the_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = IResNet(18).eval()
    torch.save(network.state_dict(), tmp_path / "backbone.pth")
    faces = torch.rand(2, 3, 112, 112) * 2 - 1
    embeddings = network(faces)
    assert embeddings.shape == (2, 512)
    assert torch.equal(load_recogniser(tmp_path / "backbone.pth")(faces), embeddings)
    names = list(network.state_dict())
    assert {"layer1.0.downsample.0.weight", "layer4.1.prelu.weight", "fc.bias", "features.running_var"} < set(names)


@torch.no_grad()
def test_one_block_by_hand() -> None:
    """In a block of zero convolutions only the skipped path is left; normalisation of fresh statistics is identity."""
    block = IResNet(18).eval().layer1[1]
    nn.init.zeros_(block.conv2.weight)
    hidden = torch.rand(1, 64, 4, 4)
    assert torch.equal(block(hidden), hidden)


def test_other_files_are_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "linear.pth")
    with pytest.raises(InputError, match="ArcFace"):
        load_recogniser(tmp_path / "linear.pth")
    with pytest.raises(ValueError, match="layers"):
        IResNet(42)
