"""A network opened by name: checked when found by name, labelled when given by path, never confused with chance."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from expnet.assets import extractors
from expnet.assets.extractors import KINDS, asset_of, has_random_weights, open_extractor
from expnet.assets.registry import ASSETS
from expnet.errors import InputError, MissingAssetError


def load_linear(path: Path | None) -> nn.Module:
    network = nn.Linear(3, 2)
    if path is not None:
        network.load_state_dict(torch.load(path, weights_only=True))
    return network


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A published weight file of a small network, in the folder that is searched."""
    monkeypatch.setenv("EXPNET_ASSETS", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("TORCH_HOME", raising=False)
    path = tmp_path / "small.pth"
    torch.save(nn.Linear(3, 2).state_dict(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(ASSETS, "small", replace(ASSETS["syncnet"], name="small", file="small.pth", sha256=digest))
    monkeypatch.setitem(extractors._KINDS, "small", extractors._Kind("small", load_linear))
    return path


def test_found_by_name_and_verified(weights: Path) -> None:
    extractor = open_extractor("small")
    assert extractor.name == "small"
    assert extractor.checksum == ASSETS["small"].sha256
    assert not has_random_weights(extractor)
    expected = torch.load(weights, weights_only=True)["weight"]
    assert torch.equal(extractor.network.weight, expected)
    weights.write_bytes(weights.read_bytes() + b" ")
    with pytest.raises(InputError, match="damaged"):
        open_extractor("small")


def test_given_by_path_it_may_be_another_and_says_so(weights: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.pth"
    torch.save(nn.Linear(3, 2).state_dict(), own)
    extractor = open_extractor("small", own)
    assert extractor.name == "small, unverified own.pth"
    assert extractor.checksum == hashlib.sha256(own.read_bytes()).hexdigest()
    assert open_extractor("small", weights).name == "small"


def test_random_weights_are_the_same_each_time_and_named(weights: Path) -> None:
    state = torch.get_rng_state()
    first, second = open_extractor("small", "random"), open_extractor("small", "random")
    assert torch.equal(torch.get_rng_state(), state)  # nobody else's draws move
    assert torch.equal(first.network.weight, second.network.weight)
    assert first.name == "small, random weights"
    assert first.checksum == ""
    assert has_random_weights(first)


def test_missing_and_unknown(weights: Path) -> None:
    weights.unlink()
    with pytest.raises(MissingAssetError, match="expnet assets fetch small"):
        open_extractor("small")
    with pytest.raises(InputError, match="known are syncnet, inception"):
        open_extractor("inceptoin")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_opens_with_random_weights(kind: str) -> None:
    assert asset_of(kind) in ASSETS
    extractor = open_extractor(kind, "random")
    assert sum(parameter.numel() for parameter in extractor.network.parameters()) > 1e5
    assert not any(parameter.requires_grad for parameter in extractor.network.parameters())


@pytest.mark.needs_weights
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_opens_with_its_published_file(kind: str) -> None:
    try:
        extractor = open_extractor(kind)
    except MissingAssetError as error:
        pytest.skip(str(error))
    assert extractor.checksum == ASSETS[asset_of(kind)].sha256


def test_a_file_reaches_the_network_it_is_for(tmp_path: Path) -> None:
    """torchvision's own file layout, with random values: the backbone looks through them, and says so."""
    path = tmp_path / "squeezenet.pth"
    torch.save(torchvision.models.squeezenet1_1(weights=None).state_dict(), path)
    extractor = open_extractor("lpips_squeeze", path)
    assert extractor.name == "lpips_squeeze, unverified squeezenet.pth"
    first = torch.load(path, weights_only=True)["features.0.weight"]
    assert any(torch.equal(first, parameter) for parameter in extractor.network.parameters())
    with pytest.raises(InputError, match="backbone"):
        open_extractor("lpips_alex", path)
