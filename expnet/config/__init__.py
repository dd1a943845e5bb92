"""What can be configured in training, with defaults, and why: the schema under ``python train.py FILE key=value``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from omegaconf import OmegaConf

from expnet.config.checks import require
from expnet.config.data import AugmentConfig, ClipsConfig, DataConfig, RegionDataConfig
from expnet.config.grammar import merge, read_layer
from expnet.config.losses import ExpressionLossConfig, PoseLossConfig, RefinerLossConfig
from expnet.config.models import ExpressionModelConfig, LandmarkSyncModelConfig, PoseModelConfig, RefinerModelConfig
from expnet.config.training import LoggerConfig, MetricsConfig, OptimConfig, TrainerConfig, WandbConfig
from expnet.errors import ConfigError

__all__ = [
    "TASKS",
    "AugmentConfig",
    "BaseConfig",
    "ClipsConfig",
    "Config",
    "DataConfig",
    "ExpressionConfig",
    "ExpressionLossConfig",
    "ExpressionModelConfig",
    "LandmarkSyncConfig",
    "LandmarkSyncModelConfig",
    "LoggerConfig",
    "MetricsConfig",
    "OptimConfig",
    "PoseConfig",
    "PoseLossConfig",
    "PoseModelConfig",
    "RefinerConfig",
    "RefinerLossConfig",
    "RefinerModelConfig",
    "RegionDataConfig",
    "TrainerConfig",
    "WandbConfig",
    "load_config",
    "require",
    "task_of",
]


@dataclass
class BaseConfig:
    """What both tasks share."""

    seed: int = 0
    """Seed of weights, windows, dropout and augmentation."""
    output: str | None = None
    """Run folder; runs/TASK-NUMBER when null."""
    ckpt: str | None = None
    """Checkpoint to go on from: a path, or 'last' for the run folder's own."""
    init: str | None = None
    """Model to start from, as for fine-tuning: a run folder, .ckpt or .safetensors of a network of this shape, or
    one in the package: 'synthetic', which was trained on made speech and has heard no real person, or 'expression' and
    'pose', which `expnet animate` uses, as for fine-tuning."""
    face_model: str = "mediapipe468"
    """Face model that the coefficients belong to: the built-in one, or the path of a BFM .mat or FLAME file."""
    compile: bool = False
    """Compile the network for training (torch.compile); worth its minutes in long runs, most of all on GPUs."""
    data: ClipsConfig = field(default_factory=ClipsConfig)
    """the clips"""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """disturbing the sound"""
    optim: OptimConfig = field(default_factory=OptimConfig)
    """the optimiser"""
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    """the run"""
    metrics: MetricsConfig = field(default_factory=MetricsConfig)
    """scores of rendered clips"""
    logger: LoggerConfig = field(default_factory=LoggerConfig)
    """the curves"""

    def __post_init__(self) -> None:
        """Check ranges."""
        require(0 <= self.seed < 2**32, f"seed must be at least 0 and below 2^32, not {self.seed}.")


@dataclass
class ExpressionConfig(BaseConfig):
    """Training of the expression network."""

    task: Literal["expression"] = "expression"
    """Which network to train: expression, pose, landmark_sync or refiner."""
    # Recorded speech holds next to no silence, in which the lips have to close.
    data: DataConfig = field(default_factory=lambda: DataConfig(silent_share=0.1))
    """the clips"""
    # Hidden sound teaches nothing about lips to a network that has heard many made voices (docs/models.md).
    augment: AugmentConfig = field(default_factory=lambda: AugmentConfig(time_masks=0, band_masks=0))
    """disturbing the sound"""
    model: ExpressionModelConfig = field(default_factory=ExpressionModelConfig)
    """the network"""
    loss: ExpressionLossConfig = field(default_factory=ExpressionLossConfig)
    """the loss"""


@dataclass
class PoseConfig(BaseConfig):
    """Training of the head-pose network."""

    task: Literal["pose"] = "pose"
    """Which network to train: expression, pose, landmark_sync or refiner."""
    data: DataConfig = field(default_factory=lambda: DataConfig(window=129, batch_size=8))
    """the clips"""
    model: PoseModelConfig = field(default_factory=PoseModelConfig)
    """the network"""
    loss: PoseLossConfig = field(default_factory=PoseLossConfig)
    """the loss"""

    def __post_init__(self) -> None:
        """Check ranges."""
        super().__post_init__()
        require(
            self.data.window > 32,
            f"data.window must be 33 frames or more for the head-pose network, best 32 n + 1, not {self.data.window}.",
        )


@dataclass
class LandmarkSyncConfig(BaseConfig):
    """Training of the sync expert on tracked lips."""

    task: Literal["landmark_sync"] = "landmark_sync"
    """Which network to train: expression, pose, landmark_sync or refiner."""
    data: DataConfig = field(default_factory=lambda: DataConfig(window=80, batch_size=32))
    """the clips"""
    model: LandmarkSyncModelConfig = field(default_factory=LandmarkSyncModelConfig)
    """the network"""

    def __post_init__(self) -> None:
        """Check ranges."""
        super().__post_init__()
        require(
            self.data.window > 30,
            f"data.window must be more than 30 frames for the sync expert, twice its lags, not {self.data.window}.",
        )
        require(
            not self.metrics.renders,
            "metrics has nothing to render for the sync expert, which predicts no face: leave it off.",
        )


@dataclass
class RefinerConfig(BaseConfig):
    """Training of the renderer's refiner."""

    task: Literal["refiner"] = "refiner"
    """Which network to train: expression, pose, landmark_sync or refiner."""
    data: RegionDataConfig = field(default_factory=RegionDataConfig)
    """the clips"""
    model: RefinerModelConfig = field(default_factory=RefinerModelConfig)
    """the network"""
    loss: RefinerLossConfig = field(default_factory=RefinerLossConfig)
    """the loss"""

    def __post_init__(self) -> None:
        """Check ranges."""
        super().__post_init__()
        require(
            not self.metrics.renders,
            "metrics renders clips from coefficients, which the refiner does not predict: leave it off.",
        )


Config = ExpressionConfig | PoseConfig | LandmarkSyncConfig | RefinerConfig
TASKS: dict[str, type[Config]] = {
    "expression": ExpressionConfig,
    "pose": PoseConfig,
    "landmark_sync": LandmarkSyncConfig,
    "refiner": RefinerConfig,
}


def task_of(layers: Sequence[str]) -> str:
    """Return the task that files and overrides ask for; raise ConfigError if they name none or an unknown one."""
    task = None
    for layer in layers:
        task = OmegaConf.select(read_layer(layer), "task", default=task)
    if task is None:
        raise ConfigError("No task was given: start from configs/expression.yaml or configs/pose.yaml.")
    if task not in TASKS:
        raise ConfigError(f"task is one of {', '.join(TASKS)}, not {task!r}.")
    return task


def load_config(layers: Sequence[str], overrides: Sequence[str] = ()) -> Config:
    """Merge configuration files and overrides over the schema of the task they name.

    Args:
        layers: file names and ``section.key=value`` strings, merged left to right.
        overrides: more of them, merged last.

    Returns:
        The task's configuration: an `ExpressionConfig`, a `PoseConfig`, a `LandmarkSyncConfig` or a
        `RefinerConfig`.

    Raises:
        ConfigError: one sentence about the first thing that is wrong.
    """
    layers = [*layers, *overrides]
    return merge(TASKS[task_of(layers)], layers)
