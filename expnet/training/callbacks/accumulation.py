"""Where a run is between two optimiser steps, if gradients of several batches are added up."""

from __future__ import annotations

import pytorch_lightning as pl


def batches_before(trainer: pl.Trainer) -> int:
    """Return the batches before the current one whose gradients wait for the same step; 0 where a step begins.

    A checkpoint cannot hold gradients, so a run can stop and go on only where there are none.
    """
    return trainer.fit_loop.epoch_loop.batch_idx % trainer.accumulate_grad_batches
