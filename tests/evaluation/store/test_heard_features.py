"""Networks on speech features in ``evaluate.py``: computed from the clips' audio, or stored by ``expnet features``."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from expnet.assets.encoders import open_speech_encoder
from expnet.audio.speech_encoders import load_speech_encoder
from expnet.cli import main as command_line
from expnet.config.evaluate import EvaluateConfig, EvaluateDataConfig
from expnet.config.grammar import merge
from expnet.errors import ConfigError
from expnet.evaluation.store.clips import select_clips
from expnet.evaluation.store.systems import Networks, open_encoder_for
from expnet.models.expression_regressor import ExpressionRegressor
from expnet.models.interfaces import load_expression_network
from expnet.models.saved_model import save_model


@pytest.fixture
def heard(
    world: SimpleNamespace, assets_folder: Path, write_encoder: Callable[..., Path], tmp_path: Path
) -> SimpleNamespace:
    """A network on the features of a random encoder, and the features of the store, of two layers."""
    encoder = write_encoder(assets_folder / "whisper-tiny.en.safetensors", 0)
    for layer in (3, 2):
        command = ["features", str(world.store), "--layer", str(layer), "--output", str(tmp_path / f"layer{layer}")]
        assert command_line(command) == 0
    torch.manual_seed(0)
    source = load_speech_encoder(encoder).source.as_dict()
    network = ExpressionRegressor(width=16, layers=1, audio_channels=8, speech_features=source)
    torch.nn.init.normal_(network.head.weight, std=0.3)
    path = save_model(tmp_path / "network" / "model.safetensors", network)
    return SimpleNamespace(network=path, encoder=encoder, layer3=tmp_path / "layer3", layer2=tmp_path / "layer2")


def predictions(options: list[str], heard: SimpleNamespace, *more: str) -> list[torch.Tensor]:
    config: Any = merge(EvaluateConfig, [*options, "data.limit=2", *more])
    selection, network = select_clips(config), load_expression_network(heard.network)
    encoder = open_encoder_for(network, selection)
    system = Networks("ours", "", "model", "", expression=network, speech_encoder=encoder)
    return [system.predict(selection.read(entry)).expression for entry in selection.scored]


def test_folders_and_audio_give_the_same(options: list[str], heard: SimpleNamespace) -> None:
    computed = predictions(options, heard)
    stored = predictions(options, heard, f"data.features={heard.layer3}")
    assert all(map(torch.equal, computed, stored))


def test_features_are_heard(options: list[str], heard: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without them the prediction is another one."""
    with_features = predictions(options, heard)

    def open_silent(*given: Any, **named: Any) -> Any:
        encoder = open_speech_encoder(*given, **named)
        return _Silent(encoder)

    monkeypatch.setattr("expnet.evaluation.store.systems.open_speech_encoder", open_silent)
    assert not any(map(torch.equal, with_features, predictions(options, heard)))


class _Silent:
    """An encoder to which everything sounds like silence."""

    def __init__(self, encoder: Any) -> None:
        self.source, self._encoder = encoder.source, encoder

    def __call__(self, samples: Any, frames: int) -> Any:
        return self._encoder(0 * samples, frames)


def test_the_command_scores_them(
    options: list[str], heard: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_line(["evaluate", *options, f"expression={heard.network}", "data.limit=3"]) == 0
    assert "| expnet |" in capsys.readouterr().out
    page = (tmp_path / "results" / "results.json").read_text()
    assert "on the mel and layer 3 of whisper weights with the sha256" in page
    assert "failed" not in page


def test_what_does_not_fit_is_one_sentence(
    options: list[str], heard: SimpleNamespace, world: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*more: str) -> str:
        assert command_line(["evaluate", *options, f"expression={heard.network}", *more]) == 2
        return capsys.readouterr().err

    assert f"{heard.layer2} holds layer 2 of whisper weights" in said(f"data.features={heard.layer2}")
    assert "has no readable speech features" in said(f"data.features={world.store}")
    assert "reads only the mel" in said(f"expression={world.expression}", f"speech_encoder={heard.encoder}")
    heard.encoder.unlink()
    assert "give the folder of those weights with speech_encoder=PATH" in said()
    with pytest.raises(ConfigError, match=r"data\.features must be a folder or a list of folders"):
        EvaluateDataConfig(store="tracks", features={"tracks": "features"})
