"""Alignment of head motion with the beats of the audio."""

from typing import Any, ClassVar

from torch import Tensor

from expnet.metrics.base import ClipMetric, unweighted
from expnet.metrics.functional.beats import POINTS, RIGID, beat_alignment


class BeatAlignment(ClipMetric):
    """Beat alignment of head motion and audio, averaged over audio beats, then over clips.

    The score is dimensionless in [0, 1]; ``functional.beat_alignment`` has formula and sources. Higher is not better:
    the aim is the real clips' value.

    Args:
        sigma: Tolerance in seconds. The sources use frames of different rates, see ``functional.beat_alignment``.
        smoothing: Standard deviation in seconds of the Gaussian that smooths the head's speed.
        fps: Frames per second.
        points: ``rigid`` (nose and eye corners) or ``all`` 68 landmarks, which include the lips moved by speech.
        **kwargs: Arguments of ``torchmetrics.Metric``.

    ``update`` takes ``landmarks`` (B, T, 68, D), ``beats`` (B, K) in seconds, padded with NaN (``audio_beats``), and
    ``valid`` (B, T) boolean or None.
    """

    higher_is_better = None
    name = "beat_alignment"
    title = "Beat alignment"
    unit = "score"
    explanation = (
        "Does the head motion reverse on the beats of the audio? 1 means always, 0 never, or a still head. A head that "
        "reverses more often hits more beats by chance, so higher is not better: the real clips' value is the aim. "
        "Beats come from a tracker made for music, and speech has no steady tempo. Clips without a beat are not scored."
    )
    beat_tracker = "librosa.beat.beat_track at 22050 Hz"
    options: ClassVar[tuple[str, ...]] = ("sigma", "smoothing", "fps", "points", "beat_tracker")

    def __init__(
        self,
        *,
        sigma: float = 0.1,
        smoothing: float = 0.2,
        fps: float = 25.0,
        points: str = "rigid",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if points not in POINTS:
            raise ValueError(f"points must be one of {', '.join(POINTS)}, got {points!r}")
        self.sigma = sigma
        self.smoothing = smoothing
        self.fps = fps
        self.points = points

    def score(self, landmarks: Tensor, beats: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return each clip's alignment (B,) and weight 1."""
        chosen = landmarks[..., RIGID, :] if self.points == "rigid" else landmarks
        return unweighted(
            beat_alignment(chosen, beats, valid=valid, fps=self.fps, sigma=self.sigma, smoothing=self.smoothing)
        )
