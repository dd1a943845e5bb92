"""What a resumed run may change; anything else that it would ignore is refused with the name of its key."""

from __future__ import annotations

from typing import Any

import torch

from expnet.config import Config
from expnet.config.grammar import flat, to_container
from expnet.data.splits import TRAIN, VALIDATION
from expnet.errors import ConfigError
from expnet.models.saved_model import HEADER
from expnet.training.run_folder import RunDirectory
from expnet.training.tasks.base_task import BaseTask

_FREE_SECTIONS = ("logger", "metrics")
_FREE_KEYS = {
    "output",
    "ckpt",
    "compile",
    "face_model",  # the name of the model is an option of the network, which is compared
    "data.store",  # compared by content: a store may have been moved
    "data.features",
    "data.crops",
    "data.workers",
    *(f"trainer.{name}" for name in ("max_steps", "max_epochs", "max_time", "early_stopping", "validate_every")),
    *(f"trainer.{name}" for name in ("save_every", "keep_every", "keep_best", "log_every", "explosion", "threads")),
    *(f"trainer.{name}" for name in ("timeout", "profiler", "activation_checkpointing")),
    *(f"trainer.{name}" for name in ("accelerator", "devices", "num_nodes", "strategy", "deterministic")),
}
"""Keys that a resumed run may change, since they are applied, or change nothing that was learned or compared."""


def check_resume(run: RunDirectory, task: BaseTask, config: Config) -> int | None:
    """Check that the checkpoint to resume from fits the configuration, and return its step; None without one.

    Raises:
        ConfigError: The file is not a checkpoint of expnet, or is of another task or network, or of a run with other
            options or data.
    """
    if run.resume is None:
        return None
    try:
        checkpoint = torch.load(run.resume, map_location="cpu", weights_only=True)
        block, step = checkpoint[HEADER], int(checkpoint["global_step"])
    except Exception as error:  # torch.load raises whatever its unpickler meets in a damaged file
        raise ConfigError(f"{run.resume} is not a checkpoint of expnet ({type(error).__name__}).") from error
    if block["task"] != task.model.task:
        raise ConfigError(
            f"{run.resume} is a checkpoint of the task '{block['task']}', but this run trains '{task.model.task}'."
        )
    expected: dict[str, Any] = task.model.options  # type: ignore[assignment]
    changed = sorted(key for key in expected if block["options"].get(key) != expected[key])
    if changed:
        raise ConfigError(
            f"{run.resume} was made with another network: {', '.join(changed)} differ; resume with the run's own "
            "config.yaml, or start a new run without ckpt."
        )
    _check_options(run, config, block["notes"].get("config", {}))
    _check_data(run, task, block["notes"].get("data", {}))
    return step


def _check_options(run: RunDirectory, config: Config, before: dict[str, Any]) -> None:
    """Refuse options that a resumed run would ignore, or that would change what its scores mean."""
    if not before:
        return
    old, new, defaults = (flat(values) for values in (before, to_container(config), to_container(type(config)())))
    # Where a checkpoint is older than a key, it was made with the default.
    changed = {key: (old.get(key, defaults[key]), value) for key, value in new.items() if not _is_free(key)}
    changed = {key: values for key, values in changed.items() if values[0] != values[1]}
    if config.init is None:  # a resumed run has its weights
        changed.pop("init", None)
    if changed:
        key, (was, now) = next(iter(changed.items()))
        more = f" (and {', '.join(list(changed)[1:])} differ)" if len(changed) > 1 else ""
        raise ConfigError(
            f"{run.resume} was trained with {key}={_text(was)}, not {_text(now)}{more}: leave it as it was, or start a "
            f"new run from these weights with init={run.resume} and without ckpt."
        )


def _check_data(run: RunDirectory, task: BaseTask, before: dict[str, Any]) -> None:
    """Refuse other clips: the place in the epoch and the best score hold for the clips of the checkpoint only."""
    now = task.notes["data"]
    if "splits" in before and _clips(before) != _clips(now):
        raise ConfigError(
            f"{run.resume} was trained and validated on other clips than those of data.store: give the store as it "
            f"was, or start a new run from these weights with init={run.resume} and without ckpt."
        )


def _clips(data: dict[str, Any]) -> tuple[list[str], dict[str, tuple[int, int]]]:
    """Return the content of the stores, and the clips and frames of the splits that a run uses."""
    used = {name: data["splits"][name] for name in (TRAIN, VALIDATION)}
    sizes = {name: (split["clips"], split["frames"]) for name, split in used.items()}
    return [store["fingerprint"] for store in data["stores"]], sizes


def _is_free(key: str) -> bool:
    return key in _FREE_KEYS or key.partition(".")[0] in _FREE_SECTIONS


def _text(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
