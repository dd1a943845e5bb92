"""Alignment of audio with video frames, defined here and nowhere else.

Video frame i (at 25 frames/s) goes with samples 640 i ... 640 i + 639 (at 16 kHz), centred on sample 640 (i + 1/2).
The mel spectrogram has a column every 200 samples, that is 3.2 columns per frame.
"""

from collections.abc import Iterable
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from expnet.audio.mel import (
    HOP,
    MEL_BANDS,
    MEL_RATE,
    PRE_EMPHASIS,
    SAMPLE_RATE,
    WINDOW,
    log_mel,
    mel_of_emphasised,
    mel_of_emphasised_parts,
    pre_emphasis,
)
from expnet.audio.stored_samples import Samples

FRAME_RATE = 25
SAMPLES_PER_FRAME = SAMPLE_RATE // FRAME_RATE
MEL_PER_FRAME = MEL_RATE / FRAME_RATE
MEL_CONTEXT = 16
"""Mel columns before the first and after the last frame of a window: 200 ms, five video frames."""

_MEL_MARGIN = MEL_CONTEXT * HOP + WINDOW // 2  # samples before the first frame that its spectrogram covers
_CUT_BLOCK = 80  # samples, which divide both a frame and this margin
_SADTALKER_STEP = 16  # columns of one of SadTalker's windows

_Samples = TypeVar("_Samples", np.ndarray, Tensor)


def mel_columns(frames: int) -> int:
    """Return the number of columns of `mel_for_frames`: 16 + ceil(3.2 frames) + 16."""
    return 2 * MEL_CONTEXT + -(-frames * MEL_RATE // FRAME_RATE)


def frames_of_columns(columns: int) -> int:
    """Return the number of video frames under a mel spectrogram of this many columns, the inverse of `mel_columns`."""
    return (columns - 2 * MEL_CONTEXT) * FRAME_RATE // MEL_RATE


def mel_for_frames(samples: Tensor | Samples, first_frame: int, frames: int) -> Tensor:
    """Compute the log-mel spectrogram under consecutive video frames, with context on both sides.

    Column ``MEL_CONTEXT + k`` is centred on sample ``640 first_frame + 200 k`` of the clip, exactly, for every
    ``first_frame``; a slice of the spectrogram of the whole clip would be up to 80 samples off, as 640 is not a
    multiple of 200. Frame i of the window is centred on column ``MEL_CONTEXT + 3.2 (i + 1/2)``. Outside the clip is
    silence. Only the samples under the window are read.

    Args:
        samples: (S,) whole clip at 16 kHz, in [-1, 1].
        first_frame: First video frame of the window; it may lie outside the clip.
        frames: Number of video frames, at least 1.

    Returns:
        float32 (80, 16 + ceil(3.2 frames) + 16), values in [-4, 4].
    """
    if frames < 1:
        raise ValueError(f"a window needs at least one frame, received {frames}")
    if samples.ndim != 1:
        raise ValueError(f"expected the samples of one clip (S,), received shape {tuple(samples.shape)}")
    columns = mel_columns(frames)
    begin = first_frame * SAMPLES_PER_FRAME - MEL_CONTEXT * HOP - WINDOW // 2
    end = begin + (columns - 1) * HOP + WINDOW
    inside_begin = min(max(begin, 0), len(samples))
    inside_end = min(max(end, inside_begin), len(samples))
    # One sample earlier, since pre-emphasis needs the previous sample.
    before = max(inside_begin - 1, 0)
    inside = torch.as_tensor(samples[before:inside_end]).to(torch.float32)
    if len(inside):
        inside = pre_emphasis(inside)[inside_begin - before :]
    padded = torch.zeros(end - begin, device=inside.device)
    padded[inside_begin - begin : inside_end - begin] = inside
    mel = mel_of_emphasised(padded)
    assert mel.shape == (MEL_BANDS, columns)
    return mel  # (80, columns)


def mel_for_windows(audio: Tensor, before: Tensor, frames: int, limits: Tensor | None = None) -> Tensor:
    """Compute the log-mel spectrogram under windows of equally many video frames; see `mel_for_frames`.

    Args:
        audio: (B, S) audio of each window and its context; outside is silence.
        before: (B,) video frames of that audio before the window.
        frames: T, number of video frames of the windows.
        limits: (B, 2) first sample of each row that lies in the clip, and the sample after the last one, for silence
            elsewhere; None for no limits.

    Returns:
        (B, 80, 16 + ceil(3.2 T) + 16), values in [-4, 4].
    """
    length = (mel_columns(frames) - 1) * HOP + WINDOW
    first = before * SAMPLES_PER_FRAME - _MEL_MARGIN  # (B,)
    if audio.device.type == "cpu":
        edges = [(0, audio.shape[1])] * len(audio) if limits is None else limits.tolist()
        rows = zip(audio, first.tolist(), edges, strict=True)
        parts: Iterable[Tensor] = (_emphasised(row, start, length, *edge)[None] for row, start, edge in rows)
    else:
        parts = [_emphasised_on_device(audio, first, length, limits)]
    return mel_of_emphasised_parts(parts)  # (B, 80, columns)


def _emphasised(row: Tensor, first: int, length: int, begin: int, end: int) -> Tensor:
    """Return pre-emphasised samples ``first ... first + length - 1`` of a row, (S,) -> (length,).

    Outside of samples ``begin ... end - 1`` is silence. The sample after the last one is silent, too, though the
    pre-emphasis reaches it.
    """
    begin, end = max(begin, 0), min(end, len(row))
    if first - 1 >= begin and first + length <= end:
        return torch.sub(row[first : first + length], row[first - 1 : first + length - 1], alpha=PRE_EMPHASIS)
    inside = slice(min(max(begin, first - 1), end), max(min(end, first + length), begin))
    before = 0 if inside.start < first else 1  # whether the previous sample is silent
    heard = torch.nn.functional.pad(row[inside], (before, 0))
    emphasised = torch.sub(heard[1:], heard[:-1], alpha=PRE_EMPHASIS)
    start = inside.start - first + 1 - before
    return torch.nn.functional.pad(emphasised, (start, length - start - len(emphasised)))


def _emphasised_on_device(audio: Tensor, first: Tensor, length: int, limits: Tensor | None) -> Tensor:
    """Do the same for all rows, (B, S) -> (B, length), without waiting for the device."""
    inside = None
    if limits is not None:
        sample = torch.arange(audio.shape[1], device=audio.device)
        inside = (sample >= limits[:, :1]) & (sample < limits[:, 1:])
    emphasised = pre_emphasis(audio) if inside is None else pre_emphasis(audio * inside) * inside
    block = _CUT_BLOCK  # in blocks, which are copied whole
    padding = (_MEL_MARGIN, length + -(_MEL_MARGIN + audio.shape[1] + length) % block)
    padded = torch.nn.functional.pad(emphasised, padding).unflatten(1, (-1, block))
    place = (first + _MEL_MARGIN)[:, None] // block + torch.arange(-(-length // block), device=audio.device)
    return padded[torch.arange(len(audio), device=audio.device)[:, None], place].flatten(1)[:, :length]


def sadtalker_windows(mel: Tensor, frames: int) -> Tensor:
    """Cut the overlapping mel windows that SadTalker's networks take.

    Frame i sees columns ``start ... start + 15`` with ``start = int(80 (i - 2) / 25)``, truncated toward zero, and
    indices clamped to the clip (OpenTalker/SadTalker:src/generate_batch.py).

    Args:
        mel: (80, N) spectrogram of the whole clip, from `log_mel`.
        frames: T, number of video frames.

    Returns:
        (T, 80, 16)
    """
    starts = torch.tensor([int(MEL_RATE * (i - 2) / FRAME_RATE) for i in range(frames)], device=mel.device)
    columns = starts[:, None] + torch.arange(_SADTALKER_STEP, device=mel.device)  # (T, 16)
    windows = mel[:, columns.clamp(0, mel.shape[-1] - 1)]  # (80, T, 16)
    return windows.transpose(0, 1)  # (T, 80, 16)


def sadtalker_mel(samples: Tensor, frames: int) -> Tensor:
    """Compute the mel spectrogram of a whole clip as `mel_for_frames` does, but with the edge columns repeated outside.

    SadTalker's networks expect repeated columns at the ends of a clip, where `mel_for_frames` has silence; the first
    and last two or three frames differ.

    Args:
        samples: (S,) whole clip at 16 kHz, in [-1, 1]; cut or padded with silence to ``640 frames`` samples.
        frames: T, number of video frames.

    Returns:
        (80, 16 + ceil(3.2 frames) + 16)
    """
    mel = log_mel(fit_length(samples, frames))  # (80, N)
    columns = torch.arange(mel_columns(frames), device=mel.device) - MEL_CONTEXT
    return mel[:, columns.clamp(0, mel.shape[-1] - 1)]


def fit_length(samples: _Samples, frames: int) -> _Samples:
    """Cut or pad samples (..., S) with silence to ``640 frames`` samples."""
    length = frames * SAMPLES_PER_FRAME
    missing = length - samples.shape[-1]
    if missing <= 0:
        return samples[..., :length]
    if isinstance(samples, Tensor):
        return torch.nn.functional.pad(samples, (0, missing))
    return np.pad(samples, [(0, 0)] * (samples.ndim - 1) + [(0, missing)])
