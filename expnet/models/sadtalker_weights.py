"""SadTalker's published weights, read into this project's modules by the names of their parameters.

==========================================  ==============================  ================================
file                                        tensors                         networks
==========================================  ==============================  ================================
``SadTalker_V0.0.2_{256,512}.safetensors``  ``audio2exp.*, audio2pose.*``   both, beside the renderer's
``auido2exp_00300-model.pth``               ``model``: ``mapping1.*``, ...  expression (the name is spelt so)
``auido2pose_00140-model.pth``              ``model``: ``netG.*``, ...      head pose (likewise)
==========================================  ==============================  ================================

Source: OpenTalker/SadTalker ``src/utils/model2safetensor.py`` (the safetensors are the state dict of one module that
holds all), ``src/test_audio2coeff.py`` (how the .pth files are read). Nothing is downloaded, and nothing in a file can
run code.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor

from expnet.errors import InputError
from expnet.models.sadtalker import SADTALKER_EXPRESSION, STYLES

# Where each network's tensors lie in a file that holds both.
PREFIXES = {"expression": "audio2exp.", "pose": "audio2pose."}
# A name that only this network's own file has.
MARKS = {"expression": "mapping1.weight", "pose": "netG.decoder.pose_linear.weight"}
# Beginnings of names there and here; what is not listed is not needed to draw coefficients: the discriminator.
NAMES = {
    "expression": {"audio_encoder.": "audio_encoder.audio_encoder.", "mapping1.": "head."},
    "pose": {
        "audio_encoder.": "audio_encoder.",
        "netG.encoder.": "encoder.",
        "netG.decoder.": "decoder.",
    },
}
ORIGIN = "SadTalker's published weights ({}), https://github.com/OpenTalker/SadTalker, under that project's licence"
OPTIONS: dict[str, dict[str, Any]] = {
    "expression": SADTALKER_EXPRESSION,
    "pose": {"network": "sadtalker", "styles": STYLES, "tied_variance": True},
}


def sadtalker_tasks(path: Path) -> tuple[str, ...]:
    """Return which of SadTalker's two networks a file holds; none for a file of anything else.

    Args:
        path: a ``.safetensors`` or ``.pth`` file.

    Raises:
        InputError: a .pth file cannot be read.
    """
    if path.suffix == ".safetensors":
        names = _safetensors_names(path)
        return tuple(task for task, prefix in PREFIXES.items() if prefix + MARKS[task] in names)
    if path.suffix == ".pth":
        return tuple(task for task, mark in MARKS.items() if mark in _read_pth(path))
    return ()


def read_sadtalker(path: Path, task: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read one of SadTalker's networks.

    Args:
        path: one of the published files.
        task: ``expression`` or ``pose``.

    Returns:
        A header as of `expnet.models.saved_model.open_model`, and the state dict of the model that it describes.

    Raises:
        InputError: the file does not hold that network, or not in the published shape.
    """
    held = sadtalker_tasks(path)
    if task not in held:
        raise InputError(
            f"{path} does not hold SadTalker's {task} network"
            + (f", only its {held[0]} network." if held else "; its names are not those of the published files.")
        )
    published = _read_safetensors(path, PREFIXES[task]) if path.suffix == ".safetensors" else _read_pth(path)
    tensors = {
        ours + name.removeprefix(theirs): value
        for name, value in published.items()
        for theirs, ours in NAMES[task].items()
        if name.startswith(theirs)
    }
    if task == "expression":
        # The published network takes and gives coefficients as they are.
        size = SADTALKER_EXPRESSION["expression_size"]
        tensors |= {
            "expression_mean": torch.zeros(size),
            "expression_std": torch.ones(size),
            "importance": torch.ones(size),
        }
    return {"task": task, "options": dict(OPTIONS[task]), "notes": {"origin": ORIGIN.format(path.name)}}, tensors


def _safetensors_names(path: Path) -> set[str]:
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            return set(file.keys())
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(f"{path} is not a readable safetensors file ({error}).") from error


def _read_safetensors(path: Path, prefix: str) -> dict[str, Tensor]:
    """Read the tensors below a prefix, and no others: the renderer's are a gigabyte."""
    with safetensors.safe_open(str(path), framework="pt") as file:
        return {
            name.removeprefix(prefix): file.get_tensor(name)
            for name in file.keys()  # noqa: SIM118 (not a dict)
            if name.startswith(prefix)
        }


def _read_pth(path: Path) -> dict[str, Tensor]:
    """Read the weights of a training checkpoint of SadTalker's, ``{"model": ..., "optimizer": ..., "epoch": ...}``."""
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever its unpickler meets in a damaged file
        reason = str(error).splitlines()[0] if str(error) else "no reason given"
        raise InputError(f"{path} is not a readable checkpoint ({type(error).__name__}: {reason}).") from error
    weights = checkpoint.get("model") if isinstance(checkpoint, dict) else None
    if not isinstance(weights, dict):
        raise InputError(f"{path} is not one of SadTalker's checkpoints: it has no entry 'model'.")
    return weights
