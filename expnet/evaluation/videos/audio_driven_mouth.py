"""The mouth opening that the audio of a video predicts, from an expression network."""

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


class AudioDrivenMouth:
    """An expression network that predicts how far the mouth of a video should be open.

    Args:
        model: The face model whose coefficients the network regresses.
        weights: A run folder, .ckpt or .safetensors file. By default the packaged network that was trained on
            synthetic speech alone: its training targets are exactly in step with their audio, and it has seen no real
            clip, unlike the packaged network that animates.

    Raises:
        InputError: The weights cannot be used.
    """

    def __init__(self, model: MorphableModel, weights: str | None = None) -> None:
        self.network = load_expression_network(weights or packaged_weights("expression-synthetic"))
        self.model = model
        # This name is part of the metrics' protocol and its hash, so it stays as it was first written.
        self.name = weights or "expnet's, of made speech"

    @torch.no_grad()
    def __call__(self, video: Video) -> Tensor:
        """Return the opening (T,) in eye distances on the face in the video, given its first expression and audio."""
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
