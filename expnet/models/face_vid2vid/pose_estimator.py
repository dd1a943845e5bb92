"""From an image to the motion of its keypoints: the pose and expression estimator that the generator was trained with.

It is in ``facevid2vid_00189-model.pth.tar`` and not in the safetensors files, whose videos are driven by coefficients.
"""

from __future__ import annotations

from collections import OrderedDict

import torch.nn.functional as F
from torch import Tensor, nn

from expnet.models.face_vid2vid.blocks import BottleneckBlock
from expnet.models.face_vid2vid.head_motion import HeadMotion, HeadMotionHeads


class PoseEstimator(HeadMotionHeads):
    """Estimates head pose and expression from an image.

    Args:
        keypoints: Number of keypoints K.
        width: Channels after the first convolution; the four stages have 4, 8, 16 and 32 times as many.
    """

    def __init__(self, keypoints: int = 15, width: int = 64) -> None:
        stages = [4 * width, 8 * width, 16 * width, 32 * width]
        super().__init__(stages[-1], keypoints)
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3)
        self.norm1 = nn.BatchNorm2d(width)
        for stage, (before, after) in enumerate(zip([width, *stages], stages, strict=False), start=2):
            self.add_module(f"conv{stage}", nn.Conv2d(before, after, 1))
            self.add_module(f"norm{stage}", nn.BatchNorm2d(after))
        self.block1 = _row(1, stages[0], 3)
        self.block2 = BottleneckBlock(stages[1], stride=2)
        self.block3 = _row(3, stages[1], 3)
        self.block4 = BottleneckBlock(stages[2], stride=2)
        self.block5 = _row(5, stages[2], 5)
        self.block6 = BottleneckBlock(stages[3], stride=2)
        self.block7 = _row(7, stages[3], 2)

    def forward(self, image: Tensor) -> HeadMotion:
        """Return the motion of images (B, 3, S, S) in [0, 1]."""
        x = F.max_pool2d(F.relu(self.norm1(self.conv1(image))), 3, stride=2, padding=1)
        x = self.block1(self._widen(x, 2))
        x = self.block3(self.block2(self._widen(x, 3)))
        x = self.block5(self.block4(self._widen(x, 4)))
        x = self.block7(self.block6(self._widen(x, 5)))
        motion = self.heads(x.mean((2, 3)))
        # The published code reads the yaw from the layer called roll, and the roll from the one called yaw.
        return motion._replace(yaw=motion.roll, roll=motion.yaw)

    def _widen(self, x: Tensor, stage: int) -> Tensor:
        return F.relu(self.get_submodule(f"norm{stage}")(self.get_submodule(f"conv{stage}")(x)))


def _row(number: int, channels: int, length: int) -> nn.Sequential:
    return nn.Sequential(OrderedDict((f"b{number}_{i}", BottleneckBlock(channels)) for i in range(length)))
