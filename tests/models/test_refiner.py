"""The refiner's network: its shapes, no change before training and at the border, and its file."""

from __future__ import annotations

import pytest
import torch

from expnet.config import RefinerModelConfig
from expnet.errors import ConfigError
from expnet.models.refiner import CHANNELS, Refiner, change, fading_window
from expnet.models.saved_model import load_model, save_model


def with_random_output(**options) -> Refiner:
    """A network that changes its input, as after training."""
    torch.manual_seed(0)
    network = Refiner(**options)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.1)
    return network.eval()


def crops(size: int, count: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, CHANNELS, size, size), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize(("size", "levels", "residual"), [(96, 3, False), (64, 2, True), (256, 5, True)])
def test_shapes_follow_the_options(size: int, levels: int, residual: bool) -> None:
    network = with_random_output(kinds=["mouth", "face"], size=size, width=4, levels=levels, residual=residual)
    for kind in ("mouth", "face"):
        changes = network(crops(size), kind)
        assert changes.shape == (2, 6, size, size)
        assert bool(changes[:, :3].abs().max() > 0)
        assert bool(changes[:, 3:].abs().max() > 0) == residual
        assert changes[:, :3].abs().max() < 1.3 * network.options["light"]
        assert changes[:, 3:].abs().max() < 1


def test_it_starts_by_changing_nothing() -> None:
    torch.manual_seed(0)
    changes = Refiner(width=4, residual=True)(crops(96), "mouth")
    assert torch.equal(changes, torch.zeros_like(changes))
    colours = torch.rand(2, 3, 96, 96)
    assert torch.equal(change(colours, changes), colours)


def test_it_changes_nothing_at_the_border() -> None:
    changes = with_random_output(width=4, residual=True)(crops(96), "mouth")
    for edge in (changes[..., 0, :], changes[..., -1, :], changes[..., 0], changes[..., -1]):
        assert torch.equal(edge, torch.zeros_like(edge))
    window = fading_window(96)
    assert window[48, 48] == 1
    assert torch.equal(window, window.T)
    assert torch.equal(window, window.flip(0))
    assert float(window.diff(dim=0).abs().max()) < 0.15


def test_a_change_is_a_gain_and_an_addition() -> None:
    changes = torch.zeros(1, 6, 2, 2)
    changes[:, 0], changes[:, 4] = torch.tensor(2.0).log(), 0.25
    changed = change(torch.full((1, 3, 2, 2), 0.25), changes)
    assert changed[0, :, 0, 0].tolist() == pytest.approx([0.5, 0.5, 0.25])


def test_it_is_saved_and_loaded(tmp_path) -> None:
    network = with_random_output(kinds=["mouth"], width=4, residual=True)
    loaded = load_model(save_model(tmp_path / "refiner.safetensors", network), "refiner")
    assert torch.equal(loaded(crops(96), "mouth"), network(crops(96), "mouth"))


@pytest.mark.parametrize(
    "options",
    [{"kinds": []}, {"kinds": ["nose"]}, {"size": 90}, {"size": 0}, {"levels": 1}, {"width": 0}, {"light": 0}],
)
def test_impossible_options_are_refused(options: dict) -> None:
    with pytest.raises(ConfigError, match=f"model.{next(iter(options))}"):
        RefinerModelConfig(**options)
