"""Trained models in files: safetensors weights with a header that describes the model. No code in a file is run."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import save
from torch import nn

from expnet import __version__
from expnet.config.built_in_parts import BUILT_IN, KINDS
from expnet.config.part_options import make_options
from expnet.config.parts import RECORD, Part, describe_missing, find_part
from expnet.errors import ConfigError, ExpnetError, InputError
from expnet.io.atomic import write_atomically
from expnet.io.machine_faults import writing_failed
from expnet.models.expression_regressor import ExpressionRegressor
from expnet.models.flow_matching.motion_flow import MotionFlow
from expnet.models.landmark_sync import LandmarkSync
from expnet.models.pose_cvae import PoseCVAE
from expnet.models.refiner import Refiner
from expnet.models.sadtalker_weights import read_sadtalker, sadtalker_tasks
from expnet.models.video_renderer import VideoRenderer

MODELS: dict[str, type[nn.Module]] = {
    "expression": ExpressionRegressor,
    "pose": PoseCVAE,
    "motion": MotionFlow,
    "landmark_sync": LandmarkSync,
    "refiner": Refiner,
    "renderer": VideoRenderer,
}
"""The default network of each task; the option ``network`` selects another one of the task's parts."""
CONSTRUCTOR_ARGUMENTS = ("expression_size", "emotions", "styles", "speech_features", "face_model")
"""Arguments beside ``options`` that a network of another package is called with: those of its task."""
HEADER = "expnet"
SCHEMA = 1

_log = logging.getLogger(__name__)


def build_model(task: str, options: dict[str, Any]) -> nn.Module:
    """Construct the model of a task from the arguments of its constructor.

    A network of another package gets those that it must know as arguments, and all others through its own ``options``
    where these extend a configuration of expnet.

    Raises:
        InputError: These are not the options of such a model, or a part that they name is not here.
    """
    name = options.get("network", "")
    kind = f"{task}_networks"
    if not isinstance(name, str):
        raise InputError(f"These are not the options of a {task} model: network is {name!r}.")
    part = find_part(kind, name, "network") if name and kind in KINDS else None
    if part is not None and not part.built_in:
        return _build_own(task, part, options)
    network = MODELS[task] if part is None else part.target
    if network is ExpressionRegressor and options.get("speech_features"):
        options = {"feature_context": 1, **options}  # networks on speech features of older versions had no convolution
    try:
        return network(**options)
    except TypeError as error:
        raise InputError(f"These are not the options of a {task} model: {error}.") from error


def _build_own(task: str, part: Part, options: dict[str, Any]) -> nn.Module:
    """Construct a network of another package, and note in it what its file must hold."""
    given = {name: options[name] for name in CONSTRUCTOR_ARGUMENTS if name in options}
    model = part.target(**given, **make_options(part, options.get("network_options", {}), options))
    if not isinstance(model, nn.Module):
        raise InputError(f"network={part.name} must make a torch.nn.Module, not a {type(model).__name__}.")
    model.task, model.options = task, options  # type: ignore[assignment]
    return model


def model_header(model: nn.Module, notes: dict[str, Any]) -> dict[str, Any]:
    """Return the header of a model's file or checkpoint, in plain values.

    ``parts`` says where its parts of other packages came from; it is absent in a model without any.
    """
    header: dict[str, Any] = {
        "schema": SCHEMA,
        "version": __version__,
        "task": model.task,
        "options": dict(model.options),  # type: ignore[arg-type]
        "notes": notes,
    }
    parts = [
        find_part(kind, header["options"][key]).record()
        for key, kind in _part_keys(header["task"]).items()
        if header["options"].get(key, "") not in ("", *BUILT_IN[kind])
    ]
    return {**header, "parts": parts} if parts else header


def _part_keys(task: Any) -> dict[str, str]:
    """Return the kinds of parts by the option that names one."""
    network = {"network": f"{task}_networks"} if f"{task}_networks" in KINDS else {}
    return {"temporal_module": "temporal_modules", "attention_bias": "attention_biases", **network}


def check_header_parts(header: dict[str, Any], file: str) -> None:
    """Say what is missing before a model is built whose parts of other packages are not here.

    Raises:
        InputError: A part is not installed, or may not be imported.
    """
    for record in header.get("parts", []):
        if not (isinstance(record, dict) and record.keys() == RECORD and record["kind"] in KINDS):
            raise InputError(f"{file} describes a part in a way that this version of expnet does not know: {record}.")
        try:
            part = find_part(record["kind"], record["name"])
        except ConfigError as error:
            raise InputError(describe_missing(record, file)) from error
        if (part.package, part.version) != (record["package"], record["version"]):
            _log.warning("%s was trained with %s %s.", file, record["package"], record["version"])


def save_model(path: str | Path, model: nn.Module, metadata: dict[str, Any] | None = None) -> Path:
    """Write the weights, statistics and options of a model to a safetensors file, atomically.

    Args:
        path: The file to write; its folder is created.
        model: A network that `build_model` makes.
        metadata: Anything that JSON can hold and a user of the weights should know; stored under ``notes``.

    Returns:
        The path.

    Raises:
        InputError: The file cannot be written.
    """
    path = Path(path)
    header = model_header(model, metadata or {})
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
    check_header_parts(header, str(file))
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
