"""Metric classes of THEval's lip dynamics, brow dynamics, lip stability in silence and lip synchrony."""

from typing import Any, ClassVar

from torch import Tensor

from expnet.metrics.base import ClipMetric, unweighted
from expnet.metrics.functional.theval import brow_dynamics, lip_dynamics, lip_sync_difference, silent_lip_stability


class ThevalMetric(ClipMetric):
    """A metric of THEval, averaged over clips that all count alike; the aim is the real clips' value.

    Args:
        speech: What found the speech, for the protocol; only metrics that need the audio have one.
        **kwargs: Arguments of ``torchmetrics.Metric``.
    """

    higher_is_better = None
    source = "Newbyl/THEval cfe23fe"
    options: ClassVar[tuple[str, ...]] = ("source",)


class ThevalLipDynamics(ThevalMetric):
    """Standard deviation over time of all distances between points of the lips; ``functional.theval.lip_dynamics``.

    ``update`` takes ``points`` (B, T, 468 or 478, 2 or more), in shares of the frame, and ``valid`` (B, T) boolean.
    """

    name = "theval_lip_dynamics"
    title = "Lip dynamics"
    unit = "px of 256"
    explanation = (
        "How much the distances between the points of the lips vary over a clip, in pixels of the frame scaled to 256 "
        "x 256. THEval's definition: the size of the face in the frame scales it, so the real clips' value is the aim "
        "only in the same framing. Trembling lips raise it as speech does, and it does not hear the audio."
    )

    def score(self, points: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return each clip's deviation in pixels (B,), and weight 1."""
        return unweighted(lip_dynamics(points, valid=valid))


class ThevalBrowDynamics(ThevalMetric):
    """Mean change of the height of the eyebrows from frame to frame; ``functional.theval.brow_dynamics``.

    ``update`` takes ``points`` (B, T, 468 or 478, 2 or more), in shares of the frame, ``aspect`` (B,), width over
    height, and ``valid`` (B, T) boolean.
    """

    name = "theval_brow_dynamics"
    title = "Brow dynamics"
    unit = "eye distances per frame"
    explanation = (
        "Mean absolute change per frame of the distance between eyebrow and eye, over the distance of the eyes. "
        "THEval's definition. Most of it is noise of the tracker, also in real clips, and a blink moves the centre of "
        "the eye: a value near the real one does not mean that the brows move like a person's."
    )

    def score(self, points: Tensor, aspect: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return each clip's mean change (B,), and weight 1."""
        return unweighted(brow_dynamics(points, aspect, valid=valid))


class _WithSpeech(ThevalMetric):
    """A metric that needs to know when somebody speaks.

    Args:
        speech_detector: Name and version of what found the speech, for the protocol.
        **kwargs: Arguments of ``torchmetrics.Metric``.
    """

    options: ClassVar[tuple[str, ...]] = ("source", "speech_detector")

    def __init__(self, *, speech_detector: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.speech_detector = speech_detector


class ThevalSilentLipStability(_WithSpeech):
    """Median distance of the lip opening from its mean while nobody speaks; ``functional.theval.silent_lip_stability``.

    Args:
        speech_detector: Name and version of what found the speech, for the protocol.
        **kwargs: Arguments of ``torchmetrics.Metric``.

    ``update`` takes ``points`` (B, T, 468 or 478, 2 or more), in shares of the frame, ``silent`` (B, T) boolean, the
    pauses, and ``valid`` (B, T) boolean.
    """

    name = "theval_silent_lip_stability"
    title = "Silent lips"
    unit = "eye distances"
    explanation = (
        "Median distance of the lip opening from its mean over pauses of at least 0.3 s. THEval's definition. A frozen "
        "mouth scores 0, so the real clips' value is the aim. A clip's opening before and after it speaks enters, and "
        "clips without a pause are not scored."
    )

    def score(self, points: Tensor, silent: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return each clip's median distance (B,), and weight 1."""
        return unweighted(silent_lip_stability(points, silent, valid=valid))


class ThevalLipSync(_WithSpeech):
    """Mean difference between mouth opening and loudness during speech; ``functional.theval.lip_sync_difference``.

    Args:
        speech_detector: Name and version of what found the speech, for the protocol.
        **kwargs: Arguments of ``torchmetrics.Metric``.

    ``update`` takes ``points`` (B, T, 468 or 478, 2 or more), in shares of the frame, ``loudness`` (B, T), ``speech``
    (B, T) boolean and ``valid`` (B, T) boolean.
    """

    name = "theval_lip_sync"
    title = "Opening against loudness"
    unit = "share of the range"
    explanation = (
        "Mean absolute difference between the opening of the mouth and the loudness of the audio, both scaled to [0, "
        "1] over a clip's speech. THEval's definition. It hardly sees a delay, and a mouth that is always half open "
        "scores close to real people: read the lag beside it."
    )

    def score(
        self, points: Tensor, loudness: Tensor, speech: Tensor, valid: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return each clip's mean difference (B,), and weight 1."""
        return unweighted(lip_sync_difference(points, loudness, speech, valid=valid))
