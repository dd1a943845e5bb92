"""Trained models in files: safetensors weights with a header that describes the model. No code in a file is run."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import save
from torch import nn

from expnet import __version__
from expnet.errors import ExpnetError, InputError
from expnet.io.atomic import write_atomically
from expnet.io.machine_faults import writing_failed
from expnet.models.autoregressive import AutoregressiveRegressor
from expnet.models.expression_regressor import ExpressionRegressor
from expnet.models.flow_matching.motion_flow import MotionFlow
from expnet.models.landmark_sync import LandmarkSync
from expnet.models.pose_cvae import PoseCVAE
from expnet.models.refiner import Refiner
from expnet.models.sadtalker import SadTalkerPose
from expnet.models.sadtalker_weights import read_sadtalker, sadtalker_tasks
from expnet.models.small_convolution import SmallConvolution
from expnet.models.video_renderer import VideoRenderer

MODELS: dict[str, type[nn.Module]] = {
    "expression": ExpressionRegressor,
    "pose": PoseCVAE,
    "motion": MotionFlow,
    "landmark_sync": LandmarkSync,
    "refiner": Refiner,
    "renderer": VideoRenderer,
}
NETWORKS: dict[str, type[nn.Module]] = {
    "autoregressive": AutoregressiveRegressor,
    "sadtalker": SadTalkerPose,
    "small_convolution": SmallConvolution,
}
"""Networks that the option ``network`` selects instead of the default network of the task."""
HEADER = "expnet"
SCHEMA = 1


def build_model(task: str, options: dict[str, Any]) -> nn.Module:
    """Construct the model of a task from the arguments of its constructor."""
    network = NETWORKS.get(options.get("network", ""), MODELS[task])
    if network is ExpressionRegressor and options.get("speech_features"):
        options = {"feature_context": 1, **options}  # networks on speech features of older versions had no convolution
    try:
        return network(**options)
    except TypeError as error:
        raise InputError(f"These are not the options of a {task} model: {error}.") from error


def save_model(path: str | Path, model: nn.Module, metadata: dict[str, Any] | None = None) -> Path:
    """Write the weights, statistics and options of a model to a safetensors file, atomically.

    Args:
        path: The file to write; its folder is created.
        model: A network of `MODELS` or `NETWORKS`.
        metadata: Anything that JSON can hold and a user of the weights should know; stored under ``notes``.

    Returns:
        The path.

    Raises:
        InputError: The file cannot be written.
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
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Bytes rather than save_file, which makes files that only their owner can read, but runs are shared.
        write_atomically(path, save(tensors, metadata={HEADER: json.dumps(header)}))
    except OSError as error:
        raise writing_failed(path, error) from error
    return path


def weights_checksum(model: nn.Module) -> str:
    """Return the SHA-256 of a model's weights, whatever file they are in."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def read_header(path: str | Path) -> dict[str, Any]:
    """Return the header of a file written by `save_model`: task, options, version and notes."""
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
    """Load a trained model for inference on the CPU; see `open_model`."""
    return open_model(path, task)[0]


def open_model(path: str | Path, task: str | None = None) -> tuple[nn.Module, dict[str, Any]]:
    """Load a trained model and the header of its file.

    Args:
        path: A ``.safetensors`` file written by `save_model`, a training checkpoint (``.ckpt``), a run folder or
            exported folder, from which ``model.safetensors`` or else the best or last checkpoint is read, or one of
            SadTalker's published files (see `expnet.models.sadtalker_weights`).
        task: The task of the model, such as ``expression`` or ``pose``; None for any, if the file holds only one.

    Returns:
        The module in evaluation mode, and its header: ``task``, ``options``, ``version``, ``notes``.

    Raises:
        InputError: There is no such file, it is damaged, or it holds a model of another task.
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
    """Return header and weights of a file; ``task`` matters only if the file holds two networks."""
    if file.suffix == ".ckpt":
        return _read_checkpoint(file)
    published = sadtalker_tasks(file)
    if published or file.suffix == ".pth":
        if task is None and len(published) > 1:
            raise InputError(f"{file} holds SadTalker's {' and '.join(published)} networks: choose one with --task.")
        return read_sadtalker(file, task or "".join(published))
    header = read_header(file)
    with safetensors.safe_open(str(file), framework="pt") as opened:
        return header, {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (not a dict)


def _resolve(path: Path) -> Path:
    """Return the weight file for a path, which may be a folder."""
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
    """Return header and weights of a training checkpoint; the averaged weights if the run has them."""
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises any exception for a damaged file
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
    raise ExpnetError(f"{path} holds no model weights.")
