"""Statistics of the training split, which models keep as buffers to normalise their inputs and outputs."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from expnet.data.clip_entry import ClipEntry
from expnet.data.dataset import FaceDataset
from expnet.errors import DataError


@dataclass(frozen=True)
class CoefficientStatistics:
    """Means and standard deviations over the training split, for normalisation.

    Args:
        expression_mean: (64,) mean of the expression over valid frames.
        expression_std: (64,) standard deviation of the expression over valid frames.
        pose_std: (6,) root mean square of the pose relative to a window's first frame.
        mel_mean: (80,) mean of each mel band.
        mel_std: (80,) standard deviation of each mel band.
    """

    expression_mean: Tensor
    expression_std: Tensor
    pose_std: Tensor
    mel_mean: Tensor
    mel_std: Tensor


def measure_statistics(entries: Sequence[ClipEntry], window: int) -> CoefficientStatistics:
    """Measure :class:`CoefficientStatistics` over clips, each cut into non-overlapping windows.

    Sums are accumulated in float64 in the order of the clips, so every process gets the same numbers.

    Raises:
        DataError: If there are no clips.
    """
    if not entries:
        raise DataError("there is no training clip to measure statistics on")
    dataset = FaceDataset(entries)
    expression, mel, pose = _Moments(), _Moments(), _Moments()
    for index in range(len(dataset)):
        batch = dataset[index]
        expression.add(batch.expression[batch.valid])  # (valid frames, 64)
        mel.add(batch.mel[0].T)  # (columns, 80)
        for first in range(0, batch.pose.shape[1], window):
            part, valid = batch.pose[0, first : first + window], batch.valid[0, first : first + window]
            pose.add((part - part[:1])[1:][valid[1:]])
    return CoefficientStatistics(expression.mean(), expression.std(), pose.rms(), mel.mean(), mel.std())


@dataclass(frozen=True)
class MotionStatistics:
    """How faces move within clips of the training split, for networks that draw motion.

    Args:
        expression_std: (64,) standard deviation of the expression from each clip's own mean: its motion, without the
            differences between people.
        lid_mean: Mean closure of the eyelids, in [0, 1].
        lid_std: Standard deviation of the closure of the eyelids.
    """

    expression_std: Tensor
    lid_mean: Tensor
    lid_std: Tensor


def measure_motion(entries: Sequence[ClipEntry]) -> MotionStatistics:
    """Measure :class:`MotionStatistics` over whole clips, in float64 and in the order of the clips.

    Raises:
        DataError: If there are no clips.
    """
    if not entries:
        raise DataError("there is no training clip to measure statistics on")
    dataset = FaceDataset(entries)
    expression, lids = _Moments(), _Moments()
    for index in range(len(dataset)):
        batch = dataset[index]
        seen = batch.expression[batch.valid].double()  # (valid frames, 64)
        if len(seen):
            expression.add(seen - seen.mean(0))
            lids.add(batch.blink[batch.valid][:, None])
    return MotionStatistics(expression.std(), lids.mean()[0], lids.std()[0])


class _Moments:
    """Sums of values and of their squares, in float64."""

    def __init__(self) -> None:
        self.count = 0
        self.total: Tensor | float = 0.0
        self.squares: Tensor | float = 0.0

    def add(self, values: Tensor) -> None:
        """Add values (n, D)."""
        values = values.double()
        self.count += len(values)
        self.total = self.total + values.sum(0)
        self.squares = self.squares + values.square().sum(0)

    def mean(self) -> Tensor:
        """Mean (D,)."""
        return torch.as_tensor(self.total / max(self.count, 1)).float()

    def std(self) -> Tensor:
        """Population standard deviation (D,)."""
        mean = torch.as_tensor(self.total / max(self.count, 1))
        return (torch.as_tensor(self.squares / max(self.count, 1)) - mean.square()).clamp_min(0).sqrt().float()

    def rms(self) -> Tensor:
        """Root mean square (D,)."""
        return torch.as_tensor(self.squares / max(self.count, 1)).sqrt().float()
