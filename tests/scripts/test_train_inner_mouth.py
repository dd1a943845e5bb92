"""The training of the mouth network: targets lie between the rendered lips, and a step learns from them."""

from __future__ import annotations

import numpy as np
import torch

from expnet.models.refiner import CHANNELS, OPENING_CHANNEL
from expnet.render.lips import LOWER_ROWS, UPPER_ROWS
from expnet.render.refiner.region_refiner import RegionCrop
from expnet.render.refiner.regions import Placement
from learned_mouth.learning import WARM_UP, MouthTraining
from learned_mouth.pairs import KIND, SIZE, MouthPairs, aligned


def crop_with(top: float, bottom: float) -> RegionCrop:
    """A region of 64 px, equal to the image, whose rendered opening is a rectangle of these heights."""
    place = Placement(np.array([32.0, 32.0]), np.array([64.0, 0.0]), np.array([0.0, 64.0]))
    x = np.linspace(0.2, 0.8, 11)
    edges = np.stack([np.stack([x, np.full(11, high / SIZE)], axis=-1) for high in (top, bottom)])
    edges[0, [0, -1]] = edges[1, [0, -1]]  # the lips meet in the corners
    return RegionCrop(KIND, np.zeros((CHANNELS, SIZE, SIZE), np.uint8), 1.0, place, edges)


def tracked(top: float, bottom: float) -> np.ndarray:
    points = np.zeros((478, 3))
    for row, high in ((UPPER_ROWS[0], top), (LOWER_ROWS[0], bottom)):
        points[list(row), 0] = np.linspace(0.2, 0.8, 11) * SIZE
        points[list(row), 1] = high
    return points


def test_what_shows_between_the_real_lips_moves_between_the_rendered_ones() -> None:
    frame = np.full((SIZE, SIZE, 3), 90, np.uint8)
    frame[30:40] = 250  # teeth between the real lips
    target = aligned(frame, tracked(30, 40), crop_with(24, 36))
    assert target is not None
    inside = target[0, :, 32]
    assert (inside[26:34] > 240).all()
    assert (inside[:22] < 100).all()
    assert (inside[38:] < 100).all()


def test_openings_that_differ_too_much_or_are_closed_are_not_used() -> None:
    frame = np.zeros((SIZE, SIZE, 3), np.uint8)
    assert aligned(frame, tracked(30, 32), crop_with(24, 36)) is None
    assert aligned(frame, tracked(30, 30.5), crop_with(30, 30.5)) is None


def test_steps_bring_the_mouth_closer_with_and_without_a_discriminator() -> None:
    inputs = np.full((4, CHANNELS, SIZE, SIZE), 100, np.uint8)
    inputs[:, OPENING_CHANNEL] = 0
    inputs[:, OPENING_CHANNEL, 24:36, 12:52] = 255
    clip = MouthPairs(inputs, np.full((4, 3, SIZE, SIZE), 200, np.uint8), np.full(4, 12.0, np.float32))
    training = MouthTraining([clip], width=4)
    first = training.step()
    assert set(first) == {"pixel", "coarse"}
    for _ in range(25):
        last = training.step()
    assert last["pixel"] < 0.6 * first["pixel"]
    training.steps = WARM_UP
    adversarial = training.step()
    assert set(adversarial) == {"pixel", "coarse", "fool", "match"}
    assert np.isfinite(list(adversarial.values())).all()
    assert not any(torch.isnan(value).any() for value in training.averaged.state_dict().values())
