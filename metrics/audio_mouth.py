"""Mouth opening against the opening that a network predicts from the audio; no real clip or download is needed."""

from typing import Any, ClassVar

from torch import Tensor

from expnet.metrics.functional.mouth import mouth_opening
from expnet.metrics.mouth import MouthOpeningCorrelation, MouthOpeningLag, MouthOpeningPair

_LIMITS = (
    "The network is a rough judge: it distinguishes open from closed, not vowels. Real clips score well below 1, and "
    "their score is the reference. A system driven by the same network gets too good a score."
)


class _AudioOpenings(MouthOpeningPair):
    """Compares the tracked mouth opening with the opening that a network predicts from the clip's audio."""

    @staticmethod
    def openings(predicted: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the opening of the tracked landmarks and the opening predicted from audio, both (B, T)."""
        if target.shape != predicted.shape[:-2]:
            raise ValueError(
                f"the opening predicted from audio must be {tuple(predicted.shape[:-2])}, one number per frame, "
                f"got {tuple(target.shape)}"
            )
        return mouth_opening(predicted), target.double()


class AudioMouthCorrelation(_AudioOpenings, MouthOpeningCorrelation):
    """Pearson correlation of the mouth opening with the opening predicted from audio, averaged over clips.

    Unit: r, in [-1, 1]. Neither direction is better: above the real clips' value, the mouth follows the network more
    closely than real mouths do.

    Args:
        network: Name of the network that predicts the opening from audio, for the protocol.
        max_lag: See ``MouthOpeningCorrelation``.
        **kwargs: Arguments of ``torchmetrics.Metric``.

    ``update`` takes the tracked landmarks (B, T, 68, D), the opening (B, T) that an audio-driven network predicts from
    the clip's audio, in any unit, and ``valid`` (B, T) boolean or None.
    """

    options: ClassVar[tuple[str, ...]] = ("max_lag", "network")
    higher_is_better = None
    ideal = None

    def __init__(self, *, network: str, max_lag: int = 0, **kwargs: Any) -> None:
        super().__init__(max_lag=max_lag, **kwargs)
        self.network = network
        self.name = "audio_mouth_correlation" + ("_best_lag" if max_lag else "")
        self.title = "Audio-mouth correlation" + (f", best lag within {max_lag}" if max_lag else "")
        self.explanation = (
            "Does the mouth open when the audio suggests it? Pearson r of the tracked mouth opening with the one that "
            f"a small network predicts from the clip's audio. {_LIMITS}"
        )


class AudioMouthLag(_AudioOpenings, MouthOpeningLag):
    """Lag in frames at which this correlation, averaged over all clips, is highest.

    A positive lag means that the mouth comes after the audio.

    Args:
        network: Name of the network that predicts the opening from audio, for the protocol.
        max_lag: Largest lag in frames, in both directions.
        **kwargs: Arguments of ``torchmetrics.Metric``.

    ``update`` takes the arguments of ``AudioMouthCorrelation``.
    """

    name = "audio_mouth_lag"
    title = "Audio-mouth lag"
    explanation = (
        "Frames by which the mouth comes after the audio (negative: before it), at the peak of the mean correlation "
        "with the opening that a small network predicts from the audio; 1 frame is 40 ms. It detects a shifted audio "
        f"track. A value at the edge of the search, or with a correlation near 0, is meaningless. {_LIMITS}"
    )
    ideal = None
    options: ClassVar[tuple[str, ...]] = ("max_lag", "network")

    def __init__(self, *, network: str, max_lag: int = 10, **kwargs: Any) -> None:
        super().__init__(max_lag=max_lag, **kwargs)
        self.network = network
