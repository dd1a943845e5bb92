"""How far a mouth should be open by the sound of its clip alone, as an audio-driven network hears it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from expnet.audio.alignment import mel_for_frames
from expnet.data.store.track import blink_closure, open_eye_ratio
from expnet.evaluation.videos.reader import Video
from expnet.face.morphable import MorphableModel
from expnet.metrics.functional import mouth_opening
from expnet.models.interfaces import load_expression_network
from expnet.models.packaged_weights import packaged_weights


class MouthListener:
    """An expression network that gives the mouth's opening for a sound.

    Args:
        model: face model whose coefficients the network regresses.
        weights: run folder, .ckpt or .safetensors. When None, those in the package that were trained on made speech
            alone: exactly in step with their sound, and strangers to every real clip, which the animating ones are not.

    Raises:
        InputError: the weights cannot be used.
    """

    def __init__(self, model: MorphableModel, weights: str | None = None) -> None:
        self.network = load_expression_network(weights or packaged_weights("expression-synthetic"))
        self.model = model
        self.name = weights or "expnet's, of made speech"

    @torch.no_grad()
    def __call__(self, video: Video) -> Tensor:
        """Opening (T,) in eye distances, on the video's own face, from its first frame's expression and its sound."""
        assert video.face is not None
        assert video.audio is not None
        face, frames = video.face, len(video)
        identity = torch.from_numpy(np.array(face.coefficients.identity)).float()
        first = torch.from_numpy(np.array(face.coefficients.expression[:1])).float()
        landmarks, valid = face.landmarks.numpy(), face.valid.numpy()
        lids = torch.from_numpy(blink_closure(landmarks, open_eye_ratio(landmarks, valid)))
        emotions = int(self.network.options.get("emotions", 0))
        expression = self.network(
            mel_for_frames(video.audio, 0, frames)[None],
            frames,
            first,
            blink=lids[None] if self.network.blink else None,
            emotion=torch.zeros(1, dtype=torch.long) if emotions else None,
        )[0]
        return mouth_opening(self.model.landmarks(identity, expression))
