"""What can be configured in a benchmark of videos: the schema under ``python evaluate.py configs/benchmark.yaml``."""

from dataclasses import dataclass, field
from typing import Literal

from expnet.config import WandbConfig
from expnet.errors import ConfigError

GROUND_TRUTH = "ground_truth"
"""Name of the real clips among the systems of a result; no other system may take it."""
METRIC_KEYS = (
    "sync_confidence",
    "sync_distance",
    "sync_offset",
    "audio_mouth_correlation",
    "audio_mouth_lag",
    "mouth_opening_correlation",
    "mouth_opening_lag",
    "silent_lip_motion",
    "landmark_distance_mouth",
    "landmark_distance",
    "jitter_ratio",
    "blink_rate",
    "fid",
    "lpips",
    "lpips_vgg",
    "lpips_squeeze",
    "psnr",
    "ssim",
    "ms_ssim",
    "cpbd",
    "csim",
    "pose_diversity",
    "pose_diversity_ratio",
    "pose_speed_ratio",
    "beat_alignment",
)
"""Every metric, in the order of the table."""
ONLY_WHEN_NAMED = ("lpips_vgg", "lpips_squeeze")
"""Not among those that are computed by default: LPIPS with its other backbones."""
ASSET_KINDS = ("syncnet", "inception", "lpips_alex", "lpips_vgg", "lpips_squeeze", "recogniser")
_RESERVED = ("reference", GROUND_TRUTH)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


@dataclass
class VideoProtocolConfig:
    """What must be equal for two tables to be comparable."""

    seconds: float = 60.0
    """Score at most the first so many seconds of each clip; all of it is in memory at once. 0 for the whole clip."""
    sync: Literal["reference", "wav2lip_lrs", "latentsync", "direct"] = "reference"
    """SyncNet: the original's steps, Wav2Lip's and LatentSync's variants, or frames as they are (no codec step)."""
    fid: Literal["pytorch_fid", "torch_fidelity", "clean_fid"] = "pytorch_fid"
    """Whose resizing and scaling the Frechet distance follows."""
    csim: Literal["arcface", "resized"] = "arcface"
    """Five-point aligned faces, or whole frames resized as in some papers; the two do not compare."""
    ssim: Literal["gaussian", "uniform"] = "gaussian"
    """Variant of SSIM: Wang's, or scikit-image's default."""
    landmarks: Literal["centred", "pixels_256", "interocular", "centred_scaled"] = "centred"
    """Normalisation of the landmark distance; centred is that of EAT and ER-NeRF, in pixels of a 256 crop."""
    picture_stride: int = 1
    """The metrics of pictures (fid, lpips, psnr, ssim, ms_ssim, cpbd, csim) look at every so many-th frame."""
    max_lag: int = 5
    """Frames either way in which the lag of the mouth is looked for."""
    interval: Literal["speaker", "clip"] = "speaker"
    """What the bootstrap draws: people, for claims about people not seen, or clips."""
    resamples: int = 2000
    """Bootstrap draws."""

    def __post_init__(self) -> None:
        """Check ranges."""
        _require(self.seconds >= 0, f"protocol.seconds must be 0 or more, not {self.seconds:g}.")
        _require(1 <= self.max_lag <= 50, f"protocol.max_lag must be from 1 to 50 frames, not {self.max_lag}.")
        for name in ("resamples", "picture_stride"):
            _require(getattr(self, name) >= 1, f"protocol.{name} must be 1 or more, not {getattr(self, name)}.")


@dataclass
class ExamplesConfig:
    """Clips that the page shows side by side, with sound and mouth-opening curves."""

    clips: int = 2
    """Worst and best clips of the first system, so many of each; 0 for none."""
    seconds: float = 8.0
    """First seconds of each that are shown."""
    height: int = 256
    """Pixels of each picture's height."""

    def __post_init__(self) -> None:
        """Check ranges."""
        _require(self.clips >= 0, f"examples.clips must be 0 or more, not {self.clips}.")
        _require(self.seconds > 0, f"examples.seconds must be more than 0, not {self.seconds:g}.")
        _require(self.height >= 64, f"examples.height must be 64 or more, not {self.height}.")


@dataclass
class DevicesConfig:
    """What the work is shared among; torchrun's and SLURM's processes are recognised from their variables."""

    devices: int = -1
    """Processes on this machine, a GPU or a core each; -1 for all. Each holds its own networks and two videos."""
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    """Where networks run: auto takes a GPU where there is one."""
    threads: int = 1
    """CPU threads of each process; 0 divides the cores. Most of the work is too small to be worth a second thread."""

    def __post_init__(self) -> None:
        """Check ranges."""
        good = self.devices >= 1 or self.devices == -1
        _require(good, f"trainer.devices must be 1 or more, or -1 for all, not {self.devices}.")
        _require(self.threads >= 0, f"trainer.threads must be 0 or more, not {self.threads}.")


@dataclass
class VideoBenchmarkConfig:
    """Score folders of videos against real ones: no training, no store."""

    reference: str | None = None
    """Folder of the real videos; null scores only what needs none. A manifest.csv in it (columns file, speaker) says
    who speaks."""
    systems: dict[str, str] = field(default_factory=dict)
    """Folders of the systems' videos by name, paired with the real ones by file name without suffix; the first is the
    one that the others are compared with."""
    output: str = "results"
    """Folder for results.json, results.csv, table.md, table.tex, index.html, videos, and the finished clips."""
    metrics: list[str] = field(default_factory=list)
    """Keys of the metrics to compute; when empty all but lpips_vgg and lpips_squeeze."""
    assets: dict[str, str] = field(default_factory=dict)
    """Weight files by kind (syncnet, inception, lpips_alex, recogniser, ...), where they are not in a usual place;
    'random' runs with seeded random weights, for trying things out."""
    strict: bool = False
    """Stop when a metric's weights are missing, instead of leaving the metric out with a note."""
    limit: int = 0
    """Score at most this many clips, spread evenly; 0 for all."""
    title: str = ""
    """Title of the page."""
    seed: int = 0
    """Seed of the bootstrap."""
    tracker: str = "mediapipe"
    """Face tracker: mediapipe, or the path of a Face Landmarker .task file."""
    face_model: str = "mediapipe468"
    """Face model of pose and mouth: the built-in one, or the path of a BFM .mat or FLAME file."""
    expression: str | None = None
    """Network that hears how far the mouth should open (audio_mouth_...); the package's, of made speech, when null."""
    devices: int | None = None
    """Short for trainer.devices."""
    protocol: VideoProtocolConfig = field(default_factory=VideoProtocolConfig)
    """the protocol"""
    examples: ExamplesConfig = field(default_factory=ExamplesConfig)
    """the examples on the page"""
    trainer: DevicesConfig = field(default_factory=DevicesConfig)
    """the processes"""
    logger: WandbConfig = field(default_factory=WandbConfig)
    """the table on a dashboard"""

    def __post_init__(self) -> None:
        """Check names and what belongs together."""
        _require(bool(self.output), "output must name a folder for the results.")
        _require(
            bool(self.systems) or self.reference is not None,
            "Give the videos to score: systems.NAME=DIR for each system, and reference=DIR for the real ones.",
        )
        for name in self.systems:
            _require(name not in _RESERVED, f"systems.{name}: that name is kept for the real videos; choose another.")
        for key in self.metrics:
            known = ", ".join(METRIC_KEYS)
            _require(key in METRIC_KEYS, f"metrics: there is no metric {key}; those that there are: {known}.")
        for kind in self.assets:
            _require(
                kind in ASSET_KINDS,
                f"assets.{kind}: there is no such kind of weight file; expected one of {', '.join(ASSET_KINDS)}.",
            )
        _require(self.limit >= 0, f"limit must be 0 or more, not {self.limit}.")
        if self.devices is not None:
            self.trainer = DevicesConfig(self.devices, self.trainer.accelerator, self.trainer.threads)

    @property
    def wanted(self) -> tuple[str, ...]:
        """Keys of the metrics to compute, in the order of the table."""
        chosen = self.metrics or [key for key in METRIC_KEYS if key not in ONLY_WHEN_NAMED]
        return tuple(key for key in METRIC_KEYS if key in chosen)
