"""A portrait, speech and small networks for the page's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from skimage.data import astronaut

from expnet.audio.speech_synthesis import synthesize_speech
from expnet.audio.wave import write_wav
from expnet.models.expression_regressor import ExpressionRegressor
from expnet.models.pose_cvae import PoseCVAE
from expnet.models.saved_model import save_model


@pytest.fixture(scope="session")
def portrait(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("portrait") / "astronaut.png"
    Image.fromarray(astronaut()[:256, 90:346]).save(path)
    return path


@pytest.fixture(scope="session")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About 1.5 seconds of the built-in voice."""
    pytest.importorskip("espeakng_loader", reason="built-in speech is the extra 'speech'")
    path = tmp_path_factory.mktemp("speech") / "speech.wav"
    write_wav(path, synthesize_speech("Hello, this is a page.").samples)
    return path


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small untrained networks whose output still moves."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    expression = ExpressionRegressor(width=16, layers=1, heads=2)
    torch.nn.init.normal_(expression.head.weight, std=0.3)
    save_model(folder / "expression.safetensors", expression)
    save_model(folder / "pose.safetensors", PoseCVAE())
    return {"expression": folder / "expression.safetensors", "pose": folder / "pose.safetensors"}
