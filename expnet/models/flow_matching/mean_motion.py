"""The mean of all motions that fit the speech: the network knows it, and lips follow it more closely than any sample.

At the beginning of the flow the state is noise that says nothing about the motion, so the best velocity there is
``E[x_1 | speech] - x_0``: from a state of zeros, one evaluation of the network returns what a regression would. Of a
sample of the trained distribution, only the part that the mean explains goes with the audio; the rest is drawn. On the
lips a person hears the difference, on the rest of the face nobody does. So the expression of a drawn motion is

    ``x = s + ((k - 1) s + b m) P``

for changes from the first frame: s of the sample, m of the mean, P the projection on the directions of the lips, k
(`Sampling.lip_variation`) the share of the sample that the lips keep, and b (`Sampling.mean_guidance`) the strength of
the mean. With k = 1 and b = 0 it is the sample as it was drawn; with k + b = 1 lips that the speech decides move as far
as they were drawn, and other lips less far, which a larger b makes up for.
"""

from __future__ import annotations

from torch import Tensor

from expnet.models.flow_matching.motion import Motion
from expnet.models.flow_matching.solver import Sampling


def follow_mean(
    sample: Motion, mean: Motion, first_expression: Tensor, lip_projection: Tensor, sampling: Sampling
) -> Motion:
    """Return the motion whose lips follow the mean; all else stays as it was drawn.

    Args:
        sample: A drawn motion.
        mean: The mean motion of the same frames; without an expression, none is added.
        first_expression: (B, E).
        lip_projection: (E, E), see `expnet.face.lip_directions.lip_projection`.
        sampling: ``lip_variation`` and ``mean_guidance``.
    """
    if sample.expression is None:
        return sample
    first = first_expression[:, None]
    change = (sampling.lip_variation - 1) * (sample.expression - first)  # (B, T, E)
    if mean.expression is not None:
        change = change + sampling.mean_guidance * (mean.expression - first)
    return Motion(sample.expression + change @ lip_projection, sample.pose, sample.lids)
