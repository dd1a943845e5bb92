"""The configuration of a sweep: the schema under ``expnet sweep FILE.yaml KEY=VALUE``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from expnet.config.checks import at_least, require


@dataclass
class SlurmConfig:
    """The jobs of a sweep under SLURM; each run gets trainer.num_nodes nodes with trainer.devices tasks each."""

    partition: str | None = None
    """Partition; null for the cluster's default."""
    account: str | None = None
    """Account that pays for the jobs."""
    qos: str | None = None
    """Quality of service."""
    minutes: int = 1440
    """Time limit of a job; a run that reaches it is requeued and goes on where it was."""
    cpus_per_task: int = 8
    """Cores of each task."""
    gpus_per_node: int = 0
    """GPUs of each node; 0 for jobs without GPUs."""
    mem_gb: float | None = None
    """Memory of each node in GB; null for the cluster's default."""
    constraint: str | None = None
    """Features that the nodes must have."""
    setup: list[str] = field(default_factory=list)
    """Shell commands that a job runs first, such as 'module load cuda'."""
    additional: dict[str, str] = field(default_factory=dict)
    """Further options of sbatch by their long names, such as {exclude: node07}."""

    def __post_init__(self) -> None:
        """Check ranges."""
        at_least("slurm", self, minutes=1, cpus_per_task=1, gpus_per_node=0)
        require(self.mem_gb is None or self.mem_gb > 0, f"slurm.mem_gb must be above 0, not {self.mem_gb}.")


@dataclass
class SweepConfig:
    """Train one network many times with different options, and compare the runs by one score."""

    output: str = "sweep"
    """Folder of the sweep; what is finished in it is not trained again, and what was stopped goes on."""
    train: list[str] = field(default_factory=list)
    """Files and KEY=VALUE of every training, before those of the command line."""
    space: dict[str, Any] = field(default_factory=dict)
    """Values to try, by key of the training: a list of values, or {low: 1e-4, high: 1e-2, log: true} for a range, with
    step for whole numbers and evenly spaced ones (not with sampler=grid)."""
    sampler: Literal["grid", "random", "tpe", "gp"] = "grid"
    """How values are chosen: every combination; or by Optuna: random, tpe (tree-structured Parzen estimator) or gp
    (Gaussian process)."""
    trials: int = 20
    """Runs that Optuna's samplers start in total; a grid has as many as there are combinations."""
    sampler_seed: int = 0
    """Seed of Optuna's samplers."""
    objective: str | None = None
    """Score that the runs are compared by; it also chooses best.ckpt, as trainer.monitor does. null for
    trainer.monitor."""
    direction: Literal["minimize", "maximize"] | None = None
    """Which end of the objective is better; null where expnet knows."""
    pruner: Literal["none", "median", "halving"] = "none"
    """Whether runs that fall behind are stopped early: those below the median of the earlier runs at the same step, or
    all but the best quarter at steps that grow fourfold (successive halving)."""
    prune_after: int = 1
    """Steps that every run takes before it may be stopped early."""
    prune_startup: int = 4
    """Runs that the median waits for before it stops any."""
    jobs: int = 1
    """Runs that train at the same time; under SLURM the tasks of an array that run at the same time."""
    executor: Literal["local", "slurm"] = "local"
    """Where the runs train: as processes of this machine, each with its own GPUs, or as SLURM jobs."""
    slurm: SlurmConfig = field(default_factory=SlurmConfig)
    """Jobs under SLURM."""

    def __post_init__(self) -> None:
        """Check ranges."""
        at_least("", self, trials=1, jobs=1, prune_after=1, prune_startup=1, sampler_seed=0)
        require(bool(self.output), "output must name a folder.")
        require(
            self.pruner == "none" or self.sampler != "grid",
            f"pruner={self.pruner} needs one of Optuna's samplers: set sampler=random, sampler=tpe or sampler=gp.",
        )
