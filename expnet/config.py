"""What can be configured in training, with defaults, and why: the schema under ``python train.py FILE key=value``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from omegaconf import OmegaConf

from expnet.errors import ConfigError
from expnet.grammar import merge, read_layer


def require(condition: bool, message: str) -> None:
    """Raise ConfigError with the message unless the condition holds."""
    if not condition:
        raise ConfigError(message)


@dataclass
class DataConfig:
    """Where the clips are and how they are cut."""

    store: Any = ""
    """Track store, or list of them: folders that `expnet preprocess` or `expnet synthesize` wrote."""
    window: int = 64
    """Frames of a training window, 25 a second. The head-pose network takes 32 n + 1."""
    batch_size: int = 16
    """Windows in a training batch, on each device."""
    workers: int = 0
    """Processes that load data; 0 loads in the training process, which is fastest for small stores."""
    validation_fraction: float = 0.1
    """Share of the speakers to validate on, where the store does not say."""
    test_fraction: float = 0.1
    """Share of the speakers kept for evaluate.py, where the store does not say."""
    split_seed: int = 0
    """Seed of the split by speaker."""
    split_by: Literal["speaker", "time"] = "speaker"
    """speaker: nobody is on two sides. time: each speaker's beginning trains and the rest validates and tests, for a
    model of one person; the fractions are then shares of each speaker's frames."""
    allow_shared_speakers: bool = False
    """Accept a corpus's own splits that have speakers on two sides, such as MEAD's official test sentences."""
    store_weights: list[float] | None = None
    """How often clips of each store are drawn; 1, or null, for as often as their length says."""
    limit_clips: int | None = None
    """Train on so many clips only, evenly spaced."""
    limit_validation_clips: int | None = None
    """Validate on so many clips only, evenly spaced."""
    gain_decibels: float = 6.0
    """Training sound is louder or softer by up to so much."""
    noise_snr: float | None = 10.0
    """Training sound gets noise, at this signal-to-noise ratio in decibels or above; null for none."""
    babble: float = 0.0
    """Share of training windows with other people's speech in the background."""
    reverberation: float = 0.0
    """Share of training windows that sound as in a room."""
    codec: float = 0.0
    """Share of training windows that sound as through a telephone or a low bit rate."""
    pitch: float = 0.0
    """Share of training windows with a higher or lower voice."""
    speed: float = 0.0
    """Training windows are played faster or slower by up to this share, face and sound alike."""
    silent_share: float = 0.0
    """Share of training windows in which speech falls silent, with or without noise, and the lips close."""
    features: Any = ""
    """Speech features that `expnet features` made of the store, or a list of folders, one a store; empty for none."""

    def __post_init__(self) -> None:
        """Check ranges."""
        stores = [self.store] if isinstance(self.store, str) else self.store
        good = isinstance(stores, list) and all(isinstance(store, str) for store in stores)
        require(good, f"data.store is a folder or a list of folders, not {self.store!r}.")
        folders = self.features if isinstance(self.features, list) else [self.features]
        good = all(isinstance(folder, str) for folder in folders)
        require(good, f"data.features is a folder or a list of folders, not {self.features!r}.")
        require(self.window >= 2, f"data.window must be 2 frames or more, not {self.window}.")
        require(self.batch_size >= 1, f"data.batch_size must be 1 or more, not {self.batch_size}.")
        require(self.workers >= 0, f"data.workers must be 0 or more, not {self.workers}.")
        for name in ("validation_fraction", "test_fraction", "silent_share", "speed"):
            value = getattr(self, name)
            require(0 <= value < 1, f"data.{name} must be at least 0 and below 1, not {value}.")
        for name in ("babble", "reverberation", "codec", "pitch"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"data.{name} must be at least 0 and at most 1, not {value}.")


@dataclass
class ExpressionModelConfig:
    """The expression network, `expnet.models.expression.ExpressionRegressor`."""

    network: Literal["expnet", "small_convolution", "autoregressive"] = "expnet"
    """Baselines beside it: small_convolution, two convolutions, which know width and dropout only; autoregressive,
    FaceFormer's form, a frame after the other, each from the sound and the frames before it."""
    width: int = 96
    """Size of the features."""
    layers: int = 2
    """Depth of the temporal module."""
    heads: int = 4
    """Attention heads."""
    feedforward: int = 2
    """Hidden layer of a Transformer block, as a multiple of the width."""
    dropout: float = 0.15
    """Dropout everywhere; minutes of speech overfit fast."""
    stochastic_depth: float = 0.1
    """Probability of dropping the deepest residual branch."""
    audio_encoder: Literal["sequence", "window"] = "sequence"
    """sequence: convolutions over the whole mel. window: SadTalker's network on an 80 x 16 window a frame."""
    audio_channels: int = 64
    """Channels of the audio encoder's (first) convolutions; SadTalker's window network has 32."""
    level: bool = True
    """Take each band's loudness against its average in the speech, so that voices and microphones sound alike."""
    temporal_module: Literal["transformer", "conv", "gru", "none"] = "transformer"
    """What looks along time; none is SadTalker's linear layer a frame."""
    attention_bias: Literal["alibi", "alibi_causal", "alibi_periodic", "alibi_learned", "sinusoidal", "none"] = "alibi"
    """How attention knows time: ALiBi (symmetric, causal, FaceFormer's periodic, learned slopes), positions, or not."""
    period: int = 25
    """Frames of a period of alibi_periodic."""
    first_frame_conditioning: bool = True
    """Show the first frame's expression to the network."""
    first_frame_dropout: float = 0.5
    """Share of training windows that are not shown it, or the network would learn the speakers by heart."""
    residual: bool = True
    """Output the first frame's expression plus a change; false outputs the training mean plus a change."""
    blink: bool = False
    """Take the closure of the eyes as an input."""
    emotion: bool = False
    """Take the clip's emotion label as an input."""
    output_rank: int = 0
    """Width of a linear bottleneck before the 64 coefficients; 0 for none."""

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("width", "layers", "heads", "feedforward", "audio_channels", "period"):
            require(getattr(self, name) >= 1, f"model.{name} must be 1 or more, not {getattr(self, name)}.")
        for name in ("dropout", "stochastic_depth", "first_frame_dropout"):
            value = getattr(self, name)
            require(0 <= value < 1, f"model.{name} must be at least 0 and below 1, not {value}.")
        if self.temporal_module == "transformer":
            require(
                self.width % self.heads == 0,
                f"model.width ({self.width}) must be a multiple of model.heads ({self.heads}).",
            )


@dataclass
class PoseModelConfig:
    """The head-pose network, `expnet.models.pose_cvae.PoseCVAE`."""

    network: Literal["expnet", "sadtalker"] = "expnet"
    """sadtalker: that project's PoseVAE as published, whose sizes are fixed, so that of the keys below only
    tied_variance has a say in it (configs/sadtalker_pose.yaml)."""
    latent: int = 32
    """Size of the latent of a window of 32 frames."""
    width: int = 96
    """Size of the features."""
    layers: int = 3
    """Depth of encoder and decoder."""
    audio_features: int = 32
    """Size of the audio features of a frame."""
    audio_channels: int = 48
    """Channels of the audio encoder's convolutions."""
    previous: int = 8
    """Frames before a window that it continues."""
    dropout: float = 0.1
    """Dropout of features."""
    tied_variance: bool = True
    """Of sadtalker: the log-variance comes from the layer of the mean, as published; false gives it its own."""

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("latent", "width", "layers", "audio_features", "audio_channels", "previous"):
            require(getattr(self, name) >= 1, f"model.{name} must be 1 or more, not {getattr(self, name)}.")
        require(0 <= self.dropout < 1, f"model.dropout must be at least 0 and below 1, not {self.dropout}.")


@dataclass
class LandmarkSyncModelConfig:
    """The sync expert, `expnet.models.landmark_sync.LandmarkSync`."""

    width: int = 64
    """Size of the features."""
    layers: int = 2
    """Residual convolutions over time of each tower."""
    audio_channels: int = 64
    """Channels of the audio encoder's convolutions."""
    dropout: float = 0.2
    """Dropout everywhere."""
    lip_noise: float = 0.1
    """Noise on training landmarks, as a share of their standard deviation."""
    lip_gain: float = 0.3
    """Standard deviation of the logarithm of a factor on how widely training mouths move."""

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("width", "layers", "audio_channels"):
            require(getattr(self, name) >= 1, f"model.{name} must be 1 or more, not {getattr(self, name)}.")
        require(0 <= self.dropout < 1, f"model.dropout must be at least 0 and below 1, not {self.dropout}.")
        _not_negative("model", self)


@dataclass
class ExpressionLossConfig:
    """What the expression network is trained on; every term is 1 for a face that never moves."""

    coefficient_weight: float = 1.0
    """Coefficient error, weighed by what each coefficient moves on the face."""
    velocity_weight: float = 0.1
    """Error of the change from frame to frame, weighed alike."""
    landmark_weight: float = 1.0
    """Error of the 68 landmarks of the face model, the mouth weighted up."""
    offset_weight: float = 0.05
    """Weight of an error that a window has in all its frames alike, against 1 for the motion."""
    balance: float = 0.7
    """How far lively and calm windows count alike: 0 by their motion, near 1 all the same."""
    eye_weight: float = 0.0
    """Error of the opening of the eyes."""
    mouth: float = 2.0
    """Weight of an outer lip landmark against one elsewhere."""
    inner_mouth: float = 10.0
    """Weight of an inner lip landmark against one elsewhere."""
    sync_weight: float = 0.0
    """How far the predicted lips are from belonging to the sound, in the eyes of a frozen expert."""
    sync_expert: str | None = None
    """That expert, trained by configs/landmark_sync.yaml on nobody who is tested: run folder, .ckpt or .safetensors."""

    def __post_init__(self) -> None:
        """Check ranges."""
        _not_negative("loss", self)
        weights = (
            self.coefficient_weight,
            self.velocity_weight,
            self.landmark_weight,
            self.eye_weight,
            self.sync_weight,
        )
        require(any(weights), "Every weight in loss is 0: there is nothing to train on.")
        require(self.balance < 1, f"loss.balance must be at least 0 and below 1, not {self.balance}.")
        require(
            not self.sync_weight or bool(self.sync_expert),
            "loss.sync_weight needs loss.sync_expert, a network that configs/landmark_sync.yaml trained.",
        )


@dataclass
class PoseLossConfig:
    """What the head-pose network is trained on."""

    velocity_weight: float = 0.1
    """Error of the change from frame to frame, against 1 for the poses themselves; much more drowns the poses."""
    kl_weight: float = 5e-4
    """Weight of a nat of divergence of a window's latent from the prior; four times as much loses the nods."""
    kl_anneal_steps: int = 200
    """Steps over which that weight rises from 0, so that the latent is in use before it costs."""
    free_nats: float = 0.02
    """Divergence a latent dimension may carry at no cost."""
    liveliness_weight: float = 0.1
    """Weight of the difference between how far drawn and real heads travel, within one frame to sixteen."""
    adversarial_weight: float = 0.0
    """Weight of a discriminator that judges patches of head motion; SadTalker's is 0.7."""

    def __post_init__(self) -> None:
        """Check ranges."""
        _not_negative("loss", self)


@dataclass
class AugmentConfig:
    """How the mel spectrogram is disturbed in training."""

    time_masks: int = 2
    """Stretches of a window that are hidden."""
    time_mask_columns: int = 12
    """Longest such stretch, in columns of 12.5 ms."""
    band_masks: int = 2
    """Runs of mel bands that are hidden."""
    band_mask_bands: int = 16
    """Longest such run, of 80 bands."""
    gain: float = 0.4
    """Standard deviation of a change of loudness, in units of the mel (1 unit is 12.5 dB)."""
    tilt: float = 0.4
    """Standard deviation of a change of timbre: loudness that rises or falls over the bands, at their ends."""
    warp: float = 0.12
    """Bands are stretched or squeezed by up to this share: longer and shorter vocal tracts."""
    floor: float = 1.5
    """Background noise rises from below hearing up to this much above the mel's lowest value, in its units."""
    noise: float = 0.2
    """Standard deviation of noise in every cell, in units of the mel."""

    def __post_init__(self) -> None:
        """Check ranges."""
        _not_negative("augment", self)
        require(self.warp < 0.5, f"augment.warp must be at least 0 and below 0.5, not {self.warp}.")


@dataclass
class OptimConfig:
    """AdamW with a linear warm-up and a cosine to the end."""

    lr: float = 1e-3
    """Highest learning rate."""
    weight_decay: float = 0.05
    """Of matrices; biases, norms and embeddings are not decayed."""
    warmup_steps: int = 50
    """Steps of the warm-up."""
    final_lr: float = 0.02
    """Learning rate at the end, as a share of the highest."""
    gradient_clip: float = 1.0
    """Largest norm of the gradient; 0 for no limit."""
    ema: float = 0.99
    """Decay of the averaged weights that are validated and exported; 0 for none."""

    def __post_init__(self) -> None:
        """Check ranges."""
        require(self.lr > 0, f"optim.lr must be above 0, not {self.lr}.")
        require(0 <= self.ema < 1, f"optim.ema must be at least 0 and below 1, not {self.ema}.")
        _not_negative("optim", self)


@dataclass
class TrainerConfig:
    """How long and on what to train."""

    max_steps: int = 1000
    """Steps of the optimiser."""
    validate_every: int = 100
    """Steps between validations; each is followed by a checkpoint."""
    monitor: str | None = None
    """What best.ckpt is the best by, such as val/lpips; null for val/within_clip_r2, or val/loss for head poses."""
    log_every: int = 10
    """Steps between rows of training losses in metrics.csv."""
    accelerator: str = "auto"
    """auto, cpu, gpu, ..."""
    devices: int = 1
    """Devices (or CPU processes) on each machine; -1 for all."""
    num_nodes: int = 1
    """Machines."""
    strategy: str = "auto"
    """auto, ddp, ddp_fork, ...; see Lightning."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed", "64-true"] = "32-true"
    """Arithmetic of the network in training. mixed: its matrix products in 16 bits; weights, losses, validation and all
    metrics stay in 32."""
    explosion: float = 100.0
    """Stop when the loss is so many times that of the first steps, as when it is not a number; 0 for never."""
    threads: int = 0
    """Threads of a CPU process; 0 leaves it to torch."""
    deterministic: bool = True
    """Use only operations that give the same bits each time."""

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("max_steps", "validate_every", "log_every", "num_nodes"):
            require(getattr(self, name) >= 1, f"trainer.{name} must be 1 or more, not {getattr(self, name)}.")
        require(
            self.devices >= 1 or self.devices == -1, f"trainer.devices must be 1 or more, or -1, not {self.devices}."
        )
        require(self.threads >= 0, f"trainer.threads must be 0 or more, not {self.threads}.")
        limit = self.explosion
        require(limit == 0 or limit > 1, f"trainer.explosion must be above 1, or 0 for never, not {limit}.")


@dataclass
class MetricsConfig:
    """Scores of validation clips as they would be seen and heard: rendered, with their sound."""

    sync: bool = False
    """SyncNet's distance, confidence and offset; needs the weight file syncnet."""
    fid: bool = False
    """Frechet inception distance; needs the weight file inception."""
    lpips: bool = False
    """Perceptual distance to the real frames; needs the weight file of its backbone."""
    landmark_distance: bool = False
    """Distance of the landmarks of face and mouth, in pixels of the crop at 256."""
    samples: bool = False
    """Write clips as videos, with curves and landmarks, to the run folder's samples, W&B and TensorBoard."""
    every: int = 5
    """Validations from one in which these are measured to the next, the first being one."""
    clips: int = 8
    """Validation clips that are rendered, evenly spaced: always the same ones."""
    frames: int = 100
    """Frames of each clip, from its start, 25 a second."""
    stride: int = 5
    """Every so many frames one is compared as a picture."""
    backbone: Literal["alex", "vgg", "squeeze"] = "alex"
    """Network of lpips."""
    syncnet_weights: str | None = None
    """Weight file, null to look where `expnet assets list` says, random to try things out."""
    inception_weights: str | None = None
    """The same for fid."""
    backbone_weights: str | None = None
    """The same for lpips."""
    strict: bool = False
    """Stop when a weight file is missing; false goes on without its metrics, with one warning."""

    def __post_init__(self) -> None:
        """Check ranges."""
        for name, least in (("every", 1), ("clips", 1), ("frames", 2), ("stride", 1)):
            value = getattr(self, name)
            require(value >= least, f"metrics.{name} must be {least} or more, not {value}.")


@dataclass
class WandbConfig:
    """Weights & Biases."""

    wandb: bool = False
    """Log to Weights & Biases; without a key the run is kept offline in the output folder, to be synced later."""
    project: str = "expnet"
    """Project on Weights & Biases."""
    name: str | None = None
    """Name of the run there; that of the run folder, or the title of the results, when null."""


@dataclass
class LoggerConfig(WandbConfig):
    """Where curves go beside metrics.csv, which is always written."""

    tensorboard: bool = False
    """Write TensorBoard events into the run folder."""


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
    data: DataConfig = field(default_factory=DataConfig)
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
    """Which network to train: expression, pose or landmark_sync."""
    model: ExpressionModelConfig = field(default_factory=ExpressionModelConfig)
    """the network"""
    loss: ExpressionLossConfig = field(default_factory=ExpressionLossConfig)
    """the loss"""


@dataclass
class PoseConfig(BaseConfig):
    """Training of the head-pose network."""

    task: Literal["pose"] = "pose"
    """Which network to train: expression, pose or landmark_sync."""
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
    """Which network to train: expression, pose or landmark_sync."""
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
        shown = self.metrics
        require(
            not (shown.sync or shown.fid or shown.lpips or shown.landmark_distance or shown.samples),
            "metrics has nothing to render for the sync expert, which predicts no face: leave it off.",
        )


Config = ExpressionConfig | PoseConfig | LandmarkSyncConfig
TASKS: dict[str, type[ExpressionConfig] | type[PoseConfig] | type[LandmarkSyncConfig]] = {
    "expression": ExpressionConfig,
    "pose": PoseConfig,
    "landmark_sync": LandmarkSyncConfig,
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
        The task's configuration: an `ExpressionConfig`, a `PoseConfig` or a `LandmarkSyncConfig`.

    Raises:
        ConfigError: one sentence about the first thing that is wrong.
    """
    layers = [*layers, *overrides]
    return merge(TASKS[task_of(layers)], layers)


def _not_negative(section: str, config: Any) -> None:
    """Complain about a number of a section that is below 0."""
    for name, value in vars(config).items():
        require(not isinstance(value, int | float) or value >= 0, f"{section}.{name} must be 0 or more, not {value}.")
