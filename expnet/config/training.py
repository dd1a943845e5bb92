"""How a training runs, and what is scored and logged while it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from expnet.config.checks import not_negative, require


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
        not_negative("optim", self)


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

    @property
    def renders(self) -> bool:
        """Whether any of them is asked for."""
        return self.sync or self.fid or self.lpips or self.landmark_distance or self.samples


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
