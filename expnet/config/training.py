"""How a training runs: optimiser, Trainer, metrics of rendered clips and loggers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from expnet.config.checks import at_least, not_negative, require
from expnet.config.part_sections import ScoreConfig, checked_sections
from expnet.config.parts import find_part, is_reference

GROUPS = ("corpus", "language", "emotion", "speaker")
"""Columns of a store's manifest by which validation clips may be scored in groups."""


@dataclass
class OptimConfig:
    """Optimiser, its learning rate with linear warm-up and a schedule, and the average of the weights."""

    optimizer: Literal["adamw", "muon"] = "adamw"
    """adamw; or muon, which trains matrices with Muon and all other weights with AdamW, at the same learning rate and
    weight decay (PyTorch 2.9 or newer)."""
    lr: float = 1e-3
    """Peak learning rate."""
    weight_decay: float = 0.05
    """Weight decay of weight matrices; biases, norms and embeddings are not decayed."""
    schedule: Literal["cosine", "constant", "inverse_sqrt"] = "cosine"
    """Learning rate after the warm-up: cosine decay to final_lr at the last step; constant; or inverse_sqrt, the peak
    times the root of warmup_steps over the step. Only with the last two may a finished run be continued for longer as
    if it had been meant to."""
    warmup_steps: int = 50
    """Steps of linear warm-up."""
    final_lr: float = 0.02
    """Learning rate at the end of a cosine schedule, and the least of inverse_sqrt, as a fraction of the peak."""
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
        require(
            self.optimizer == "adamw",
            "optim.optimizer=muon is for networks of matrices; the renderer is made of convolutions: use adamw.",
        )


@dataclass
class TrainerConfig:
    """Length of the training, and the hardware it runs on."""

    max_steps: int = 1000
    """Optimiser steps."""
    max_epochs: int | None = None
    """Epochs to train for, in place of max_steps; null for max_steps."""
    max_time: str | None = None
    """Longest duration of the run, all its resumed parts together, as DD:HH:MM:SS; the run then ends with a validation.
    The learning rate does not know of it. Null for no limit."""
    accumulate: int = 1
    """Batches whose gradients are added up for one optimiser step."""
    early_stopping: int = 0
    """Stop after so many validations in a row without a better score; 0 for never."""
    validate_every: int = 100
    """Steps between validations, at most max_steps; each validation is followed by a checkpoint."""
    save_every: int = 0
    """Steps between saves of last.ckpt apart from validations, which lose less to a killed machine; 0 for none."""
    keep_every: int = 0
    """Steps between checkpoints that are kept for good, as checkpoints/step_000500.ckpt; 0 for none."""
    keep_best: int = 1
    """Checkpoints with the best scores to keep; more than one as checkpoints/best_000500.ckpt beside best.ckpt."""
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
    """Lightning's strategy: auto, ddp, ddp_fork, ...; every process holds the whole network, so not fsdp."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed", "64-true"] = "32-true"
    """Floating-point precision of the network in training. The mixed precisions compute matrix products in 16 bits;
    weights, losses, validation and metrics stay in 32 bits."""
    activation_checkpointing: bool = False
    """Compute the Transformer's blocks a second time in the backward pass instead of keeping their activations, which
    saves memory of deep networks and takes a third to a half longer; the numbers are the same."""
    explosion: float = 100.0
    """Stop when the loss exceeds this multiple of its value in the first steps; 0 for never. A NaN loss always stops
    the run."""
    threads: int = 0
    """CPU threads of each process; 0 leaves the choice to torch."""
    timeout: float = 1800.0
    """Seconds that a process waits for the others of the run before it gives up."""
    deterministic: bool = True
    """Use only operations that give the same bits every time."""
    profiler: Literal["none", "simple", "advanced", "pytorch"] = "none"
    """Lightning's profiler of the training loop, of Python's functions, or of PyTorch's operations; it writes
    fit-profile-*.txt, and a trace with pytorch, into the run folder. Only for short runs, which it slows down."""

    def __post_init__(self) -> None:
        """Check ranges."""
        at_least("trainer", self, max_steps=1, validate_every=1, log_every=1, num_nodes=1, threads=0)
        at_least("trainer", self, accumulate=1, early_stopping=0, save_every=0, keep_every=0, keep_best=1)
        epochs = self.max_epochs
        require(epochs is None or epochs >= 1, f"trainer.max_epochs must be 1 or more, or null, not {epochs}.")
        self._check_time()
        require(
            self.devices >= 1 or self.devices == -1, f"trainer.devices must be 1 or more, or -1, not {self.devices}."
        )
        require(self.timeout > 0, f"trainer.timeout must be above 0, not {self.timeout}.")
        limit = self.explosion
        require(limit == 0 or limit > 1, f"trainer.explosion must be above 1, or 0 for never, not {limit}.")

    def _check_time(self) -> None:
        time = self.max_time
        good = time is None or re.fullmatch(r"\d+:\d\d:\d\d:\d\d", time)
        require(bool(good), f"trainer.max_time must be DD:HH:MM:SS, as 01:12:00:00 for a day and a half, not {time}.")


@dataclass
class MetricsConfig:
    """Metrics of rendered validation clips, measured on their frames and audio, and scores of groups of clips."""

    groups: list[str] = field(default_factory=lambda: ["corpus"])
    """Also score validation clips by corpus, language, emotion or speaker, in groups of which there are several, as
    val/corpus_NAME/within_clip_r2 (expression network; nothing is rendered for this)."""
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
    extra: dict[str, ScoreConfig] = field(default_factory=dict)
    """Metrics of other packages under labels, of all validation clips and without rendering: metrics.extra.LABEL.part,
    .of, .options (docs/guides/own_parts.md)."""

    def __post_init__(self) -> None:
        """Check ranges."""
        at_least("metrics", self, every=1, clips=1, frames=2, stride=1)
        if is_reference(self.renderer):
            find_part("renderers", self.renderer, "metrics.renderer")
        self.extra = checked_sections("metrics", "metrics.extra", self.extra, ScoreConfig)
        unknown = sorted(set(self.groups) - set(GROUPS))
        require(not unknown, f"metrics.groups must be among {', '.join(GROUPS)}, not {', '.join(unknown)}.")

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
    entity: str | None = None
    """User or team that owns the project on Weights & Biases; null for the default of the account."""
    group: str | None = None
    """Group of runs on Weights & Biases, such as a sweep or a paper's table."""
    tags: list[str] = field(default_factory=list)
    """Tags of the run on Weights & Biases."""
    job_type: str | None = None
    """Kind of run within a group on Weights & Biases; null for train or benchmark."""


@dataclass
class LoggerConfig(WandbConfig):
    """Loggers beside metrics.csv, which is always written."""

    tensorboard: bool = False
    """Write TensorBoard events into the run folder."""
