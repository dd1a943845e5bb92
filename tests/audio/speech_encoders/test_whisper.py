"""Whisper's encoder equals transformers', from either kind of file, in step with the frames and at any length."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from expnet.audio.speech_encoders import SlidingFeatures, load_speech_encoder
from expnet.audio.speech_encoders import whisper as module
from expnet.audio.speech_encoders.whisper import WhisperEncoder, WhisperSpeechEncoder, whisper_mel
from expnet.audio.speech_encoders.whisper_weights import _BLOCK, _CTRANSLATE2_BLOCK, read_whisper, write_whisper
from expnet.errors import InputError

transformers = pytest.importorskip("transformers", reason="the reference is transformers' WhisperEncoder")


def noise(frames: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(640 * frames)).astype(np.float32)


@pytest.fixture(scope="module")
def reference() -> torch.nn.Module:
    """A network of random weights, rounded to half precision as the published ones are."""
    torch.manual_seed(0)
    config = transformers.WhisperConfig(
        d_model=128, encoder_layers=4, encoder_attention_heads=2, encoder_ffn_dim=512, decoder_layers=1,
        decoder_attention_heads=2, decoder_ffn_dim=64, vocab_size=60000, max_target_positions=8,
    )  # fmt: skip
    network = transformers.WhisperModel(config).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_((parameter + 0.02 * torch.randn_like(parameter)).half().float())
    return network


@pytest.fixture(scope="module")
def folder(reference: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whisper")
    reference.save_pretrained(folder)
    return folder


def write_ctranslate2(path: Path, folder: Path) -> Path:
    """The same weights as CTranslate2 stores them, with a decoder that must be skipped."""
    weights = read_whisper(folder)
    variables = {"decoder/embeddings/weight": np.zeros((3, 4), np.float16)}
    for name, array in weights.arrays.items():
        if name.startswith("blocks."):
            _, index, part = name.split(".", 2)
            name = f"encoder/layer_{index}/{_CTRANSLATE2_BLOCK[_BLOCK.index(part)]}"
        else:
            name = {"positions": "encoder/position_encodings/encodings"}.get(name, "encoder/" + name.replace(".", "/"))
        variables[name] = array.astype(np.float16)
    variables["encoder/num_heads"] = np.array(weights.heads, np.int16)

    def string(text: str) -> bytes:
        return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"

    data = struct.pack("<I", 6) + string("WhisperSpec") + struct.pack("<II", 3, len(variables))
    for name, array in variables.items():
        data += string(name) + struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape)
        data += struct.pack("<BI", {"f": 4, "i": 2}[array.dtype.kind], array.nbytes) + array.tobytes()
    path.write_bytes(data + struct.pack("<I", 0))
    return path


@pytest.mark.parametrize("layer", [0, 1, 3, 4])
def test_equals_transformers_with_padding(reference: torch.nn.Module, folder: Path, layer: int) -> None:
    audio = np.pad(noise(100), (0, 480_000 - 64_000))
    extractor = transformers.WhisperFeatureExtractor()
    expected_mel = extractor(audio, sampling_rate=16_000, return_tensors="pt").input_features
    mel = whisper_mel(torch.from_numpy(audio)[None])
    torch.testing.assert_close(mel, expected_mel, atol=1e-4, rtol=0)
    with torch.no_grad():
        states = reference.encoder(expected_mel, output_hidden_states=True).hidden_states
        # transformers normalises the last state, which this module does not.
        ours = WhisperEncoder(read_whisper(folder, layer))(mel)
        expected = states[layer] if layer < 4 else None
    if expected is None:
        normalised = reference.encoder.layer_norm(ours)
        torch.testing.assert_close(normalised, states[4], atol=1e-4, rtol=0)
    else:
        torch.testing.assert_close(ours, expected, atol=1e-4, rtol=0)


def test_every_file_holds_the_same_encoder(folder: Path, tmp_path: Path) -> None:
    ctranslate2 = write_ctranslate2(tmp_path / "model.bin", folder)
    write_whisper(tmp_path / "kept.safetensors", read_whisper(folder, 3))
    audio = noise(30)
    encoders = [load_speech_encoder(path) for path in (folder, ctranslate2, tmp_path, tmp_path / "kept.safetensors")]
    expected = encoders[0](audio, 30)
    assert expected.shape == (30, 128)
    for encoder in encoders:
        assert encoder.source == encoders[0].source
        assert (encoder.source.encoder, encoder.source.layer, encoder.source.size) == ("whisper", 3, 128)
        np.testing.assert_array_equal(encoder(audio, 30), expected)
    assert load_speech_encoder(folder, layer=2).source.sha256 != encoders[0].source.sha256


def test_only_the_blocks_that_are_used_are_read(folder: Path, tmp_path: Path) -> None:
    weights = read_whisper(folder, 2)
    assert weights.blocks == 2
    write_whisper(tmp_path / "kept.safetensors", weights)
    assert not [name for name in load_file(tmp_path / "kept.safetensors") if name.startswith("blocks.2")]
    with pytest.raises(InputError, match=r"has 2 Transformer blocks, and 3 are needed"):
        WhisperSpeechEncoder(tmp_path / "kept.safetensors", layer=3)


@pytest.mark.parametrize("frame", [0, 5, 19])
def test_a_click_shows_in_its_frame(folder: Path, frame: int) -> None:
    """The convolutions alone: three mel columns and two, so that no other frame but the neighbours can hear it."""
    encoder = WhisperSpeechEncoder(folder, layer=0)
    quiet, click = np.full(12_800, 1e-3, np.float32), np.full(12_800, 1e-3, np.float32)
    click[640 * frame + 320] = 0.01
    changed = np.abs(encoder(click, 20) - encoder(quiet, 20)).sum(axis=1)
    assert changed.argmax() == frame
    near = np.abs(np.arange(20) - frame) <= 1
    assert changed[~near].max(initial=0.0) < 1e-2 * changed[frame]
    if 0 < frame < 19:
        assert changed[frame - 1] == pytest.approx(changed[frame + 1], rel=0.5)


def test_long_recordings_in_pieces(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the convolutions hear is the same in pieces; positions count from the start of each piece."""
    encoder, audio = WhisperSpeechEncoder(folder, layer=0), noise(103)
    encoder.network.positions.zero_()
    whole = encoder(audio, 103)
    monkeypatch.setattr(module, "PIECE", 40)
    monkeypatch.setattr(module, "CONTEXT", 20)
    np.testing.assert_allclose(encoder(audio, 103), whole, atol=1e-4)


def test_features_in_sliding_windows_are_those_of_the_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE", 40)
    encoder, audio = WhisperSpeechEncoder(folder, layer=1), noise(103)
    whole, sliding = encoder(audio, 103), SlidingFeatures(encoder, audio, 103)
    for first, count in ((0, 30), (10, 30), (35, 50), (90, 13)):
        np.testing.assert_array_equal(sliding(first, count), whole[first : first + count])
    with pytest.raises(ValueError, match="frame 89 lies before frame 90"):
        sliding(89, 5)
    with pytest.raises(ValueError, match="the recording ends before frame 104"):
        sliding(90, 14)


def test_a_batch_is_its_clips(folder: Path) -> None:
    encoder = WhisperSpeechEncoder(folder)
    audio = np.stack([noise(20, 1), noise(20, 2)])
    batch = encoder.encode(torch.from_numpy(audio)).numpy()
    for one, clip in zip(batch, audio, strict=True):
        np.testing.assert_allclose(one, encoder(clip, 20), atol=1e-4)


def test_one_frame_and_a_minute(folder: Path) -> None:
    encoder = WhisperSpeechEncoder(folder, layer=1)
    assert encoder(noise(1), 1).shape == (1, 128)
    assert encoder(noise(1500), 1500).shape == (1500, 128)


def test_what_cannot_be_used_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no Whisper encoder"):
        load_speech_encoder(tmp_path, encoder="whisper")
    with pytest.raises(InputError, match="no layer -1"):
        WhisperSpeechEncoder(folder, layer=-1)
    whole = write_ctranslate2(tmp_path / "model.bin", folder).read_bytes()
    for share in (0.001, 0.3, 0.9):
        (tmp_path / "model.bin").write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(InputError, match=r"damaged or was cut off"):
            load_speech_encoder(tmp_path)
    (tmp_path / "model.bin").write_bytes(b"\x05" + whole[1:])
    with pytest.raises(InputError, match="not a CTranslate2 model of version 6"):
        load_speech_encoder(tmp_path)
    weights = load_file(folder / "model.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:5000])
    with pytest.raises(InputError, match="damaged or was cut off"):
        load_speech_encoder(tmp_path / "cut.safetensors")
    prefix = next(name for name in weights if name.endswith("conv1.weight")).removesuffix("conv1.weight")
    save_file({n: a for n, a in weights.items() if n != f"{prefix}layers.1.fc1.bias"}, tmp_path / "part.safetensors")
    with pytest.raises(InputError, match=r"lacks blocks.1.mlp_in.bias and 0 more"):
        load_speech_encoder(tmp_path / "part.safetensors")
    save_file({"x": np.zeros(3, np.float32)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="holds another network"):
        load_speech_encoder(tmp_path / "other.safetensors")
