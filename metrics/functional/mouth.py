"""Mouth opening over time: its correlation with the real one, its lag, and its motion during silence."""

import torch
from torch import Tensor

from expnet.metrics.functional.landmarks import interocular_distance
from expnet.metrics.functional.masking import frame_weights, masked_mean, masked_std

INNER_LIPS = (62, 66)
"""Middle of the upper and the lower inner lip in iBUG order."""
NOSE_BRIDGE, CHIN = 27, 8
STILL = 1e-5
"""Standard deviation in inter-ocular distances at or below which a mouth opening counts as constant. The noise of
float32 projections is near 1e-7, the smallest speech movement near 1e-3."""


def mouth_opening(landmarks: Tensor) -> Tensor:
    """Return the inner-lip gap (62-66) divided by the distance of the outer eye corners (36-45) in the same frame.

    If the lower lip lies above the upper one, along the line from the nose bridge (27) to the chin (8), the opening is
    0: a model has pushed the lips through each other. Without this rule, a mouth pressed shut would read as half open.

    Args:
        landmarks: iBUG landmarks, (..., T, 68, D). With D = 2, the image plane, nodding changes the opening of a still
            mouth; with D = 3 it does not depend on the head pose.

    Returns:
        (..., T) float64 in inter-ocular distances: about 0 for a closed, about 0.3 for a wide open mouth.
    """
    points = landmarks.double()
    gap = (points[..., INNER_LIPS[0], :] - points[..., INNER_LIPS[1], :]).norm(dim=-1)
    apart = points[..., INNER_LIPS[1], :] - points[..., INNER_LIPS[0], :]
    down = points[..., CHIN, :] - points[..., NOSE_BRIDGE, :]
    return torch.where((apart * down).sum(-1) < 0, torch.zeros_like(gap), gap) / interocular_distance(points)


def pearson(first: Tensor, second: Tensor, *, valid: Tensor | None = None, still: float = 0.0) -> Tensor:
    r"""Return the Pearson correlation over the last dimension.

    .. math:: r = \frac{\sum_t (x_t-\bar x)(y_t-\bar y)}{\sqrt{\sum_t (x_t-\bar x)^2 \sum_t (y_t-\bar y)^2}}

    Args:
        first: The prediction, (..., T).
        second: The target, (..., T).
        valid: Frames to use, (..., T) boolean.
        still: Standard deviation at or below which a series counts as constant.

    Returns:
        (...) float64 in [-1, 1]. A constant *prediction* scores 0, since leaving it out would reward a system that
        freezes on its worst clips. A constant *target*, or fewer than 3 valid frames, scores NaN.

    Example:
        >>> series = torch.tensor([0.0, 1.0, 4.0])
        >>> round(float(pearson(2 * series + 1, series)), 6), round(float(pearson(-series, series)), 6)
        (1.0, -1.0)
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
    """Return the correlation of a prediction with its target at every lag from -max_lag to max_lag frames.

    Lag k compares ``first[t + k]`` with ``second[t]``, so at a positive best lag the prediction comes *after* the
    target. Only frames that exist on both sides are compared: padding would make the score depend on the length.

    Args:
        first: The prediction, (..., T).
        second: The target, (..., T).
        max_lag: Largest lag in frames.
        valid: Frames to use, (..., T) boolean.
        still: See ``pearson``.

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
        start, target_start = max(lag, 0), max(-lag, 0)
        predicted, target = slice(start, start + kept), slice(target_start, target_start + kept)
        both = weights[..., predicted] & weights[..., target]
        columns.append(pearson(first[..., predicted], second[..., target], valid=both, still=still))
    return torch.stack(columns, -1)  # (..., 2 * max_lag + 1)


def best_lag(correlations: Tensor) -> tuple[Tensor, Tensor]:
    """Return the lag of the highest correlation; among equal ones, the lag nearest to 0.

    Args:
        correlations: Result of ``lagged_pearson``, (..., 2 * max_lag + 1).

    Returns:
        The lag in frames and the correlation there, both (...) float64; NaN if all correlations are NaN.

    Example:
        >>> lag, correlation = best_lag(torch.tensor([0.1, 0.2, 0.9], dtype=torch.float64))
        >>> float(lag), float(correlation)
        (1.0, 0.9)
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
    """Mark the video frames without speech by the audio level under each frame.

    A frame is quiet if its RMS level is ``below_peak`` dB below the clip's 95th percentile, or below ``floor`` dBFS.
    Quiet runs are shortened by ``margin`` frames at both ends, since lips start to move before the audio and settle
    after it; the ends of the clip are not shortened. Runs of fewer than ``shortest`` remaining frames are dropped, so
    that stop consonants do not count as silence.

    Args:
        samples: Mono audio in [-1, 1], (S,).
        samples_per_frame: Audio samples per video frame; 640 at 16 kHz and 25 frames/s.
        below_peak: Distance from the clip's level in dB.
        floor: Level in dBFS below which a frame is always quiet.
        margin: Number of frames to drop at both ends of a quiet run.
        shortest: Minimum length of a silence in frames.

    Returns:
        (S // samples_per_frame,) boolean, True for silence.
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
    """Set runs of True that are shorter than ``shortest`` to False."""
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
    """Return the standard deviation of the mouth opening over the silent frames.

    A good system keeps the lips still during silence. Compare with the real clip's value, not with 0, which a frozen
    face gets: people swallow and smile in pauses.

    Args:
        landmarks: iBUG landmarks, (..., T, 68, D).
        silent: Silent frames, (..., T) boolean, from ``silent_frames`` or from known phoneme times.
        valid: Frames to use, (..., T) boolean.
        fewest: Minimum number of silent frames.

    Returns:
        (...) float64 in inter-ocular distances; NaN with fewer than ``fewest`` silent frames.
    """
    opening = mouth_opening(landmarks)  # (..., T)
    weights = frame_weights(valid, opening) * frame_weights(silent, opening)
    return masked_std(opening, weights).masked_fill(weights.sum(-1) < fewest, torch.nan)
