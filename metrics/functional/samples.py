"""Several motions sampled for the same audio: how much they differ, and how well they follow the real lips."""

import torch
from torch import Tensor

from expnet.metrics.functional.motion import ratio_to_real
from expnet.metrics.functional.motion_windows import motion_windows
from expnet.metrics.functional.mouth import STILL, mouth_opening, pearson


def sample_diversity_ratio(samples: Tensor, target: Tensor, *, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
    r"""Return the difference between samples for the same audio over the difference between a person's own takes.

    .. math:: \sqrt{\frac{\operatorname{mean}_{w, i < j} \lVert x^i_w - x^j_w \rVert^2}
                         {\operatorname{mean}_{v < w} \lVert y_v - y_w \rVert^2}}

    where :math:`x^i_w` is window w of sample i, and the real windows :math:`y_w` of the clip, at different times, are
    that person's takes (``motion_windows`` has the features). 0 means that all samples are the same; 1 that a new seed
    changes the motion as much as a new second does. Audio determines the lips in part, so theirs should stay below 1.

    Args:
        samples: Measures of a region, (N, T, 3), N at least 2.
        target: The same measures of the real clip, (T, 3).
        valid: Frames to use, (T,) boolean.

    Returns:
        The ratio, () float64, NaN for a clip with fewer than two windows; and the real difference, () float64, to be
        used as weight.

    Raises:
        ValueError: ``samples`` has another shape.
    """
    if samples.ndim != 3 or samples.shape[0] < 2:
        raise ValueError(f"samples must be (N >= 2, T, 3), got {tuple(samples.shape)}")
    drawn = motion_windows(samples, valid=valid)  # (N, W, F)
    real = motion_windows(target, valid=valid)  # (W, F)
    # The mean squared distance of all pairs is twice the unbiased variance.
    between_seeds = (2.0 * drawn.var(0).sum(-1).mean()).sqrt() if len(real) else drawn.new_full((), torch.nan)
    between_takes = (2.0 * real.var(0).sum()).sqrt() if len(real) > 1 else real.new_full((), torch.nan)
    return ratio_to_real(between_seeds, between_takes)


def sampled_mouth_correlation(
    samples: Tensor, target: Tensor, *, of: str = "one", valid: Tensor | None = None
) -> Tensor:
    """Return the mouth-opening correlation of one sample, or of the mean of all samples.

    The mean of many samples is what a regression would say. A good sampler has a high correlation of the mean, and one
    of a single sample that is lower only by what the audio does not determine.

    Args:
        samples: Landmarks of N samples for the same audio, (N, T, 68, D).
        target: Landmarks of the real clip, (T, 68, D).
        of: ``one`` for the mean of the samples' correlations, ``mean`` for the correlation of their mean opening.
        valid: Frames to use, (T,) boolean.

    Returns:
        () float64 in [-1, 1]; NaN for a clip whose real mouth does not move.

    Raises:
        ValueError: ``of`` is unknown or the samples have another shape.
    """
    if of not in ("one", "mean"):
        raise ValueError(f"of must be one or mean, got {of!r}")
    if samples.ndim != 4:
        raise ValueError(f"samples must be (N, T, 68, D), got {tuple(samples.shape)}")
    openings, real = mouth_opening(samples), mouth_opening(target)  # (N, T), (T,)
    if of == "mean":
        return pearson(openings.mean(0), real, valid=valid, still=STILL)
    return pearson(openings, real.expand(openings.shape), valid=valid, still=STILL).mean()
