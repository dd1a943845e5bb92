"""The spectrogram equals the field's, which is librosa's."""

import numpy as np
import pytest
import torch

from expnet.audio.mel import MEL_BANDS, SILENCE, log_mel, mel_filterbank


def reference_log_mel(samples: np.ndarray) -> np.ndarray:
    """Wav2Lip's and SadTalker's audio.melspectrogram, step by step, with librosa."""
    librosa = pytest.importorskip("librosa")
    from scipy.signal import lfilter

    emphasised = lfilter([1, -0.97], [1], samples)
    spectrum = np.abs(librosa.stft(y=emphasised, n_fft=800, hop_length=200, win_length=800))
    basis = librosa.filters.mel(sr=16_000, n_fft=800, n_mels=80, fmin=55, fmax=7600, dtype=np.float64)
    decibel = 20 * np.log10(np.maximum(np.exp(-100 / 20 * np.log(10)), basis @ spectrum)) - 20
    return np.clip(8 * ((decibel + 100) / 100) - 4, -4, 4)


def noisy_chirp(count: int = 24_123) -> np.ndarray:
    random = np.random.default_rng(1)
    time = np.arange(count) / 16_000
    voice = 0.4 * np.sin(2 * np.pi * (100 + 1500 * time) * time) * (np.sin(9 * time) > 0)
    return voice + 0.01 * random.normal(size=count)


def test_filterbank_equals_librosa() -> None:
    librosa = pytest.importorskip("librosa")
    expected = librosa.filters.mel(sr=16_000, n_fft=800, n_mels=80, fmin=55, fmax=7600, dtype=np.float64)
    np.testing.assert_allclose(mel_filterbank(), expected, atol=1e-12)


def test_equals_librosa_in_double_precision() -> None:
    samples = noisy_chirp()
    np.testing.assert_allclose(log_mel(torch.from_numpy(samples)).numpy(), reference_log_mel(samples), atol=1e-9)


def test_equals_librosa_in_single_precision() -> None:
    samples = noisy_chirp().astype(np.float32)
    ours = log_mel(torch.from_numpy(samples))
    assert ours.dtype == torch.float32
    assert ours.shape == (MEL_BANDS, 1 + len(samples) // 200)
    expected = reference_log_mel(samples.astype(np.float64))
    # Bins 50 dB below the loudest carry the rounding of the Fourier transform, which differs between processors.
    np.testing.assert_allclose(ours.numpy(), expected, atol=5e-4)  # 0.006 dB
    loud = expected > expected.max() - 3.2  # 40 dB
    np.testing.assert_allclose(ours.numpy()[loud], expected[loud], atol=5e-5)


def test_batches_and_silence() -> None:
    samples = torch.from_numpy(noisy_chirp(8000)).reshape(2, 1, 4000)
    mel = log_mel(samples)
    assert mel.shape == (2, 1, 80, 21)
    torch.testing.assert_close(mel[1, 0], log_mel(samples[1, 0]))
    assert (log_mel(torch.zeros(1000)) == SILENCE).all()


def test_has_a_gradient() -> None:
    samples = torch.from_numpy(noisy_chirp(4000)).requires_grad_()
    log_mel(samples).sum().backward()
    assert samples.grad is not None
    assert torch.isfinite(samples.grad).all()
    assert samples.grad.abs().sum() > 0
