"""The baselines of the expression network on speech features: each trains, is loaded again, and animates."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from small import write_store

from expnet.audio.alignment import mel_columns
from expnet.cli import main
from expnet.models.expression_regressor import ExpressionRegressor
from expnet.models.interfaces import load_expression_network
from expnet.training.tasks.build import _silent_features

QUICK = ("data.window=16", "data.batch_size=2", "trainer.max_steps=2", "trainer.validate_every=2", "model.width=16")
SMALL = {"per_frame": ("model.audio_channels=2",), "autoregressive": ("model.audio_channels=8",)}


@pytest.mark.usefixtures("face_tracker")
@pytest.mark.parametrize("name", ["small_convolution", "per_frame", "autoregressive"])
def test_a_baseline_on_features(name: str, tmp_path: Path, write_encoder: Callable[..., Path]) -> None:
    store, run = write_store(tmp_path / "tracks"), tmp_path / "run"
    encoder = write_encoder(tmp_path / "whisper.safetensors", 0)
    assert main(["features", str(store), "--weights", str(encoder)]) == 0
    options = [f"data.store={store}", f"data.features={store}-whisper", f"output={run}", "trainer.accelerator=cpu"]
    assert main(["train", f"configs/{name}.yaml", *options, *QUICK, *SMALL.get(name, ())]) == 0

    network = load_expression_network(run)
    assert network.options["speech_features"]["size"] == 64
    mel, first = torch.randn(1, 80, mel_columns(25)), torch.zeros(1, 64)
    features = torch.randn(2, 1, 25, 64)
    with torch.no_grad():
        one, other = (network(mel, 25, first, features=given) for given in features)
    assert (one - other).abs().max() > 0

    from skimage.data import astronaut

    from expnet.animate.animator import Animator

    image = np.ascontiguousarray(astronaut()[:256, 90:346])
    audio = (0.1 * np.random.default_rng(0).standard_normal(16_000)).astype(np.float32)
    animator = Animator(expression=run, speech_encoder=encoder)
    assert animator.coefficients(image, audio).expression.shape == (25, 64)


def test_training_starts_from_a_network_on_the_mel_and_from_the_same_features_only(
    tmp_path: Path, write_encoder: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    store, encoder = write_store(tmp_path / "tracks"), write_encoder(tmp_path / "whisper.safetensors", 0)
    for layer in "32":
        folder = str(tmp_path / f"layer{layer}")
        assert main(["features", str(store), "--weights", str(encoder), "--layer", layer, "--output", folder]) == 0
    options = [f"data.store={store}", "trainer.accelerator=cpu", "model.audio_channels=8", "data.silent_share=0"]
    train = ["train", "configs/expression.yaml", *options, *QUICK]
    assert main([*train, f"output={tmp_path / 'mel'}"]) == 0
    third, second = (f"data.features={tmp_path / name}" for name in ("layer3", "layer2"))
    run = tmp_path / "heard"
    assert main([*train, third, f"init={tmp_path / 'mel'}", f"output={run}"]) == 0
    assert load_expression_network(run).options["speech_features"]["layer"] == 3
    capsys.readouterr()
    assert main([*train, second, f"init={run}", f"output={tmp_path / 'other'}"]) == 2
    assert "was trained on layer 3 of whisper weights" in capsys.readouterr().err


def test_features_begin_without_influence() -> None:
    source = {"encoder": "whisper", "layer": 3, "size": 8, "sha256": "0" * 64}
    mel = ExpressionRegressor(width=16, layers=1, audio_channels=8).eval()
    torch.nn.init.normal_(mel.head.weight, std=0.3)
    heard = ExpressionRegressor(width=16, layers=1, audio_channels=8, speech_features=source).eval()
    heard.load_state_dict(mel.state_dict() | _silent_features(heard))
    spectrogram, first = torch.randn(1, 80, mel_columns(25)), torch.zeros(1, 64)
    with torch.no_grad():
        expected = mel(spectrogram, 25, first)
        assert torch.equal(heard(spectrogram, 25, first, features=torch.randn(1, 25, 8)), expected)
