"""Ridge regression from log-mel to expression: the baseline that a network has to beat.

The features of a frame are 13 frames of a 40-band log-mel around it (half a second); in a first trial they gave r .46
and within-clip R2 .07 on unseen people. Clip means are removed from features and coefficients, so that only motion is
learned. A prediction starts at the clip's first frame: expression[t] = first + (d[t] - d[0]).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from expnet.audio.alignment import MEL_CONTEXT, MEL_PER_FRAME
from expnet.metrics.functional import within_clip_r2

CONTEXT = 6
"""Frames of context on either side."""
BANDS = 40
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Candidates that the validation clips choose from, as fractions of the features' mean covariance eigenvalue."""
DEFAULT_PENALTY = 1e-1


def ridge_features(mel: Tensor, frames: int) -> Tensor:
    """Cut out and pool the mel around each frame.

    Args:
        mel: (80, 16 + ceil(3.2 T) + 16), with frame i centred at column 16 + 3.2 (i + 1/2).
        frames: The number of frames, T.

    Returns:
        (T, 13 * 40) float64. Beyond the ends of the clip the nearest frame is repeated.
    """
    pairs = mel.double().reshape(BANDS, -1, mel.shape[-1]).mean(1)  # (40, columns)
    centres = MEL_CONTEXT + MEL_PER_FRAME * (torch.arange(frames, dtype=torch.float64) + 0.5)
    left = centres.floor().long() - 1
    columns = left[:, None] + torch.arange(4)  # the four columns that a frame of 3.2 covers
    pooled = pairs[:, columns].mean(-1).T  # (T, 40)
    places = (torch.arange(frames)[:, None] + torch.arange(-CONTEXT, CONTEXT + 1)).clamp(0, frames - 1)
    return pooled[places].flatten(1)  # (T, 13 * 40)


@dataclass(frozen=True, eq=False)
class RidgeRegression:
    """A fitted ridge regression.

    Attributes:
        weights: (13 * 40, E) regression weights.
        penalty: The chosen penalty, as a fraction of the mean eigenvalue.
        clips: The number of training clips.
    """

    weights: Tensor
    penalty: float
    clips: int

    def predict(self, mel: Tensor, first_expression: Tensor, frames: int) -> Tensor:
        """Return the expression of every frame, (T, E) float32."""
        motion = ridge_features(mel, frames) @ self.weights  # (T, E)
        return (first_expression.double() + motion - motion[:1]).float()


Example = tuple[Tensor, Tensor, Tensor]
"""mel (80, N), expression (T, E), valid (T,) boolean."""


def fit_ridge(
    train: Iterable[Example], validation: Iterable[Example], *, metric: Tensor | None = None
) -> RidgeRegression:
    """Fit by normal equations in one pass over the training clips, and choose the penalty on the validation clips.

    Args:
        train: The examples to learn from.
        validation: The examples that choose the penalty; without any it is ``DEFAULT_PENALTY``.
        metric: (E, E) weights of the coefficients in this choice.

    Raises:
        ValueError: There is no training clip.
    """
    covariance, cross, clips, frames = None, None, 0, 0
    for mel, expression, valid in train:
        features = ridge_features(mel, len(expression))[valid]
        target = expression.double()[valid]
        if len(features) < 2:
            continue
        features, target = features - features.mean(0), target - target.mean(0)
        covariance = features.T @ features + (0.0 if covariance is None else covariance)
        cross = features.T @ target + (0.0 if cross is None else cross)
        clips, frames = clips + 1, frames + len(features)
    if covariance is None or cross is None:
        raise ValueError("ridge regression needs at least one training clip of two valid frames")
    values, vectors = torch.linalg.eigh(covariance / frames)  # one decomposition serves every penalty
    rotated = vectors.T @ (cross / frames)
    scale = values.clamp(min=0).mean().clamp(min=1e-12)

    def solve(penalty: float) -> Tensor:
        return vectors @ (rotated / (values.clamp(min=0) + penalty * scale)[:, None])

    candidates = [RidgeRegression(solve(penalty), penalty, clips) for penalty in PENALTIES]
    explained = torch.zeros(len(candidates), dtype=torch.float64)
    for mel, expression, valid in validation:
        for index, candidate in enumerate(candidates):
            predicted = candidate.predict(mel, expression[0], len(expression))
            r2, weight = within_clip_r2(predicted, expression, metric=metric, valid=valid)
            explained[index] += torch.nan_to_num(r2) * weight
    if not explained.any():
        return RidgeRegression(solve(DEFAULT_PENALTY), DEFAULT_PENALTY, clips)
    return candidates[int(explained.argmax())]
