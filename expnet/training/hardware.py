"""Accelerator, devices, processes and strategy: checked before anything waits for them, and set on Lightning."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
from lightning_fabric.plugins.environments import LightningEnvironment
from pytorch_lightning.accelerators import AcceleratorRegistry, CUDAAccelerator, MPSAccelerator
from pytorch_lightning.strategies import StrategyRegistry

from expnet.config import TrainerConfig
from expnet.errors import ConfigError, ExpnetError, MachineError
from expnet.io.launcher import LaunchedProcess, launched_process
from expnet.io.machine_faults import is_machine_fault, machine_error

if TYPE_CHECKING:
    import pytorch_lightning as pl

    from expnet.training.tasks.base_task import BaseTask

_SHARDING = ("fsdp", "deepspeed")
"""Beginnings of the names of strategies that divide the weights of a network among processes."""
_OTHERS = ("single_", *_SHARDING)  # Lightning itself takes the first for one device
_PEER_IS_SILENT = ("Application timeout", "Timed out waiting", "waiting for clients", "wait timeout")
_PEER_IS_GONE = ("Connection closed by peer", "Connection reset by peer")
_PEER_IS_OUT_OF_REACH = ("connectFullMesh failed",)
"""What torch.distributed says about a process that hangs, one that has ended, and one that it cannot connect to."""
_WORKER_IS_GONE = re.compile(r"DataLoader worker \(pid(\(s\))? [\d, ]+\) (exited unexpectedly|is killed by signal)")


def check_hardware(options: TrainerConfig) -> None:
    """Refuse a choice that this machine, or what started this process, cannot fulfil.

    Raises:
        ConfigError: The strategy or accelerator does not exist, there are too few GPUs, or the number of processes is
            not ``devices`` x ``num_nodes``, so that some would wait for others for ever or train a run of their own.
    """
    refused = options.strategy.startswith(_SHARDING)
    strategies = [name for name in StrategyRegistry.available_strategies() if not name.startswith(_OTHERS)]
    if refused:
        raise ConfigError(
            f"trainer.strategy={options.strategy} divides the weights among processes, but the average of the weights "
            "and the resumable checkpoints need them whole, and the networks here fit on one device: use ddp, with "
            "trainer.activation_checkpointing=true and trainer.accumulate where memory is short."
        )
    if options.strategy != "auto" and options.strategy not in StrategyRegistry.available_strategies():
        raise ConfigError(f"trainer.strategy={options.strategy} does not exist; use auto or {', '.join(strategies)}.")
    accelerators = ["auto", "gpu", *AcceleratorRegistry.available_accelerators()]
    if options.accelerator not in accelerators:
        raise ConfigError(f"trainer.accelerator={options.accelerator} does not exist; use {', '.join(accelerators)}.")
    _check_gpus(options)
    _check_processes(options, launched_process())


def _check_gpus(options: TrainerConfig) -> None:
    if options.accelerator not in ("gpu", "cuda"):
        return
    count = CUDAAccelerator.auto_device_count() or (options.accelerator == "gpu" and MPSAccelerator.is_available())
    if not count:
        raise ConfigError(
            f"trainer.accelerator={options.accelerator}, but torch sees no GPU here; leave it at auto, or fix the "
            "driver."
        )
    if options.devices > count:
        raise ConfigError(f"trainer.devices={options.devices}, but torch sees {int(count)} GPU here; give that number.")


def _check_processes(options: TrainerConfig, launched: LaunchedProcess) -> None:
    """Compare the processes that were started with those that the run waits for."""
    expected = processes_of(options)
    if not launched.launcher:
        # Lightning starts the other processes of this machine, and nobody those of other machines.
        if options.num_nodes > 1 and "MASTER_ADDR" not in os.environ:
            raise ConfigError(
                f"trainer.num_nodes={options.num_nodes}, but only this process was started and would wait for the "
                "others for ever: start the run with srun or torchrun on all machines (configs/cluster/slurm.sh)."
            )
        return
    counted = launched.world > 1 or launched.launcher == "SLURM" or "GROUP_RANK" in os.environ
    if counted and launched.world != expected:
        raise ConfigError(
            f"{launched.launcher} started {launched.world} process{'es' if launched.world > 1 else ''}, but "
            f"trainer.devices={options.devices} and trainer.num_nodes={options.num_nodes} ask for {expected}: set "
            "trainer.devices to the processes on each machine and trainer.num_nodes to the machines."
        )


def processes_of(options: TrainerConfig) -> int:
    """Return the number of training processes, one for each device of each machine."""
    return (options.devices if options.devices > 0 else _all_devices(options)) * options.num_nodes


def _all_devices(options: TrainerConfig) -> int:
    """Return the number of devices that ``devices=-1`` stands for."""
    return 1 if options.accelerator == "cpu" else max(torch.cuda.device_count(), 1)


def strategy_name(options: TrainerConfig, task: BaseTask) -> str:
    """Return the name of Lightning's strategy; DDP looks for unused parameters only where a network has them."""
    name = options.strategy
    if not getattr(task.model, "leaves_parameters_unused", False):
        return name
    if name == "auto" and (options.devices != 1 or options.num_nodes > 1):
        name = "ddp"  # what auto means for several devices
    tolerant = f"{name}_find_unused_parameters_true"
    return tolerant if tolerant in StrategyRegistry.available_strategies() else name


def local_device(options: TrainerConfig) -> torch.device:
    """Return the device of this process for networks that do not belong to the module, so Lightning never moves them.

    The processes that Lightning starts itself find their number in ``LOCAL_RANK``, as those of torchrun do.
    """
    if options.accelerator == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    number = int(os.environ.get("LOCAL_RANK", launched_process().local_rank))
    return torch.device("cuda", number % torch.cuda.device_count())


def cluster_plugins() -> list[Any]:
    """Return the plugin that tells Lightning who starts the processes, where it would take that from a SLURM job.

    Lightning takes any process in a job with ``--ntasks`` for one that ``srun`` started.
    """
    in_job = "SLURM_NTASKS" in os.environ
    return [LightningEnvironment()] if in_job and not launched_process().launcher else []


def use_threads(count: int) -> None:
    """Set the CPU threads of this process and of those that it starts; 0 leaves the choice to torch."""
    if count:
        # Lightning sets the number itself, also in processes of srun and torchrun, unless this variable is set.
        os.environ["OMP_NUM_THREADS"] = str(count)
        torch.set_num_threads(count)


def limit_waiting(trainer: pl.Trainer, seconds: float) -> None:
    """Limit the time that a process waits for the others, where the strategy has several."""
    # Lightning takes the limit as an argument of the strategy only, which would have to be chosen here.
    if hasattr(trainer.strategy, "_timeout"):
        trainer.strategy._timeout = timedelta(seconds=seconds)


def training_fault(error: BaseException, options: TrainerConfig) -> ExpnetError | None:
    """Return one sentence for a training that the machine or another process stopped; None for any other error."""
    if is_machine_fault(error):
        return machine_error(error)
    if not isinstance(error, RuntimeError):
        return None
    if any(words in str(error) for words in _PEER_IS_SILENT):
        return MachineError(
            f"Another process of the run has not answered for {options.timeout:g} s (trainer.timeout): it hangs, has "
            "ended or was never started; look at its output, and continue with ckpt=last."
        )
    if any(words in str(error) for words in _PEER_IS_GONE):
        return MachineError(
            "Another process of the run has ended; look at its output for the reason, and continue with ckpt=last."
        )
    if any(words in str(error) for words in _PEER_IS_OUT_OF_REACH):
        return MachineError(
            "Another process of the run cannot be reached: check the network between the machines, name its interface "
            "in GLOO_SOCKET_IFNAME or NCCL_SOCKET_IFNAME if there are several, and continue with ckpt=last."
        )
    if _WORKER_IS_GONE.search(str(error)):
        return MachineError(
            "A process that loads data was ended by the system: the memory may be full (use fewer data.workers), or a "
            "file of data.store may have been removed or shortened; look at the system's log, and continue with "
            "ckpt=last."
        )
    return None
