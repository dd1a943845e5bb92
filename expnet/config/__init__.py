"""Every configuration schema with its defaults, and the parser of configuration files and KEY=VALUE overrides."""

from expnet.config.checks import require
from expnet.config.data import (
    AudioAugmentationConfig,
    AugmentConfig,
    ClipsConfig,
    CopyConfig,
    DataConfig,
    DisturbanceConfig,
    MotionDataConfig,
    RegionDataConfig,
    SplitConfig,
)
from expnet.config.losses import ExpressionLossConfig, MotionLossConfig, PoseLossConfig, RefinerLossConfig
from expnet.config.models import (
    ExpressionModelConfig,
    LandmarkSyncModelConfig,
    MotionModelConfig,
    PoseModelConfig,
    RefinerModelConfig,
)
from expnet.config.tasks import (
    TASKS,
    BaseConfig,
    Config,
    ExpressionConfig,
    LandmarkSyncConfig,
    MotionConfig,
    PoseConfig,
    RefinerConfig,
    load_config,
    task_of,
)
from expnet.config.training import LoggerConfig, MetricsConfig, OptimConfig, TrainerConfig, WandbConfig

__all__ = [
    "TASKS",
    "AudioAugmentationConfig",
    "AugmentConfig",
    "BaseConfig",
    "ClipsConfig",
    "Config",
    "CopyConfig",
    "DataConfig",
    "DisturbanceConfig",
    "ExpressionConfig",
    "ExpressionLossConfig",
    "ExpressionModelConfig",
    "LandmarkSyncConfig",
    "LandmarkSyncModelConfig",
    "LoggerConfig",
    "MetricsConfig",
    "MotionConfig",
    "MotionDataConfig",
    "MotionLossConfig",
    "MotionModelConfig",
    "OptimConfig",
    "PoseConfig",
    "PoseLossConfig",
    "PoseModelConfig",
    "RefinerConfig",
    "RefinerLossConfig",
    "RefinerModelConfig",
    "RegionDataConfig",
    "SplitConfig",
    "TrainerConfig",
    "WandbConfig",
    "load_config",
    "require",
    "task_of",
]
