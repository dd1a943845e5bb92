"""A small portrait, untrained networks and noise in place of speech."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.data import astronaut

from expnet.animate.animator import Animator
from expnet.face.morphable import MorphableModel, builtin_face_model
from expnet.models.expression_regressor import ExpressionRegressor
from expnet.models.pose_cvae import PoseCVAE
from expnet.models.saved_model import save_model
from expnet.render.portrait import Portrait


@pytest.fixture(autouse=True, scope="session")
def _needs_the_tracker(face_tracker: tuple[Path, ...]) -> None:
    """Every test here animates a portrait."""


@pytest.fixture(scope="session")
def model() -> MorphableModel:
    return builtin_face_model()


@pytest.fixture(scope="session")
def picture() -> np.ndarray:
    return np.ascontiguousarray(astronaut()[:256, 90:346])


@pytest.fixture(scope="session")
def animator(tmp_path_factory: pytest.TempPathFactory) -> Animator:
    """Untrained networks whose output still moves."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    expression = ExpressionRegressor(width=16, layers=1, heads=2)
    torch.nn.init.normal_(expression.head.weight, std=0.3)
    save_model(folder / "expression.safetensors", expression)
    save_model(folder / "pose.safetensors", PoseCVAE(styles=3))
    return Animator(expression=folder / "expression.safetensors", pose=folder / "pose.safetensors")


@pytest.fixture(scope="session")
def portrait(animator: Animator, picture: np.ndarray) -> Portrait:
    return animator.portrait(picture)


@pytest.fixture(scope="session")
def sound() -> np.ndarray:
    """Four seconds of noise (S,) at 16 kHz that swells four times a second."""
    time = np.arange(4 * 16000) / 16000
    noise = np.random.default_rng(0).normal(0, 0.1, len(time))
    return (noise * np.sin(np.pi * 4 * time) ** 2).astype(np.float32)


@pytest.fixture
def file(tmp_path: Path, picture: np.ndarray, sound: np.ndarray) -> Path:
    """A folder with face.png and speech.wav (0.4 s)."""
    from PIL import Image

    from expnet.audio.wave import write_wav

    Image.fromarray(picture).save(tmp_path / "face.png")
    write_wav(tmp_path / "speech.wav", sound[:6400])
    return tmp_path
