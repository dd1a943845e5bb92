"""Self-supervised speech features (wav2vec 2.0, HuBERT, WavLM) from the user's own weights, one vector per video frame.

This needs the extra ``pip install 'expnet[features]'`` (transformers) and a folder with ``config.json`` and safetensors
weights, as published. Nothing is downloaded, and only safetensors files are read.

The networks take 16 kHz audio and return a vector every 320 samples, each from 400 samples. The audio is padded by 40
zeros on either side, so that vector k is centred on sample ``320 k + 160``. The centre of video frame i, sample
``640 i + 320``, then lies midway between vectors 2 i and 2 i + 1, and linear interpolation there is their mean.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor

from expnet.audio.alignment import FRAME_RATE, SAMPLES_PER_FRAME, fit_length
from expnet.audio.speech_encoders.encoder import ENCODERS, FeatureSource
from expnet.audio.stored_samples import Samples
from expnet.errors import InputError, MissingAssetError

SELF_SUPERVISED = tuple(name for name in ENCODERS if name != "whisper")
PIECE = 20 * FRAME_RATE
"""Frames encoded at a time, since the cost of attention is quadratic."""
OVERLAP = 2 * FRAME_RATE
"""Frames of audio context before and after each piece."""


class SelfSupervisedEncoder:
    """A published speech network that turns audio into features.

    Args:
        folder: Folder with ``config.json`` and safetensors weights. ``preprocessor_config.json`` says whether the
            network expects audio of mean 0 and variance 1; without that file it is assumed to.
        encoder: The one of `SELF_SUPERVISED` that the folder must hold; None accepts any.
        layer: Transformer block whose output is taken; None for the last.
        device: Device to run on.

    Raises:
        MissingAssetError: transformers is not installed.
        InputError: The folder holds no such network, or there is no such layer.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        encoder: str | None = None,
        layer: int | None = None,
        device: str = "cpu",
    ) -> None:
        self.folder, self.device = Path(folder), torch.device(device)
        self._network, digest = _open_network(self.folder, encoder)
        options = self._network.config
        if layer is not None and not 0 <= layer <= options.num_hidden_layers:
            raise InputError(
                f"{folder} has no layer {layer}: give one from 0, the input of the first block, to "
                f"{options.num_hidden_layers}, the last."
            )
        self.source = FeatureSource(
            encoder=options.model_type,
            layer=options.num_hidden_layers if layer is None else layer,
            size=options.hidden_size,
            sha256=digest,
        )
        self._normalise = bool(_read_json(self.folder / "preprocessor_config.json").get("do_normalize", True))
        self._hop = math.prod(options.conv_stride)
        reach = 1
        for kernel, stride in zip(reversed(options.conv_kernel), reversed(options.conv_stride), strict=True):
            reach = (reach - 1) * stride + kernel
        if SAMPLES_PER_FRAME % self._hop or (reach - self._hop) % 2:
            raise InputError(
                f"{folder} returns a vector every {self._hop} samples from a window of {reach}, which does not fit the "
                f"{SAMPLES_PER_FRAME} samples of a video frame; expected a hop of 320 and a window of 400."
            )
        self._margin = (reach - self._hop) // 2
        self._network.to(self.device)

    def __call__(self, samples: Samples, frames: int) -> NDArray[np.float32]:
        """Encode a recording, see `expnet.audio.speech_encoders.SpeechEncoder`."""
        return np.concatenate(list(self.pieces(samples, frames)))

    def pieces(self, samples: Samples, frames: int) -> Iterator[NDArray[np.float32]]:
        """Yield the features piece by piece, see `expnet.audio.speech_encoders.SpeechEncoder`."""
        audio = torch.from_numpy(fit_length(np.asarray(samples, np.float32), frames))
        if self._normalise:
            audio = (audio - audio.mean()) / (audio.var(unbiased=False) + 1e-7).sqrt()
        for begin in range(0, frames, PIECE):
            end = min(begin + PIECE, frames)
            left, right = max(begin - OVERLAP, 0), min(begin + PIECE + OVERLAP, frames)
            encoded = self._encode(audio[left * SAMPLES_PER_FRAME : right * SAMPLES_PER_FRAME])
            yield encoded[begin - left : end - left].cpu().numpy()

    @torch.inference_mode()
    def _encode(self, audio: Tensor) -> Tensor:
        """Return features (n, F) of the audio of n video frames."""
        padded = torch.nn.functional.pad(audio, (self._margin, self._margin)).to(self.device)
        states = self._network(padded[None], output_hidden_states=True).hidden_states
        return states[self.source.layer][0].unflatten(0, (-1, SAMPLES_PER_FRAME // self._hop)).mean(dim=1)


def _open_network(folder: Path, encoder: str | None) -> tuple[Any, str]:
    """Return the network of a folder and the sha256 of its weights."""
    found = _read_json(folder / "config.json").get("model_type")
    if found not in SELF_SUPERVISED or encoder not in (None, found):
        raise InputError(
            f"{folder} is not the folder of a {encoder or ' or '.join(SELF_SUPERVISED)} network"
            + (f" (its config.json says {found!r})" if found else " (it has no config.json)")
            + "; give one with config.json and model.safetensors."
        )
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise InputError(f"{folder} holds no .safetensors file; other weight formats can run code and are not read.")
    try:
        from transformers import AutoModel
    except ImportError as error:
        raise MissingAssetError(
            f"Speech features need the transformers library ({error}): pip install 'expnet[features]'."
        ) from error
    try:
        network, loaded = AutoModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise InputError(f"{folder} holds no network that transformers can load: {error}") from error
    # transformers fills missing weights with random numbers. (masked_spec_embed is used in pre-training only.)
    missing = sorted(set(loaded["missing_keys"]) - {"masked_spec_embed"})
    if missing:
        raise InputError(f"{folder} is incomplete: its weights lack {missing[0]} and {len(missing) - 1} more.")
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            hashlib.file_digest(stream, lambda: digest)
    return network.eval(), digest.hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    """Return the contents of a JSON file, empty if there is none."""
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not a JSON file that can be read ({error}).") from error
