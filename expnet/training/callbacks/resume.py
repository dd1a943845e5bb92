"""What a resumed run needs besides weights and optimiser: random states and complete checkpoint files."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
import torch.distributed
from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning.utilities.rank_zero import rank_zero_warn

from expnet.io.atomic import atomic_path
from expnet.training.random_state import random_state, set_random_state


class RandomState(pl.Callback):
    """Save the random state of every process in the checkpoint, and restore it before the first resumed batch.

    It is restored in ``on_train_batch_start``, not in ``on_train_start``, because the set-up of the data loaders draws
    random numbers in between.
    """

    def __init__(self) -> None:
        self._restore: list[dict[str, Any]] = []

    def state_dict(self) -> dict[str, Any]:
        """Return the random states of all processes by rank; a collective call."""
        states: list[Any] = [random_state()]
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            states *= torch.distributed.get_world_size()
            torch.distributed.all_gather_object(states, random_state())
        return {"processes": states}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep a checkpoint's random state for the first batch."""
        self._restore = state_dict["processes"]

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Seed each process differently: all started with one seed for equal weights, but need their own dropout."""
        if trainer.global_rank > 0:
            seed = torch.initial_seed() + trainer.global_rank
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)
            random.seed(seed)

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Restore the state once."""
        if not self._restore:
            return
        if len(self._restore) == trainer.world_size:
            set_random_state(self._restore[trainer.global_rank])
        else:
            # Two processes must not draw the same numbers, so every process keeps the state of its seed.
            rank_zero_warn(
                f"This run goes on with {trainer.world_size} processes, but was stopped with {len(self._restore)}: it "
                "continues, but its random numbers differ from those of the stopped run."
            )
        self._restore = []


class StepOfRows(pl.Callback):
    """Let a resumed run number its logged rows by its steps, also when it is validated at other steps than before.

    A checkpoint of a validation holds Lightning's counter of logged steps from before the last step is counted, and
    Lightning counts it only where the resumed run would be validated at the same step.
    """

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Set the counter to the steps taken, which it equals in a run that is not resumed."""
        trainer.fit_loop.epoch_loop._batches_that_stepped = trainer.global_step


class AtomicCheckpoints(TorchCheckpointIO):
    """Write checkpoints atomically and flush them to disk; read tensors and plain values only."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint; its folder is created if needed."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as partial, open(partial, "wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())

    def load_checkpoint(self, path: str | Path, map_location: Any = None, weights_only: bool | None = True) -> Any:
        """Read a checkpoint without executing code from it."""
        return torch.load(path, map_location=map_location or "cpu", weights_only=True)
