"""Where curves go beside metrics.csv: TensorBoard, and Weights & Biases with or without a key."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytorch_lightning.loggers import TensorBoardLogger, WandbLogger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from expnet.config import LoggerConfig
from expnet.errors import ConfigError
from expnet.evaluation.report.wandb_tables import wandb_mode
from expnet.training.callbacks.csv_logger import CsvLogger
from expnet.training.run_folder import RunDirectory

if TYPE_CHECKING:
    from pytorch_lightning.loggers import Logger

WANDB_ID = "wandb_id.txt"
"""Remembers in the run folder which W&B run a resumed training goes on with."""


def build_loggers(
    config: LoggerConfig, run: RunDirectory, resume_step: int | None, values: dict[str, Any]
) -> list[Logger]:
    """Make metrics.csv, and what else was asked for.

    Args:
        config: which.
        run: folder of the run.
        resume_step: step of the checkpoint that a resumed run goes on from; what was drawn after it is dropped.
        values: the configuration in plain values, shown on W&B.

    Raises:
        ConfigError: the tensorboard package is missing.
    """
    loggers: list[Logger] = [CsvLogger(run.path / "metrics.csv", resume_step=resume_step)]
    if config.tensorboard:
        try:
            loggers.append(TensorBoardLogger(run.path, name="", version="tensorboard", purge_step=resume_step))
        except ModuleNotFoundError as error:
            raise ConfigError(
                "logger.tensorboard needs the tensorboard package: pip install 'expnet[tensorboard]'."
            ) from error
    if config.wandb:
        loggers.append(_wandb_logger(config, run, values))
    return loggers


def _wandb_logger(config: LoggerConfig, run: RunDirectory, values: dict[str, Any]) -> WandbLogger:
    """Make a W&B logger; a resumed run goes on with its curves."""
    offline = wandb_mode() == "offline"
    return WandbLogger(
        project=config.project,
        name=config.name or run.path.name,
        id=_wandb_id(run.path),
        save_dir=run.path,
        offline=offline,
        resume=None if offline else "allow",
        config=values,
    )


def _wandb_id(folder: Path) -> str | None:
    """Return the W&B run of a folder. Only the first process has one: the others must not make up another."""
    if getattr(rank_zero_only, "rank", 0) != 0:
        return None
    import wandb

    remembered = folder / WANDB_ID
    if not remembered.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        remembered.write_text(wandb.util.generate_id() + "\n", encoding="utf-8")
    return remembered.read_text(encoding="utf-8").strip()


def close_wandb(*, failed: bool) -> None:
    """End the W&B run of this process, if it has one, and the service behind it.

    The next training would go on with the run; and the service that has served one offline run with artifacts may fail
    in the next (a nil pointer in ``CreateArtifact``, wandb 0.28.0).
    """
    import wandb

    if wandb.run is not None:
        wandb.finish(exit_code=int(failed))
        wandb.teardown()
