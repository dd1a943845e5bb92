"""The mel of long speech in pieces equals that of the whole."""

import numpy as np
import pytest
import torch

from expnet.audio.alignment import mel_for_frames
from expnet.models import mel_source as long_speech
from expnet.models.mel_source import BLOCK, CachedMel


@pytest.mark.parametrize(("first", "frames"), [(0, 7), (0, 250), (95, 10), (BLOCK, BLOCK), (200, 130), (-40, 60)])
def test_the_cached_mel_equals_the_mel_of_the_frames(first: int, frames: int) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, 640 * 250).astype(np.float32)
    expected = mel_for_frames(samples, first, frames)[None]
    sound = CachedMel(samples)
    torch.testing.assert_close(sound(first, frames), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(sound.delayed(35)(first + 35, frames), expected, atol=1e-5, rtol=0)


def test_the_cached_mel_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def counted(samples: np.ndarray, first: int, frames: int) -> torch.Tensor:
        made.append(first)
        return mel_for_frames(samples, first, frames)

    monkeypatch.setattr(long_speech, "mel_for_frames", counted)
    sound = CachedMel(np.random.default_rng(0).normal(0, 0.1, 640 * 250).astype(np.float32))
    once = [sound(first, 150) for first in (0, 100)]
    again = [sound(first, 150) for first in (0, 100)]
    assert made == [0, 100, 200]
    for before, after in zip(once, again, strict=True):
        assert torch.equal(before, after)
