"""The motion network as a system of the table: several performances of each clip."""

from __future__ import annotations

import zlib

import torch

from expnet.assets.encoders import source_of
from expnet.audio.speech_encoders import SpeechEncoder
from expnet.coefficients import split_pose
from expnet.evaluation.store.clips import Clip
from expnet.evaluation.store.prediction import Prediction
from expnet.models.flow_matching.motion_flow import MotionFlow
from expnet.models.flow_matching.solver import Sampling


class SampledMotion:
    """Draws expression and head motion of a clip with a motion network.

    Args:
        network: The motion network; it must draw the expression.
        speech_encoder: Computes the features that it was trained on; None if it needs none, or the clips bring them.
        samples: Performances that are drawn for each clip. The first one is scored, and all of them measure diversity
            and realism.
        seed: The seed of the draws, which also depend on the name of the clip, but not on its position.
        sampling: Steps, guidance and temperature; None for the defaults.
    """

    name = "sampled"
    title = "expnet, sampled"
    kind = "model"

    def __init__(
        self,
        network: MotionFlow,
        *,
        speech_encoder: SpeechEncoder | None = None,
        samples: int = 1,
        seed: int = 0,
        sampling: Sampling | None = None,
    ) -> None:
        self.network, self.speech_encoder = network, speech_encoder
        self.samples, self.seed, self.sampling = samples, seed, sampling
        size, source = sum(value.numel() for value in network.parameters()), source_of(network)
        heard = "the mel" if source is None else source.describe()
        self.description = f"Motion network ({size / 1e6:.1f} M parameters, on {heard}): one performance of many."

    def predict(self, clip: Clip) -> Prediction:
        """Draw performances of a clip; without head motion in the network, the pose is None."""
        count = self.samples
        seeds = [zlib.crc32(f"{self.seed}/{number}/{clip.clip_id}".encode()) for number in range(count)]
        features = None
        if source_of(self.network) is not None:
            encoder = self.speech_encoder
            features = clip.speech_features() if encoder is None else clip.encode(encoder)
        drawn = self.network.sample(
            clip.frames,
            clip.expression[:1].expand(count, -1),
            mel=clip.mel[None].expand(count, -1, -1) if features is None else None,
            features=None if features is None else features[None].expand(count, -1, -1),
            first_pose=clip.pose[:1].expand(count, -1),
            emotion=torch.tensor([clip.emotion if clip.emotion < self._emotions else 0]).expand(count),
            seed=seeds,
            sampling=self.sampling,
        )
        assert drawn.expression is not None
        several = count > 1
        poses = None if drawn.pose is None else clip.pose[:1] + drawn.pose  # (N, T, 6)
        return Prediction(
            drawn.expression[0],
            None if poses is None else poses[0],
            split_pose(poses)[0] if several and poses is not None else None,
            drawn.expression if several else None,
        )

    @property
    def _emotions(self) -> int:
        return max(int(self.network.options.get("emotions", 0)), 1)
