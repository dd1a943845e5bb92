"""Weights of Whisper's encoder (Radford et al. 2022, arXiv 2212.04356) from the files in which they are distributed.

All files hold the same half-precision numbers: the publisher's safetensors as float32, CTranslate2's ``model.bin`` and
expnet's own as float16. The checksum is therefore taken of the numbers, so that it does not depend on the file.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from expnet.audio.speech_encoders.ctranslate2 import read_ctranslate2
from expnet.errors import InputError
from expnet.io.atomic import atomic_path

KEPT_BLOCKS = 3
"""Blocks of the encoder that expnet uses and keeps."""
_FORMAT = "expnet-whisper-encoder"
_STEM = ("conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias", "positions")
_BLOCK = (
    "attention_norm.weight",
    "attention_norm.bias",
    "qkv.weight",
    "qkv.bias",
    "attention_out.weight",
    "attention_out.bias",
    "mlp_norm.weight",
    "mlp_norm.bias",
    "mlp_in.weight",
    "mlp_in.bias",
    "mlp_out.weight",
    "mlp_out.bias",
)
# Parts of a block as CTranslate2 calls them, in the order of _BLOCK.
_CTRANSLATE2_BLOCK = (
    "self_attention/layer_norm/gamma",
    "self_attention/layer_norm/beta",
    "self_attention/linear_0/weight",
    "self_attention/linear_0/bias",
    "self_attention/linear_1/weight",
    "self_attention/linear_1/bias",
    "ffn/layer_norm/gamma",
    "ffn/layer_norm/beta",
    "ffn/linear_0/weight",
    "ffn/linear_0/bias",
    "ffn/linear_1/weight",
    "ffn/linear_1/bias",
)
# The same as transformers calls them; queries, keys and values are apart there.
_TRANSFORMERS_BLOCK = (
    ("attention_norm", "self_attn_layer_norm"),
    ("attention_out", "self_attn.out_proj"),
    ("mlp_norm", "final_layer_norm"),
    ("mlp_in", "fc1"),
    ("mlp_out", "fc2"),
)
_HEAD_SIZE = 64  # of every published size of Whisper


@dataclass(frozen=True)
class WhisperWeights:
    """The first blocks of an encoder.

    Attributes:
        arrays: Parameters by name: ``conv1``, ``conv2``, ``positions`` (P, D), and ``blocks.N`` with the names of the
            module `expnet.audio.speech_encoders.whisper.WhisperEncoder`.
        blocks: Number of Transformer blocks among them.
        heads: Number of attention heads.
    """

    arrays: dict[str, NDArray]
    blocks: int
    heads: int

    def first(self, blocks: int) -> WhisperWeights:
        """Return the weights of the first blocks only."""
        names = _names(blocks)
        return WhisperWeights({name: self.arrays[name] for name in names}, blocks, self.heads)

    def sha256(self) -> str:
        """Return the checksum of the half-precision numbers, in hexadecimal."""
        digest = hashlib.sha256(json.dumps([self.blocks, self.heads]).encode())
        for name in _names(self.blocks):
            digest.update(np.ascontiguousarray(self.arrays[name], "<f2").tobytes())
        return digest.hexdigest()


def holds_whisper(path: str | os.PathLike[str]) -> bool:
    """Return whether a file or folder looks like a Whisper encoder, without reading its weights."""
    path = Path(path)
    if path.is_file():
        return path.suffix in (".bin", ".safetensors")
    if (path / "model.bin").is_file():
        return True
    try:
        return json.loads((path / "config.json").read_text(encoding="utf-8")).get("model_type") == "whisper"
    except (OSError, ValueError, AttributeError):
        return False


def read_whisper(path: str | os.PathLike[str], blocks: int | None = None) -> WhisperWeights:
    """Read the encoder of a Whisper model.

    Args:
        path: A safetensors file (expnet's or the publisher's), CTranslate2's ``model.bin``, or a folder with either.
        blocks: Number of Transformer blocks to read; None for all.

    Raises:
        InputError: The file is missing, damaged, of another network, or has fewer blocks.
    """
    file = _file_of(Path(path))
    weights = _read_ctranslate2(file, blocks) if file.suffix == ".bin" else _read_safetensors(file, blocks)
    _check_shapes(file, weights)
    return weights


def write_whisper(path: str | os.PathLike[str], weights: WhisperWeights) -> None:
    """Write an encoder as float16 safetensors, with its number of heads in the header."""
    arrays = {name: np.ascontiguousarray(array, np.float16) for name, array in weights.arrays.items()}
    header = {"format": _FORMAT, "heads": str(weights.heads), "blocks": str(weights.blocks)}
    with atomic_path(path) as partial:
        save_file(arrays, partial, header)


def _names(blocks: int) -> list[str]:
    return [*_STEM, *(f"blocks.{index}.{part}" for index in range(blocks) for part in _BLOCK)]


def _file_of(path: Path) -> Path:
    if path.is_file():
        return path
    for name in ("model.safetensors", "model.bin"):
        if (path / name).is_file():
            return path / name
    raise InputError(
        f"{path} holds no Whisper encoder; give a folder with model.safetensors or CTranslate2's model.bin."
    )


def _read_ctranslate2(file: Path, blocks: int | None) -> WhisperWeights:
    def wanted(name: str) -> bool:
        block = re.match(r"encoder/layer_(\d+)/", name)
        return name.startswith("encoder/") and (blocks is None or block is None or int(block[1]) < blocks)

    found = read_ctranslate2(file, wanted)
    if "encoder/conv1/weight" not in found or "encoder/num_heads" not in found:
        raise InputError(f"{file} is a CTranslate2 model of another network; expected Whisper.")
    numbers = {int(match[1]) for name in found if (match := re.match(r"encoder/layer_(\d+)/", name))}
    arrays = {name: found.get("encoder/" + name.replace(".", "/")) for name in _STEM[:4]}
    arrays["positions"] = found.get("encoder/position_encodings/encodings")
    for index in sorted(numbers):
        for ours, theirs in zip(_BLOCK, _CTRANSLATE2_BLOCK, strict=True):
            arrays[f"blocks.{index}.{ours}"] = found.get(f"encoder/layer_{index}/{theirs}")
    return _complete(file, arrays, len(numbers), int(found["encoder/num_heads"]), blocks)


def _read_safetensors(file: Path, blocks: int | None) -> WhisperWeights:
    try:
        with safe_open(file, framework="numpy") as tensors:
            header = tensors.metadata() or {}
            names = set(tensors.keys())
            if header.get("format") == _FORMAT:
                count = int(header["blocks"]) if blocks is None else blocks
                arrays = {name: tensors.get_tensor(name) if name in names else None for name in _names(count)}
                return _complete(file, arrays, int(header["blocks"]), int(header["heads"]), blocks)
            prefix = next((p for p in ("model.encoder.", "encoder.", "") if f"{p}conv1.weight" in names), None)
            if prefix is None or f"{prefix}embed_positions.weight" not in names:
                raise InputError(f"{file} holds another network; expected the weights of Whisper.")
            numbers = {int(m[1]) for name in names if (m := re.match(rf"{re.escape(prefix)}layers\.(\d+)\.", name))}
            count = len(numbers) if blocks is None else blocks

            def get(name: str) -> NDArray | None:
                return tensors.get_tensor(prefix + name) if prefix + name in names else None

            published = {name: get(name) for name in _STEM[:4]}
            published["positions"] = get("embed_positions.weight")
            for index in range(min(count, len(numbers))):
                published |= _transformers_block(get, index)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{file} is damaged or was cut off ({error}); download it again.") from error
    width = published["conv1.weight"].shape[0] if published["conv1.weight"] is not None else 0
    return _complete(file, published, len(numbers), width // _HEAD_SIZE, blocks)


def _transformers_block(get: Callable[[str], NDArray | None], index: int) -> dict[str, NDArray | None]:
    """Return the parameters of one block; the keys have no bias there, which is a bias of zeros here."""
    arrays: dict[str, NDArray | None] = {}
    for ours, theirs in _TRANSFORMERS_BLOCK:
        for kind in ("weight", "bias"):
            arrays[f"blocks.{index}.{ours}.{kind}"] = get(f"layers.{index}.{theirs}.{kind}")
    weights = [get(f"layers.{index}.self_attn.{name}_proj.weight") for name in "qkv"]
    biases = [get(f"layers.{index}.self_attn.{name}_proj.bias") for name in "qv"]
    found = [array for array in (*weights, *biases) if array is not None]
    if len(found) == len(weights) + len(biases):
        arrays[f"blocks.{index}.qkv.weight"] = np.concatenate(found[:3])
        arrays[f"blocks.{index}.qkv.bias"] = np.concatenate([found[3], np.zeros_like(found[3]), found[4]])
    return arrays


def _complete(
    file: Path, arrays: dict[str, NDArray | None], available: int, heads: int, blocks: int | None
) -> WhisperWeights:
    """Check that nothing is missing."""
    if blocks is not None and blocks > available:
        raise InputError(
            f"{file} has {available} Transformer blocks, and {blocks} are needed; fetch the whole encoder."
        )
    count = available if blocks is None else blocks
    missing = [name for name in _names(count) if arrays.get(name) is None]
    if missing:
        raise InputError(f"{file} is incomplete: it lacks {missing[0]} and {len(missing) - 1} more.")
    return WhisperWeights({name: arrays[name] for name in _names(count)}, count, heads)  # type: ignore[misc]


def _check_shapes(file: Path, weights: WhisperWeights) -> None:
    width = weights.arrays["positions"].shape[-1]
    expected: dict[str, tuple[int, ...]] = {"conv1.weight": (width, 80, 3), "conv2.weight": (width, width, 3)}
    for index in range(weights.blocks):
        expected[f"blocks.{index}.qkv.weight"] = (3 * width, width)
        expected[f"blocks.{index}.mlp_in.weight"] = (4 * width, width)
    for name, shape in expected.items():
        if weights.arrays[name].shape != shape:
            raise InputError(
                f"{file} is another network: {name} has shape {weights.arrays[name].shape}, expected {shape}."
            )
