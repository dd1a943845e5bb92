"""The model card of an exported network: what it is, how to use it, its training data, its scores and its limits.

The facts come from the header of the weights. Where the header lacks a fact, the card says so.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from torch import nn

from expnet.coefficients import DEFAULT_FPS
from expnet.io.markdown import markdown_table

_PURPOSES = {
    "expression": "Regresses the expression coefficients of a face at 25 frames/s from speech and the first frame's "
    "expression.",
    "pose": "Draws head motion for speech: rotation and translation at 25 frames/s, relative to the first frame.",
    "motion": "Draws expression coefficients, head motion and eyelids for speech at 25 frames/s; a seed repeats them.",
}
_SECONDS_PER_HOUR = 3600


def write_card(model: nn.Module, header: dict[str, Any], folder: Path, graphs: dict[str, float]) -> str:
    """Return the card, in Markdown.

    Args:
        model: The network.
        header: Header of its weights, from `expnet.models.saved_model.open_model`.
        folder: Folder with the exported files, whose checksums go into the card.
        graphs: Largest difference of each ONNX graph, from `expnet.export.onnx_graphs.export_onnx`.
    """
    notes = header["notes"]
    sections = [
        _head(model, header),
        _use(header, graphs),
        _data(notes),
        _scores(notes),
        _versions(header),
        _options(model),
        _files(folder),
        _limits(header),
    ]
    return "\n\n".join(section.strip() for section in sections) + "\n"


def _head(model: nn.Module, header: dict[str, Any]) -> str:
    size = sum(parameter.numel() for parameter in model.parameters())
    lines = [f"# {header['task'].capitalize()} network", "", _PURPOSES[header["task"]], ""]
    version = f" of expnet {header['version']}" if "version" in header else ""
    lines.append(f"- {type(model).__name__}{version}, {size:,} parameters")
    if header["task"] == "expression":
        lines.append(f"- coefficients of the face model `{model.face_model}`")
    if "origin" in header["notes"]:
        lines.append(f"- {header['notes']['origin']}")
    return "\n".join(lines)


def _use(header: dict[str, Any], graphs: dict[str, float]) -> str:
    task = header["task"]
    if task == "motion":
        return _use_in_python(graphs)
    lines = [
        "## Use",
        "",
        "With this folder as `DIR`:",
        "",
        f"    expnet animate --image portrait.png --audio speech.wav --output video.mp4 --{task} DIR",
        f"    expnet evaluate configs/evaluate.yaml data.store=STORE {task}=DIR",
        "    expnet train DIR/config.yaml data.store=STORE init=DIR      # fine-tune on your own clips",
        "",
        f'In Python: `expnet.animate.animator.Animator({task}="DIR")`, or the network alone with '
        f'`expnet.models.saved_model.load_model("DIR", "{task}")`. Neither needs Lightning.',
    ]
    return "\n".join(lines + _graphs(graphs))


def _use_in_python(graphs: dict[str, float]) -> str:
    lines = [
        "## Use",
        "",
        'With this folder as `DIR`, in Python: `expnet.models.saved_model.load_model("DIR", "motion")`, and its '
        "`sample`. It does not need Lightning.",
        "",
        "    expnet train DIR/config.yaml data.store=STORE init=DIR      # fine-tune on your own clips",
    ]
    return "\n".join(lines + _graphs(graphs))


def _graphs(graphs: dict[str, float]) -> list[str]:
    if not graphs:
        return []
    rows = [(f"`{name}`", f"{difference:.0e}") for name, difference in graphs.items()]
    return ["", markdown_table(["ONNX graph", "largest difference from the network"], rows)]


def _data(notes: dict[str, Any]) -> str:
    lines = ["## Data", ""]
    data = notes.get("data")
    if data is None:
        return "\n".join([*lines, notes.get("trained_on") or "The weights do not say what they were trained on."])
    stores = [(store["name"], f"`{store['fingerprint']}`") for store in data["stores"]]
    splits = []
    for split, facts in data["splits"].items():
        hours = facts["frames"] / DEFAULT_FPS / _SECONDS_PER_HOUR
        corpora = ", ".join(facts["corpora"]) or "-"
        splits.append((split, facts["clips"], facts["speakers"], f"{hours:.2f}", corpora))
    lines += [markdown_table(["track store", "sha256 over its shards"], stores), ""]
    lines += [markdown_table(["split", "clips", "people", "hours", "corpora"], splits)]
    return "\n".join(lines)


def _scores(notes: dict[str, Any]) -> str:
    lines = ["## Scores", ""]
    scores = notes.get("validation")
    if not scores:
        return "\n".join([*lines, "No validation scores were recorded with these weights."])
    lines += [
        f"On the validation clips, at the last validation up to step {notes['step']}. The weights were selected by "
        f"`{notes['monitor']}` on these clips, so the scores are slightly optimistic.",
        "",
        markdown_table(["score", "value"], [(name, f"{value:.4g}") for name, value in sorted(scores.items())]),
    ]
    return "\n".join(lines)


def _versions(header: dict[str, Any]) -> str:
    versions = header["notes"].get("versions", {})
    rows = [(name, value) for name, value in versions.items() if value is not None]
    if not rows:
        return "## Versions\n\nNot recorded."
    return "## Versions used in training\n\n" + markdown_table(["package", "version"], rows)


def _options(model: Any) -> str:
    return "## Options\n\n" + markdown_table(["option", "value"], list(model.options.items()))


def _files(folder: Path) -> str:
    paths = [path for path in sorted(folder.iterdir()) if path.suffix in (".safetensors", ".yaml", ".onnx")]
    rows = [(f"`{path.name}`", f"{path.stat().st_size:,}", f"`{_sha256(path)}`") for path in paths]
    return "## Files\n\n" + markdown_table(["file", "bytes", "sha256"], rows)


def _limits(header: dict[str, Any]) -> str:
    lines = [
        "## Limits",
        "",
        "- Animate only people who have agreed to it, and mark the videos as synthetic.",
    ]
    if header["task"] == "expression":
        lines.append(
            "- A regression predicts the average of all plausible motions, so the mouth moves less than a real one; "
            "`expnet animate` amplifies the motion (`--expression-scale`)."
        )
    else:
        lines.append("- A drawn motion is one of many; the scores of a single draw say little.")
    lines.append("- The scores hold only for people, microphones and languages like those in the data above.")
    return "\n".join(lines)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
