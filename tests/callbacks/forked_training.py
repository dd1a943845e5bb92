"""Training with callbacks in a process that was forked from a clean one.

With `ddp_fork`, Lightning forks its processes from the current one. By then, a test run has started threads of torch,
Arrow and others, which do not exist in a fork, so that its processes can deadlock.
"""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytorch_lightning as pl
from foreign_module import Averages, ForeignModule, seeded, trainer

from expnet.callbacks.image_quality import FrechetCallback, LpipsCallback
from expnet.callbacks.landmark_distance import LandmarkDistanceCallback
from expnet.callbacks.metric_callback import MetricCallback
from expnet.callbacks.syncnet import SyncNetCallback
from expnet.errors import MissingAssetError


class OfTheFirstProcess(LandmarkDistanceCallback):
    """Scores clips of rank 0 only."""

    def update(self, pl_module: pl.LightningModule, outputs: object, batch: object) -> None:
        if pl_module.global_rank == 0:
            super().update(pl_module, outputs, batch)


class Lacking(LandmarkDistanceCallback):
    """Finds its weights on rank 0 only."""

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self.rank = trainer.global_rank
        super().setup(trainer, pl_module, stage)

    def open(self):
        if self.rank:
            raise MissingAssetError("No file.")
        return super().open()


def every_metric() -> list[MetricCallback]:
    """Return SyncNet (random weights, a clip per process), FID (small), LPIPS (random backbone), landmark distance."""
    return [
        SyncNetCallback("random", clips=["clip0", "clip4"]),
        FrechetCallback(network=seeded(Averages), features=8, stride=2),
        LpipsCallback("random", backbone="squeeze", stride=4),
        LandmarkDistanceCallback(),
    ]


def of_the_first_process() -> list[MetricCallback]:
    return [OfTheFirstProcess()]


def lacking() -> list[MetricCallback]:
    return [Lacking()]


def lacking_but_needed() -> list[MetricCallback]:
    return [Lacking(strict=True)]


def _validated(make: Callable[[], list[MetricCallback]], path: Path, epochs: int, devices: int) -> dict[str, float]:
    several = {"devices": devices, "strategy": "ddp_fork"} if devices > 1 else {}
    runner = trainer(path, *make(), max_epochs=epochs, **several)
    runner.fit(ForeignModule())
    return {name: float(value) for name, value in runner.callback_metrics.items() if name.startswith("val/")}


def validated(
    make: Callable[[], list[MetricCallback]], path: Path, *, epochs: int = 1, devices: int = 2
) -> dict[str, float]:
    """Train with the callbacks that a function returns, and return the values of the last validation."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("forkserver")) as clean:
        return clean.submit(_validated, make, path, epochs, devices).result(timeout=300)
