import math

import numpy as np
import pytest
import torch

from expnet.metrics.functional import mel_cepstra

psf = pytest.importorskip("python_speech_features")


def recording(samples: int, seed: int = 0) -> np.ndarray:
    """Return 16-bit samples: noise with a crescendo and a silent part."""
    generator = np.random.default_rng(seed)
    swell = np.sin(np.linspace(0, 7, samples)) ** 2
    audio = (generator.normal(0, 4000, samples) * swell).clip(-32768, 32767).astype(np.int16)
    audio[samples // 3 : samples // 2] = 0
    return audio


@pytest.mark.parametrize("samples", [1, 399, 400, 401, 560, 561, 16_000, 20_481])
def test_equals_python_speech_features(samples: int) -> None:
    audio = recording(samples)
    expected = psf.mfcc(audio, 16_000)
    cepstra = mel_cepstra(torch.from_numpy(audio / 32768.0))
    assert cepstra.dtype is torch.float64
    assert cepstra.shape == expected.T.shape
    np.testing.assert_allclose(cepstra.T.numpy(), expected, atol=1e-9, rtol=1e-10)
    from_float = mel_cepstra(torch.from_numpy((audio / 32768.0).astype(np.float32)))
    np.testing.assert_array_equal(from_float.numpy(), cepstra.numpy())  # 16 bits fit float32


def test_scale_of_the_samples_moves_only_coefficient_zero() -> None:
    """Samples in [-1, 1], passed to the original, shift coefficient 0 silently, which this function prevents."""
    audio = recording(8000)
    audio[audio == 0] = 1
    wrong = psf.mfcc(audio / 32768.0, 16_000)
    difference = wrong - mel_cepstra(torch.from_numpy(audio / 32768.0)).T.numpy()
    np.testing.assert_allclose(difference[:, 0], -2 * math.log(32768), atol=1e-9)
    np.testing.assert_allclose(difference[:, 1:], 0, atol=1e-9)


def test_loud_samples_are_clipped_not_wrapped() -> None:
    loud = torch.tensor([2.0, -2.0]).repeat(400)
    full = torch.tensor([32767 / 32768, -1.0]).repeat(400)
    assert torch.equal(mel_cepstra(loud), mel_cepstra(full))


@pytest.mark.parametrize("audio", [torch.zeros(0), torch.zeros(2, 800), torch.zeros(800, dtype=torch.int16)])
def test_wrong_input(audio: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="audio must be"):
        mel_cepstra(audio)


def test_not_a_number() -> None:
    with pytest.raises(ValueError, match="finite"):
        mel_cepstra(torch.full((800,), float("nan")))
