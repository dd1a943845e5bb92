"""Exports a trained network to a folder with weights, configuration, model card and, on request, ONNX graphs.

=====================  ==================================================================================
file                   contents
=====================  ==================================================================================
``model.safetensors``  weights, described by their header (`expnet.models.saved_model`)
``config.yaml``        configuration of the training, for ``expnet train DIR/config.yaml init=DIR``
``README.md``          the model card
``*.onnx``             graphs, see `expnet.export.onnx_graphs`
=====================  ==================================================================================

`expnet.Animator`, ``expnet animate``, ``evaluate`` and ``train init=`` accept the folder in place of a run folder.
"""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path, PurePath
from typing import Any

from omegaconf import OmegaConf
from torch import nn

from expnet.coefficients import DEFAULT_FACE_MODEL
from expnet.config import TASKS
from expnet.errors import InputError
from expnet.export.model_card import write_card
from expnet.io.atomic import write_atomically
from expnet.io.overwriting import refuse_overwriting
from expnet.models.saved_model import open_model, save_model

WEIGHTS_FILE, CONFIG_FILE, CARD_FILE = "model.safetensors", "config.yaml", "README.md"


def export_model(checkpoint: str | Path, output: str | Path, *, task: str | None = None, onnx: bool = False) -> Path:
    """Export a trained network.

    Args:
        checkpoint: Run folder, ``.ckpt``, ``.safetensors``, or one of SadTalker's published files.
        output: Folder to write; files of an earlier export are replaced.
        task: ``expression`` or ``pose``; needed only for a file that holds both.
        onnx: Also write ONNX graphs, checked against the network.

    Returns:
        The folder.

    Raises:
        InputError: The checkpoint cannot be read or does not animate, or the folder cannot be written.
        MissingAssetError: ONNX was asked for and its packages are not installed.
    """
    model, header = open_model(checkpoint, task)
    if header["task"] == "landmark_sync":
        raise InputError(
            f"{checkpoint} holds a sync expert, which is not exported: give the file itself to loss.sync_expert, "
            "sync_expert or open_sync_expert."
        )
    if header["task"] == "refiner":
        raise InputError(
            f"{checkpoint} holds a refiner of frames, which is not exported: give the file itself to "
            "expnet animate --refiner."
        )
    if header["task"] == "renderer":
        raise InputError(
            f"{checkpoint} holds a renderer, whose model.safetensors is the product already: give it to "
            "expnet animate --renderer."
        )
    folder = Path(output)
    if (folder / "checkpoints").is_dir():
        raise InputError(f"{folder} is the folder of a run: export to another folder.")
    for replaced in (folder, folder / WEIGHTS_FILE):
        refuse_overwriting(replaced, (checkpoint,))
    notes = portable(header["notes"])
    notes.setdefault("config", start_config(header["task"], header["options"]))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for stale in folder.glob("*.onnx"):
            stale.unlink()
        save_model(folder / WEIGHTS_FILE, model, notes)
        write_atomically(folder / CONFIG_FILE, OmegaConf.to_yaml(OmegaConf.create(notes["config"])))
        graphs = _onnx(model, folder) if onnx else {}
        write_atomically(folder / CARD_FILE, write_card(model, {**header, "notes": notes}, folder, graphs))
    except OSError as error:
        raise InputError(f"Cannot write the export to {folder}: {error.strerror or error}.") from error
    return folder


def portable(notes: dict[str, Any]) -> dict[str, Any]:
    """Copy notes without the directories of files and folders, which mean nothing on another machine."""
    notes = copy.deepcopy(notes)
    config = notes.get("config")
    if config is None:
        return notes
    config["face_model"] = PurePath(config.get("face_model", DEFAULT_FACE_MODEL)).name
    store = config.get("data", {}).get("store")
    if store:
        stores = [store] if isinstance(store, str) else store
        names = [PurePath(path).name for path in stores]
        config["data"]["store"] = names if len(names) > 1 else names[0]
    # An export starts a new training; it does not resume one.
    config |= {"output": None, "ckpt": None, "init": None}
    return notes


def start_config(task: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration that fine-tunes a network with these options, for weights that came without one."""
    known = {field.name for field in dataclasses.fields(TASKS[task]().model)}
    return {"task": task, "model": {name: value for name, value in options.items() if name in known}}


def _onnx(model: nn.Module, folder: Path) -> dict[str, float]:
    from expnet.export.onnx_graphs import export_onnx

    return export_onnx(model, folder)
