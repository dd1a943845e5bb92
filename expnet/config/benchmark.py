"""The configuration of a benchmark of videos: the schema under ``python evaluate.py configs/benchmark.yaml``."""

from dataclasses import dataclass, field
from typing import Literal

from expnet.config.checks import at_least, require, whole_number
from expnet.config.preset import PresetConfig
from expnet.config.training import WandbConfig

GROUND_TRUTH = "ground_truth"
"""Name of the real videos among the systems of a result; no other system may have it."""
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
    "fvd",
    "fvd_extrapolated",
    "expression_frechet_distance",
    "e_fid",
    "lpips",
    "lpips_vgg",
    "lpips_squeeze",
    "psnr",
    "ssim",
    "ms_ssim",
    "cpbd",
    "csim",
    "identity_distance_dlib",
    "pose_diversity",
    "pose_diversity_ratio",
    "pose_speed_ratio",
    "beat_alignment",
    "theval_lip_dynamics",
    "theval_brow_dynamics",
    "theval_silent_lip_stability",
    "theval_lip_sync",
    "closeness_score",
)
"""Keys of all metrics, in the order of the table's columns."""
ONLY_WHEN_NAMED = ("lpips_vgg", "lpips_squeeze")
"""Metrics that are computed only when named: LPIPS with its other backbones."""
ASSET_KINDS = ("syncnet", "inception", "i3d", "lpips_alex", "lpips_vgg", "lpips_squeeze", "recogniser", "deep3d")
_RESERVED = ("reference", GROUND_TRUTH)
SAME_WORDS = ("mouth_opening_correlation", "mouth_opening_lag", "landmark_distance_mouth")
"""Metrics that compare the mouth with that of the real clip, which must speak the same words."""


@dataclass
class VideoProtocolConfig:
    """Choices that must be equal for two tables to be comparable."""

    seconds: float = 60.0
    """Score at most this many seconds of each clip, from its start; a clip is held in memory whole. 0 for the whole
    clip."""
    part_seconds: float = 0.0
    """Score clips that are longer than this in parts of this many seconds, each as a clip of its own, so that hours of
    video (seconds=0) take the memory of one part; 0 for whole clips."""
    first_frame: int = 0
    """Frame of each video that is scored first; those before it are left out, with their audio."""
    sync: Literal["reference", "wav2lip_lrs", "latentsync", "mochabench", "direct"] = "reference"
    """SyncNet protocol: the steps of the original code, those of Wav2Lip's, LatentSync's or MoChaBench's evaluation, or
    the frames as they are, without the original's re-encoding."""
    sync_min_track: int | None = None
    """SyncNet scores faces that are seen in more frames than this; null for the number of its protocol."""
    sync_min_face: float | None = None
    """SyncNet scores faces larger than this, in pixels; null for the size of its protocol."""
    sync_tracks: Literal["mean", "best"] | None = None
    """Score of a clip in which several faces are tracked: the mean, or the best confidence and the best distance of
    any; null for that of its protocol."""
    fid: Literal["pytorch_fid", "torch_fidelity", "clean_fid"] = "pytorch_fid"
    """Implementation whose resizing and scaling FID follows."""
    fvd: Literal["latentsync", "stylegan_v"] = "latentsync"
    """Frames and crop of FVD: the face in frames 20 to 35, as LatentSync's evaluation, or the first 16 frames whole, as
    StyleGAN-V's."""
    csim: Literal["arcface", "resized"] = "arcface"
    """Input of the identity network: faces aligned by five points, or whole frames resized, as some papers do; the two
    are not comparable."""
    csim_against: Literal["reference", "portrait"] = "reference"
    """What CSIM compares each frame with: the same frame of the real clip, or the portrait that the clip was animated
    from, which is its file in portraits=DIR, else the first frame of the real clip."""
    ssim: Literal["gaussian", "uniform"] = "gaussian"
    """Window of SSIM: the Gaussian one of Wang et al., or the uniform one that is scikit-image's default."""
    landmarks: Literal["centred", "pixels_256", "interocular", "centred_scaled"] = "centred"
    """Normalisation of the landmark distance; centred is that of EAT and ER-NeRF, in pixels of a 256 x 256 crop."""
    picture_stride: int = 1
    """Compute the image metrics (fid, lpips, psnr, ssim, ms_ssim, cpbd, csim) on every n-th frame."""
    max_lag: int = 5
    """Largest lag of the mouth behind or ahead of the audio that is searched, in frames."""
    interval: Literal["speaker", "clip"] = "speaker"
    """Unit of the bootstrap: speakers, for claims about unseen speakers, or clips."""
    resamples: int = 2000
    """Bootstrap resamples."""

    def __post_init__(self) -> None:
        """Check ranges."""
        require(self.seconds >= 0, f"protocol.seconds must be 0 or more, not {self.seconds:g}.")
        require(
            self.part_seconds == 0 or (self.part_seconds >= 1 and self.first_frame == 0),
            "protocol.part_seconds must be 0, or 1 or more with protocol.first_frame=0; it is "
            f"{self.part_seconds:g} with first_frame {self.first_frame}.",
        )
        require(1 <= self.max_lag <= 50, f"protocol.max_lag must be from 1 to 50 frames, not {self.max_lag}.")
        at_least("protocol", self, resamples=1, picture_stride=1, first_frame=0)
        least = 6  # the median filter of the crop is longer
        require(
            self.sync_min_track is None or self.sync_min_track >= least,
            f"protocol.sync_min_track must be {least} or more, not {self.sync_min_track}.",
        )
        require(
            self.sync_min_face is None or self.sync_min_face >= 0,
            f"protocol.sync_min_face must be 0 or more, not {self.sync_min_face}.",
        )


@dataclass
class ExamplesConfig:
    """Clips that the report page shows side by side, with audio and mouth-opening curves."""

    clips: int = 2
    """Number of the first system's worst clips, and of its best clips, that are shown by the leading metric; the other
    metrics show one of each. 0 for none."""
    seconds: float = 8.0
    """Seconds of each example, from the start of the clip."""
    height: int = 256
    """Height of the examples in pixels."""

    def __post_init__(self) -> None:
        """Check ranges."""
        require(self.seconds > 0, f"examples.seconds must be above 0, not {self.seconds:g}.")
        at_least("examples", self, clips=0, height=64)


@dataclass
class DevicesConfig:
    """Processes that share the clips; processes that torchrun or SLURM started share them as well."""

    devices: int = -1
    """Processes on this machine, with a GPU or a CPU core each; -1 for all GPUs, else all cores, as far as the memory
    allows. Each process holds its own networks and two videos in memory."""
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    """Where the networks run: auto uses a GPU if there is one."""
    threads: int = 1
    """CPU threads of each process; 0 divides the cores among the processes. Most of the work is too small for a second
    thread to pay off."""

    def __post_init__(self) -> None:
        """Check ranges."""
        good = self.devices >= 1 or self.devices == -1
        require(good, f"trainer.devices must be 1 or more, or -1 for all, not {self.devices}.")
        at_least("trainer", self, threads=0)


@dataclass
class VideoBenchmarkConfig:
    """Score folders of videos against real ones, without training and without a track store."""

    reference: str | None = None
    """Folder of the real videos; null computes only the metrics that need no reference. A manifest.csv in it (columns
    file, speaker) names the speaker of each video."""
    reference_set: str | None = None
    """Folder of real videos that are not paired with those of the systems, of the same people or others: FID compares
    with all of their frames, and they are scored as a row. In place of reference."""
    audio: str | None = None
    """Folder of the audio that drives each clip, audio files or videos named as the clips, where the videos' own track
    is another: dubbed and cross-driven videos, or speech without music. The real clips are scored with it, too, unless
    dubbed."""
    dubbed: bool = False
    """The systems speak other words than the real clips, as in visual dubbing: the real clips keep their own audio, and
    metrics that compare the mouth with the real one are left out."""
    portraits: str | None = None
    """Folder of the portraits that the clips were animated from, images or videos named as the clips, of which the
    first frame counts; CSIM then compares with them."""
    pairs: str | None = None
    """A csv file with the columns clip, audio and portrait, where the files in audio and portraits are not named as the
    clips: cross-driven videos. A column may be missing."""
    systems: dict[str, str] = field(default_factory=dict)
    """Folder of each system's videos, by system name, paired with the real ones by file name without suffix. The other
    systems are compared with the first."""
    output: str = "results"
    """Folder for results.json, results.csv, table.md, table.tex, index.html, videos and the scores of finished
    clips."""
    metrics: list[str] = field(default_factory=list)
    """Keys of the metrics to compute; empty for all but lpips_vgg and lpips_squeeze."""
    assets: dict[str, str] = field(default_factory=dict)
    """Weight files by kind (syncnet, inception, lpips_alex, recogniser, ...) that are not where expnet looks for them;
    'random' uses random weights with a fixed seed, for trying things out."""
    strict: bool = False
    """Stop when a metric's weights are missing; false leaves the metric out, with a note."""
    clips: str | None = None
    """Score only the clips that a test list names: a file with one clip a line, a json list, or a csv file with a
    column clip. `expnet corpora list` says where others publish theirs."""
    limit: int = 0
    """Largest number of clips to score, evenly spaced; 0 for all."""
    title: str = ""
    """Title of the report page."""
    seed: int = 0
    """Seed of the bootstrap."""
    tracker: str = "mediapipe"
    """Face tracker: mediapipe, litert (the same models run by LiteRT), or the path of a Face Landmarker .task file."""
    face_model: str = "mediapipe468"
    """Face model for pose and mouth: the built-in one, or the path of a BFM .mat or FLAME file."""
    expression: str | None = None
    """Expression network that predicts the mouth opening from the audio, for the audio_mouth_... metrics; null for the
    one in the package that was trained on synthetic speech."""
    devices: str | None = None
    """Short for trainer.devices: a number, or auto for all GPUs, else as many cores as the memory allows."""
    preset: PresetConfig = field(default_factory=PresetConfig)
    """The published protocol that this benchmark follows."""
    protocol: VideoProtocolConfig = field(default_factory=VideoProtocolConfig)
    """Protocol of the metrics."""
    examples: ExamplesConfig = field(default_factory=ExamplesConfig)
    """Examples on the report page."""
    trainer: DevicesConfig = field(default_factory=DevicesConfig)
    """Processes and devices."""
    logger: WandbConfig = field(default_factory=WandbConfig)
    """Copy of the table on Weights & Biases."""

    def __post_init__(self) -> None:
        """Check names and combinations."""
        require(bool(self.output), "output must name a folder for the results.")
        require(
            bool(self.systems) or self.reference is not None or self.reference_set is not None,
            "No videos were given to score: set systems.NAME=DIR for each system, and reference=DIR for the real "
            "videos.",
        )
        require(
            self.reference is None or self.reference_set is None,
            "reference and reference_set exclude each other: the first is paired by name, the second is not.",
        )
        require(
            not self.dubbed or (self.reference is not None and self.audio is not None),
            "dubbed=true needs audio=DIR, what the systems speak, and reference=DIR, the videos that they dub.",
        )
        require(
            self.pairs is None or self.audio is not None or self.portraits is not None,
            "pairs=FILE names files of audio=DIR and portraits=DIR; set at least one of them.",
        )
        for name in self.systems:
            require(name not in _RESERVED, f"systems.{name}: this name stands for the real videos; choose another.")
        for key in self.metrics:
            known = ", ".join(METRIC_KEYS)
            require(key in METRIC_KEYS, f"metrics: there is no metric {key}; expected some of {known}.")
        for kind in self.assets:
            require(
                kind in ASSET_KINDS,
                f"assets.{kind}: there is no such kind of weight file; expected one of {', '.join(ASSET_KINDS)}.",
            )
        at_least("", self, limit=0)
        if self.devices is not None:
            number = -1 if str(self.devices) == "auto" else whole_number("devices", self.devices)
            self.trainer = DevicesConfig(number, self.trainer.accelerator, self.trainer.threads)

    @property
    def wanted(self) -> tuple[str, ...]:
        """Keys of the metrics to compute, in the order of the table's columns."""
        chosen = self.metrics or [key for key in METRIC_KEYS if key not in ONLY_WHEN_NAMED]
        left_out = SAME_WORDS if self.dubbed else ()
        return tuple(key for key in METRIC_KEYS if key in chosen and key not in left_out)

    @property
    def real_videos(self) -> str | None:
        """Folder of the real videos, paired or not."""
        return self.reference if self.reference is not None else self.reference_set

    @property
    def against_portraits(self) -> bool:
        """Whether CSIM compares with portraits."""
        return self.portraits is not None or self.protocol.csim_against == "portrait"
