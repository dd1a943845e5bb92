"""The configuration of an evaluation of networks: the schema under ``python evaluate.py FILE.yaml KEY=VALUE``."""

from dataclasses import dataclass, field
from typing import Any, Literal

from expnet.config.checks import at_least, require
from expnet.config.training import WandbConfig


@dataclass
class EvaluateDataConfig:
    """Clips that are scored."""

    store: Any = ""
    """Track store or list of track stores: folders that `expnet preprocess` or `expnet synthesize` wrote."""
    features: Any = ""
    """Folder in which `expnet features` stored speech features of the store, or a list with one folder per store, for a
    network that was trained on features; empty to compute them from the audio of the clips."""
    split: Literal["test", "validation", "train", "all"] = "test"
    """Split that is scored; the baselines are trained on the training split."""
    validation_fraction: float | None = None
    """Fraction of the speakers in the validation split; null for that of the expression run."""
    test_fraction: float | None = None
    """Fraction of the speakers in the test split; null for that of the expression run."""
    split_seed: int | None = None
    """Seed of the split; null for that of the expression run."""
    split_by: Literal["speaker", "time"] | None = None
    """Whether the clips are split by speaker, or each speaker's clips by time; null for the expression run's choice."""
    allow_shared_speakers: bool | None = None
    """Accept a corpus's own splits that share speakers; null for the expression run's choice."""
    limit: int = 0
    """Largest number of clips to score, evenly spaced; 0 for all."""

    def __post_init__(self) -> None:
        """Check ranges."""
        stores = [self.store] if isinstance(self.store, str) else self.store
        good = isinstance(stores, list) and all(isinstance(store, str) for store in stores)
        require(good, f"data.store must be a folder or a list of folders, not {self.store!r}.")
        folders = self.features if isinstance(self.features, list) else [self.features]
        good = all(isinstance(folder, str) for folder in folders)
        require(good, f"data.features must be a folder or a list of folders, not {self.features!r}.")
        at_least("data", self, limit=0)

    @property
    def stores(self) -> list[str]:
        """The stores as a list."""
        return [self.store] if isinstance(self.store, str) else list(self.store)


@dataclass
class BaselineConfig:
    """Baselines beside the model, trained on the training split of the same store."""

    ridge: bool = True
    """Score ridge regression from 13 frames of log-mel."""
    train_clips: int = 1000
    """Largest number of clips that the ridge regression and the per-frame head are trained on, evenly spaced."""
    per_frame_steps: int = 150
    """Training steps of the per-frame head when it is trained here, with 256 frames each."""

    def __post_init__(self) -> None:
        """Check ranges."""
        at_least("baselines", self, train_clips=1, per_frame_steps=1)


@dataclass
class PictureConfig:
    """Rendered clips: PSNR, SSIM, strips of frames and videos."""

    clips: int = 4
    """Number of clips to render, evenly spaced over the scored clips; 0 for none."""
    frames: int = 75
    """Number of frames of each clip to render, from its start."""
    stride: int = 5
    """Compute PSNR and SSIM on every n-th frame, never on the portrait's own frame."""
    videos: bool = True
    """Write a side-by-side video with audio for each rendered clip."""
    renderer: str = "mesh"
    """Renderer: mesh, sadtalker (`expnet assets fetch sadtalker`), or the run folder or file of a trained one."""
    renderer_size: int | None = None
    """Side in pixels of the squares that SadTalker's renderer draws, 256 or 512; null for 256."""

    def __post_init__(self) -> None:
        """Check ranges."""
        at_least("pictures", self, clips=0, frames=1, stride=1)


@dataclass
class ProtocolConfig:
    """Choices that must be equal for two tables to be comparable."""

    landmarks: Literal["centred", "pixels_256", "interocular", "centred_scaled"] = "centred"
    """Normalisation of the landmark distance; centred is that of EAT and ER-NeRF, in pixels of a 256 x 256 crop."""
    ssim: Literal["gaussian", "uniform"] = "gaussian"
    """Window of SSIM: the Gaussian one of Wang et al., or the uniform one that is scikit-image's default."""
    max_lag: int = 5
    """Largest lag of the mouth behind or ahead of the audio that is searched, in frames."""
    interval: Literal["speaker", "clip"] = "speaker"
    """Unit of the bootstrap: speakers, for claims about unseen speakers, or clips."""
    resamples: int = 2000
    """Bootstrap resamples."""
    pose_samples: int = 4
    """Head motions, and faces of a motion network, sampled for each clip; the first one is scored, and all of them
    measure diversity and realism."""
    realism: bool = True
    """Score the realism of motion (amounts, spectra, blinks, windows) beside the halves of the real clips."""

    def __post_init__(self) -> None:
        """Check ranges."""
        require(0 <= self.max_lag <= 50, f"protocol.max_lag must be from 0 to 50 frames, not {self.max_lag}.")
        at_least("protocol", self, resamples=1, pose_samples=1)


@dataclass
class EvaluateConfig:
    """Score the networks beside the trivial baselines, on speakers that they were not trained on."""

    expression: str | None = None
    """Expression network: run folder, .ckpt or .safetensors, or one in the package: whisper, mel or streaming; null for
    whisper where its speech encoder was fetched, otherwise mel."""
    speech_encoder: str | None = None
    """Speech encoder that the expression network was trained with, a file or folder; null to search the fetched assets.
    Not needed with data.features."""
    pose: str | None = None
    """Head-pose network: run folder, .ckpt or .safetensors; null for the one in the package."""
    motion: str | None = None
    """Motion network, whose samples are a row of their own: a run of configs/motion.yaml, .ckpt or .safetensors, or
    'packaged'; null leaves the row out."""
    per_frame: str = "train"
    """SadTalker's per-frame head: a run of configs/per_frame.yaml, 'train' to train it here, or 'none'."""
    sync_expert: str | None = None
    """Sync expert that scores the lips: a run of configs/landmark_sync.yaml; null leaves its columns out."""
    output: str = "results"
    """Folder for results.json, results.csv, table.md, table.tex, index.html and videos."""
    title: str = ""
    """Title of the report page."""
    seed: int = 0
    """Seed of the sampled head motions, the per-frame head and the bootstrap."""
    tracker: str = "mediapipe"
    """Face tracker for the rendered clips: mediapipe, litert, or the path of a Face Landmarker .task file."""
    face_model: str = "mediapipe468"
    """Face model of the coefficients: the built-in one, or the path of a BFM .mat or FLAME file."""
    threads: int = 2
    """CPU threads."""
    data: EvaluateDataConfig = field(default_factory=EvaluateDataConfig)
    """Clips that are scored."""
    baselines: BaselineConfig = field(default_factory=BaselineConfig)
    """Baselines in the table."""
    pictures: PictureConfig = field(default_factory=PictureConfig)
    """Rendered clips."""
    protocol: ProtocolConfig = field(default_factory=ProtocolConfig)
    """Protocol of the metrics."""
    logger: WandbConfig = field(default_factory=WandbConfig)
    """Copy of the table on Weights & Biases."""

    def __post_init__(self) -> None:
        """Check ranges."""
        at_least("", self, threads=1)
        require(bool(self.output), "output must name a folder for the results.")
        require(
            any(self.data.stores),
            "No clips were given to score: set data.store=STORE, a folder that expnet preprocess wrote.",
        )
