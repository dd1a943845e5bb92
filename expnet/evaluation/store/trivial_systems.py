"""Systems that do not listen: the real clips, a still face, and the mean face of each clip."""

from __future__ import annotations

from expnet.evaluation.store.clips import Clip
from expnet.evaluation.store.prediction import Prediction


class GroundTruth:
    """The tracked coefficients themselves: the upper bound of the face model and the renderer."""

    name = "ground_truth"
    title = "Real clips"
    kind = "reference"
    description = "The tracked coefficients of the real clips: the upper bound of the face model."

    def predict(self, clip: Clip) -> Prediction:
        """Return what was tracked."""
        return Prediction(clip.expression, clip.pose)


class HoldFirstFrame:
    """A still face: the first frame for the whole clip."""

    name = "hold_first_frame"
    title = "Hold first frame"
    kind = "trivial"
    description = "The first frame's expression and pose, held for the whole clip; the audio is not used."

    def predict(self, clip: Clip) -> Prediction:
        """Repeat the first frame."""
        return Prediction(clip.expression[:1].expand_as(clip.expression), clip.pose[:1].expand_as(clip.pose))


class ClipMean:
    """An oracle that knows the mean of each clip and nothing else."""

    name = "clip_mean"
    title = "Clip mean (oracle)"
    kind = "trivial"
    description = "The true mean expression of each clip, held: an oracle, because it is computed from the answer."

    def predict(self, clip: Clip) -> Prediction:
        """Repeat the mean of the valid frames."""
        mean = clip.expression[clip.valid].mean(0, keepdim=True)
        return Prediction(mean.expand_as(clip.expression))
