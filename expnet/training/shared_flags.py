"""Flags that any process of a training raises and all see, carried by the all-reduce of the gradients.

Processes have to stop at the same step, or those that go on wait for the others for ever. An all-reduce of its own for
each reason to stop would make every step wait for the network once more.
"""

from typing import Any  # annotations stay objects: DDP looks at those of its hook
from weakref import WeakKeyDictionary

import pytorch_lightning as pl
import torch
import torch.distributed
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

BAD_LOSS = 0
"""Index of the flag of a loss that training cannot go on with."""
FIRST_SIGNAL = 1
"""Index of the flag of the first of the signals that stop a run."""
_COUNT = 3


class SharedFlags:
    """The flags of this process and, once a step's gradients were averaged, of all processes.

    Where the strategy is no DDP, or its all-reduce was replaced by somebody else, `exchange` does one of its own.

    Args:
        trainer: The trainer, whose strategy has set up the module.
    """

    def __init__(self, trainer: pl.Trainer) -> None:
        self.device = trainer.strategy.root_device
        self.seen = torch.zeros(_COUNT, device=self.device)
        self._raised = torch.zeros(_COUNT, device=self.device)
        self.module = trainer.strategy.model
        self._carried = False
        self._exchanged = -1  # step of the last exchange
        if isinstance(self.module, DistributedDataParallel) and not self.module._comm_hooks:
            self.module.register_comm_hook(self, _average_with_flags)
            self._carried = True

    def raise_flag(self, index: int, condition: Tensor | bool) -> None:
        """Raise a flag in this process if a condition holds, a boolean scalar; call it before the backward pass."""
        held = torch.as_tensor(condition, device=self.device).to(self._raised.dtype)
        self._raised[index] = torch.maximum(self._raised[index], held)

    def exchange(self, trainer: pl.Trainer) -> Tensor:
        """Return how many processes raised each flag, relative to all processes, (3,); call it before each step."""
        if not self._carried and trainer.global_step != self._exchanged:
            self.seen = trainer.strategy.reduce(self.take(), reduce_op="mean")
            self._exchanged = trainer.global_step
        return self.seen

    def take(self) -> Tensor:
        """Return the flags of this process and lower them."""
        raised, self._raised = self._raised, torch.zeros_like(self._raised)
        return raised


_FLAGS: WeakKeyDictionary[pl.Trainer, SharedFlags] = WeakKeyDictionary()


def share_flags(trainer: pl.Trainer) -> SharedFlags:
    """Return the flags of a training that starts, the same for all callbacks of its trainer; call it at its start."""
    found = _FLAGS.get(trainer)
    if found is None or found.module is not trainer.strategy.model:
        found = _FLAGS[trainer] = SharedFlags(trainer)
    return found


def _average_with_flags(flags: SharedFlags, bucket: torch.distributed.GradBucket) -> torch.futures.Future[Tensor]:
    """Average a bucket of gradients over the processes, as DDP itself does, and the flags along with the first one."""
    gradients = bucket.buffer()
    carries = bucket.index() == 0
    sent = torch.cat([gradients, flags.take().to(gradients)]) if carries else gradients
    sent.div_(torch.distributed.get_world_size())

    def received(future: torch.futures.Future[Any]) -> Tensor:
        averaged: Tensor = future.value()[0]
        if not carries:
            return averaged
        flags.seen = averaged[len(gradients) :].to(flags.seen)
        return gradients.copy_(averaged[: len(gradients)])

    return torch.distributed.all_reduce(sent, async_op=True).get_future().then(received)
