"""Motion that is drawn, or regressed, while the speech of a stored clip arrives, and how smooth its blocks join."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from expnet.audio.alignment import SAMPLES_PER_FRAME, mel_for_frames
from expnet.audio.speech_encoders import SpeechEncoder
from expnet.evaluation.store.clips import Clip
from expnet.models.flow_matching.live import LiveFlow, Schedule
from expnet.models.flow_matching.motion import Motion, join
from expnet.models.flow_matching.motion_flow import MotionFlow
from expnet.models.flow_matching.sampler import speech_source
from expnet.models.interfaces import ExpressionNetwork

Draw = Callable[[Clip], Motion]


class HeardFeatures:
    """Features of what a stream has heard, encoded once for all networks that read them.

    Args:
        encoder: The speech encoder.
    """

    def __init__(self, encoder: SpeechEncoder) -> None:
        self.encoder = encoder
        self._found: dict[tuple[str, int, int], Tensor] = {}

    def __call__(self, clip: Clip, begin: int, end: int) -> Tensor:
        """Return the features (1, T, F) of the frames ``begin ... end - 1``, encoded from these alone."""
        place = (clip.clip_id, begin, end)
        if place not in self._found:
            self._found[place] = torch.from_numpy(self.encoder(heard(clip, begin, end), end - begin))[None]
        return self._found[place]


def live_sampler(network: MotionFlow, features: HeardFeatures, schedule: Schedule, samples: int) -> Draw:
    """Return a function that draws motions of a clip as a stream does, from features of the speech heard so far."""

    @torch.no_grad()
    def draw(clip: Clip) -> Motion:
        first, pose = clip.expression[:1].expand(samples, -1), clip.pose[:1].expand(samples, -1)
        flow = LiveFlow(network, first, schedule, first_pose=pose, seed=list(range(samples)))
        blocks = []
        while flow.frame < clip.frames:
            begin, end = flow.first, schedule.heard(flow.frame)
            speech = speech_source(network, None, features(clip, begin, end), end - begin)(0, end - begin)
            blocks.append(flow.draw(speech.expand(samples, -1, -1)).between(0, schedule.hop))
        return join(blocks).between(0, clip.frames)

    return draw


def live_regression(network: ExpressionNetwork, features: HeardFeatures, schedule: Schedule) -> Draw:
    """Return a function that regresses the expression of a clip block by block, from the speech heard so far."""

    @torch.no_grad()
    def regress(clip: Clip) -> Motion:
        blocks, first = [], clip.expression[:1]
        for frame in range(0, clip.frames, schedule.hop):
            begin, end = max(frame - schedule.history, 0), schedule.heard(frame)
            mel = mel_for_frames(heard(clip, begin, end), 0, end - begin)[None]
            found = network(mel, end - begin, first, features=features(clip, begin, end))  # (1, T, E)
            blocks.append(found[:, frame - begin : frame - begin + schedule.hop])
        return Motion(torch.cat(blocks, dim=1)).between(0, clip.frames)

    return regress


def heard(clip: Clip, begin: int, end: int) -> np.ndarray:
    """Return the samples of some frames of a clip; after its end is silence."""
    audio = np.asarray(clip.track.audio[begin * SAMPLES_PER_FRAME : end * SAMPLES_PER_FRAME], np.float32)
    return np.pad(audio, (0, (end - begin) * SAMPLES_PER_FRAME - len(audio)))


def joins(motion: Motion, hop: int) -> dict[str, float]:
    """Return the velocity and the acceleration (sizes) at the joins of blocks over those inside.

    A velocity crosses a join if its two frames lie in two blocks; an acceleration if its three do.
    """
    found = {}
    for name, part in (("face", motion.expression), ("head", motion.pose)):
        if part is None:
            continue
        for order, key in ((1, "velocity"), (2, "acceleration")):
            size = torch.diff(part, n=order, dim=1).norm(dim=-1).mean(dim=0)  # (T - order,)
            number = torch.arange(len(size))
            across = torch.stack([(number + shift) % hop == 0 for shift in range(1, order + 1)]).any(dim=0)
            steady = number >= hop  # the first block starts from rest
            found[f"{name}_{key}"] = _ratio(size[across & steady], size[~across & steady])
    return found


def _ratio(across: Tensor, inside: Tensor) -> float:
    return float(across.mean() / inside.mean()) if len(across) and len(inside) else float("nan")
