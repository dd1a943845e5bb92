"""Resampling of batches: a row is what `change_speed` makes of it."""

import numpy as np
import pytest
import torch

from expnet.audio.augmentation import change_speed, stretched
from expnet.audio.batched_resampling import change_speeds

FACTORS = [0.8, 0.937, 0.99, 1.0, 1.013, 1.1, 1.25]


def test_a_row_is_what_the_function_of_one_recording_returns() -> None:
    audio = 0.2 * torch.randn(len(FACTORS), 9000, generator=torch.Generator().manual_seed(0))
    length = 7000
    changed = change_speeds(audio.unbind(), FACTORS, length)
    for row, found, factor in zip(audio, changed, FACTORS, strict=True):
        np.testing.assert_allclose(found, change_speed(row.numpy(), factor)[:length], atol=1e-6)


@pytest.mark.parametrize("factor", FACTORS)
def test_rows_are_silent_outside(factor: float) -> None:
    audio = 0.2 * torch.randn(501, generator=torch.Generator().manual_seed(0))
    found = change_speeds([audio, torch.zeros(9000)], [factor, 1.0], 900)
    expected = change_speed(np.pad(audio.numpy(), (0, 2000)), factor)[:900]
    np.testing.assert_allclose(found[0], expected, atol=1e-6)
    assert not found[1].any()


def test_stretched_by_nothing_audio_stays() -> None:
    audio = 0.2 * torch.randn(6400, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(stretched(audio, 1.0)[:6000], audio[:6000], rtol=0, atol=1e-5)
