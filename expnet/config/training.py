"""How a training runs: optimiser, Trainer, metrics of rendered clips and loggers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from expnet.config.checks import at_least, not_negative, require


@dataclass
class OptimConfig:
    """AdamW with linear warm-up and cosine decay."""

    lr: float = 1e-3
    """Peak learning rate."""
    weight_decay: float = 0.05
    """Weight decay of weight matrices; biases, norms and embeddings are not decayed."""
    warmup_steps: int = 50
    """Steps of linear warm-up."""
    final_lr: float = 0.02
    """Learning rate at the end of the run, as a fraction of the peak."""
    gradient_clip: float = 1.0
    """Largest gradient norm; 0 for no clipping."""
    ema: float = 0.99
    """Decay of the exponential moving average of the weights, which is what is validated and exported; 0 for none."""

    def __post_init__(self) -> None:
        """Check ranges."""
        require(self.lr > 0, f"optim.lr must be above 0, not {self.lr}.")
        require(0 <= self.ema < 1, f"optim.ema must be at least 0 and below 1, not {self.ema}.")
        not_negative("optim", self)


@dataclass
class RendererOptimConfig(OptimConfig):
    """AdamW for renderer and discriminator, each with its own learning rate and gradient clipping."""

    lr: float = 2e-4
    """Peak learning rate of the renderer."""
    discriminator_lr: float = 2e-4
    """Peak learning rate of the discriminator."""
    beta1: float = 0.5
    """Decay of the mean of the gradients in Adam; adversarial training uses less than the usual 0.9."""
    weight_decay: float = 0.0
    """Weight decay of weight matrices; biases, norms and embeddings are not decayed."""

    def __post_init__(self) -> None:
        """Check ranges."""
        super().__post_init__()
        require(self.discriminator_lr > 0, f"optim.discriminator_lr must be above 0, not {self.discriminator_lr}.")
        require(0 <= self.beta1 < 1, f"optim.beta1 must be at least 0 and below 1, not {self.beta1}.")


@dataclass
class TrainerConfig:
    """Length of the training, and the hardware it runs on."""

    max_steps: int = 1000
    """Optimiser steps."""
    validate_every: int = 100
    """Steps between validations, at most max_steps; each validation is followed by a checkpoint."""
    monitor: str | None = None
    """Score that chooses best.ckpt, such as val/lpips; null for val/within_clip_r2 (expression) or val/loss (the other
    networks)."""
    log_every: int = 10
    """Steps between rows of training losses in metrics.csv."""
    accelerator: str = "auto"
    """Lightning's accelerator: auto, cpu, gpu, ..."""
    devices: int = 1
    """Devices (or CPU processes) on each machine; -1 for all."""
    num_nodes: int = 1
    """Machines."""
    strategy: str = "auto"
    """Lightning's strategy: auto, ddp, ddp_fork, ..."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed", "64-true"] = "32-true"
    """Floating-point precision of the network in training. The mixed precisions compute matrix products in 16 bits;
    weights, losses, validation and metrics stay in 32 bits."""
    explosion: float = 100.0
    """Stop when the loss exceeds this multiple of its value in the first steps; 0 for never. A NaN loss always stops
    the run."""
    threads: int = 0
    """CPU threads of each process; 0 leaves the choice to torch."""
    timeout: float = 1800.0
    """Seconds that a process waits for the others of the run before it gives up."""
    deterministic: bool = True
    """Use only operations that give the same bits every time."""

    def __post_init__(self) -> None:
        """Check ranges."""
        at_least("trainer", self, max_steps=1, validate_every=1, log_every=1, num_nodes=1, threads=0)
        require(
            self.devices >= 1 or self.devices == -1, f"trainer.devices must be 1 or more, or -1, not {self.devices}."
        )
        require(self.timeout > 0, f"trainer.timeout must be above 0, not {self.timeout}.")
        limit = self.explosion
        require(limit == 0 or limit > 1, f"trainer.explosion must be above 1, or 0 for never, not {limit}.")


@dataclass
class MetricsConfig:
    """Metrics of rendered validation clips, measured on their frames and audio."""

    sync: bool = False
    """SyncNet distance, confidence and offset (LSE-D, LSE-C); needs the weight file syncnet."""
    fid: bool = False
    """Fréchet inception distance; needs the weight file inception."""
    lpips: bool = False
    """LPIPS, the perceptual distance to the real frames; needs the weight file of its backbone."""
    landmark_distance: bool = False
    """Landmark distance of the face and of the mouth, in pixels of the 256 x 256 crop."""
    samples: bool = False
    """Write sample videos, with curves and landmarks, to the run folder's samples, W&B and TensorBoard."""
    every: int = 5
    """Compute these metrics in every n-th validation, beginning with the first."""
    clips: int = 8
    """Validation clips to render, evenly spaced; always the same ones."""
    frames: int = 100
    """Frames of each clip to render, from its start, at 25 frames per second."""
    stride: int = 5
    """Compare every n-th frame as an image (fid and lpips)."""
    backbone: Literal["alex", "vgg", "squeeze"] = "alex"
    """Backbone of lpips."""
    syncnet_weights: str | None = None
    """SyncNet weight file; null searches the places that `expnet assets list` shows, 'random' is for trying things
    out."""
    inception_weights: str | None = None
    """Inception weight file for fid; null and 'random' as for syncnet_weights."""
    backbone_weights: str | None = None
    """Backbone weight file for lpips; null and 'random' as for syncnet_weights."""
    renderer: str = "mesh"
    """Renderer of the clips: mesh, sadtalker (`expnet assets fetch sadtalker`), or the run folder or file of a trained
    one; all but the mesh are slow without a GPU."""
    renderer_size: int | None = None
    """Side in pixels of the squares that SadTalker's renderer draws, 256 or 512; null for 256."""
    strict: bool = False
    """Stop when a weight file is missing; false skips its metrics with one warning."""

    def __post_init__(self) -> None:
        """Check ranges."""
        at_least("metrics", self, every=1, clips=1, frames=2, stride=1)

    @property
    def renders(self) -> bool:
        """Whether any of these metrics is switched on."""
        return self.sync or self.fid or self.lpips or self.landmark_distance or self.samples


@dataclass
class WandbConfig:
    """Weights & Biases."""

    wandb: bool = False
    """Log to Weights & Biases; without an API key the run is kept offline in the output folder, to be synced later."""
    project: str = "expnet"
    """Project on Weights & Biases."""
    name: str | None = None
    """Name of the run on Weights & Biases; null for the name of the run folder or the title of the results."""


@dataclass
class LoggerConfig(WandbConfig):
    """Loggers beside metrics.csv, which is always written."""

    tensorboard: bool = False
    """Write TensorBoard events into the run folder."""
