"""Distance between face embeddings of dlib's network, beside the cosine of ArcFace (`IdentitySimilarity`)."""

from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from expnet.metrics.base import ClipMetric, unweighted
from expnet.metrics.functional.masking import masked_mean


class FaceEmbedder(Protocol):
    """A face recogniser: images (N, 3, H, W) uint8 and landmarks (N, 68, 2) to embeddings (N, D)."""

    name: str
    checksum: str

    def __call__(self, images: Tensor, landmarks: Tensor) -> Tensor:
        """Return the embeddings."""


class IdentityDistance(ClipMetric):
    r"""Euclidean distance between the face embeddings of generated and real frames, averaged over frames, then clips.

    .. math:: \frac{1}{T} \sum_t \lVert e_t - \hat e_t \rVert

    At least 0, lower is better; dlib's network was trained so that two pictures of one person are closer than 0.6.

    Args:
        embedder: The recogniser (``expnet.models.dlib_recogniser.DlibRecogniser``).
        every: Every ``every``-th frame is embedded.
        **kwargs: Arguments of ``torchmetrics.Metric``.
    """

    higher_is_better = False
    ideal = 0.0
    name = "identity_distance_dlib"
    title = "Identity distance (dlib)"
    unit = "embedding distance"
    explanation = (
        "Distance between the face embeddings of the generated and the real frame by dlib's network. Two pictures of "
        "one person lie below 0.6 as a rule. It is another network than ArcFace, of 2017 and weaker, and cannot be "
        "compared with CSIM. It says nothing about the mouth; blur and small faces raise it."
    )
    options: ClassVar[tuple[str, ...]] = ("every",)

    def __init__(self, embedder: FaceEmbedder, *, every: int = 5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.embedder = embedder
        self.every = max(int(every), 1)

    @property
    def protocol(self) -> dict[str, Any]:
        """Settings that must be equal for two scores to be comparable: the options and the network."""
        return {**super().protocol, "extractor": self.embedder.name, "checksum": self.embedder.checksum}

    def score(
        self,
        frames: Tensor,
        target_frames: Tensor,
        landmarks: Tensor,
        target_landmarks: Tensor,
        valid: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return each clip's mean distance over the embedded frames in which both faces are known, and weight 1.

        Args:
            frames: Generated frames (B, T, 3, H, W) uint8.
            target_frames: Real frames (B, T, 3, H', W') uint8.
            landmarks: iBUG landmarks (B, T, 68, 2 or more) in pixels of ``frames``.
            target_landmarks: Landmarks of ``target_frames``.
            valid: Frames to use, (B, T) boolean; None means all.

        Raises:
            ValueError: Shapes or types are wrong.
        """
        if frames.ndim != 5 or frames.shape[:2] != target_frames.shape[:2] or frames.shape[:2] != landmarks.shape[:2]:
            raise ValueError(
                "frames and target_frames must be (B, T, 3, H, W) and landmarks (B, T, 68, 2), "
                f"got {tuple(frames.shape)}, {tuple(target_frames.shape)}, {tuple(landmarks.shape)}"
            )
        if frames.dtype is not torch.uint8 or target_frames.dtype is not torch.uint8:
            raise ValueError(f"frames must be uint8, got {frames.dtype} and {target_frames.dtype}")
        used = torch.zeros(frames.shape[:2], dtype=torch.bool)
        used[:, :: self.every] = True
        used = used if valid is None else used & valid.cpu()
        for points in (landmarks, target_landmarks):
            used &= points.isfinite().flatten(2).all(-1).cpu()
        distances = torch.zeros(used.shape, dtype=torch.float64)
        own, other = (
            self.embedder(images[used.to(images.device)], points[used.to(points.device)])
            for images, points in ((frames, landmarks), (target_frames, target_landmarks))
        )
        distances[used] = (own.double() - other.double()).norm(dim=-1).cpu()
        return unweighted(masked_mean(distances, used.double()))
