"""How much a region of the face moves: deviation, speed, jitter and energy by frequency, relative to the real clip."""

from collections.abc import Callable

import torch
from torch import Tensor

from expnet.metrics.functional.masking import consecutive, frame_weights, masked_mean
from expnet.metrics.functional.motion import acceleration_energy, ratio_to_real

MOTION_REGIONS = {
    "lips": (*range(48, 68),),
    "jaw": (*range(5, 12),),
    "brows": (*range(17, 27),),
    "lids": (37, 38, 40, 41, 43, 44, 46, 47),
    "upper_face": (*range(17, 27), 37, 38, 40, 41, 43, 44, 46, 47),
}
"""iBUG landmarks of the regions that have landmarks; the cheeks have none and are given as vertices of a mesh."""
BANDS = {"slow": (0.5, 2.0), "syllable": (2.0, 5.0), "fast": (5.0, 12.5)}
"""Frequency bands in Hz, lower end included: posture and phrases; syllables and nods; closures, trembling and noise."""
BAND_FRAMES = 50
"""Frames of a segment of the spectrum. At 25 frames/s they are two seconds, with a resolution of 0.5 Hz."""


def motion_deviation(points: Tensor, *, valid: Tensor | None = None) -> Tensor:
    r"""Return the root mean square distance of the points from their mean positions over the clip.

    .. math:: \sqrt{\frac{1}{T} \sum_t \frac{1}{L} \sum_l \lVert x_{tl} - \bar x_l \rVert^2}

    Args:
        points: Points (..., T, L, D) in any unit.
        valid: Frames to use, (..., T) boolean.

    Returns:
        (...) float64 in the unit of the points; NaN without a valid frame.
    """
    points = points.double()
    weights = frame_weights(valid, points[..., 0, 0])  # (..., T)
    tracks = points.movedim(-3, -1)  # (..., L, D, T)
    mean = masked_mean(tracks, weights[..., None, None, :].expand(tracks.shape)).unsqueeze(-1)
    squares = (tracks - mean).square().sum(-2).mean(-2)  # (..., T)
    return masked_mean(squares, weights).sqrt()


def motion_speed(points: Tensor, *, valid: Tensor | None = None) -> Tensor:
    r"""Return the root mean square displacement of the points per frame.

    .. math:: \sqrt{\frac{1}{T-1} \sum_t \frac{1}{L} \sum_l \lVert x_{t+1,l} - x_{tl} \rVert^2}

    Args:
        points: Points (..., T, L, D) in any unit.
        valid: Frames to use, (..., T) boolean; a step counts only if both its frames are valid.

    Returns:
        (...) float64 in units per frame; NaN without two successive valid frames.
    """
    steps = points.double().diff(dim=-3).square().sum(-1).mean(-1)  # (..., T - 1)
    return masked_mean(steps, consecutive(frame_weights(valid, points[..., 0, 0]), 2)).sqrt()


def band_energy(points: Tensor, band: tuple[float, float], *, valid: Tensor | None = None, fps: float = 25.0) -> Tensor:
    r"""Return the energy of the motion between two frequencies, by Welch's method.

    .. math:: E = \frac{1}{S L} \sum_{s, l} \; \sum_{f_1 \le f < f_2} \frac{2}{W \sum_t h_t^2}
              \Bigl\lVert \sum_t h_t (x_{s l t} - \bar x_{s l}) e^{-2 \pi i f t / r} \Bigr\rVert^2

    over S segments of W = 50 frames that overlap by half, with a Hann window h and the frame rate r; the frequency
    r / 2 is counted once. The energies of all frequencies add up to about the variance of the segments. Source: Welch,
    "The use of fast Fourier transform for the estimation of power spectra", 1967; ``scipy.signal.welch`` with
    ``scaling="density"`` times the resolution.

    Args:
        points: Points (..., T, L, D) in any unit.
        band: Lower and upper frequency in Hz; the lower one belongs to the band, and so does an upper one of r / 2.
        valid: Frames to use, (..., T) boolean; segments with an invalid frame are left out.
        fps: Frames per second, r.

    Returns:
        (...) float64 in squared units; NaN without a complete segment.
    """
    points = points.double()
    weights = frame_weights(valid, points[..., 0, 0])  # (..., T)
    if points.shape[-3] < BAND_FRAMES:
        return torch.full(points.shape[:-3], torch.nan, dtype=torch.float64, device=points.device)
    kept = torch.where(weights[..., None, None] > 0, points, torch.zeros_like(points))
    segments = kept.unfold(-3, BAND_FRAMES, BAND_FRAMES // 2)  # (..., S, L, D, W)
    complete = weights.unfold(-1, BAND_FRAMES, BAND_FRAMES // 2).amin(-1)  # (..., S)
    window = torch.hann_window(BAND_FRAMES, dtype=torch.float64, device=points.device)
    spectrum = torch.fft.rfft((segments - segments.mean(-1, keepdim=True)) * window, dim=-1)  # (..., S, L, D, W/2 + 1)
    power = spectrum.abs().square().sum(-2).mean(-2) * (2.0 / (BAND_FRAMES * window.square().sum()))
    power[..., -1] /= 2.0
    frequency = torch.fft.rfftfreq(BAND_FRAMES, 1.0 / fps, dtype=torch.float64)
    chosen = (frequency >= band[0]) & ((frequency < band[1]) | (frequency == fps / 2) & (band[1] == fps / 2))
    return masked_mean(power[..., chosen].sum(-1), complete)


MEASURES: dict[str, Callable[..., Tensor]] = {
    "deviation": motion_deviation,
    "speed": motion_speed,
    "jitter": acceleration_energy,
}


def motion_amount_ratio(
    predicted: Tensor, target: Tensor, *, measure: str, valid: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return a prediction's amount of motion divided by that of the real clip.

    Args:
        predicted: Points (..., T, L, D) of a region.
        target: The same points of the real clip, measured in the same way.
        measure: ``deviation``, ``speed``, or ``jitter``, which is an energy (`acceleration_energy`).
        valid: Frames to use, (..., T) boolean.

    Returns:
        The ratio, (...) float64, 1 for motion of the real amount, and the real amount, (...), to be used as weight. A
        clip that does not move gives NaN and weight 0.

    Raises:
        ValueError: ``measure`` is unknown.
    """
    if measure not in MEASURES:
        raise ValueError(f"measure must be one of {', '.join(MEASURES)}, got {measure!r}")
    return ratio_to_real(MEASURES[measure](predicted, valid=valid), MEASURES[measure](target, valid=valid))


def band_energy_ratio(
    predicted: Tensor, target: Tensor, *, band: str, valid: Tensor | None = None, fps: float = 25.0
) -> tuple[Tensor, Tensor]:
    """Return a prediction's energy in one of the `BANDS` divided by that of the real clip, and the latter as weight.

    The other arguments and the result are those of `motion_amount_ratio` and `band_energy`.

    Raises:
        ValueError: ``band`` is unknown.
    """
    if band not in BANDS:
        raise ValueError(f"band must be one of {', '.join(BANDS)}, got {band!r}")
    energies = [band_energy(points, BANDS[band], valid=valid, fps=fps) for points in (predicted, target)]
    return ratio_to_real(*energies)
