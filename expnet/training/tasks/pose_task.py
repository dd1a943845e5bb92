"""Training of the head-pose network."""

from __future__ import annotations

import dataclasses
import logging
import zlib
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from expnet.audio.alignment import mel_columns
from expnet.config import PoseLossConfig
from expnet.models.pose_cvae import SILENCE, PoseCVAE, PoseWindows
from expnet.models.pose_discriminator import PoseDiscriminator
from expnet.models.sadtalker import SadTalkerPose
from expnet.models.saved_model import build_model
from expnet.training.losses import annealed, both_valid, kl_loss, masked_mean
from expnet.training.tasks.base_task import BaseTask, StepOutput, Total, widened
from expnet.training.tasks.mel_augmentation import augment_mel

if TYPE_CHECKING:
    from expnet.data.batch import FaceBatch
    from expnet.data.datamodule import CoefficientStatistics

VELOCITY_SCALE = 0.1
"""Size of a frame's change over that of the pose itself, in real clips (0.0096 / 0.097 radians of pitch)."""
ACTIVE_VARIANCE = 0.01
"""A latent dimension is in use when its posterior mean varies more than this (Burda et al., arXiv 1509.00519)."""
LIVELY_LAGS = (1, 2, 4, 8, 16)
"""Frames over which the distances of drawn and real heads are compared."""
LOSSES = ("loss", "reconstruction", "reconstruction_from_prior", "velocity_loss", "liveliness_loss", "kl")

_log = logging.getLogger(__name__)


class ActiveUnits(Metric):
    """Count the latent dimensions whose posterior mean varies over windows: 0 means that the latent has collapsed.

    Args:
        latent: Z.
    """

    higher_is_better = True
    full_state_update = False
    total: Tensor
    squares: Tensor
    count: Tensor

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.add_state("total", torch.zeros(latent, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("squares", torch.zeros(latent, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, mean: Tensor) -> None:
        """Add posterior means (N, Z)."""
        mean = mean.double()
        self.total += mean.sum(dim=0)
        self.squares += mean.square().sum(dim=0)
        self.count += len(mean)

    def compute(self) -> Tensor:
        """Return the number of dimensions in use."""
        count = self.count.clamp_min(1)
        variance = self.squares / count - (self.total / count).square()
        return (variance > ACTIVE_VARIANCE).sum().float()


class PoseTask(BaseTask):
    """Fit a `PoseCVAE` to the head motion of tracked clips.

    Args:
        options: arguments of `PoseCVAE`, or of `expnet.models.sadtalker.SadTalkerPose` with ``network="sadtalker"``,
            a plain dict.
        loss: values of `PoseLossConfig`, a plain dict.
        optim: values of `OptimConfig`, a plain dict.
        augment: values of `AugmentConfig`, a plain dict.
        max_steps: steps of the whole run.
        statistics: of the training split; None when the weights (and with them the statistics) are loaded.
    """

    model: PoseCVAE | SadTalkerPose

    def __init__(
        self,
        *,
        options: dict[str, Any],
        loss: dict[str, Any],
        optim: dict[str, Any],
        augment: dict[str, Any],
        max_steps: int,
        statistics: CoefficientStatistics | None = None,
    ) -> None:
        model: Any = build_model("pose", options)
        if statistics is not None:
            model.set_statistics(pose_std=statistics.pose_std, mel_mean=statistics.mel_mean, mel_std=statistics.mel_std)
        super().__init__(model, optim=optim, augment=augment, max_steps=max_steps, losses=LOSSES)
        self.save_hyperparameters(ignore=["statistics"])
        self.weights = PoseLossConfig(**loss)
        self.discriminator = PoseDiscriminator() if self.weights.adversarial_weight else None
        self.active_units = ActiveUnits(model.latent)
        self.windows = Total()

    def losses(self, windows: PoseWindows) -> dict[str, Tensor]:
        """Return the terms of the loss but the adversarial one, in units of how far each head usually goes."""
        error = (windows.predicted - windows.target) / windows.reach  # (N, W, 6)
        velocity = error.diff(dim=1) / VELOCITY_SCALE
        terms = {
            "reconstruction": masked_mean(error.square().mean(dim=-1), windows.valid),
            "velocity_loss": masked_mean(velocity.square().mean(dim=-1), both_valid(windows.valid)),
            "kl": kl_loss(windows.mean, windows.log_variance),
        }
        if windows.from_prior is not None:
            blind = ((windows.from_prior - windows.target) / windows.reach).square().mean(dim=-1)
            terms["reconstruction_from_prior"] = masked_mean(blind, windows.valid)
            terms["liveliness_loss"] = liveliness_loss(windows)
        return terms

    def total(self, terms: dict[str, Tensor], windows: PoseWindows, *, step: int) -> Tensor:
        """Weigh the terms; the divergence counts in full once it has been annealed."""
        share = annealed(step, steps=self.weights.kl_anneal_steps)
        divergence = kl_loss(windows.mean, windows.log_variance, free_nats=self.weights.free_nats)
        loss = (
            terms["reconstruction"]
            + self.weights.velocity_weight * terms["velocity_loss"]
            + self.weights.kl_weight * share * divergence
        )
        if "liveliness_loss" in terms:
            loss = loss + self.weights.liveliness_weight * terms["liveliness_loss"]
        return loss

    def adversarial_loss(self, windows: PoseWindows) -> tuple[Tensor, Tensor]:
        """Return what the generator and what the discriminator pays (least squares GAN), for one backward pass.

        In the generator's term the discriminator's weights are constants, in the discriminator's term the poses are;
        so both may be summed and optimised together, and no run needs two optimisers.
        """
        judge = self.discriminator
        assert judge is not None
        real, fake = windows.target / windows.reach, windows.predicted / windows.reach
        frozen = {name: value.detach() for name, value in judge.named_parameters()}
        generator = (torch.func.functional_call(judge, frozen, fake) - 1).square().mean()
        discriminator = 0.5 * ((judge(real) - 1).square().mean() + judge(fake.detach()).square().mean())
        return generator, discriminator

    def training_step(self, batch: FaceBatch, batch_idx: int) -> Tensor:
        """Return the loss of a batch of stretches of motion."""
        mel = augment_mel(batch.mel, self.augment)
        lively = self.weights.liveliness_weight > 0
        windows = self.model(mel, batch.relative_pose, batch.first_pose, batch.style, batch.valid, from_prior=lively)
        with self.full_precision():
            windows = _widened_windows(windows)
            terms = self.losses(windows)
            loss = self.total(terms, windows, step=self.global_step)
            if self.discriminator is not None:
                terms["generator"], terms["discriminator"] = self.adversarial_loss(windows)
                loss = loss + self.weights.adversarial_weight * terms["generator"] + terms["discriminator"]
        logged = {f"train/{name}": value.detach() for name, value in {"loss": loss, **terms}.items()}
        self.log_dict(logged, batch_size=len(batch))
        return loss

    def validation_step(self, batch: FaceBatch, batch_idx: int) -> StepOutput:  # type: ignore[override]
        """Reconstruct whole clips, window by window, and once more with latents from the prior."""
        model: PoseCVAE | SadTalkerPose = self.evaluated  # type: ignore[assignment]
        mel, pose, valid = pad_to_windows(batch.mel, batch.relative_pose, batch.valid, model.window)
        devices = [self.device] if self.device.type == "cuda" else []
        # Apart from the training's random numbers: validating more often must not change a run. Seeded by the clips:
        # their place in the batches depends on the number of processes, which must not change a score.
        with torch.random.fork_rng(devices=devices), self.full_precision():
            torch.manual_seed(zlib.crc32("\n".join(batch.clip_ids).encode()))
            windows = model(mel, pose, batch.first_pose, batch.style, valid, from_prior=True)
        terms = self.losses(windows)
        loss = self.total(terms, windows, step=self.weights.kl_anneal_steps)
        self.log_losses({"loss": loss, **terms}, windows.valid)
        real = windows.valid.any(dim=1)
        self.active_units.update(windows.mean[real])
        self.windows.update(real.sum())
        self.log("val/active_units", self.active_units, on_step=False, on_epoch=True)
        self.log("val/windows", self.windows, on_step=False, on_epoch=True)
        frames = batch.expression.shape[1]
        predicted = torch.cat([pose[:, :1], windows.predicted.unflatten(0, (len(pose), -1)).flatten(1, 2)], dim=1)
        return StepOutput(predicted[:, :frames], batch.relative_pose, batch.valid, batch.clip_ids)

    def on_validation_epoch_end(self) -> None:
        """Say so when the latent has collapsed: samples would then all be the same."""
        if self.trainer.sanity_checking or self.global_step <= self.weights.kl_anneal_steps:
            return
        if int(self.active_units.compute()) == 0:
            _log.warning(
                "The latent of the head-pose network carries nothing at step %d: lower loss.kl_weight or raise "
                "loss.free_nats.",
                self.global_step,
            )


def liveliness_loss(windows: PoseWindows) -> Tensor:
    """Compare how far drawn and real heads travel: 0 where they are alike at every pace, else positive.

    ``mean over lags k and the six numbers of log(E_drawn / E_real)^2`` with ``E = mean (p_{t+k} - p_t)^2`` over all
    windows, in units of each head's reach. A squared error alone gives the average of what could be, which is calmer
    than any of it; this asks of the draws what a spectrum would show, and says nothing about where they should go.
    Poses are averaged over three frames first, as the frame-to-frame trembling of a tracker is not to be learned.
    """
    assert windows.from_prior is not None
    counted = both_valid(both_valid(windows.valid))
    assert counted is not None
    smooth = [
        (0.25 * x[:, :-2] + 0.5 * x[:, 1:-1] + 0.25 * x[:, 2:]) / windows.reach  # (N, W - 2, 6)
        for x in (windows.from_prior, windows.target)
    ]
    ratios = []
    for lag in LIVELY_LAGS:
        both = (counted[:, lag:] & counted[:, :-lag]).to(smooth[0].dtype)[..., None]
        drawn, real = (((x[:, lag:] - x[:, :-lag]).square() * both).sum(dim=(0, 1)) for x in smooth)  # (6,) each
        ratios.append(((drawn + 1e-4) / (real + 1e-4)).log())
    return torch.stack(ratios).square().mean()


def _widened_windows(windows: PoseWindows) -> PoseWindows:
    """What mixed precision left in 16 bits, in 32."""
    changes = {name: widened(value) for name, value in vars(windows).items() if value is not None}
    return dataclasses.replace(windows, **changes)


def pad_to_windows(mel: Tensor, pose: Tensor, valid: Tensor, window: int) -> tuple[Tensor, Tensor, Tensor]:
    """Lengthen a clip to one frame and whole windows, by frames that are not valid and silence.

    Args:
        mel: (B, 80, N).
        pose: (B, T, 6).
        valid: (B, T).
        window: W.

    Returns:
        The three for ``1 + W ceil((T - 1) / W)`` frames, one window at least.
    """
    frames = pose.shape[1]
    wanted = 1 + window * max(1, -(-(frames - 1) // window))
    missing = wanted - frames
    pose = torch.cat([pose, pose[:, -1:].expand(-1, missing, -1)], dim=1)
    valid = torch.cat([valid, valid.new_zeros(len(valid), missing)], dim=1)
    short = max(0, mel_columns(wanted) - mel.shape[-1])
    return nn.functional.pad(mel, (0, short), value=SILENCE), pose, valid
