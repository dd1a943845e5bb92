"""Reads SadTalker's published weights into this project's modules by parameter name.

==========================================  ==============================  ================================
file                                        tensors                         networks
==========================================  ==============================  ================================
``SadTalker_V0.0.2_{256,512}.safetensors``  ``audio2exp.*, audio2pose.*``   both, besides the renderer's
``auido2exp_00300-model.pth``               ``model``: ``mapping1.*``, ...  expression (spelt like this)
``auido2pose_00140-model.pth``              ``model``: ``netG.*``, ...      head pose (likewise)
==========================================  ==============================  ================================

Source: OpenTalker/SadTalker ``src/utils/model2safetensor.py`` (the safetensors file is the state dict of one module
that holds all networks) and ``src/test_audio2coeff.py`` (reading of the .pth files). Nothing is downloaded, and no code
in a file is run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from expnet.errors import InputError
from expnet.models.published_weights import read_checkpoint, read_safetensors_below, safetensors_names
from expnet.models.sadtalker import SADTALKER_EXPRESSION, STYLES

# Prefixes of the tensors of each network in a file that holds both.
PREFIXES = {"expression": "audio2exp.", "pose": "audio2pose."}
# A parameter name that identifies each network.
MARKS = {"expression": "mapping1.weight", "pose": "netG.decoder.pose_linear.weight"}
# Prefixes of parameter names in the file and in this project; the rest, the discriminator, is not needed.
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
    """Return the tasks of the SadTalker networks in a file; empty for any other file.

    Args:
        path: A ``.safetensors`` or ``.pth`` file.

    Raises:
        InputError: A .pth file cannot be read.
    """
    if path.suffix == ".safetensors":
        names = safetensors_names(path)
        return tuple(task for task, prefix in PREFIXES.items() if prefix + MARKS[task] in names)
    if path.suffix == ".pth":
        return tuple(task for task, mark in MARKS.items() if mark in _read_pth(path))
    return ()


def read_sadtalker(path: Path, task: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read one of SadTalker's networks.

    Args:
        path: One of the published files.
        task: ``expression`` or ``pose``.

    Returns:
        A header as that of `expnet.models.saved_model.open_model`, and the state dict of the model that it describes.

    Raises:
        InputError: The file does not hold that network, or its shapes differ from the published ones.
    """
    held = sadtalker_tasks(path)
    if task not in held:
        raise InputError(
            f"{path} does not hold SadTalker's {task} network"
            + (f", only its {held[0]} network." if held else "; its names are not those of the published files.")
        )
    published = read_safetensors_below(path, PREFIXES[task]) if path.suffix == ".safetensors" else _read_pth(path)
    tensors = {
        ours + name.removeprefix(theirs): value
        for name, value in published.items()
        for theirs, ours in NAMES[task].items()
        if name.startswith(theirs)
    }
    if task == "expression":
        # The published network reads and returns unnormalised coefficients.
        size = SADTALKER_EXPRESSION["expression_size"]
        tensors |= {
            "expression_mean": torch.zeros(size),
            "expression_std": torch.ones(size),
            "importance": torch.ones(size),
        }
    return {"task": task, "options": dict(OPTIONS[task]), "notes": {"origin": ORIGIN.format(path.name)}}, tensors


def _read_pth(path: Path) -> dict[str, Tensor]:
    """Read the weights of a training checkpoint of SadTalker, ``{"model": ..., "optimizer": ..., "epoch": ...}``."""
    weights = read_checkpoint(path).get("model")
    if not isinstance(weights, dict):
        raise InputError(f"{path} is not one of SadTalker's checkpoints: it has no entry 'model'.")
    return weights
