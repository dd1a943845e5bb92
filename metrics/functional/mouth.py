"""What the mouth does over time: opening, its correlation with the real one, its lag, and its rest in silence."""

import torch
from torch import Tensor

from expnet.metrics.functional.landmarks import interocular_distance
from expnet.metrics.functional.masking import frame_weights, masked_mean, masked_std

INNER_LIPS = (62, 66)
"""Middle of the upper and of the lower inner lip, iBUG order."""
NOSE_BRIDGE, CHIN = 27, 8
STILL = 1e-5
"""Mouth openings whose standard deviation is below this (inter-ocular distances) do not move: float32 projection
noise is near 1e-7, the smallest speech movement near 1e-3."""


def mouth_opening(landmarks: Tensor) -> Tensor:
    """Distance between the inner lips (62-66) over the outer-eye-corner distance (36-45) of the same frame.

    Lips that a model pushes through each other are shut, not open: where the lower lip lies above the upper one, along
    the line from the bridge of the nose (27) to the chin (8), the opening is 0. Without that a mouth pressed shut in a
    pause reads as half open.

    Args:
        landmarks: (..., T, 68, D): D = 2 is what the picture shows, in which a nod alone changes the opening of a
            still mouth; D = 3 does not depend on the head's pose.

    Returns:
        (..., T) float64, in inter-ocular distances: about 0 closed, about 0.3 wide open.
    """
    points = landmarks.double()
    gap = (points[..., INNER_LIPS[0], :] - points[..., INNER_LIPS[1], :]).norm(dim=-1)
    apart = points[..., INNER_LIPS[1], :] - points[..., INNER_LIPS[0], :]
    down = points[..., CHIN, :] - points[..., NOSE_BRIDGE, :]
    return torch.where((apart * down).sum(-1) < 0, torch.zeros_like(gap), gap) / interocular_distance(points)


def pearson(first: Tensor, second: Tensor, *, valid: Tensor | None = None, still: float = 0.0) -> Tensor:
    r"""Pearson correlation over the last dimension.

    .. math:: r = \frac{\sum_t (x_t-\bar x)(y_t-\bar y)}{\sqrt{\sum_t (x_t-\bar x)^2 \sum_t (y_t-\bar y)^2}}

    Args:
        first: (..., T), the prediction.
        second: (..., T), the target.
        valid: (..., T) boolean.
        still: standard deviation at or below which a series counts as constant.

    Returns:
        (...) float64 in [-1, 1]. A constant *prediction* scores 0 (it explains nothing, and leaving it out would let
        a frozen face keep only its good clips); a constant *target*, or fewer than 3 frames, scores NaN.
    """
    first, second = first.double(), second.double()
    weights = frame_weights(valid, second)
    x = (first - masked_mean(first, weights).unsqueeze(-1)).where(weights > 0, torch.zeros_like(first))
    y = (second - masked_mean(second, weights).unsqueeze(-1)).where(weights > 0, torch.zeros_like(second))
    count = weights.sum(-1)
    x_std = (x.square().sum(-1) / count).sqrt()
    y_std = (y.square().sum(-1) / count).sqrt()
    correlation = (x * y).sum(-1) / count / (x_std * y_std)
    correlation = torch.where(x_std <= still, torch.zeros_like(correlation), correlation)
    undefined = (y_std <= still) | (count < 3)
    return correlation.masked_fill(undefined, torch.nan).clamp(-1.0, 1.0)


def lagged_pearson(
    first: Tensor, second: Tensor, *, max_lag: int, valid: Tensor | None = None, still: float = 0.0
) -> Tensor:
    """Correlation of a prediction with its target at every lag of -max_lag..+max_lag frames.

    At lag k, ``first[t + k]`` is compared with ``second[t]``: a positive best lag says that the prediction comes
    k frames *after* the target. Only frames that exist on both sides are compared (no padding with zeros, which
    would make the score depend on the clip's length).

    Returns:
        (..., 2 * max_lag + 1) float64, NaN where fewer than 3 frames overlap.
    """
    frames = second.shape[-1]
    weights = frame_weights(valid, second) > 0
    columns = []
    for lag in range(-max_lag, max_lag + 1):
        kept = frames - abs(lag)
        if kept < 3:
            columns.append(torch.full(second.shape[:-1], torch.nan, dtype=torch.float64, device=second.device))
            continue
        ahead, behind = max(lag, 0), max(-lag, 0)
        both = weights[..., ahead : ahead + kept] & weights[..., behind : behind + kept]
        shifted, fixed = first[..., ahead : ahead + kept], second[..., behind : behind + kept]
        columns.append(pearson(shifted, fixed, valid=both, still=still))
    return torch.stack(columns, -1)  # (..., 2 * max_lag + 1)


def best_lag(correlations: Tensor) -> tuple[Tensor, Tensor]:
    """Pick the lag of the highest correlation; among equals the one nearest to 0.

    Args:
        correlations: (..., 2 * max_lag + 1) from ``lagged_pearson``.

    Returns:
        lag in frames and correlation there, both (...) float64; NaN where no lag was defined.
    """
    half = correlations.shape[-1] // 2
    lags = torch.arange(-half, half + 1, device=correlations.device)
    order = torch.argsort(lags.abs(), stable=True)  # 0, -1, 1, -2, 2, ...
    ranked = correlations[..., order].nan_to_num(nan=-torch.inf)
    value, place = ranked.max(-1)
    undefined = value == -torch.inf
    lag = lags[order][place].double()
    return lag.masked_fill(undefined, torch.nan), value.masked_fill(undefined, torch.nan)


def silent_frames(
    samples: Tensor,
    *,
    samples_per_frame: int = 640,
    below_peak: float = 30.0,
    floor: float = -60.0,
    margin: int = 3,
    shortest: int = 3,
) -> Tensor:
    """Mark the video frames in which nobody speaks, from the loudness of the sound under each frame.

    A frame is quiet when its RMS level is ``below_peak`` dB below the clip's 95th percentile, or below ``floor``
    dBFS. Quiet runs lose ``margin`` frames at both ends, because lips start to move before the sound and settle after
    it, and what is left must last ``shortest`` frames: stop consonants are never taken for silence. The clip's own
    ends are not shortened.

    Args:
        samples: (S,) mono in [-1, 1].
        samples_per_frame: 640 at 16 kHz and 25 frames/s.
        below_peak: dB.
        floor: dBFS.
        margin: frames.
        shortest: frames.

    Returns:
        (S // samples_per_frame,) boolean.
    """
    frames = samples.shape[-1] // samples_per_frame
    if frames == 0:
        return torch.zeros(0, dtype=torch.bool)
    blocks = samples[: frames * samples_per_frame].double().reshape(frames, samples_per_frame)
    level = 10.0 * torch.log10(blocks.square().mean(-1) + 1e-12)  # (T,) dBFS
    threshold = max(float(torch.quantile(level, 0.95)) - below_peak, floor)
    loud = torch.nn.functional.pad((level > threshold).double(), (margin, margin))
    near_speech = torch.nn.functional.max_pool1d(loud[None, None], 2 * margin + 1, stride=1)[0, 0] > 0
    silent = ~near_speech  # (T,)
    return _drop_short_runs(silent, shortest)


def _drop_short_runs(mask: Tensor, shortest: int) -> Tensor:
    """Clear runs of True that are shorter than ``shortest``."""
    kept = mask.clone()
    start = None
    for index, value in enumerate([*mask.tolist(), False]):
        if value and start is None:
            start = index
        elif not value and start is not None:
            if index - start < shortest:
                kept[start:index] = False
            start = None
    return kept


def silent_lip_motion(landmarks: Tensor, silent: Tensor, *, valid: Tensor | None = None, fewest: int = 5) -> Tensor:
    """Standard deviation of the mouth opening over the frames in which the audio is silent.

    A good system keeps its lips still when nobody speaks; the real clip's own value is the yardstick (people swallow
    and smile in pauses, so 0 is not the aim: a frozen face gets it).

    Args:
        landmarks: (..., T, 68, D).
        silent: (..., T) boolean, from ``silent_frames`` or known phoneme times.
        valid: (..., T) boolean.
        fewest: silent frames that a clip must have to be scored.

    Returns:
        (...) float64, in inter-ocular distances; NaN with fewer than ``fewest`` silent frames.
    """
    opening = mouth_opening(landmarks)  # (..., T)
    weights = frame_weights(valid, opening) * frame_weights(silent, opening)
    return masked_std(opening, weights).masked_fill(weights.sum(-1) < fewest, torch.nan)
