"""The tasks and the DataModule in a Trainer of one's own: fit, go on exactly, validate, test, predict, load."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.tuner import Tuner
from torch import Tensor

from expnet.config import load_config
from expnet.data.datamodule import TalkingFaceDataModule
from expnet.training.callbacks.resume import RandomState
from expnet.training.main import build_data
from expnet.training.tasks.build import build_task
from expnet.training.tasks.expression_task import ExpressionTask


class LossHistory(Callback):
    """A callback like any other: the loss of every step."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_train_batch_end(self, trainer: pl.Trainer, task: pl.LightningModule, outputs: Any, *_: Any) -> None:
        """Keep the loss."""
        loss: Tensor = outputs["loss"]
        self.losses.append(loss.item())


def open_parts(store: str, *changes: str) -> tuple[ExpressionTask, TalkingFaceDataModule]:
    """Return a task that is not trained and its data; ``changes`` are keys of the configuration."""
    settings = load_config(["configs/expression.yaml", f"data.store={store}", *changes])
    pl.seed_everything(settings.seed, verbose=False)  # before the task: it decides the first weights
    data = build_data(settings)
    return build_task(settings, data), data


def make_trainer(folder: Path, task: ExpressionTask, *callbacks: Callback, **options: Any) -> pl.Trainer:
    """Return a Trainer that validates every 500 steps and keeps the best and the last checkpoint in a folder."""
    best = ModelCheckpoint(
        folder,
        filename="best",
        monitor=task.monitor,
        mode=task.monitor_mode,
        save_last=True,
        enable_version_counter=False,
    )
    return pl.Trainer(
        **{"accelerator": "auto", "logger": CSVLogger(folder), "val_check_interval": 500, **options},
        check_val_every_n_epoch=None,  # validations and checkpoints count steps, not epochs
        max_epochs=-1,
        callbacks=[best, RandomState(), *callbacks],  # RandomState makes a resumed run the same, dropout included
        use_distributed_sampler=False,  # the DataModule divides the clips over processes itself, without repeats
    )


def main(store: str, folder: Path, *changes: str, steps: int = 1000, **options: Any) -> dict[str, Any]:
    """Train in two parts, the second of which goes on exactly, and use the result; ``options`` are the Trainer's."""
    changes = (*changes, f"trainer.max_steps={steps}")  # the learning rate decays over these steps
    task, data = open_parts(store, *changes)
    finder = Tuner(make_trainer(folder / "finder", task, **options)).lr_find(
        task, datamodule=data, num_training=min(steps, 100), update_attr=False
    )

    task, data = open_parts(store, *changes)
    make_trainer(folder, task, max_steps=steps // 2, **options).fit(task, datamodule=data)

    task, data = open_parts(store, *changes)  # as in a process of its own
    history = LossHistory()
    trainer = make_trainer(folder, task, history, max_steps=steps, **options)
    trainer.fit(task, datamodule=data, ckpt_path=folder / "last.ckpt")

    task = ExpressionTask.load_from_checkpoint(folder / "best.ckpt")
    data = TalkingFaceDataModule(store)
    trainer = make_trainer(folder / "scores", task, **options)
    return {
        "learning_rates": finder.results if finder else {},
        "losses": history.losses,
        "validation": trainer.validate(task, datamodule=data, verbose=False),
        "test": trainer.test(task, datamodule=data, verbose=False),
        "predictions": trainer.predict(task, datamodule=data),  # a StepOutput for each batch of test clips
    }


if __name__ == "__main__":
    sys.stdout.write(f"{main(sys.argv[1], Path(sys.argv[2]))['test']}\n")
