"""The lips that an expression network predicts for audio, whether it reads the mel alone or speech features too."""

from __future__ import annotations

import os

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from expnet.assets.encoders import open_speech_encoder
from expnet.assets.packaged_expression import expression_weights
from expnet.audio.alignment import SAMPLES_PER_FRAME, mel_for_frames
from expnet.audio.speech_encoders import SpeechEncoder
from expnet.face.measures import signed_mouth_opening
from expnet.face.morphable import builtin_face_model
from expnet.models.expression_regressor import ExpressionRegressor
from expnet.models.interfaces import load_expression_network


class PredictedLips:
    """An expression network and its speech encoder.

    Args:
        network: Regressor of the expression.
        encoder: Its speech encoder; None for a network that reads the mel alone.
    """

    def __init__(self, network: ExpressionRegressor, encoder: SpeechEncoder | None = None) -> None:
        self.network, self.encoder = network, encoder
        self.face = builtin_face_model()

    @torch.inference_mode()
    def opening(self, samples: NDArray[np.float32], first: Tensor) -> NDArray[np.float64]:
        """Opening of the lips in distances of the outer eye corners, (T,), negative where the lips intersect.

        Args:
            samples: (640 T,) audio.
            first: (E,) expression of the first frame.
        """
        frames = len(samples) // SAMPLES_PER_FRAME
        heard = {}
        if self.encoder is not None:
            heard["features"] = torch.from_numpy(self.encoder(samples, frames))[None]  # (1, T, F)
        expression = self.network(mel_for_frames(samples, 0, frames)[None], frames, first[None], **heard)[0]
        identity = expression.new_zeros(frames, self.face.identity_size)
        return signed_mouth_opening(self.face.landmarks(identity, expression)).double().numpy()  # (T,)


def open_lips(network: str | os.PathLike[str], encoder: str | os.PathLike[str] | None = None) -> PredictedLips:
    """Open a network: "mel" or "whisper" for a packaged one, or a run folder, .ckpt or .safetensors.

    Args:
        network: The network.
        encoder: Speech encoder of the network; None to search the fetched assets for it.
    """
    loaded = load_expression_network(expression_weights(network))
    assert isinstance(loaded, ExpressionRegressor)
    given = encoder if loaded.options.get("speech_features") else None
    return PredictedLips(loaded, open_speech_encoder(loaded, given))
