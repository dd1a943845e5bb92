"""Speech features that are computed in the batch, on the device of the training, instead of read from a folder.

The encoder hears the augmented audio of a window and its context, so noise, rooms and silence reach the features
without stored copies. A stored feature has heard up to 28 s of its clip and this one the window and its context only,
at other positions, so the two differ: with windows of 64 frames of real speech, features of Whisper tiny's third block
correlate by .937 with the stored ones for 1 s of context, by .956 for 2 s and by .963 for 4 s. Features of whole clips,
which are validated and animated, are those that would be stored.
"""

from dataclasses import replace

import torch
from torch import Tensor

from expnet.assets.registry import locate
from expnet.audio.alignment import FRAME_RATE, SAMPLES_PER_FRAME
from expnet.audio.speech_encoders import FeatureSource
from expnet.audio.speech_encoders.whisper import PIECE, WhisperSpeechEncoder
from expnet.data.batch import FaceBatch

ONLINE = "online"
"""Value of ``data.features`` for features that are computed in the batch."""


class OnlineFeatures:
    """Computes the speech features of batches.

    Args:
        encoder: The encoder.
        context: Seconds of audio before and after a window that the encoder hears.
    """

    def __init__(self, encoder: WhisperSpeechEncoder, context: float = 2.0) -> None:
        self.encoder = encoder
        self.context = round(context * FRAME_RATE)

    @property
    def source(self) -> FeatureSource:
        """Identity of the features."""
        return self.encoder.source

    def __call__(self, batch: FaceBatch) -> FaceBatch:
        """Return a batch with features (B, T, F) in place of its audio.

        As with stored features, frames after the end of a clip have the features of its last frame.
        """
        encoded = self._encode(batch.audio)  # (B, N, F)
        frames = torch.arange(batch.expression.shape[1], device=encoded.device)
        place = batch.audio_before[:, None] + torch.minimum(frames[None], batch.frames[:, None] - 1)  # (B, T)
        features = encoded.gather(1, place[..., None].expand(-1, -1, encoded.shape[-1]))  # (B, T, F)
        return replace(batch, features=features, audio=batch.audio.new_zeros(len(batch), 0))

    def _encode(self, audio: Tensor) -> Tensor:
        """Encode (B, 640 N) to (B, N, F); a long clip by itself in pieces, as for stored features."""
        self.encoder.to(audio.device)
        frames = audio.shape[1] // SAMPLES_PER_FRAME
        if frames <= PIECE:
            return self.encoder.encode(audio)
        clips = [torch.from_numpy(self.encoder(clip.cpu().numpy(), frames)) for clip in audio]
        return torch.stack(clips).to(audio.device)


def open_online_features(encoder: str, layer: int | None, context: float) -> OnlineFeatures:
    """Open a fetched encoder, such as ``whisper-tiny.en``.

    Raises:
        MissingAssetError: It is not fetched.
        InputError: Its file is damaged, or it has no such layer.
    """
    return OnlineFeatures(WhisperSpeechEncoder(locate(encoder), layer=layer), context)
