"""A trained network as a product: a folder with weights, configuration and model card, and ONNX graphs if asked for.

=====================  ==================================================================================
file                   contents
=====================  ==================================================================================
``model.safetensors``  weights; the header says what they are (`expnet.models.saved_model`)
``config.yaml``        the configuration they were trained with, for ``expnet train DIR/config.yaml init=DIR``
``README.md``          the model card
``*.onnx``             see `expnet.export.onnx_graphs`
=====================  ==================================================================================

`expnet.Animator`, ``expnet animate``, ``evaluate`` and ``train init=`` take the folder as they take a run.
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
from expnet.models.saved_model import open_model, save_model

WEIGHTS_FILE, CONFIG_FILE, CARD_FILE = "model.safetensors", "config.yaml", "README.md"


def export_model(checkpoint: str | Path, output: str | Path, *, task: str | None = None, onnx: bool = False) -> Path:
    """Write the product of a training.

    Args:
        checkpoint: run folder, ``.ckpt``, ``.safetensors``, or one of SadTalker's published files.
        output: folder to write; what it holds of an earlier export is replaced.
        task: ``expression`` or ``pose``; needed only for a file that holds both.
        onnx: write ONNX graphs too, checked against the network.

    Returns:
        The folder.

    Raises:
        InputError: the checkpoint cannot be read or is no network of an animation, or the folder not be written.
        MissingAssetError: ONNX was asked for and its packages are not installed.
    """
    model, header = open_model(checkpoint, task)
    if header["task"] == "landmark_sync":
        raise InputError(
            f"{checkpoint} holds a sync expert, which animates nothing: give it as it is to loss.sync_expert, "
            "sync_expert or open_sync_expert."
        )
    if header["task"] == "refiner":
        raise InputError(f"{checkpoint} holds a refiner of pictures: give it as it is to expnet animate --refiner.")
    folder = Path(output)
    if (folder / "checkpoints").is_dir():
        raise InputError(f"{folder} is the folder of a run: give another one for the export.")
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
    """Copy notes with the names of files and folders alone: where they lay on one machine tells another nothing."""
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
    # An export is where a training starts, not a run to go on with.
    config |= {"output": None, "ckpt": None, "init": None}
    return notes


def start_config(task: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration that trains a network of these options further, for weights that came without one."""
    known = {field.name for field in dataclasses.fields(TASKS[task]().model)}
    return {"task": task, "model": {name: value for name, value in options.items() if name in known}}


def _onnx(model: nn.Module, folder: Path) -> dict[str, float]:
    from expnet.export.onnx_graphs import export_onnx

    return export_onnx(model, folder)
