"""Checkpoints of a run whose folder may be moved or copied: what is best is known by the folder's own content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytorch_lightning.callbacks import ModelCheckpoint

from expnet.callbacks.monitored_checkpoint import MonitoredCheckpoint

_PATHS = ("best_model_path", "kth_best_model_path", "last_model_path")


class RunCheckpoint(ModelCheckpoint):
    """A ModelCheckpoint that finds its files in its own folder, whatever the folder was called when it wrote them.

    Lightning remembers absolute paths, and forgets the best score when the folder has another name: the next
    validation would then replace a better checkpoint.
    """

    @property
    def state_key(self) -> str:
        """The key of a plain ModelCheckpoint, under which earlier checkpoints hold the state."""
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__, 1)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best score and file, if the file is in this folder."""
        super().load_state_dict(relocated(state_dict, Path(str(self.dirpath))))


class MonitoredRunCheckpoint(MonitoredCheckpoint):
    """A `MonitoredCheckpoint` that finds its files in its own folder, see `RunCheckpoint`."""

    @property
    def state_key(self) -> str:
        """The key of a plain MonitoredCheckpoint, under which earlier checkpoints hold the state."""
        return super().state_key.replace(type(self).__qualname__, MonitoredCheckpoint.__qualname__, 1)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best score and file, if the file is in this folder."""
        super().load_state_dict(relocated(state_dict, Path(str(self.dirpath))))


def relocated(state: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the state of a ModelCheckpoint with the paths of its files in a folder.

    A state whose best file is not in the folder, as when another run's checkpoint is resumed in a new folder, stays as
    it is: there is nothing to lose.
    """
    best = state.get("best_model_path")
    if not best or not (folder / Path(best).name).is_file():
        return state

    def here(path: str) -> str:
        return str(folder / Path(path).name) if path else path

    moved = {name: here(state[name]) for name in _PATHS if name in state}
    scores = {here(path): score for path, score in state.get("best_k_models", {}).items()}
    return {**state, **moved, "dirpath": str(folder), "best_k_models": scores}
