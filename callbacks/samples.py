"""Clips to look at and listen to, on disk and on whichever dashboard runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from numpy.typing import NDArray
from PIL import Image
from pytorch_lightning.loggers import TensorBoardLogger, WandbLogger

from expnet.callbacks.clip_sample import ClipSample
from expnet.callbacks.metric_callback import ValidationCallback
from expnet.callbacks.sample_files import draw_curves, draw_landmarks, write_sample_video


class SamplesCallback(ValidationCallback):
    """Write clips as videos with sound, with curves of mouth opening and head pose and with landmark overlays.

    Each validation that is looked at gets a folder, ``samples/step_000100``, with CLIP.mp4, CLIP_curves.png and
    CLIP_landmarks.png; what a sample lacks is left out. W&B gets all three, TensorBoard, which has no videos, the two
    pictures. Only the first process writes, of its own clips, and nothing is exchanged between processes.

    Args:
        folder: where ``step_...`` folders go; ``samples`` in the Trainer's ``default_root_dir`` when None.
        most: clips of a validation that are written.
        **schedule: for `ValidationCallback`: ``samples``, ``every``, ``clips``.
    """

    def __init__(self, folder: str | Path | None = None, *, most: int = 4, **schedule: Any) -> None:
        super().__init__(**schedule)
        self.folder = None if folder is None else Path(folder)
        self.most = most
        self._trainer: pl.Trainer | None = None
        self._here = Path()

    @property
    def state_key(self) -> str:
        """Name of this callback's part of a checkpoint, wherever the run lies."""
        return f"{type(self).__qualname__}({'samples' if self.folder is None else self.folder.name})"

    def is_on(self, trainer: pl.Trainer) -> bool:
        """Whether this process writes."""
        return trainer.is_global_zero

    def begin(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Name the folder."""
        folder = self.folder or Path(trainer.default_root_dir) / "samples"
        self._trainer, self._here = trainer, folder / f"step_{trainer.global_step:06d}"

    def add(self, sample: ClipSample) -> None:
        """Write one clip and hand it to the loggers."""
        if self.seen >= self.most:
            return
        self._here.mkdir(parents=True, exist_ok=True)
        name = sample.clip_id.replace("/", "_")
        if sample.frames is not None:
            self._log_video(name, write_sample_video(sample, self._here / f"{name}.mp4"))
        for kind, picture in (("curves", draw_curves(sample)), ("landmarks", draw_landmarks(sample))):
            if picture is not None:
                Image.fromarray(picture).save(self._here / f"{name}_{kind}.png")
                self._log_picture(f"{name}_{kind}", picture)

    def _log_video(self, name: str, path: Path) -> None:
        assert self._trainer is not None
        for logger in self._trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_video(f"samples/{name}", [str(path)], step=self._trainer.global_step, format=["mp4"])

    def _log_picture(self, name: str, picture: NDArray[np.uint8]) -> None:
        assert self._trainer is not None
        step = self._trainer.global_step
        for logger in self._trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_image(f"samples/{name}", [picture], step=step)
            elif isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(f"samples/{name}", picture, step, dataformats="HWC")
