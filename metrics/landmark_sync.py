"""Lip sync judged by a small network on tracked landmarks: distance, confidence and offset without images.

The counterpart of ``expnet.metrics.sync`` (SyncNet) for landmarks of a face model. The numbers are not SyncNet's and
therefore have names of their own.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from expnet.metrics.base import ClipMetric, unweighted
from expnet.metrics.extractor import Extractor, as_extractor

_LIMITS = (
    "The expert is small and was trained on minutes of speech, so the real clips' value is the reference. A network "
    "trained with the expert's loss gets too good a score."
)


class _LandmarkSyncMetric(ClipMetric):
    """One of the sync expert's three numbers, averaged over clips.

    Args:
        extractor: The expert: maps ``landmarks`` (B, T, 68, 3), ``mel`` (B, 80, N) and an optional mask (B, T) to the
            cosine similarity of lips and audio at each lag, (B, 2 L + 1). Lag l compares the lips of frame t + l with
            the audio of frame t. ``expnet.assets.extractors.open_sync_expert`` opens one.
        shortest: Minimum number of frames of a clip to be scored.
        **kwargs: Arguments of ``torchmetrics.Metric``.

    ``update`` takes ``landmarks`` (B, T, 68, 3) in face units and without head motion, the mel spectrogram ``mel``
    (B, 80, N) of these frames with the context that the expert needs, and ``valid`` (B, T) boolean or None.
    """

    options: ClassVar[tuple[str, ...]] = ("shortest",)

    def __init__(self, extractor: Extractor | nn.Module, *, shortest: int = 25, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.extractor = as_extractor(extractor)
        self.shortest = shortest

    @property
    def protocol(self) -> dict[str, Any]:
        """Settings that must be equal for two scores to be comparable: the options and the expert."""
        return {**super().protocol, "extractor": self.extractor.name, "checksum": self.extractor.checksum}

    @staticmethod
    def read(curve: Tensor) -> Tensor:
        """Return the number of each clip, (B,), from similarities by lag, (B, 2 L + 1)."""
        raise NotImplementedError

    def measure(self, landmarks: Tensor, mel: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return similarities by lag, (B, 2 L + 1) float64, from which all three numbers follow.

        Clips with too few valid frames give NaN; if T itself is too small, the result is (B, 1).

        Raises:
            ValueError: The shapes are wrong.
        """
        if landmarks.ndim != 4 or mel.ndim != 3 or len(landmarks) != len(mel):
            raise ValueError(
                "landmarks must be (B, T, 68, 3) and mel (B, 80, N) of as many clips, got "
                f"{tuple(landmarks.shape)} and {tuple(mel.shape)}"
            )
        if landmarks.shape[1] < self.shortest:
            return torch.full((len(landmarks), 1), torch.nan, dtype=torch.float64)
        inputs = (landmarks, mel) if valid is None else (landmarks, mel, valid)
        curve: Tensor = self.extractor(*inputs)
        seen = landmarks.shape[1] if valid is None else valid.sum(dim=1, keepdim=True)  # (B, 1)
        return curve.double().masked_fill(torch.as_tensor(seen, device=curve.device) < self.shortest, torch.nan)

    def add(self, curve: Tensor) -> None:
        """Add clips that ``measure`` has measured."""
        self.accumulate(*unweighted(self.read(curve)))

    def score(self, landmarks: Tensor, mel: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return each clip's number (B,), NaN for clips that are too short, and weight 1."""
        return unweighted(self.read(self.measure(landmarks, mel, valid)))


class LandmarkSyncDistance(_LandmarkSyncMetric):
    """1 - the cosine similarity of lips and audio at the best lag, in [0, 2].

    Arguments and input are those of `_LandmarkSyncMetric`. Neither direction is better: the aim is the real clips'
    value.
    """

    higher_is_better = None
    name = "landmark_sync_distance"
    title = "Landmark sync distance"
    unit = "1 - cosine"
    explanation = (
        "Distance between tracked lips and audio at the best delay, judged by a small expert network. A constant delay "
        f"is not penalised, so read the offset with it. {_LIMITS}"
    )

    @staticmethod
    def read(curve: Tensor) -> Tensor:
        """Return ``1 - max_l s_l``, in [0, 2]."""
        return 1 - curve.amax(dim=-1)


class LandmarkSyncConfidence(_LandmarkSyncMetric):
    """Cosine similarity at the best lag minus the median over lags, in [0, 2].

    Arguments and input are those of `_LandmarkSyncMetric`. Neither direction is better: the aim is the real clips'
    value.
    """

    higher_is_better = None
    name = "landmark_sync_confidence"
    title = "Landmark sync confidence"
    unit = "cosine"
    explanation = (
        "Margin by which the best delay beats the median over all delays within 15 frames, judged by a small expert "
        "network. Near 0, lips and audio are unrelated or the delay lies outside the search range. Short clips score "
        f"higher by chance. {_LIMITS}"
    )

    @staticmethod
    def read(curve: Tensor) -> Tensor:
        """Return ``max_l s_l - median_l s_l``, at least 0."""
        return curve.amax(dim=-1) - curve.quantile(0.5, dim=-1)


class LandmarkSyncOffset(_LandmarkSyncMetric):
    """Delay between audio and lips in video frames of 40 ms; positive if the audio comes first, ideally 0.

    Arguments and input are those of `_LandmarkSyncMetric`.
    """

    higher_is_better = None
    ideal = 0.0
    name = "landmark_sync_offset"
    title = "Landmark sync offset"
    unit = "frames"
    explanation = (
        "Delay at which a small expert network finds tracked lips and audio most similar, in frames of 40 ms; positive "
        "if the audio comes before the lips. In the mean over clips, opposite signs cancel, and a clip whose "
        "confidence is near 0 has no meaningful offset."
    )

    @staticmethod
    def read(curve: Tensor) -> Tensor:
        """Return ``argmax_l s_l``; NaN for a clip without similarities."""
        best = (curve.argmax(dim=-1) - curve.shape[-1] // 2).double()
        return best.masked_fill(curve.isnan().any(dim=-1), torch.nan)
