"""Sample videos and plots of validation clips, on disk and on the dashboards."""

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
    """Write clips as videos with audio, plots of mouth opening and head pose, and landmark overlays.

    Each validation in which the callback takes part gets a folder such as ``samples/step_000100`` with CLIP.mp4,
    CLIP_curves.png and CLIP_landmarks.png; a file whose data the sample lacks is left out. W&B receives all three,
    TensorBoard, which has no videos, the two images. Only rank 0 writes, from its own clips, without communication.

    Args:
        folder: Parent of the ``step_...`` folders. None means ``samples`` in the Trainer's ``default_root_dir``.
        most: Maximum number of clips to write per validation.
        **schedule: Arguments of `ValidationCallback`: ``samples``, ``every``, ``clips``.
    """

    def __init__(self, folder: str | Path | None = None, *, most: int = 4, **schedule: Any) -> None:
        super().__init__(**schedule)
        self.folder = None if folder is None else Path(folder)
        self.most = most
        self._trainer: pl.Trainer | None = None
        self._step_folder = Path()

    @property
    def state_key(self) -> str:
        """Key of this callback's state in a checkpoint; it does not depend on where the run folder is."""
        return f"{type(self).__qualname__}({'samples' if self.folder is None else self.folder.name})"

    def is_on(self, trainer: pl.Trainer) -> bool:
        """Whether this process writes, which only rank 0 does."""
        return trainer.is_global_zero

    def begin(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Choose the folder of this validation."""
        folder = self.folder or Path(trainer.default_root_dir) / "samples"
        self._trainer, self._step_folder = trainer, folder / f"step_{trainer.global_step:06d}"

    def add(self, sample: ClipSample) -> None:
        """Write one clip and pass it to the loggers."""
        if self.seen >= self.most:
            return
        self._step_folder.mkdir(parents=True, exist_ok=True)
        name = sample.clip_id.replace("/", "_")
        if sample.frames is not None:
            self._log_video(name, write_sample_video(sample, self._step_folder / f"{name}.mp4"))
        for kind, image in (("curves", draw_curves(sample)), ("landmarks", draw_landmarks(sample))):
            if image is not None:
                Image.fromarray(image).save(self._step_folder / f"{name}_{kind}.png")
                self._log_image(f"{name}_{kind}", image)

    def _log_video(self, name: str, path: Path) -> None:
        assert self._trainer is not None
        for logger in self._trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_video(f"samples/{name}", [str(path)], step=logging_step(self._trainer), format=["mp4"])

    def _log_image(self, name: str, image: NDArray[np.uint8]) -> None:
        assert self._trainer is not None
        step = logging_step(self._trainer)
        for logger in self._trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_image(f"samples/{name}", [image], step=step)
            elif isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(f"samples/{name}", image, step, dataformats="HWC")


def logging_step(trainer: pl.Trainer) -> int:
    """Return the step under which Lightning logs the scores of the current validation.

    Loggers count steps from 0, so the validation after the hundredth step is at 99, while ``trainer.global_step`` and
    the names of files say 100.
    """
    return trainer.fit_loop.epoch_loop._batches_that_stepped
