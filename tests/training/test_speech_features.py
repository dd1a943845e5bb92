"""Speech features from end to end: extraction, training, and animation of a portrait."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from expnet.cli import main
from expnet.errors import InputError

transformers = pytest.importorskip("transformers", reason="speech features need pip install 'expnet[features]'")
pytest.importorskip("espeakng_loader", reason="the built-in corpus needs pip install 'expnet[speech]'")

SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
CONVOLUTIONS = {"conv_dim": (8,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}


def write_network(folder: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    transformers.HubertModel(transformers.HubertConfig(**SMALL, **CONVOLUTIONS)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run on the features of a random network."""
    folder = tmp_path_factory.mktemp("features")
    network = write_network(folder / "hubert", 0)
    store, run = folder / "tracks", folder / "run"
    assert main(["synthesize", "--output", str(store), "--clips", "6", "--speakers", "3", "--languages", "en"]) == 0
    assert main(["features", str(store), "--weights", str(network), "--encoder", "hubert"]) == 0
    assert main(["features", str(store), "--weights", str(network)]) == 0  # nothing left to do
    options = [f"data.store={store}", f"data.features={store}-hubert", f"output={run}", "trainer.max_steps=4"]
    options += ["trainer.accelerator=cpu", "model.width=16", "model.layers=1", "model.audio_channels=8"]
    options += ["data.window=32", "data.batch_size=4", "trainer.validate_every=2", "data.silent_share=0"]
    assert main(["train", "configs/expression.yaml", *options]) == 0
    return {"run": run, "network": network, "store": store}


@pytest.mark.usefixtures("face_tracker")
def test_the_run_animates_with_the_same_network_only(trained: dict[str, Path], tmp_path: Path) -> None:
    from skimage.data import astronaut

    from expnet.animate.animator import Animator

    picture = np.ascontiguousarray(astronaut()[:256, 90:346])
    sound = (0.1 * np.random.default_rng(0).standard_normal(16_000)).astype(np.float32)
    animator = Animator(expression=trained["run"], speech_encoder=trained["network"])
    assert animator.coefficients(picture, sound).expression.shape == (25, 64)
    with pytest.raises(InputError, match="give the folder of those weights with --speech-encoder"):
        Animator(expression=trained["run"])
    with pytest.raises(InputError, match="give the same weights"):
        Animator(expression=trained["run"], speech_encoder=write_network(tmp_path / "other", 1))
    with pytest.raises(InputError, match="reads only the mel"):
        Animator(expression="mel", speech_encoder=trained["network"])
    with pytest.raises(InputError, match="another network; expected the weights of Whisper"):
        Animator(speech_encoder=trained["network"])  # the built-in network is trained on Whisper's features


def test_what_does_not_go_together_is_refused(trained: dict[str, Path], capsys: pytest.CaptureFixture[Any]) -> None:
    store = trained["store"]
    base = ["train", "configs/expression.yaml", f"data.store={store}", f"data.features={store}-hubert"]
    assert main([*base, "data.silent_share=0.1"]) == 2
    assert "set it to 0 with data.features" in capsys.readouterr().err
