"""Blinks, detected as dips of the eye aspect ratio."""

import torch
from torch import Tensor

from expnet.metrics.functional.masking import frame_weights

RIGHT_EYE = (36, 37, 38, 39, 40, 41)
LEFT_EYE = (42, 43, 44, 45, 46, 47)
"""Landmarks of the person's right and left eye in iBUG order: corner, upper eyelid, corner, lower eyelid."""


def eye_aspect_ratio(landmarks: Tensor) -> Tensor:
    r"""Return the height of the eyes over their width, averaged over both eyes.

    .. math:: \mathrm{EAR} = \frac{\lVert p_1 - p_5 \rVert + \lVert p_2 - p_4 \rVert}{2 \lVert p_0 - p_3 \rVert}

    Source: Soukupova and Cech, "Real-time eye blink detection", CVWW 2016.

    Args:
        landmarks: iBUG landmarks, (..., T, 68, D), D = 2 or 3, in any unit.

    Returns:
        (..., T) float64; about 0.3 for open and below 0.15 for closed eyes.
    """
    points = landmarks.double()

    def ratio(eye: tuple[int, ...]) -> Tensor:
        gap = [(points[..., eye[a], :] - points[..., eye[b], :]).norm(dim=-1) for a, b in ((1, 5), (2, 4), (0, 3))]
        return (gap[0] + gap[1]) / (2 * gap[2])

    return (ratio(RIGHT_EYE) + ratio(LEFT_EYE)) / 2


def blinks(
    openness: Tensor,
    *,
    valid: Tensor | None = None,
    fps: float = 25.0,
    closed_below: float = 0.7,
    longest: float = 0.5,
) -> Tensor:
    """Count the blinks of each clip: short dips of the eye aspect ratio below a share of the clip's median.

    The threshold is relative because the ratio of open eyes varies between people from 0.2 to 0.4. A dip counts only if
    valid frames with open eyes stand directly before and after it, so dips cut off by the clip's ends or by a lost face
    are left out. Longer dips are closed eyes and do not count.

    Args:
        openness: Eye aspect ratio, (..., T).
        valid: Frames to use, (..., T) boolean.
        fps: Frames per second.
        closed_below: Share of the median below which the eyes count as closed.
        longest: Maximum duration of a blink in seconds.

    Returns:
        Number of blinks, (...) int64.

    Example:
        >>> openness = torch.tensor([0.3, 0.3, 0.3, 0.1, 0.1, 0.3, 0.3, 0.3, 0.1])
        >>> int(blinks(openness))  # the last dip is cut off by the end of the clip
        1
    """
    clip, _, _ = _whole_dips(openness, valid, fps, closed_below, longest)
    return torch.bincount(clip, minlength=openness[..., 0].numel()).reshape(openness.shape[:-1])


def blink_duration(
    landmarks: Tensor,
    *,
    valid: Tensor | None = None,
    fps: float = 25.0,
    closed_below: float = 0.7,
    longest: float = 0.5,
) -> tuple[Tensor, Tensor]:
    """Return the mean duration of the blinks of each clip, from the first to the last frame below the threshold.

    Args:
        landmarks: iBUG landmarks, (..., T, 68, D).
        valid: Frames to use, (..., T) boolean.
        fps: Frames per second.
        closed_below: Share of the clip's median eye aspect ratio below which the eyes count as closed.
        longest: Maximum duration of a blink in seconds.

    Returns:
        The duration in seconds, (...) float64, a multiple of a frame for each blink, NaN for a clip without a blink;
        and the number of blinks, (...) float64, to be used as weight.
    """
    openness = eye_aspect_ratio(landmarks)
    clip, first, last = _whole_dips(openness, valid, fps, closed_below, longest)
    return _mean_of(clip, (last - first + 1) / fps, openness[..., 0])


def blink_interval(
    landmarks: Tensor,
    *,
    valid: Tensor | None = None,
    fps: float = 25.0,
    closed_below: float = 0.7,
    longest: float = 0.5,
) -> tuple[Tensor, Tensor]:
    """Return the mean time between the starts of successive blinks of each clip.

    Only intervals that lie in a clip are seen, so the mean of short clips is shorter than the minute over the rate. Two
    blinks with an invalid frame between them have no interval, since a blink may have been missed there.

    Args:
        landmarks: iBUG landmarks, (..., T, 68, D).
        valid: Frames to use, (..., T) boolean.
        fps: Frames per second.
        closed_below: Share of the clip's median eye aspect ratio below which the eyes count as closed.
        longest: Maximum duration of a blink in seconds.

    Returns:
        The interval in seconds, (...) float64, NaN for a clip with fewer than two blinks; and the number of intervals,
        (...) float64, to be used as weight.
    """
    openness = eye_aspect_ratio(landmarks)
    clip, first, _ = _whole_dips(openness, valid, fps, closed_below, longest)
    lost = (frame_weights(valid, openness) == 0).reshape(-1, openness.shape[-1]).cumsum(-1)  # (N, T) invalid so far
    seen = lost[clip[1:], first[1:]] == lost[clip[:-1], first[:-1]]
    kept = (clip[1:] == clip[:-1]) & seen
    return _mean_of(clip[1:][kept], first.diff()[kept] / fps, openness[..., 0])


def _whole_dips(
    openness: Tensor, valid: Tensor | None, fps: float, closed_below: float, longest: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return clip, first and last frame of every blink (`blinks` has the definition), each (K,), ordered by time."""
    known = frame_weights(valid, openness) > 0
    median = openness.double().masked_fill(~known, torch.nan).nanmedian(-1, keepdim=True).values
    closed = known & (openness < closed_below * median)
    pad = torch.nn.functional.pad
    inside = pad(closed, (1, 1)).reshape(-1, closed.shape[-1] + 2)  # (N, T + 2), False beyond the ends
    opened = pad(known & ~closed, (1, 1)).reshape(inside.shape)
    first = (inside[:, 1:-1] & ~inside[:, :-2]).nonzero()  # (dips, 2): clip and first frame
    last = (inside[:, 1:-1] & ~inside[:, 2:]).nonzero()  # (dips, 2): clip and last frame of the same dips
    clip, start, end = first[:, 0], first[:, 1], last[:, 1]
    whole = opened[clip, start] & opened[clip, end + 2]  # indices into the padded series are one larger
    short = (end - start + 1) <= longest * fps
    return clip[whole & short], start[whole & short], end[whole & short]


def _mean_of(clip: Tensor, values: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean of the values of each clip in the shape of ``like``, NaN without any, and their number."""
    count = torch.bincount(clip, minlength=like.numel()).double()
    total = torch.bincount(clip, weights=values.double(), minlength=like.numel())
    return (total / count).reshape(like.shape), count.reshape(like.shape)


def blink_rate(
    landmarks: Tensor,
    *,
    valid: Tensor | None = None,
    fps: float = 25.0,
    closed_below: float = 0.7,
    longest: float = 0.5,
    shortest_clip: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Return the blinks per minute of each clip, definition ``eye_aspect_ratio_dip`` (see ``blinks``).

    Args:
        landmarks: iBUG landmarks, (..., T, 68, D).
        valid: Frames to use, (..., T) boolean.
        fps: Frames per second.
        closed_below: Share of the clip's median eye aspect ratio below which the eyes count as closed.
        longest: Maximum duration of a blink in seconds.
        shortest_clip: Minimum duration of a clip in seconds of valid frames.

    Returns:
        The rate in blinks per minute, (...) float64, NaN for a clip that is too short, and the minutes of valid frames,
        (...). With the minutes as weights, the mean over clips is all blinks over all minutes.
    """
    openness = eye_aspect_ratio(landmarks)
    minutes = frame_weights(valid, openness).sum(-1) / fps / 60.0
    count = blinks(openness, valid=valid, fps=fps, closed_below=closed_below, longest=longest)
    return (count / minutes).masked_fill(minutes * 60.0 < shortest_clip, torch.nan), minutes
