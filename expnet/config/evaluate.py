"""What can be configured in an evaluation: the schema under ``python evaluate.py FILE key=value``."""

from dataclasses import dataclass, field
from typing import Any, Literal

from expnet.config import WandbConfig
from expnet.errors import ConfigError


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


@dataclass
class EvaluateDataConfig:
    """Which clips are scored."""

    store: Any = ""
    """Track store, or list of them: folders that `expnet preprocess` or `expnet synthesize` wrote."""
    split: Literal["test", "validation", "train", "all"] = "test"
    """Which side of the split by speaker is scored; baselines learn on the training side."""
    validation_fraction: float | None = None
    """Share of the speakers for validation; that of the expression run when null."""
    test_fraction: float | None = None
    """Share of the speakers for the test; that of the expression run when null."""
    split_seed: int | None = None
    """Seed of the split; that of the expression run when null."""
    split_by: Literal["speaker", "time"] | None = None
    """Whether speakers are divided, or the time of each; as the expression run did when null."""
    allow_shared_speakers: bool | None = None
    """Accept a corpus's own splits that have speakers on two sides; as the expression run did when null."""
    limit: int = 0
    """Score at most this many clips, spread evenly; 0 for all."""

    def __post_init__(self) -> None:
        """Check ranges."""
        stores = [self.store] if isinstance(self.store, str) else self.store
        good = isinstance(stores, list) and all(isinstance(store, str) for store in stores)
        _require(good, f"data.store is a folder or a list of folders, not {self.store!r}.")
        _require(self.limit >= 0, f"data.limit must be 0 or more, not {self.limit}.")

    @property
    def stores(self) -> list[str]:
        """The stores as a list."""
        return [self.store] if isinstance(self.store, str) else list(self.store)


@dataclass
class BaselineConfig:
    """What stands beside the model, learned on the training side of the same clips."""

    ridge: bool = True
    """Ridge regression from 13 frames of log-mel."""
    train_clips: int = 1000
    """Most clips that the ridge and the per-frame head learn from, spread evenly."""
    per_frame_steps: int = 150
    """Steps of the per-frame head when it is trained here; 256 frames a step."""

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("train_clips", "per_frame_steps"):
            _require(getattr(self, name) >= 1, f"baselines.{name} must be 1 or more, not {getattr(self, name)}.")


@dataclass
class PictureConfig:
    """Rendered clips: PSNR, SSIM, strips of frames and videos."""

    clips: int = 4
    """Clips to render, spread evenly over the clips that are scored; 0 for none."""
    frames: int = 75
    """First frames of each clip to render."""
    stride: int = 5
    """PSNR and SSIM look at every so many-th frame, never at the portrait's own."""
    videos: bool = True
    """Write a side-by-side video with sound for each rendered clip."""

    def __post_init__(self) -> None:
        """Check ranges."""
        _require(self.clips >= 0, f"pictures.clips must be 0 or more, not {self.clips}.")
        for name in ("frames", "stride"):
            _require(getattr(self, name) >= 1, f"pictures.{name} must be 1 or more, not {getattr(self, name)}.")


@dataclass
class ProtocolConfig:
    """What must be equal for two tables to be comparable."""

    landmarks: Literal["centred", "pixels_256", "interocular", "centred_scaled"] = "centred"
    """Normalisation of the landmark distance; centred is that of EAT and ER-NeRF, in pixels of a 256 crop."""
    ssim: Literal["gaussian", "uniform"] = "gaussian"
    """Variant of SSIM: Wang's, or scikit-image's default."""
    max_lag: int = 5
    """Frames either way in which the lag of the mouth is looked for."""
    interval: Literal["speaker", "clip"] = "speaker"
    """What the bootstrap draws: people, for claims about people not seen, or clips."""
    resamples: int = 2000
    """Bootstrap draws."""
    pose_samples: int = 4
    """Head motions drawn for each clip; the first is scored, all tell how diverse the draws are."""

    def __post_init__(self) -> None:
        """Check ranges."""
        _require(0 <= self.max_lag <= 50, f"protocol.max_lag must be from 0 to 50 frames, not {self.max_lag}.")
        for name in ("resamples", "pose_samples"):
            _require(getattr(self, name) >= 1, f"protocol.{name} must be 1 or more, not {getattr(self, name)}.")


@dataclass
class EvaluateConfig:
    """Score the two networks beside the trivial baselines, on speakers that they did not train on."""

    expression: str | None = None
    """Expression network: run folder, .ckpt or .safetensors; the one in the package when null."""
    pose: str | None = None
    """Head-pose network, likewise."""
    per_frame: str = "train"
    """SadTalker's per-frame head: a run of configs/per_frame.yaml, 'train' to train it here, or 'none'."""
    sync_expert: str | None = None
    """Sync expert that judges the lips: a run of configs/landmark_sync.yaml; null leaves its columns out."""
    output: str = "results"
    """Folder for results.json, results.csv, table.md, table.tex, index.html and videos."""
    title: str = ""
    """Title of the page."""
    seed: int = 0
    """Seed of drawn head motions, of the per-frame head and of the bootstrap."""
    face_model: str = "mediapipe468"
    """Face model of the coefficients: the built-in one, or the path of a BFM .mat or FLAME file."""
    threads: int = 2
    """CPU threads."""
    data: EvaluateDataConfig = field(default_factory=EvaluateDataConfig)
    """the clips"""
    baselines: BaselineConfig = field(default_factory=BaselineConfig)
    """the baselines"""
    pictures: PictureConfig = field(default_factory=PictureConfig)
    """the pictures"""
    protocol: ProtocolConfig = field(default_factory=ProtocolConfig)
    """the protocol"""
    logger: WandbConfig = field(default_factory=WandbConfig)
    """the table on a dashboard"""

    def __post_init__(self) -> None:
        """Check ranges."""
        _require(self.threads >= 1, f"threads must be 1 or more, not {self.threads}.")
        _require(bool(self.output), "output must name a folder for the results.")
        _require(any(self.data.stores), "Give the clips to score: data.store=STORE, a folder that preprocess wrote.")
