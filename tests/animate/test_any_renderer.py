"""Animations with SadTalker's renderer and with one of one's own: videos, streams, and what they cannot do."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.data import astronaut

from expnet.animate.animator import Animator
from expnet.errors import InputError
from expnet.media.video_reader import probe_video
from expnet.models.expression_regressor import ExpressionRegressor
from expnet.models.pose_cvae import PoseCVAE
from expnet.models.saved_model import save_model

pytestmark = pytest.mark.usefixtures("face_tracker", "sadtalker_found")


def speech(seconds: float) -> np.ndarray:
    time = np.arange(int(seconds * 16000)) / 16000
    noise = np.random.default_rng(0).normal(0, 0.1, len(time))
    return (noise * np.sin(np.pi * 4 * time) ** 2).astype(np.float32)


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Animator:
    """An animator with small untrained networks, of which that of the expression streams."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    expression = ExpressionRegressor(
        width=16, layers=1, heads=2, audio_channels=8, attention_bias="alibi_causal", streaming=True
    )
    torch.nn.init.normal_(expression.head.weight, std=0.3)
    save_model(folder / "expression.safetensors", expression)
    save_model(folder / "pose.safetensors", PoseCVAE(width=32, layers=1))
    return Animator(expression=folder / "expression.safetensors", pose=folder / "pose.safetensors")


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.ascontiguousarray(astronaut()[:300, 70:370])


@pytest.fixture(params=["sadtalker", "glowing"])
def other(request: pytest.FixtureRequest, mesh: Animator, glowing: type) -> Animator:
    return mesh.with_renderer(glowing if request.param == "glowing" else request.param)


def test_a_video_is_drawn_by_it(other: Animator, mesh: Animator, picture: np.ndarray, tmp_path: Path) -> None:
    path = other.animate(picture, speech(0.8), tmp_path / "talking.mp4")
    assert (probe_video(path).frames, probe_video(path).size) == (20, picture.shape[:2])
    theirs, ours = (list(one.frames(picture, speech(0.4))) for one in (other, mesh))
    assert len(theirs) == len(ours) == 10
    assert any((one != two).any() for one, two in zip(theirs, ours, strict=True)), "the renderer is another"
    assert other.face_model is mesh.face_model


def test_a_stream_has_the_frames_of_the_whole_recording_and_says_how_late(
    other: Animator, mesh: Animator, picture: np.ndarray, glowing: type, caplog: pytest.LogCaptureFixture
) -> None:
    samples = speech(1.0)
    with caplog.at_level(logging.INFO, logger="expnet.animate.animator"):
        streamed = list(other.stream(picture, np.array_split(samples, 9), blink="none"))
        next(mesh.stream(picture, [samples], blink="none"))
    assert len(streamed) == 25
    late, usual = (int(record.getMessage().split()[4]) for record in caplog.records[-2:])
    assert late - usual == (0 if isinstance(other._renderer.renderer(other.portrait(picture)), glowing) else 520)
    offline = list(other.frames(picture, samples, blink="none"))
    difference = np.abs(np.stack(streamed).astype(int) - np.stack(offline))
    assert difference.max() <= 1  # the coefficients agree to 1e-5


def test_a_person_without_background_needs_the_mesh(other: Animator, picture: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"draws no video without background: write an \.mp4, or use the mesh renderer"
    ):
        other.animate(picture, speech(0.4), tmp_path / "talking.webm")
    assert not list(tmp_path.iterdir())
