"""The configuration of each training task, and how it is read: the schema under ``train.py FILE.yaml KEY=VALUE``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from omegaconf import OmegaConf

from expnet.config.checks import require
from expnet.config.data import (
    AugmentConfig,
    ClipsConfig,
    DataConfig,
    FrameDataConfig,
    MotionDataConfig,
    RegionDataConfig,
)
from expnet.config.grammar import merge, read_layer
from expnet.config.losses import (
    ExpressionLossConfig,
    MotionLossConfig,
    PoseLossConfig,
    RefinerLossConfig,
    RendererLossConfig,
)
from expnet.config.models import (
    ExpressionModelConfig,
    LandmarkSyncModelConfig,
    MotionModelConfig,
    PoseModelConfig,
    RefinerModelConfig,
    RendererModelConfig,
)
from expnet.config.part_sections import PartConfig, checked_sections
from expnet.config.parts import named_by_user
from expnet.config.training import LoggerConfig, MetricsConfig, OptimConfig, RendererOptimConfig, TrainerConfig
from expnet.errors import ConfigError


@dataclass
class BaseConfig:
    """Keys that every training task has."""

    seed: int = 0
    """Seed of the initial weights, window sampling, dropout and augmentation."""
    output: str | None = None
    """Run folder; null for the next free runs/TASK-NUMBER."""
    ckpt: str | None = None
    """Checkpoint to resume from: a path, or 'last' for the last one of the run folder."""
    init: str | None = None
    """Trained weights to start from: a run folder, .ckpt or .safetensors of a network of the same shape (or, with
    data.features, of one without them), or weights in the package: 'synthetic', trained on synthetic speech alone;
    'expression', 'whisper', 'streaming' and 'pose', which `expnet animate` uses, for fine-tuning."""
    face_model: str = "mediapipe468"
    """Face model of the coefficients: the built-in one, the path of a BFM .mat or FLAME file, or bfm-deep3d."""
    compile: bool = False
    """Compile the network for training (torch.compile), which takes minutes and pays off in long runs, mostly on
    GPUs."""
    data: ClipsConfig = field(default_factory=ClipsConfig)
    """Training and validation clips."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """Augmentation of the mel spectrogram."""
    optim: OptimConfig = field(default_factory=OptimConfig)
    """Optimiser and learning rate schedule."""
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    """Length of the run and hardware."""
    metrics: MetricsConfig = field(default_factory=MetricsConfig)
    """Metrics of rendered validation clips."""
    logger: LoggerConfig = field(default_factory=LoggerConfig)
    """Loggers beside metrics.csv."""
    callbacks: dict[str, PartConfig] = field(default_factory=dict)
    """Lightning callbacks of other packages under labels: callbacks.LABEL.part, .options (docs/guides/own_parts.md)."""

    def __post_init__(self) -> None:
        """Check ranges."""
        require(0 <= self.seed < 2**32, f"seed must be at least 0 and below 2^32, not {self.seed}.")
        self.callbacks = checked_sections("callbacks", "callbacks", self.callbacks, PartConfig)


@dataclass
class ExpressionConfig(BaseConfig):
    """Training of the expression network."""

    task: Literal["expression"] = "expression"
    """Network to train: expression, pose, motion, landmark_sync, refiner or renderer."""
    # Recorded speech hardly contains silence, in which the lips have to close.
    data: DataConfig = field(default_factory=lambda: DataConfig(silent_share=0.1))
    """Training and validation clips."""
    # Masking does not help a network that was pretrained on many synthetic voices (docs/results/networks.md).
    augment: AugmentConfig = field(default_factory=lambda: AugmentConfig(time_masks=0, band_masks=0))
    """Augmentation of the mel spectrogram."""
    model: ExpressionModelConfig = field(default_factory=ExpressionModelConfig)
    """Expression network."""
    loss: ExpressionLossConfig = field(default_factory=ExpressionLossConfig)
    """Loss terms and their weights."""


@dataclass
class PoseConfig(BaseConfig):
    """Training of the head-pose network."""

    task: Literal["pose"] = "pose"
    """Network to train: expression, pose, motion, landmark_sync, refiner or renderer."""
    data: DataConfig = field(default_factory=lambda: DataConfig(window=129, batch_size=8))
    """Training and validation clips."""
    model: PoseModelConfig = field(default_factory=PoseModelConfig)
    """Head-pose network."""
    loss: PoseLossConfig = field(default_factory=PoseLossConfig)
    """Loss terms and their weights."""

    def __post_init__(self) -> None:
        """Check ranges."""
        super().__post_init__()
        require(
            self.data.window > 32,
            f"data.window must be 33 frames or more for the head-pose network, best 32 n + 1, not {self.data.window}.",
        )


@dataclass
class MotionConfig(BaseConfig):
    """Training of the motion network, which draws expression, head motion and lids together."""

    task: Literal["motion"] = "motion"
    """Network to train: expression, pose, motion, landmark_sync, refiner or renderer."""
    data: MotionDataConfig = field(default_factory=MotionDataConfig)
    """Training and validation clips."""
    optim: OptimConfig = field(default_factory=lambda: OptimConfig(warmup_steps=100))
    """Optimiser and learning rate schedule."""
    trainer: TrainerConfig = field(default_factory=lambda: TrainerConfig(max_steps=3500, validate_every=500))
    """Length of the run and hardware."""
    model: MotionModelConfig = field(default_factory=MotionModelConfig)
    """Motion network."""
    loss: MotionLossConfig = field(default_factory=MotionLossConfig)
    """Loss terms and their weights."""

    def __post_init__(self) -> None:
        """Check ranges."""
        super().__post_init__()
        least = self.model.previous + 25
        require(
            self.data.window >= least,
            f"data.window must be {least} frames or more, a second beyond model.previous, not {self.data.window}.",
        )
        require(
            not self.metrics.renders or "expression" in self.model.groups,
            "metrics renders faces, which needs expression among model.groups: add it, or switch metrics off.",
        )


@dataclass
class LandmarkSyncConfig(BaseConfig):
    """Training of the sync expert on lip landmarks."""

    task: Literal["landmark_sync"] = "landmark_sync"
    """Network to train: expression, pose, motion, landmark_sync, refiner or renderer."""
    data: DataConfig = field(default_factory=lambda: DataConfig(window=80, batch_size=32))
    """Training and validation clips."""
    model: LandmarkSyncModelConfig = field(default_factory=LandmarkSyncModelConfig)
    """Sync expert."""

    def __post_init__(self) -> None:
        """Check ranges."""
        super().__post_init__()
        require(
            self.data.window > 30,
            f"data.window must be more than 30 frames, twice the sync expert's largest lag, not {self.data.window}.",
        )
        require(
            not self.metrics.renders,
            "metrics has nothing to render for the sync expert, which predicts no face: switch it off.",
        )


@dataclass
class RefinerConfig(BaseConfig):
    """Training of the renderer's refiner."""

    task: Literal["refiner"] = "refiner"
    """Network to train: expression, pose, motion, landmark_sync, refiner or renderer."""
    data: RegionDataConfig = field(default_factory=RegionDataConfig)
    """Training and validation clips."""
    model: RefinerModelConfig = field(default_factory=RefinerModelConfig)
    """Refiner."""
    loss: RefinerLossConfig = field(default_factory=RefinerLossConfig)
    """Loss terms and their weights."""

    def __post_init__(self) -> None:
        """Check ranges."""
        super().__post_init__()
        require(
            not self.metrics.renders,
            "metrics renders clips from coefficients, which the refiner does not predict: switch it off.",
        )
        counts_steps(self.trainer)


@dataclass
class RendererConfig(BaseConfig):
    """Training of a renderer on the frames of tracked videos."""

    task: Literal["renderer"] = "renderer"
    """Network to train: expression, pose, motion, landmark_sync, refiner or renderer."""
    data: FrameDataConfig = field(default_factory=FrameDataConfig)
    """Training and validation clips."""
    optim: RendererOptimConfig = field(default_factory=lambda: RendererOptimConfig(warmup_steps=100, ema=0.999))
    """Optimiser and learning rate schedule."""
    # The gradients of sampling a volume have no deterministic implementation on a GPU.
    trainer: TrainerConfig = field(default_factory=lambda: TrainerConfig(deterministic=False))
    """Length of the run and hardware."""
    model: RendererModelConfig = field(default_factory=RendererModelConfig)
    """Renderer."""
    loss: RendererLossConfig = field(default_factory=RendererLossConfig)
    """Loss terms and their weights."""

    def __post_init__(self) -> None:
        """Check ranges."""
        super().__post_init__()
        require(
            not self.metrics.landmark_distance,
            "metrics.landmark_distance compares the landmarks of coefficients, which this training takes as given: "
            "switch it off.",
        )
        counts_steps(self.trainer)


def counts_steps(trainer: TrainerConfig) -> None:
    """Refuse epochs where training draws pairs of frames, of which any number may be called an epoch."""
    require(
        trainer.max_epochs is None,
        "trainer.max_epochs counts passes over the clips, but this training draws pairs of frames: set "
        "trainer.max_steps.",
    )


Config = ExpressionConfig | PoseConfig | MotionConfig | LandmarkSyncConfig | RefinerConfig | RendererConfig
TASKS: dict[str, type[Config]] = {
    "expression": ExpressionConfig,
    "pose": PoseConfig,
    "motion": MotionConfig,
    "landmark_sync": LandmarkSyncConfig,
    "refiner": RefinerConfig,
    "renderer": RendererConfig,
}


def task_of(layers: Sequence[str]) -> str:
    """Return the task that files and overrides name.

    Raises:
        ConfigError: They name no task, or an unknown one.
    """
    task = None
    for layer in layers:
        task = OmegaConf.select(read_layer(layer), "task", default=task)
    if task is None:
        raise ConfigError("No task was given: start from configs/expression.yaml or configs/pose.yaml.")
    if task not in TASKS:
        raise ConfigError(f"task must be one of {', '.join(TASKS)}, not {task!r}.")
    return task


def load_config(layers: Sequence[str], overrides: Sequence[str] = ()) -> Config:
    """Merge configuration files and overrides over the schema of the task that they name.

    Args:
        layers: File names and ``section.key=value`` strings, merged from left to right.
        overrides: More of them, merged last.

    Returns:
        The task's configuration: an `ExpressionConfig`, a `PoseConfig`, a `MotionConfig`, a `LandmarkSyncConfig`, a
        `RefinerConfig` or a `RendererConfig`.

    Raises:
        ConfigError: One sentence about the first thing that is wrong.
    """
    layers = [*layers, *overrides]
    with named_by_user():
        return merge(TASKS[task_of(layers)], layers)
