"""Sound and frames meet exactly: the off-by-one lives here or nowhere."""

import numpy as np
import pytest
import torch

from expnet.audio.alignment import (
    MEL_CONTEXT,
    MEL_PER_FRAME,
    SAMPLES_PER_FRAME,
    fit_length,
    mel_columns,
    mel_for_frames,
    sadtalker_windows,
)
from expnet.audio.mel import SILENCE, log_mel


def noise(frames: int) -> np.ndarray:
    return np.random.default_rng(0).normal(scale=0.1, size=frames * 640).astype(np.float32)


@pytest.mark.parametrize(("first", "frames"), [(0, 20), (5, 7), (10, 3), (15, 12), (-5, 9), (25, 4), (40, 2)])
def test_equals_the_whole_clip_where_phases_agree(first: int, frames: int) -> None:
    """640 first is a multiple of 200 when first is one of 5."""
    samples = noise(20)
    whole = log_mel(torch.from_numpy(samples))
    window = mel_for_frames(samples, first, frames)
    assert window.shape == (80, mel_columns(frames))
    for column in range(window.shape[1]):
        centre = first * 640 // 200 - MEL_CONTEXT + column
        if 0 <= centre < whole.shape[1]:
            torch.testing.assert_close(window[:, column], whole[:, centre], atol=1e-4, rtol=0)
        elif not -2 <= centre < whole.shape[1] + 2:  # within a half window of the edge some sound is still heard
            assert (window[:, column] == SILENCE).all()


@pytest.mark.parametrize("first", [0, 1, 2, 3, 4, 7, 11])
def test_every_phase_equals_the_clip_cut_there(first: int) -> None:
    """Slow and obvious: silence of 20 frames in front makes each phase a whole-clip spectrogram."""
    samples = noise(16)
    samples[-1] = 0.0  # else pre-emphasis would echo the last sample into the padding
    begin = first * 640 - MEL_CONTEXT * 200
    padded = np.pad(samples, (20 * 640, 20 * 640))[20 * 640 + begin :]
    emphasised_edge = 4  # the cut itself is heard in the first columns
    slow = log_mel(torch.from_numpy(padded))
    window = mel_for_frames(samples, first, 4)
    last = min(window.shape[1], slow.shape[1])
    torch.testing.assert_close(window[:, emphasised_edge:last], slow[:, emphasised_edge:last], atol=1e-4, rtol=0)


@pytest.mark.parametrize("first", [0, 1, 2, 3, 6])
@pytest.mark.parametrize("frame", [0, 3, 9])
def test_an_impulse_in_frame_i_lands_in_frame_i(first: int, frame: int) -> None:
    samples = np.zeros(30 * 640, np.float32)
    samples[(first + frame) * SAMPLES_PER_FRAME + 320] = 0.5
    energy = (mel_for_frames(samples, first, 10) - SILENCE).clamp_min(0).sum(0)
    columns = torch.arange(len(energy), dtype=torch.float32)
    centre = float((energy * columns).sum() / energy.sum())
    assert abs(centre - (MEL_CONTEXT + MEL_PER_FRAME * (frame + 0.5))) < 0.15


def test_takes_only_what_it_needs() -> None:
    """A NaN outside of the span cannot be seen; one inside is."""
    samples = noise(100)
    span_begin, span_end = 50 * 640 - 3200 - 400 - 1, 50 * 640 + 64 * 200 + 400
    for position, seen in [(span_begin - 1, False), (span_begin + 400, True), (span_end + 3200 + 400, False)]:
        broken = samples.copy()
        broken[position] = np.nan
        assert bool(torch.isnan(mel_for_frames(broken, 50, 20)).any()) == seen


def test_tensors_and_arrays_give_the_same() -> None:
    samples = noise(8)
    torch.testing.assert_close(mel_for_frames(samples, 1, 3), mel_for_frames(torch.from_numpy(samples), 1, 3))


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="one clip"):
        mel_for_frames(np.zeros((1, 640), np.float32), 0, 1)
    with pytest.raises(ValueError, match="at least one frame"):
        mel_for_frames(np.zeros(640, np.float32), 0, 0)


def test_sadtalker_windows_follow_its_index_rule() -> None:
    """The loop of OpenTalker/SadTalker:src/generate_batch.py, written out."""
    mel = log_mel(torch.from_numpy(noise(12)))
    windows = sadtalker_windows(mel, 12)
    assert windows.shape == (12, 80, 16)
    for frame in range(12):
        start = int(80.0 * ((frame - 2) / 25))
        indices = [min(max(index, 0), mel.shape[1] - 1) for index in range(start, start + 16)]
        torch.testing.assert_close(windows[frame], mel[:, indices])
    assert [int(80.0 * ((frame - 2) / 25)) for frame in range(6)] == [-6, -3, 0, 3, 6, 9]


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_fit_length(kind) -> None:  # type: ignore[no-untyped-def]
    samples = kind(np.ones(1000, np.float32))
    assert fit_length(samples, 1).shape == (640,)
    longer = fit_length(samples, 2)
    assert longer.shape == (1280,)
    assert float(longer[999]) == 1.0
    assert float(longer[1000:].sum()) == 0.0
