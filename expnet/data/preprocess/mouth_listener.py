"""The network that hears how a mouth moves, with which the offset between audio and video is estimated.

Where the speech encoder of the packaged network on speech features is found, that network listens; otherwise the one
that was trained on synthetic speech only. There, audio and lips are synchronous by construction, so no real clip with
late audio has taught it a delay; the other network was trained on clips that it had synchronised.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from expnet.assets.encoders import open_speech_encoder
from expnet.assets.packaged_expression import choose, expression_weights
from expnet.audio.alignment import mel_for_frames
from expnet.audio.speech_encoders import SpeechEncoder
from expnet.data.store.track import Track
from expnet.face.morphable import builtin_face_model
from expnet.models.expression_regressor import ExpressionRegressor
from expnet.models.packaged_weights import packaged_weights
from expnet.models.saved_model import load_model


@dataclass(frozen=True)
class MouthListener:
    """A network that predicts the mouth from audio, and how much its agreement with the tracked mouth says.

    The last two values were fitted on real clips of 2 to 18 s, one in seven of which was given the audio of another
    clip: of estimates with confidence c, a share of c or more is correct (benchmarks/sync_offset.py prints it).

    Attributes:
        network: The expression network.
        encoder: Its speech encoder; None for a network that reads the mel alone.
        evidence_per_frame: What one frame adds to the log-likelihood of a lag per unit of correlation.
        unrelated_correlation: The correlation at which unrelated audio is equally likely.
    """

    network: ExpressionRegressor
    encoder: SpeechEncoder | None
    evidence_per_frame: float
    unrelated_correlation: float

    @torch.inference_mode()
    def landmarks(self, track: Track) -> Tensor:
        """Return the landmarks (T, 68, 3) of the mean face that speaks the audio of a clip."""
        face = builtin_face_model()
        mel = mel_for_frames(track.audio, 0, track.frames)[None]
        features = {}
        if self.encoder is not None:
            features["features"] = torch.from_numpy(self.encoder(track.audio, track.frames))[None]  # (1, T, F)
        expression = self.network(mel, track.frames, self.network.expression_mean[None], **features)[0]  # (T, 64)
        return face.landmarks(torch.zeros(face.identity_size), expression)


@cache
def open_listener(speech_features: bool) -> MouthListener:
    """Open the listener on speech features, or that on the mel."""
    if not speech_features:
        network = load_model(packaged_weights("expression-synthetic"), "expression")
        assert isinstance(network, ExpressionRegressor)
        return MouthListener(network, None, evidence_per_frame=0.31, unrelated_correlation=0.17)
    network = load_model(expression_weights("whisper"), "expression")
    assert isinstance(network, ExpressionRegressor)
    encoder = open_speech_encoder(network, None)
    return MouthListener(network, encoder, evidence_per_frame=0.31, unrelated_correlation=0.17)


def best_listener() -> MouthListener:
    """Open the listener on speech features if its encoder was fetched, otherwise that on the mel."""
    return open_listener(choose().encoder is not None)
