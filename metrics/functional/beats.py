"""Beats of the head motion and of the audio, and how well they coincide."""

import torch
from torch import Tensor

from expnet.metrics.functional.beat_tracker import RATE, beat_tracker
from expnet.metrics.functional.masking import consecutive, frame_weights, masked_mean

RIGID = (*range(27, 36), 36, 39, 42, 45)
"""Nose and eye corners in iBUG order: points that move with the head, unlike lips, brows and eyelids."""
POINTS = ("rigid", "all")


def motion_beats(points: Tensor, *, valid: Tensor | None = None, fps: float = 25.0, smoothing: float = 0.2) -> Tensor:
    """Mark the beats of a motion: the strict local minima of its smoothed speed.

    The speed is the mean over points of the distance moved between two frames, smoothed by a Gaussian. If all frames
    are valid, the filter equals ``scipy.ndimage.gaussian_filter1d`` with its defaults. Otherwise the Gaussian is
    normalised over the valid steps, and no beat is marked next to an invalid step.

    Args:
        points: Point tracks, (..., T, L, D), in any unit.
        valid: Frames to use, (..., T) boolean.
        fps: Frames per second.
        smoothing: Standard deviation of the Gaussian in seconds; 0.2 s are the 5 frames of KDTalker's evaluation.

    Returns:
        (..., T - 1) boolean. Entry t is the step from frame t to t + 1, (t + 1) / fps seconds after the start.
    """
    steps = points.double().diff(dim=-3).norm(dim=-1).mean(-1)  # (..., T - 1)
    known = consecutive(frame_weights(valid, points[..., 0, 0]), 2)
    count = steps.shape[-1]
    if count < 3:
        return torch.zeros_like(steps, dtype=torch.bool)
    sigma = smoothing * fps
    radius = int(4.0 * sigma + 0.5)
    offsets = torch.arange(-radius, radius + 1, device=steps.device)
    # The signal is mirrored at its edges with the outermost value repeated: (d c b a | a b c d | d c b a).
    places = (torch.arange(count, device=steps.device).unsqueeze(-1) + offsets) % (2 * count)  # (T - 1, W)
    places = torch.where(places < count, places, 2 * count - 1 - places)
    kernel = torch.exp(-0.5 * (offsets.double() / max(sigma, 1e-9)).square())
    speed = masked_mean(steps[..., places], kernel * known[..., places])  # (..., T - 1)
    lowest = (speed[..., 1:-1] < speed[..., :-2]) & (speed[..., 1:-1] < speed[..., 2:])
    return torch.nn.functional.pad(lowest & (consecutive(known, 3) > 0), (1, 1))


def beat_alignment(
    points: Tensor,
    beats: Tensor,
    *,
    valid: Tensor | None = None,
    fps: float = 25.0,
    sigma: float = 0.1,
    smoothing: float = 0.2,
) -> Tensor:
    r"""Return how close a motion beat each audio beat falls (Bailando's beat alignment, in seconds).

    .. math:: \mathrm{BA} = \frac{1}{|A|} \sum_{a \in A} \exp\left(-\frac{\min_{m \in M} (a - m)^2}{2 \sigma^2}\right)

    with the audio beats A and the motion beats M. Sources: ``utils/beat_align_score.py`` of
    https://github.com/lisiyao21/Bailando (frames of a 60 Hz dance, sigma 3) and
    https://github.com/chaolongy/KDTalker (seconds, sigma 0.1). Both give a motion beat the time of the frame before its
    step and drop frames without a face, which shifts time. Here a step lies halfway, and time is preserved.

    Args:
        points: Point tracks, (..., T, L, D).
        beats: Audio beats in seconds from the start of the clip, (..., K), padded with NaN. Beats outside the clip or
            at an invalid frame are left out.
        valid: Frames to use, (..., T) boolean.
        fps: Frames per second.
        sigma: Tolerance in seconds.
        smoothing: Standard deviation in seconds, see ``motion_beats``.

    Returns:
        (...) float64 in [0, 1]; 1 means that every audio beat has a motion beat at the same time. Motion without beats
        scores 0. Audio without beats scores NaN.
    """
    moving = motion_beats(points, valid=valid, fps=fps, smoothing=smoothing)  # (..., T - 1)
    times = torch.arange(1, moving.shape[-1] + 1, dtype=torch.float64, device=points.device) / fps
    audio = beats.double().to(points.device)
    frame = (audio * fps).nan_to_num(nan=-1.0).floor().long()  # (..., K)
    frames = points.shape[-3]
    inside = (frame >= 0) & (frame < frames)
    seen = frame_weights(valid, points[..., 0, 0]).gather(-1, frame.clamp(0, max(frames - 1, 0))) if frames else frame
    distance = (audio.unsqueeze(-1) - times).abs().masked_fill(~moving.unsqueeze(-2), torch.inf)  # (..., K, T - 1)
    nearest = distance.amin(-1) if distance.shape[-1] else torch.full_like(audio, torch.inf)
    return masked_mean(torch.exp(-nearest.square() / (2.0 * sigma**2)), (inside & (seen > 0)).double())


def audio_beats(samples: Tensor, *, sample_rate: int = 16000) -> Tensor:
    """Return the beats that librosa's beat tracker finds in audio, resampled to the 22 050 Hz that it is tuned for.

    The tracker looks for a steady tempo, which speech does not have; its beats are stressed syllables at best.

    Args:
        samples: Mono audio in [-1, 1], (S,).
        sample_rate: Sample rate in Hz.

    Returns:
        Beat times in seconds, (K,) float64; empty for silence.
    """
    import librosa  # here, because it takes a second, and only this function needs it

    signal = samples.detach().cpu().float().numpy()
    if signal.size == 0 or not signal.any():
        return torch.zeros(0, dtype=torch.float64)
    signal = librosa.resample(signal, orig_sr=sample_rate, target_sr=RATE)
    _, times = beat_tracker()(y=signal, sr=RATE, units="time")
    return torch.as_tensor(times, dtype=torch.float64)
