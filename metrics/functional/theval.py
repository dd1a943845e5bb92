r"""The four metrics of THEval that need a face mesh and speech segments only, as its scripts compute them.

Source: https://github.com/Newbyl/THEval at cfe23fe (Apache-2.0), arXiv 2511.04520: ``Naturalness/lip_dynamics.py`` and
``eyebrow_dynamics.py``, ``Synchronization/silent_lip_stability.py`` and ``lip_sync.py``.

Points are those of MediaPipe's face mesh (468 or 478) as shares of the frame's width and height, which is how MediaPipe
returns them. All functions take the clips of a batch and return one float64 value for each, NaN where a clip has too
few frames.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from expnet.metrics.functional.masking import frame_weights, masked_mean, masked_std

LIPS = (
    *(0, 13, 14, 17, 37, 39, 40, 61, 78, 80, 81, 82, 84, 87, 88, 91, 95, 146, 178, 181),
    *(185, 191, 267, 269, 270, 291, 308, 310, 311, 312, 314, 317, 318, 321, 324, 375, 402, 405, 409, 415),
)
"""All points of MediaPipe's ``FACEMESH_LIPS``."""
UPPER_LIP, LOWER_LIP = (191, 80, 81, 82, 13, 312, 311, 310), (95, 88, 178, 87, 14, 317, 402, 318)
"""Pairs on the inner edge of the lips, above and below."""
BROWS = ((276, 282, 283, 285, 293, 295, 296, 300, 334, 336), (46, 52, 53, 55, 63, 65, 66, 70, 105, 107))
"""Points of the left and of the right eyebrow."""
EYES = (
    (249, 263, 362, 373, 374, 380, 381, 382, 384, 385, 386, 387, 388, 390, 398, 466),
    (7, 33, 133, 144, 145, 153, 154, 155, 157, 158, 159, 160, 161, 163, 173, 246),
)
"""Points of the left and of the right eye."""
OUTER_EYE_CORNERS = (33, 263)
EYE_CORNERS = ((33, 133), (362, 263))
FRAME_SIDE = 256
"""THEval scales every frame to a square of this side before it looks at the lips, whatever its aspect ratio."""
SHORTEST_SILENCE = 0.3
"""Seconds; shorter pauses do not count as silence."""
LEAST_SPEECH = 0.1
"""Share of the frames that must have speech for lip synchrony."""
LOUDNESS_WINDOW = 0.05
"""Seconds of audio behind one value of the loudness; windows do not overlap."""


def lip_dynamics(points: Tensor, *, valid: Tensor | None = None) -> Tensor:
    r"""Return how much the shape of the lips varies: the standard deviation over time of all distances between points.

    .. math:: \frac{1}{780} \sum_{i < j} \operatorname{std}_t \lVert p_{ti} - p_{tj} \rVert, \quad i, j \in \text{lips}

    with the coordinates in pixels of the frame after it was scaled to 256 x 256. It is not divided by the size of the
    face, so the framing of the video changes it.

    Args:
        points: (..., T, 468 or more, 2 or more) in shares of the frame.
        valid: Frames with a face, (..., T) boolean.

    Returns:
        (...) in pixels, at least 0; NaN without a valid frame.
    """
    lips = _known(points)[..., list(LIPS), :2] * FRAME_SIDE  # (..., T, 40, 2)
    first, second = torch.triu_indices(len(LIPS), len(LIPS), offset=1, device=points.device)
    distances = (lips[..., first, :] - lips[..., second, :]).norm(dim=-1)  # (..., T, 780)
    weights = frame_weights(valid, distances[..., 0])
    return masked_std(distances.transpose(-1, -2), weights.unsqueeze(-2)).mean(-1)


def brow_dynamics(points: Tensor, aspect: Tensor, *, valid: Tensor | None = None) -> Tensor:
    r"""Return how much the height of the eyebrows changes from frame to frame.

    .. math::
        \frac{1}{2 (N - 1)} \sum_{t = 2}^{N} \sum_{s} |h_{ts} - h_{t-1, s}|, \quad
        h_{ts} = \frac{\lVert b_{ts} - e_{ts} \rVert}{\lVert e_{t, left} - e_{t, right} \rVert}

    with the centres b of the brows and e of the eyes on both sides s, in pixels of the frame. The N frames with a face
    follow each other, so a step leads over those without.

    Args:
        points: (..., T, 468 or more, 2 or more) in shares of the frame.
        aspect: Width of the frames over their height, (...).
        valid: Frames with a face, (..., T) boolean.

    Returns:
        (...) in distances of the eye centres per frame, at least 0; NaN with fewer than two valid frames.
    """
    ratio = torch.stack([aspect.double(), torch.ones_like(aspect, dtype=torch.float64)], -1)  # (..., 2)
    pixels = _known(points)[..., :2] * ratio[..., None, None, :].to(points.device)
    brows = torch.stack([pixels[..., list(side), :].mean(-2) for side in BROWS], -2)  # (..., T, 2, 2)
    eyes = torch.stack([pixels[..., list(side), :].mean(-2) for side in EYES], -2)  # (..., T, 2, 2)
    scale = (eyes[..., 0, :] - eyes[..., 1, :]).norm(dim=-1)  # (..., T)
    height = (brows - eyes).norm(dim=-1) / scale.unsqueeze(-1)  # (..., T, 2)
    known = frame_weights(valid, scale) > 0
    clips = zip(height.reshape(-1, *height.shape[-2:]), known.reshape(-1, known.shape[-1]), strict=True)
    return torch.stack([clip[found].diff(dim=0).abs().mean() for clip, found in clips]).reshape(scale.shape[:-1])


def silent_lip_stability(points: Tensor, silent: Tensor, *, valid: Tensor | None = None) -> Tensor:
    r"""Return how far the lips typically are from their mean opening while nobody speaks.

    .. math::
        \operatorname{median}_t |o_t - \bar o|, \quad
        o_t = \frac{\sum_{k = 1}^{8} |y_{t, upper_k} - y_{t, lower_k}|}{8 \lVert p_{t, 33} - p_{t, 263} \rVert}

    over the silent frames, in the frame scaled to a square.

    Args:
        points: (..., T, 468 or more, 2 or more) in shares of the frame.
        silent: Frames in a pause, (..., T) boolean, see `pauses`.
        valid: Frames with a face, (..., T) boolean.

    Returns:
        (...) in distances of the outer eye corners, at least 0; NaN with fewer than two silent frames.
    """
    points = _known(points)
    gap = (points[..., list(UPPER_LIP), 1] - points[..., list(LOWER_LIP), 1]).abs().mean(-1)  # (..., T)
    left, right = (points[..., corner, :2] for corner in OUTER_EYE_CORNERS)
    opening = gap / (left - right).norm(dim=-1)
    weights = frame_weights(valid, opening) * frame_weights(silent, opening)
    distance = (opening - masked_mean(opening, weights).unsqueeze(-1)).abs()
    # The median of an even number of frames is the mean of the middle two, as in Python's ``statistics``.
    middle = distance.masked_fill(weights == 0, torch.nan).nanquantile(0.5, dim=-1)
    return middle.masked_fill(weights.sum(-1) < 2, torch.nan)


def lip_sync_difference(points: Tensor, loudness: Tensor, speech: Tensor, *, valid: Tensor | None = None) -> Tensor:
    r"""Return how far the opening of the mouth is from the loudness, both scaled to [0, 1] over the speech of a clip.

    .. math:: \frac{1}{N} \sum_t |n(o)_t - n(v)_t|, \quad n(x)_t = \frac{x_t - \min x}{\max x - \min x + 10^{-8}}

    with the opening o (the difference of the mean heights of both lips over that of the eyes' places from left to
    right) and the loudness v.

    Args:
        points: (..., T, 468 or more, 2 or more) in shares of the frame.
        loudness: Loudness at each frame, (..., T), see `frame_loudness`.
        speech: Frames with speech, (..., T) boolean, see `speech_frames`.
        valid: Frames with a face, (..., T) boolean.

    Returns:
        (...) in [0, 1]; NaN where fewer than a tenth of the frames, or fewer than two, have speech.
    """
    points = _known(points)
    upper, lower = (points[..., list(lip), 1].mean(-1) for lip in (UPPER_LIP, LOWER_LIP))
    left, right = (points[..., list(corners), 0].mean(-1) for corners in EYE_CORNERS)
    opening = (upper - lower).abs() / (right - left).abs()  # (..., T)
    spoken = frame_weights(speech, opening)
    weights = frame_weights(valid, opening) * spoken
    difference = (_unit_range(opening, weights) - _unit_range(loudness.double(), weights)).abs()
    too_little = (spoken.mean(-1) < LEAST_SPEECH) | (weights.sum(-1) < 2)
    return masked_mean(difference, weights).masked_fill(too_little, torch.nan)


def speech_frames(segments: Sequence[tuple[float, float]], frames: int, *, fps: float = 25.0) -> Tensor:
    """Return which frames lie in segments of speech, (T,) boolean; the frame at the end of a segment counts.

    Args:
        segments: Start and end of each segment in seconds.
        frames: Number of frames.
        fps: Frames per second.
    """
    flags = torch.zeros(frames, dtype=torch.bool)
    for start, end in segments:
        flags[int(start * fps) : int(end * fps) + 1] = True
    return flags


def pauses(speech: Tensor, *, fps: float = 25.0) -> Tensor:
    """Return the frames without speech in runs of at least 0.3 s, (T,) boolean.

    Example:
        >>> speech = torch.tensor([True] + 7 * [False] + [True] + 8 * [False])
        >>> int(pauses(speech).sum())  # 7 frames are 0.28 s
        8
    """
    found = ~speech
    values, counts = torch.unique_consecutive(found, return_counts=True)
    return (values & (counts >= SHORTEST_SILENCE * fps)).repeat_interleave(counts)


def frame_loudness(samples: Tensor, frames: int, *, sample_rate: int = 16000, fps: float = 25.0) -> Tensor:
    """Return the root mean square of the audio in windows of 50 ms, interpolated at the times of the frames.

    The windows are those of ``librosa.feature.rms`` with ``center=True``: window k is centred at k * 50 ms, and zeros
    are behind both ends.

    Args:
        samples: Audio, (S,).
        frames: Number of frames.
        sample_rate: Sample rate in Hz.
        fps: Frames per second.

    Returns:
        (T,) float64 in the unit of the audio.
    """
    window = int(sample_rate * LOUDNESS_WINDOW)
    padded = torch.nn.functional.pad(samples.double(), (window // 2, window // 2))
    levels = padded.unfold(0, window, window).square().mean(-1).sqrt()  # (K,)
    place = torch.arange(frames, dtype=torch.float64, device=samples.device) / fps * sample_rate / window
    place = place.clamp(max=len(levels) - 1)
    below = place.floor().long().clamp(max=max(len(levels) - 2, 0))
    above = (below + 1).clamp(max=len(levels) - 1)
    return torch.lerp(levels[below], levels[above], place - below)


def _known(points: Tensor) -> Tensor:
    """Return the points in float64.

    Raises:
        ValueError: They are not those of a face mesh.
    """
    if points.ndim < 3 or points.shape[-2] < 468 or points.shape[-1] < 2:
        raise ValueError(f"points must be (..., T, 468 or 478, 2 or more), got {tuple(points.shape)}")
    return points.double()


def _unit_range(values: Tensor, weights: Tensor) -> Tensor:
    """Scale values (..., T) so that those with weight reach from 0 to 1."""
    lowest = values.masked_fill(weights == 0, torch.inf).amin(-1, keepdim=True)
    highest = values.masked_fill(weights == 0, -torch.inf).amax(-1, keepdim=True)
    return (values - lowest) / (highest - lowest + 1e-8)
