"""No-reference sharpness of frames (CPBD)."""

from torch import Tensor

from expnet.metrics.base import ClipMetric, unweighted
from expnet.metrics.functional.masking import frame_weights, masked_mean
from expnet.metrics.functional.sharpness import cpbd


class BlurDetection(ClipMetric):
    """CPBD of each frame, averaged over frames, then over clips: the share of edges that look sharp, in [0, 1].

    ``functional.cpbd`` has the definition and the source. Neither direction is better: the aim is the real clips'
    value.

    ``update`` takes ``frames`` (B, T, 3, H, W) or (N, 3, H, W), uint8 or floating point in [0, 1], at least 64 pixels
    on each side, and ``valid`` (B, T) boolean or None.
    """

    higher_is_better = None  # noise and block artefacts count as sharp
    name = "cpbd"
    title = "CPBD"
    unit = "share of edges"
    explanation = (
        "Share of a frame's edges that do not look blurred, without a reference. Noise, compression blocks and a "
        "visible seam around a pasted mouth raise it; a blurred background lowers it. The aim is the real clips' "
        "value, not 1. It depends on the image size, so compare equal sizes, and varies by hundredths between versions "
        "of the edge detector."
    )

    def score(self, frames: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return each clip's mean over its valid frames, and weight 1."""
        if frames.ndim not in (4, 5):
            raise ValueError(f"frames must be (N, 3, H, W) or (B, T, 3, H, W), got {tuple(frames.shape)}")
        scores = cpbd(frames)
        if frames.ndim == 4:
            return unweighted(scores)
        return unweighted(masked_mean(scores, frame_weights(valid, scores)))
