"""Speech features: in step with the frames, the same in pieces, and of the network that was meant."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from expnet.audio.speech_encoders import self_supervised as module
from expnet.audio.speech_encoders.self_supervised import SelfSupervisedEncoder
from expnet.errors import InputError

transformers = pytest.importorskip("transformers", reason="speech features need pip install 'expnet[features]'")

SMALL = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
KINDS = {"hubert": "HubertModel", "wavlm": "WavLMModel", "wav2vec2": "Wav2Vec2Model"}


def write_network(folder: Path, kind: str, *, seed: int = 0, **changes: object) -> Path:
    """A network of random weights, in the files that its publishers use."""
    torch.manual_seed(seed)
    network_class = getattr(transformers, KINDS[kind])
    network_class(network_class.config_class(**{**SMALL, **changes})).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_network(tmp_path_factory.mktemp("hubert"), "hubert", feat_extract_norm="layer")


def noise(frames: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(640 * frames)).astype(np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_every_encoder_gives_a_vector_a_frame(tmp_path: Path, kind: str) -> None:
    encoder = SelfSupervisedEncoder(write_network(tmp_path, kind), encoder=kind)
    assert (encoder.source.encoder, encoder.source.layer, encoder.source.size) == (kind, 2, 24)
    for frames in (1, 2, 25):
        encoded = encoder(noise(frames), frames)
        assert encoded.shape == (frames, 24)
        assert np.isfinite(encoded).all()


def test_a_frame_is_the_mean_of_the_two_vectors_around_its_centre(folder: Path) -> None:
    sound, frames = noise(10), 10
    network = transformers.AutoModel.from_pretrained(folder).eval()
    normal = (sound - sound.mean()) / np.sqrt(sound.var() + 1e-7)
    padded = torch.from_numpy(np.pad(normal, 40))[None].float()
    with torch.no_grad():
        states = network(padded, output_hidden_states=True).hidden_states
    vectors = states[1][0].numpy()  # (20, 24), vector k centred on sample 320 k + 160
    assert len(vectors) == 2 * frames
    np.testing.assert_allclose(
        SelfSupervisedEncoder(folder, layer=1)(sound, frames), (vectors[0::2] + vectors[1::2]) / 2, atol=1e-5
    )


def test_layer_0_of_a_click_is_symmetric_about_its_frame(tmp_path: Path) -> None:
    """What enters the Transformer sees 400 samples: a click in the middle of frame 5 must show in that frame."""
    encoder = SelfSupervisedEncoder(write_network(tmp_path, "hubert", feat_extract_norm="layer"), layer=0)
    encoder._normalise = False
    # The positional convolution looks far; without it, what is left is the convolutions' own reach.
    torch.nn.init.zeros_(encoder._network.encoder.pos_conv_embed.conv.bias)
    encoder._network.encoder.pos_conv_embed.conv.parametrizations.weight.original0.data.zero_()
    quiet, click = np.zeros(6400, np.float32), np.zeros(6400, np.float32)
    click[640 * 5 + 320] = 1.0
    changed = np.abs(encoder(click, 10) - encoder(quiet, 10)).sum(axis=1)
    assert changed.argmax() == 5
    assert changed[[0, 1, 2, 3, 7, 8, 9]].max() < 1e-3 * changed[5]


def test_pieces_of_a_long_recording_join_in_step(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, sound = SelfSupervisedEncoder(folder), noise(103)
    whole = encoder(sound, 103)
    monkeypatch.setattr(module, "PIECE", 40)
    monkeypatch.setattr(module, "OVERLAP", 30)
    pieces = encoder(sound, 103)
    assert pieces.shape == whole.shape
    same = [np.corrcoef(one, other)[0, 1] for one, other in zip(whole, pieces, strict=True)]
    assert min(same) > 0.95
    shifted = [np.corrcoef(one, other)[0, 1] for one, other in zip(whole[1:], pieces[:-1], strict=True)]
    assert np.mean(same) > np.mean(shifted) + 0.005


def test_loudness_matters_only_where_the_network_wants_it(tmp_path: Path, folder: Path) -> None:
    sound = noise(20)
    np.testing.assert_allclose(
        SelfSupervisedEncoder(folder)(sound, 20), SelfSupervisedEncoder(folder)(0.1 * sound, 20), atol=1e-3
    )
    write_network(tmp_path, "hubert", feat_extract_norm="layer")
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"do_normalize": False}))
    as_it_is = SelfSupervisedEncoder(tmp_path)
    assert np.abs(as_it_is(sound, 20) - as_it_is(0.01 * sound, 20)).max() > 1e-3


def test_weights_are_told_apart(tmp_path: Path, folder: Path) -> None:
    other = SelfSupervisedEncoder(write_network(tmp_path, "hubert", seed=1, feat_extract_norm="layer"))
    assert other.source.sha256 != SelfSupervisedEncoder(folder).source.sha256
    assert other.source != SelfSupervisedEncoder(folder).source


def test_what_cannot_be_used_is_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(InputError, match="has no config"):
        SelfSupervisedEncoder(tmp_path)
    with pytest.raises(InputError, match=r"not the folder of a wavlm network.*hubert"):
        SelfSupervisedEncoder(folder, encoder="wavlm")
    with pytest.raises(InputError, match="no layer 3"):
        SelfSupervisedEncoder(folder, layer=3)
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(InputError, match=r"holds no \.safetensors"):
        SelfSupervisedEncoder(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"no such thing")
    with pytest.raises(InputError, match="no network that transformers can load"):
        SelfSupervisedEncoder(tmp_path)
    weights = load_file(folder / "model.safetensors")
    save_file(dict(list(weights.items())[:-5]), tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="its weights lack"):
        SelfSupervisedEncoder(tmp_path)
    write_network(tmp_path / "odd", "hubert", conv_stride=(5, 2, 2, 2, 2, 2, 3))
    with pytest.raises(InputError, match="does not fit"):
        SelfSupervisedEncoder(tmp_path / "odd")
