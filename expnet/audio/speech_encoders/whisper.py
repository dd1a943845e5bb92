"""Whisper's encoder as a source of speech features (Radford et al. 2022, arXiv 2212.04356).

The middle blocks represent phones best, the last ones words: a linear readout of the mouth opening is most accurate
after the third block, for the tiny and for the base model.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from expnet.audio.alignment import FRAME_RATE, SAMPLES_PER_FRAME, fit_length
from expnet.audio.mel import mel_filterbank
from expnet.audio.speech_encoders.encoder import FeatureSource
from expnet.audio.speech_encoders.whisper_weights import KEPT_BLOCKS, WhisperWeights, read_whisper
from expnet.audio.stored_samples import Samples
from expnet.errors import InputError

PIECE = 28 * FRAME_RATE
"""Frames encoded at a time: with context on both sides, the 30 s that the network was trained on."""
CONTEXT = FRAME_RATE
"""Frames of audio context before and after each piece."""
MEL_BANDS = 80

# Constants of openai/whisper:whisper/audio.py.
_WINDOW, _HOP = 400, 160
_FLOOR = 1e-10
_RANGE = 8.0  # decades below the loudest value that are kept
_COLUMNS_PER_FRAME = SAMPLES_PER_FRAME // _HOP  # 4; the encoder halves them


class WhisperBlock(nn.Module):
    """A Transformer block with layer normalisation before attention and MLP.

    Args:
        width: D.
        heads: Number of attention heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp_in = nn.Linear(width, 4 * width)
        self.mlp_out = nn.Linear(4 * width, width)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (B, N, D) to (B, N, D)."""
        query, key, value = self.qkv(self.attention_norm(hidden)).unflatten(-1, (3, self.heads, -1)).unbind(2)
        attended = F.scaled_dot_product_attention(*(x.transpose(1, 2) for x in (query, key, value)))  # (B, H, N, D / H)
        hidden = hidden + self.attention_out(attended.transpose(1, 2).flatten(2))
        return hidden + self.mlp_out(F.gelu(self.mlp_in(self.mlp_norm(hidden))))


class WhisperEncoder(nn.Module):
    """The first blocks of Whisper's encoder.

    Args:
        weights: The parameters.
    """

    positions: Tensor

    def __init__(self, weights: WhisperWeights) -> None:
        super().__init__()
        positions, width = weights.arrays["positions"].shape
        self.conv1 = nn.Conv1d(MEL_BANDS, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.register_buffer("positions", torch.empty(positions, width))
        self.blocks = nn.ModuleList(WhisperBlock(width, weights.heads) for _ in range(weights.blocks))
        self.load_state_dict({name: torch.from_numpy(np.float32(array)) for name, array in weights.arrays.items()})

    def forward(self, mel: Tensor) -> Tensor:
        """Encode mel (B, 80, 2 N) of `whisper_mel` to (B, N, D), vector k centred on column 2 k; N is at most 1500."""
        hidden = F.gelu(self.conv2(F.gelu(self.conv1(mel)))).transpose(1, 2)  # (B, N, D)
        hidden = hidden + self.positions[: hidden.shape[1]]
        for block in self.blocks:
            hidden = block(hidden)
        return hidden


class WhisperSpeechEncoder:
    """Features of one block of Whisper's encoder, one vector per video frame.

    Vector k of the encoder is centred on sample 320 k, and frame i on sample 640 i + 320, which is vector 2 i + 1. The
    feature of frame i is the average of vectors 2 i, 2 i + 1 and 2 i + 2 with weights 1/4, 1/2 and 1/4. The audio is
    not padded to 30 s: shorter audio uses the first positions, which costs less and is as accurate. Long recordings are
    encoded in pieces of 28 s with a second of context on either side, in constant memory.

    Args:
        path: Weights, see `expnet.audio.speech_encoders.whisper_weights.read_whisper`.
        layer: Block whose output is taken, from 1; 0 for the input of the first block; None for the third.
        device: Device to run on.

    Raises:
        InputError: There are no such weights, or they have no such block.
    """

    def __init__(self, path: str | os.PathLike[str], *, layer: int | None = None, device: str = "cpu") -> None:
        layer = KEPT_BLOCKS if layer is None else layer
        if layer < 0:
            raise InputError(f"There is no layer {layer}: give one from 0, the input of the first block.")
        weights = read_whisper(path, layer)
        self.device = torch.device(device)
        self.network = WhisperEncoder(weights).eval().to(self.device)
        size = weights.arrays["positions"].shape[1]
        self.source = FeatureSource(encoder="whisper", layer=layer, size=size, sha256=weights.sha256())

    def to(self, device: torch.device | str) -> None:
        """Move the network to another device."""
        if torch.device(device) != self.device:
            self.device = torch.device(device)
            self.network.to(self.device)

    @torch.inference_mode()
    def __call__(self, samples: Samples, frames: int) -> NDArray[np.float32]:
        """Encode a recording, see `expnet.audio.speech_encoders.SpeechEncoder`."""
        features = np.empty((frames, self.source.size), np.float32)  # written in place: an hour takes 140 MB
        begin = 0
        for piece in self.pieces(samples, frames):
            features[begin : begin + len(piece)] = piece
            begin += len(piece)
        return features

    def pieces(self, samples: Samples, frames: int) -> Iterator[NDArray[np.float32]]:
        """Yield the features piece by piece, see `expnet.audio.speech_encoders.SpeechEncoder`."""
        for begin in range(0, frames, PIECE):
            end = min(begin + PIECE, frames)
            left, right = max(begin - CONTEXT, 0), min(end + CONTEXT, frames)
            part = np.asarray(samples[left * SAMPLES_PER_FRAME : right * SAMPLES_PER_FRAME], np.float32)
            audio = torch.from_numpy(fit_length(part, right - left))
            yield self.encode(audio[None])[0, begin - left : end - left].cpu().numpy()

    @torch.inference_mode()
    def encode(self, audio: Tensor) -> Tensor:
        """Encode clips of one length.

        Args:
            audio: (B, 640 T) at 16 kHz, at most 30 s.

        Returns:
            (B, T, F) on the encoder's device.
        """
        hidden = self.network(whisper_mel(audio.to(self.device)))  # (B, 2 T, D)
        hidden = torch.cat([hidden, hidden[:, -1:]], dim=1)  # the vector after the last frame
        return 0.25 * hidden[:, 0:-1:2] + 0.5 * hidden[:, 1::2] + 0.25 * hidden[:, 2::2]  # (B, T, D)


def whisper_mel(audio: Tensor) -> Tensor:
    """Compute Whisper's log-mel spectrogram.

    ``(max(L, max(L) - 8) + 4) / 4`` with ``L = log10(max(M |STFT|^2, 1e-10))``, a Hann window of 400 samples, a hop of
    160, and M the Slaney filterbank of 80 bands up to 8 kHz; column k is centred on sample 160 k.

    Args:
        audio: (B, S) at 16 kHz in [-1, 1].

    Returns:
        (B, 80, S // 160)
    """
    window = torch.hann_window(_WINDOW, device=audio.device)
    spectrum = torch.stft(audio, _WINDOW, _HOP, window=window, return_complex=True)[..., :-1].abs().square()
    basis = torch.as_tensor(mel_filterbank(_WINDOW, 0.0, 8000.0), dtype=audio.dtype, device=audio.device)  # (80, 201)
    logarithm = (basis @ spectrum).clamp_min(_FLOOR).log10()
    loudest = logarithm.amax(dim=(1, 2), keepdim=True)
    return (torch.maximum(logarithm, loudest - _RANGE) + 4.0) / 4.0
