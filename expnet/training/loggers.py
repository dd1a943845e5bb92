"""The loggers of a run: metrics.csv always, TensorBoard and Weights & Biases (with or without a key) on request."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import TensorBoardLogger, WandbLogger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from expnet.config import LoggerConfig
from expnet.errors import ConfigError
from expnet.io.atomic import write_atomically
from expnet.io.wandb_connection import wandb_mode
from expnet.training.callbacks.csv_logger import CsvLogger
from expnet.training.run_folder import RunDirectory

if TYPE_CHECKING:
    import pytorch_lightning as pl
    from pytorch_lightning.loggers import Logger

WANDB_ID = "wandb_id.txt"
"""File in the run folder with the id of the W&B run, which a resumed training continues."""


def build_loggers(
    config: LoggerConfig, run: RunDirectory, resume_step: int | None, values: dict[str, Any]
) -> list[Logger]:
    """Build the logger of metrics.csv and the loggers that were requested.

    Args:
        config: Which loggers to build.
        run: Folder of the run.
        resume_step: Step of the checkpoint that a resumed run starts from; rows and points after it are dropped.
        values: The configuration in plain values, shown on W&B.

    Raises:
        ConfigError: The tensorboard package is missing.
    """
    loggers: list[Logger] = [CsvLogger(run.path / "metrics.csv", resume_step=resume_step)]
    if config.tensorboard:
        try:
            loggers.append(
                TensorBoardLogger(
                    run.path,
                    name="",
                    version="tensorboard",
                    purge_step=resume_step,
                    default_hp_metric=False,  # would show hp_metric=-1 as if it were a score
                )
            )
        except ModuleNotFoundError as error:
            raise ConfigError(
                "logger.tensorboard needs the tensorboard package: pip install 'expnet[tensorboard]'."
            ) from error
    if config.wandb:
        loggers.append(_wandb_logger(config, run, values))
    return loggers


def _wandb_logger(config: LoggerConfig, run: RunDirectory, values: dict[str, Any]) -> WandbLogger:
    """Build a W&B logger; a resumed run continues its curves."""
    # Only the first process logs, so the others need not ask the server.
    mode = wandb_mode() if getattr(rank_zero_only, "rank", 0) == 0 else "offline"
    offline = mode == "offline"
    return WandbLogger(
        project=config.project,
        name=config.name or run.path.name,
        id=_wandb_id(run.path),
        save_dir=run.path,
        offline=offline,
        resume=None if offline else "allow",
        mode=mode,
        config=values,
        entity=config.entity,
        group=config.group,
        tags=list(config.tags) or None,
        job_type=config.job_type or "train",
    )


def log_result(trainer: pl.Trainer, values: dict[str, Any]) -> None:
    """Add a finished run to TensorBoard's table of hyperparameters: its configuration and its best validation score.

    The score is named ``best/`` and the value that chooses the best checkpoint, such as ``best/val/loss``.
    """
    found = [callback for callback in trainer.checkpoint_callbacks if isinstance(callback, ModelCheckpoint)]
    scores = {
        f"best/{kept.monitor}": float(kept.best_model_score) for kept in found if kept.best_model_score is not None
    }
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger) and scores:
            logger.log_hyperparams(values, scores, step=trainer.global_step)
            logger.finalize("success")


def _wandb_id(folder: Path) -> str | None:
    """Return the id of the W&B run of a folder; None in all processes but the first, which alone logs to W&B."""
    if getattr(rank_zero_only, "rank", 0) != 0:
        return None
    path = folder / WANDB_ID
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, secrets.token_hex(4) + "\n")
    return path.read_text(encoding="utf-8").strip()


def close_wandb(*, failed: bool) -> None:
    """Finish the W&B run of this process, if it has one, and stop the background service.

    Otherwise the next training in this process would log to the same run, and a service that has handled an offline run
    with artifacts may crash in the next one (a nil pointer in ``CreateArtifact``, wandb 0.28.0).
    """
    import wandb

    if wandb.run is not None:
        wandb.finish(exit_code=int(failed))
        wandb.teardown()
