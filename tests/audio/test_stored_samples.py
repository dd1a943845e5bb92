"""Sound in a file gives the same samples as sound in memory."""

from pathlib import Path

import numpy as np
import pytest
import torch

from expnet.audio import stored_samples as stored
from expnet.audio.alignment import mel_for_frames
from expnet.audio.stored_samples import StoredSamples, hold
from expnet.audio.wave import is_silent, load_audio, read_blocks, write_wav


def noise(samples: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, samples).clip(-1, 1).astype(np.float32)


def test_slices_are_those_of_the_array() -> None:
    samples = noise(50_000)
    held = StoredSamples(np.array_split(samples, 7))
    assert (len(held), held.shape, held.ndim) == (50_000, (50_000,), 1)
    for part in (slice(None), slice(10, 20), slice(49_990, 60_000), slice(-5, None), slice(20, 10)):
        assert np.array_equal(held[part], samples[part])
    assert np.array_equal(np.asarray(held), samples)
    assert torch.equal(mel_for_frames(held, 10, 30), mel_for_frames(samples, 10, 30))
    with pytest.raises(ValueError, match="step 1, not 2"):
        held[::2]


def test_long_sound_goes_into_a_file_and_short_sound_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_wav(tmp_path / "a.wav", noise(80_000))
    short = hold(read_blocks(tmp_path / "a.wav"))
    assert isinstance(short, np.ndarray)
    monkeypatch.setattr(stored, "HELD_SAMPLES", 20_000)
    long = hold(read_blocks(tmp_path / "a.wav"))
    assert isinstance(long, StoredSamples)
    assert np.array_equal(long[:], short)
    assert np.array_equal(load_audio(tmp_path / "a.wav"), short)


def test_silence_is_found_wherever_the_sound_is() -> None:
    assert is_silent(StoredSamples([np.zeros(100, np.float32)]))
    assert not is_silent(StoredSamples([np.zeros(100, np.float32), np.full(1, 0.5, np.float32)]))
    assert is_silent(np.zeros(0, np.float32))
