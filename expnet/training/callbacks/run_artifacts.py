"""Describes a run on the dashboards: configuration, code and data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import TensorBoardLogger, WandbLogger

RUN_FILES = ("config.yaml", "command.txt", "versions.json")


class RunArtifacts(pl.Callback):
    """Log a run's description to the dashboards when training starts.

    W&B gets two artifacts: ``run-ID`` with config.yaml, command.txt and versions.json, which holds the commit, and
    ``data-FINGERPRINT`` with the fingerprints of the stores and the sizes of the splits. Runs on the same data share
    the latter, so W&B links them. TensorBoard gets both as text.

    Args:
        folder: The run folder.
        data: Description of the data in plain values; its ``stores`` have a ``fingerprint`` each.
    """

    def __init__(self, folder: Path, data: Mapping[str, Any]) -> None:
        self.folder, self.data = folder, data

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the description once, from rank 0."""
        if not trainer.is_global_zero:
            return
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                self._to_wandb(logger.experiment)
            elif isinstance(logger, TensorBoardLogger):
                for name in RUN_FILES:
                    logger.experiment.add_text(name, _fenced((self.folder / name).read_text(encoding="utf-8")))
                logger.experiment.add_text("data", _fenced(json.dumps(self.data, indent=2)))

    def _to_wandb(self, run: Any) -> None:
        import wandb

        described = wandb.Artifact(f"run-{run.id}", type="run")
        for name in RUN_FILES:
            described.add_file(str(self.folder / name))
        run.log_artifact(described)
        fingerprint = "-".join(store["fingerprint"][:12] for store in self.data["stores"])
        data = wandb.Artifact(f"data-{fingerprint}", type="dataset", metadata=dict(self.data))
        with data.new_file("data.json", encoding="utf-8") as file:
            json.dump(self.data, file, indent=2)
        run.log_artifact(data)


def _fenced(text: str) -> str:
    """Wrap text in a Markdown code block."""
    return f"```\n{text}\n```"
