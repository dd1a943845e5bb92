"""The network between the lips: nothing before training, confined to the opening, and its discriminator."""

from __future__ import annotations

import torch

from expnet.models.inner_mouth import PatchDiscriminator, continued
from expnet.models.refiner import CHANNELS, OPENING_CHANNEL, Refiner
from expnet.models.saved_model import load_model, save_model


def mouth_network(size: int = 32) -> Refiner:
    return Refiner(kinds=["inner_mouth"], size=size, width=8, inside=True).eval()


def inputs_with_opening(size: int = 32) -> torch.Tensor:
    torch.manual_seed(0)
    inputs = torch.randint(0, 256, (1, CHANNELS, size, size), dtype=torch.uint8)
    inputs[:, OPENING_CHANNEL] = 0
    inputs[:, OPENING_CHANNEL, 12:20, 8:24] = 255
    return inputs


def test_an_untrained_network_changes_nothing_and_a_trained_one_only_the_opening(tmp_path) -> None:
    network, inputs = mouth_network(), inputs_with_opening()
    assert not network(inputs, "inner_mouth").any()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.1)
    changes = network(inputs, "inner_mouth").detach()
    assert changes.shape == (1, 6, 32, 32)
    assert not changes[:, :3].any()
    assert changes[:, 3:, 12:20, 8:24].abs().min() > 0
    far = torch.ones(32, 32, dtype=torch.bool)
    far[11:21, 7:25] = False  # one pixel around the opening continues it
    assert not changes[0, :, far].any()
    again = load_model(save_model(tmp_path / "mouth.safetensors", network), "refiner")
    assert torch.equal(again(inputs, "inner_mouth"), changes)


def test_the_residual_continues_beyond_the_opening() -> None:
    opening = torch.zeros(1, 1, 8, 8)
    opening[..., 3:5, :] = 1.0
    residual = torch.where(opening > 0, 0.5, -1.0).expand(1, 3, 8, 8)
    result = continued(residual, opening)
    assert torch.equal(result[..., 3:5, :], residual[..., 3:5, :])
    assert torch.allclose(result[..., 2, :], torch.tensor(0.5), atol=0.03)
    assert not result[..., :2, :].any()


def test_a_discriminator_judges_patches() -> None:
    logits, features = PatchDiscriminator(7, 8)(torch.zeros(2, 7, 32, 32))
    assert logits.shape == (2, 1, 8, 8)
    assert [tuple(one.shape[1:]) for one in features] == [(8, 16, 16), (16, 8, 8), (24, 8, 8)]
