"""Blinks: their rate, their duration and the time between them."""

from typing import Any, ClassVar

from torch import Tensor

from expnet.metrics.base import ClipMetric
from expnet.metrics.functional.blink import blink_duration, blink_interval, blink_rate


class BlinkRate(ClipMetric):
    """Blinks per minute: all blinks divided by all minutes, definition ``eye_aspect_ratio_dip``.

    ``functional.blinks`` defines a blink. Neither direction is better: the aim is the real clips' rate.

    Args:
        fps: Frames per second.
        closed_below: Share of a clip's median eye aspect ratio below which the eyes count as closed.
        longest: Maximum duration of a blink in seconds.
        shortest_clip: Minimum duration of a clip in seconds of valid frames.
        **kwargs: Arguments of ``torchmetrics.Metric``.

    ``update`` takes ``landmarks`` (B, T, 68, D) and ``valid`` (B, T) boolean or None.
    """

    higher_is_better = None
    name = "blink_rate"
    title = "Blinks"
    unit = "per minute"
    definition = "eye_aspect_ratio_dip"
    options: ClassVar[tuple[str, ...]] = ("definition", "fps", "closed_below", "longest", "shortest_clip")

    def __init__(
        self,
        *,
        fps: float = 25.0,
        closed_below: float = 0.7,
        longest: float = 0.5,
        shortest_clip: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.fps = fps
        self.closed_below = closed_below
        self.longest = longest
        self.shortest_clip = shortest_clip
        self.explanation = (
            f"Dips of the eye aspect ratio below {closed_below:.0%} of the clip's median that last at most "
            f"{longest:g} s. Speakers blink about 20 times per minute, but people differ: the real clips' rate is the "
            "aim. A clip of a few seconds holds at most one or two blinks, so only the rate over many clips is "
            "meaningful. Smiles and downward glances can be taken for blinks."
        )

    def score(self, landmarks: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return each clip's blinks per minute (B,), and its minutes of valid frames as weight."""
        return blink_rate(
            landmarks,
            valid=valid,
            fps=self.fps,
            closed_below=self.closed_below,
            longest=self.longest,
            shortest_clip=self.shortest_clip,
        )


class BlinkDuration(ClipMetric):
    """Mean duration of all blinks in seconds; ``functional.blinks`` defines a blink.

    Neither direction is better: the aim is the real clips' value.

    Args:
        fps: Frames per second.
        closed_below: Share of a clip's median eye aspect ratio below which the eyes count as closed.
        longest: Maximum duration of a blink in seconds.
        **kwargs: Arguments of ``torchmetrics.Metric``.

    ``update`` takes ``landmarks`` (B, T, 68, D) and ``valid`` (B, T) boolean or None.
    """

    higher_is_better = None
    name = "blink_duration"
    title = "Blink duration"
    unit = "s"
    definition = "eye_aspect_ratio_dip"
    options: ClassVar[tuple[str, ...]] = ("definition", "fps", "closed_below", "longest")

    def __init__(self, *, fps: float = 25.0, closed_below: float = 0.7, longest: float = 0.5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.fps = fps
        self.closed_below = closed_below
        self.longest = longest
        self.explanation = (
            f"Mean time for which the eye aspect ratio stays below {closed_below:.0%} of the clip's median, over all "
            f"blinks; one frame is {1 / fps:g} s. The real clips' value is the aim. Longer dips than {longest:g} s are "
            "closed eyes and do not count. Clips without a blink are not scored."
        )

    def score(self, landmarks: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return each clip's mean duration in seconds (B,), and its number of blinks as weight."""
        return blink_duration(
            landmarks, valid=valid, fps=self.fps, closed_below=self.closed_below, longest=self.longest
        )


class BlinkInterval(ClipMetric):
    """Mean time between the starts of successive blinks in seconds; ``functional.blinks`` defines a blink.

    Neither direction is better: the aim is the real clips' value *on clips of the same lengths*, because intervals that
    reach beyond a clip are not seen.

    Args:
        fps: Frames per second.
        closed_below: Share of a clip's median eye aspect ratio below which the eyes count as closed.
        longest: Maximum duration of a blink in seconds.
        **kwargs: Arguments of ``torchmetrics.Metric``.

    ``update`` takes ``landmarks`` (B, T, 68, D) and ``valid`` (B, T) boolean or None.
    """

    higher_is_better = None
    name = "blink_interval"
    title = "Time between blinks"
    unit = "s"
    definition = "eye_aspect_ratio_dip"
    options: ClassVar[tuple[str, ...]] = ("definition", "fps", "closed_below", "longest")
    explanation = (
        "Mean time between the starts of two successive blinks of a clip. The real clips' value is the aim. Short "
        "clips hold short intervals only, so compare the same clips, and read it beside the rate. Clips with fewer "
        "than two blinks are not scored."
    )

    def __init__(self, *, fps: float = 25.0, closed_below: float = 0.7, longest: float = 0.5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.fps = fps
        self.closed_below = closed_below
        self.longest = longest

    def score(self, landmarks: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return each clip's mean interval in seconds (B,), and its number of intervals as weight."""
        return blink_interval(
            landmarks, valid=valid, fps=self.fps, closed_below=self.closed_below, longest=self.longest
        )
