"""Cosine similarity of identity (CSIM) between generated and real faces."""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from expnet.metrics.base import ClipMetric, unweighted
from expnet.metrics.extractor import Extractor, as_extractor
from expnet.metrics.functional.face_alignment import align_faces, resize_faces
from expnet.metrics.functional.masking import masked_mean

ALIGNMENTS = ("arcface", "resized")
BATCH = 64
"""Number of faces per forward pass."""


class IdentitySimilarity(ClipMetric):
    r"""Cosine similarity of face recognition embeddings, averaged over frames, then over clips.

    .. math:: \mathrm{CSIM} = \frac{1}{T} \sum_t \frac{e_t \cdot \hat e_t}{\lVert e_t \rVert \lVert \hat e_t \rVert}

    A cosine in [-1, 1], higher is better.

    Args:
        extractor: Recognition network, such as ArcFace, that maps faces (N, 3, 112, 112), RGB in [-1, 1], to embeddings
            (N, D).
        alignment: ``arcface`` aligns faces by five points, as in the network's training. ``resized`` resizes the whole
            frame, as some published benchmarks do, so that the score also depends on the crop. The two are not
            comparable.
        **kwargs: Arguments of ``torchmetrics.Metric``.
    """

    higher_is_better = True
    ideal = 1.0
    name = "csim"
    title = "CSIM"
    unit = "cosine"
    options: ClassVar[tuple[str, ...]] = ("alignment",)

    def __init__(self, extractor: nn.Module | Extractor, *, alignment: str = "arcface", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if alignment not in ALIGNMENTS:
            raise ValueError(f"alignment must be one of {', '.join(ALIGNMENTS)}, got {alignment!r}")
        self.extractor = as_extractor(extractor)
        self.alignment = alignment
        faces = "faces aligned by five points" if alignment == "arcface" else "whole frames, not aligned"
        self.explanation = (
            f"Cosine between the recognition embeddings of the generated and the real frame ({faces}). Identical "
            "images score 1, two photos of one person 0.4 to 0.8, different people about 0. Recognition networks "
            "ignore expression, so it says nothing about the mouth. Turned heads and small or blurred faces lower it."
        )

    @property
    def protocol(self) -> dict[str, Any]:
        """Settings that must be equal for two scores to be comparable: the options and the network."""
        return {**super().protocol, "extractor": self.extractor.name, "checksum": self.extractor.checksum}

    def score(
        self,
        frames: Tensor,
        target_frames: Tensor,
        landmarks: Tensor | None = None,
        target_landmarks: Tensor | None = None,
        valid: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return each clip's mean cosine over the frames in which both faces are known, and weight 1.

        Args:
            frames: Generated frames (B, T, 3, H, W), uint8 or floating point in [0, 1].
            target_frames: Real frames (B, T, 3, H', W'), or one portrait (B, 1, 3, H', W') to compare all frames with.
            landmarks: iBUG landmarks (B, T, 68, D >= 2) in pixels of ``frames``. Frames with a point that is not finite
                are left out. Optional with the alignment ``resized``.
            target_landmarks: Landmarks of ``target_frames`` in the same form.
            valid: Frames to use, (B, T) boolean; None means all frames.

        Raises:
            ValueError: Shapes are wrong, or landmarks are missing.
        """
        if frames.ndim != 5 or target_frames.ndim != 5 or target_frames.shape[1] not in (1, frames.shape[1]):
            raise ValueError(
                "frames must be (B, T, 3, H, W) and target_frames (B, T or 1, 3, H, W), "
                f"got {tuple(frames.shape)}, {tuple(target_frames.shape)}"
            )
        if valid is None:
            valid = torch.ones(frames.shape[:2], dtype=torch.bool, device=frames.device)
        portrait = target_frames.shape[1] < frames.shape[1]
        target_valid = valid.any(1, keepdim=True) if portrait else valid
        embeddings, known = self._embed(frames, landmarks, valid)
        target_embeddings, target_known = self._embed(target_frames, target_landmarks, target_valid)
        cosine = F.cosine_similarity(embeddings.double(), target_embeddings.double(), dim=-1)  # (B, T)
        return unweighted(masked_mean(cosine, (known & target_known).double()))

    def _embed(self, frames: Tensor, landmarks: Tensor | None, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """Return embeddings (B, T, D), zero for unwanted frames and those without a face, and a mask of the others."""
        wanted = wanted.to(frames.device)
        if self.alignment == "arcface":
            if landmarks is None or landmarks.shape[:2] != frames.shape[:2]:
                raise ValueError(f"alignment 'arcface' needs landmarks (B, T, 68, 2) of frames {tuple(frames.shape)}")
            landmarks = landmarks.to(frames.device)
            wanted = wanted & landmarks.isfinite().flatten(2).all(-1)
            faces = [align_faces(*part) for part in _batches(frames[wanted], landmarks[wanted])]
        else:
            faces = [resize_faces(*part) for part in _batches(frames[wanted])]
        if not faces:
            return torch.zeros(*wanted.shape, 1, device=frames.device), wanted
        scale = 127.5 if frames.dtype is torch.uint8 else 0.5
        found = torch.cat([self.extractor(face / scale - 1) for face in faces])  # (K, D)
        embeddings = found.new_zeros(*wanted.shape, found.shape[-1])
        embeddings[wanted] = found
        return embeddings, wanted


def _batches(*values: Tensor) -> list[tuple[Tensor, ...]]:
    """Split tensors of equal length into batches; an empty list without frames."""
    return list(zip(*(value.split(BATCH) for value in values), strict=True)) if len(values[0]) else []
