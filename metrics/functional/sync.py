"""Distance, confidence and offset from SyncNet's features, computed as in the original."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

MAX_SHIFT = 15
"""Largest shift in video frames, in both directions, at which lips and audio are compared."""
_EPSILON = 1e-6  # torch.nn.functional.pairwise_distance adds it to every difference


class UnscorableClipError(ValueError):
    """A clip that a metric cannot score: it is too short, or no face can be tracked."""


@dataclass(frozen=True)
class SyncResult:
    """SyncNet's scores of one clip.

    Attributes:
        distance: LSE-D, the mean feature distance at the best shift; lower is better.
        confidence: LSE-C, the median distance over all shifts minus the distance at the best one; higher is better.
        offset: Best shift in video frames; positive if the audio comes before the lips.
        windows: Number of compared windows of 0.2 s, one per video frame.
        curve: Mean distance by shift; ``curve[j]`` belongs to the offset ``15 - j``.
        tracks: Number of face tracks behind the scores.
    """

    distance: float
    confidence: float
    offset: int
    windows: int
    curve: tuple[float, ...]
    tracks: int = 1

    @property
    def at_edge(self) -> bool:
        """Whether the best shift is the largest one tried, so that the true offset may lie beyond or not exist."""
        return abs(self.offset) >= MAX_SHIFT


def shifted_distances(lips: Tensor, audio: Tensor) -> Tensor:
    r"""Return the mean distance between lip and audio features at each shift.

    .. math:: d_j = \frac{1}{n} \sum_{i=1}^{n} \lVert v_i - a_{i + j - 15} + 10^{-6} \rVert, \qquad j = 0 \dots 30

    As in the original, audio features outside the clip are zero vectors, and their distances count. At shift s these
    are a share |s| / n of the terms, so the median over shifts, and with it the confidence, depends on clip length.

    Args:
        lips: Lip features v, (n, F), n >= 1.
        audio: Audio features a, (n, F).

    Returns:
        (31,) float64 by shift j.

    Raises:
        ValueError: The shapes are wrong.
    """
    if lips.shape != audio.shape or lips.ndim != 2 or len(lips) == 0:
        raise ValueError(f"features must be two (n >= 1, F), got {tuple(lips.shape)} and {tuple(audio.shape)}")
    lips = lips.double() + _EPSILON
    padded = torch.nn.functional.pad(audio.double(), (0, 0, MAX_SHIFT, MAX_SHIFT))  # (n + 30, F)
    shifts = range(2 * MAX_SHIFT + 1)
    return torch.stack([(lips - padded[j : j + len(lips)]).norm(dim=1).mean() for j in shifts])


def read_curve(curve: Tensor, windows: int) -> SyncResult:
    """Return distance, confidence and offset for mean distances by shift, (31,)."""
    best = int(curve.argmin())
    distance = float(curve[best])
    return SyncResult(
        distance=distance,
        confidence=float(curve.median()) - distance,
        offset=MAX_SHIFT - best,
        windows=windows,
        curve=tuple(curve.tolist()),
    )


def mean_result(results: list[SyncResult]) -> SyncResult:
    """Average over face tracks; the mean offset is truncated to an integer, as in LatentSync."""
    count = len(results)
    curves = zip(*(result.curve for result in results), strict=True)
    return SyncResult(
        distance=sum(result.distance for result in results) / count,
        confidence=sum(result.confidence for result in results) / count,
        offset=int(sum(result.offset for result in results) / count),
        windows=sum(result.windows for result in results),
        curve=tuple(sum(values) / count for values in curves),
        tracks=sum(result.tracks for result in results),
    )


def best_result(results: list[SyncResult]) -> SyncResult:
    """Take the best of the face tracks, as MoChaBench does: the largest confidence, and the smallest distance.

    Offset and curve are those of the track with the smallest distance; the confidence may be that of another.
    """
    closest = min(results, key=lambda result: result.distance)
    return replace(
        closest,
        confidence=max(result.confidence for result in results),
        tracks=sum(result.tracks for result in results),
    )
