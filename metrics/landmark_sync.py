"""Lip sync in the eyes of a small expert on tracked landmarks: distance, confidence and offset without a picture.

The counterpart of ``expnet.metrics.sync`` (SyncNet) where the lips are landmarks of a face model. The numbers are not
SyncNet's, and have names of their own.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from expnet.metrics.base import ClipMetric, unweighted
from expnet.metrics.extractor import Extractor, as_extractor

_SIGHT = (
    "The expert is small and has seen minutes of speech, so the real clips' own value is the yardstick; a network that "
    "was trained on its loss is flattered."
)


class _LandmarkSyncMetric(ClipMetric):
    """One of the expert's three numbers, mean over clips.

    Args:
        extractor: maps ``landmarks`` (B, T, 68, 3), ``mel`` (B, 80, N) and, if there is one, a mask (B, T) to the
            similarity of lips and sound at each lag, (B, 2 L + 1): at lag l the lips of frame t + l meet the sound of
            frame t. ``expnet.assets.extractors.open_sync_expert`` opens one.
        shortest: clips of fewer frames are not scored.
        **kwargs: for ``torchmetrics.Metric``.

    ``update`` takes ``landmarks`` (B, T, 68, 3) in face units and without head motion, ``mel`` (B, 80, N) under these
    frames with the context that the expert wants, and ``valid`` (B, T) boolean or None.
    """

    options: ClassVar[tuple[str, ...]] = ("shortest",)

    def __init__(self, extractor: Extractor | nn.Module, *, shortest: int = 25, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.extractor = as_extractor(extractor)
        self.shortest = shortest

    @property
    def protocol(self) -> dict[str, Any]:
        """What must be equal for two scores to be comparable: the expert above all."""
        return {**super().protocol, "extractor": self.extractor.name, "checksum": self.extractor.checksum}

    @staticmethod
    def read(curve: Tensor) -> Tensor:
        """The number (B,) that similarities by lag (B, 2 L + 1) say."""
        raise NotImplementedError

    def measure(self, landmarks: Tensor, mel: Tensor, valid: Tensor | None = None) -> Tensor:
        """Similarities by lag (B, 2 L + 1) float64, which serve all three numbers; NaN for clips that are too short."""
        if landmarks.ndim != 4 or mel.ndim != 3 or len(landmarks) != len(mel):
            raise ValueError(
                "landmarks (B, T, 68, 3) and mel (B, 80, N) of as many clips must be given, got "
                f"{tuple(landmarks.shape)} and {tuple(mel.shape)}"
            )
        if landmarks.shape[1] < self.shortest:
            return torch.full((len(landmarks), 1), torch.nan, dtype=torch.float64)
        inputs = (landmarks, mel) if valid is None else (landmarks, mel, valid)
        curve: Tensor = self.extractor(*inputs)
        seen = landmarks.shape[1] if valid is None else valid.sum(dim=1, keepdim=True)  # (B, 1)
        return curve.double().masked_fill(torch.as_tensor(seen, device=curve.device) < self.shortest, torch.nan)

    def add(self, curve: Tensor) -> None:
        """Count clips that are already measured, by ``measure``."""
        self.accumulate(*unweighted(self.read(curve)))

    def score(self, landmarks: Tensor, mel: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return each clip's number (B,), NaN where there is none, and weight 1."""
        return unweighted(self.read(self.measure(landmarks, mel, valid)))


class LandmarkSyncDistance(_LandmarkSyncMetric):
    """One less the similarity of lips and sound at the best lag; arguments and input as `_LandmarkSyncMetric` says."""

    higher_is_better = None
    name = "landmark_sync_distance"
    title = "Landmark sync distance"
    unit = "1 - cosine"
    explanation = (
        "How far a small expert finds the tracked lips from the sound, at the delay that suits them best: a constant "
        f"delay is not punished, so read the offset beside it. {_SIGHT}"
    )

    @staticmethod
    def read(curve: Tensor) -> Tensor:
        """``1 - max_l s_l``, in [0, 2]."""
        return 1 - curve.amax(dim=-1)


class LandmarkSyncConfidence(_LandmarkSyncMetric):
    """By how much the best lag beats the median lag; arguments and input as `_LandmarkSyncMetric` says."""

    higher_is_better = None
    name = "landmark_sync_confidence"
    title = "Landmark sync confidence"
    unit = "cosine"
    explanation = (
        "By how much a small expert finds the tracked lips nearer to the sound at the best delay than at the median of "
        "all delays within 15 frames. Near 0: they have nothing to do with each other, or the delay lies outside the "
        f"search. Short clips score higher by chance. {_SIGHT}"
    )

    @staticmethod
    def read(curve: Tensor) -> Tensor:
        """``max_l s_l - median_l s_l``, 0 or more."""
        return curve.amax(dim=-1) - curve.quantile(0.5, dim=-1)


class LandmarkSyncOffset(_LandmarkSyncMetric):
    """Delay between sound and lips in video frames; arguments and input as `_LandmarkSyncMetric` says."""

    higher_is_better = None
    ideal = 0.0
    name = "landmark_sync_offset"
    title = "Landmark sync offset"
    unit = "frames"
    explanation = (
        "Delay at which a small expert finds the tracked lips nearest to the sound, in frames of 40 ms; positive when "
        "the sound comes before the lips. The mean over clips hides opposite signs, and a clip of a confidence near 0 "
        "has no offset."
    )

    @staticmethod
    def read(curve: Tensor) -> Tensor:
        """``argmax_l s_l``; NaN for a clip without a curve."""
        best = (curve.argmax(dim=-1) - curve.shape[-1] // 2).double()
        return best.masked_fill(curve.isnan().any(dim=-1), torch.nan)
