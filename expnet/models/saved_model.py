"""A trained model in a file: safetensors weights whose header says what they are. Nothing here can run code."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import save_file
from torch import nn

from expnet import __version__
from expnet.errors import ExpnetError, InputError
from expnet.models.autoregressive import AutoregressiveRegressor
from expnet.models.expression_regressor import ExpressionRegressor
from expnet.models.landmark_sync import LandmarkSync
from expnet.models.pose_cvae import PoseCVAE
from expnet.models.refiner import Refiner
from expnet.models.sadtalker import SadTalkerPose
from expnet.models.sadtalker_weights import read_sadtalker, sadtalker_tasks
from expnet.models.small_convolution import SmallConvolution

MODELS: dict[str, type[nn.Module]] = {
    "expression": ExpressionRegressor,
    "pose": PoseCVAE,
    "landmark_sync": LandmarkSync,
    "refiner": Refiner,
}
NETWORKS: dict[str, type[nn.Module]] = {
    "autoregressive": AutoregressiveRegressor,
    "sadtalker": SadTalkerPose,
    "small_convolution": SmallConvolution,
}
"""Networks that options name with ``network``, in place of the task's own."""
HEADER = "expnet"
SCHEMA = 1


def build_model(task: str, options: dict[str, Any]) -> nn.Module:
    """Construct the model of a task from its constructor's arguments."""
    try:
        return NETWORKS.get(options.get("network", ""), MODELS[task])(**options)
    except TypeError as error:
        raise InputError(f"These are not the options of a {task} model: {error}.") from error


def save_model(path: str | Path, model: nn.Module, metadata: dict[str, Any] | None = None) -> Path:
    """Write a model's weights, statistics and options to a safetensors file, beside it and renamed.

    Args:
        path: the file to write.
        model: an `ExpressionRegressor` or `PoseCVAE`.
        metadata: anything JSON can hold that a user of the weights should know; stored under ``notes``.

    Returns:
        The path.
    """
    path = Path(path)
    header: dict[str, Any] = {
        "schema": SCHEMA,
        "version": __version__,
        "task": model.task,
        "options": model.options,
        "notes": metadata or {},
    }
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, beside, metadata={HEADER: json.dumps(header)})
        beside.chmod(0o644)  # the library writes for the owner alone, but runs are shared
        os.replace(beside, path)
    except OSError as error:
        raise InputError(f"Cannot write the model to {path}: {error.strerror or error}.") from error
    finally:
        beside.unlink(missing_ok=True)
    return path


def read_header(path: str | Path) -> dict[str, Any]:
    """Return what a file of `save_model` says about itself: task, options, version and notes."""
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(f"{path} is not a readable safetensors file ({error}).") from error
    if HEADER not in metadata:
        raise InputError(f"{path} was not written by expnet: its header has no '{HEADER}' entry.")
    header = {"task": "", "options": {}, "notes": {}, **json.loads(metadata[HEADER])}
    if header.get("schema", 0) > SCHEMA:
        raise InputError(
            f"{path} was written by expnet {header.get('version')}, which is newer than this one ({__version__}); "
            "update expnet to read it."
        )
    return header


def load_model(path: str | Path, task: str) -> nn.Module:
    """Load a trained model, ready to run on CPU; see `open_model`."""
    return open_model(path, task)[0]


def open_model(path: str | Path, task: str | None = None) -> tuple[nn.Module, dict[str, Any]]:
    """Load a trained model, and what its file says about it.

    Args:
        path: a ``.safetensors`` file of `save_model`, a training checkpoint (``.ckpt``), a run folder or an exported
            one, whose ``model.safetensors`` or else best or last checkpoint is taken, or one of SadTalker's published
            files (see `expnet.models.sadtalker_weights`).
        task: ``expression`` or ``pose``; None for whatever the file holds, if that is one.

    Returns:
        The module in eval mode, and its header: ``task``, ``options``, ``version``, ``notes``.

    Raises:
        InputError: there is no such file, it is damaged, or it holds a model of another task.
    """
    file = _resolve(Path(path))
    header, tensors = _read(file, task)
    found, options = header["task"], header["options"]
    if task not in (None, found):
        raise InputError(f"{path} holds a model of the task '{found}', but one of the task '{task}' is needed here.")
    model = build_model(found, options)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise InputError(f"The weights in {file} do not fit the model that its header describes: {error}") from error
    return model.eval(), header


def _read(file: Path, task: str | None) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return header and weights of a file; ``task`` matters only where a file holds two networks."""
    if file.suffix == ".ckpt":
        return _read_checkpoint(file)
    published = sadtalker_tasks(file)
    if published or file.suffix == ".pth":
        if task is None and len(published) > 1:
            raise InputError(
                f"{file} holds SadTalker's {' and '.join(published)} networks: say which is meant, with --task."
            )
        return read_sadtalker(file, task or "".join(published))
    header = read_header(file)
    with safetensors.safe_open(str(file), framework="pt") as opened:
        return header, {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (not a dict)


def _resolve(path: Path) -> Path:
    """Return the weight file that a path means."""
    if path.is_dir():
        for candidate in ("model.safetensors", "checkpoints/best.ckpt", "checkpoints/last.ckpt"):
            if (path / candidate).is_file():
                return path / candidate
        raise InputError(f"{path} holds no model: neither model.safetensors nor checkpoints/best.ckpt or last.ckpt.")
    if not path.is_file():
        raise InputError(f"There is no model at {path}; give a run folder, a .ckpt or a .safetensors file.")
    if path.suffix not in (".safetensors", ".ckpt", ".pth"):
        raise InputError(f"{path} is not a model: expected a run folder, a .ckpt or a .safetensors file.")
    return path


def _read_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return header and weights of a training checkpoint; averaged weights where the run kept them."""
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever its unpickler meets in a damaged file
        reason = str(error).splitlines()[0] if str(error) else "no reason given"
        raise InputError(f"{path} is not a readable checkpoint ({type(error).__name__}: {reason}).") from error
    try:
        block, weights = checkpoint[HEADER], checkpoint["state_dict"]
        header = {"notes": {}, **block, "task": block["task"], "options": block["options"]}
    except (KeyError, TypeError) as error:
        raise InputError(f"{path} was not written by expnet: it has no entry {error}.") from error
    for prefix in ("averaged.", "model."):
        tensors = {name[len(prefix) :]: value for name, value in weights.items() if name.startswith(prefix)}
        if tensors:
            return header, tensors
    raise ExpnetError(f"{path} holds no weights of a model.")
