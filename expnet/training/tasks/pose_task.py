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
from expnet.training.tasks.base_task import BaseTask, StepOutput, Total, at_least_float32
from expnet.training.tasks.mel_augmentation import augment_mel

if TYPE_CHECKING:
    from expnet.data.batch import FaceBatch
    from expnet.data.datamodule import CoefficientStatistics

VELOCITY_SCALE = 0.1
"""Frame-to-frame change divided by the range of the pose, in real clips (0.0096 / 0.097 radians of pitch)."""
ACTIVE_VARIANCE = 0.01
"""A latent dimension is active if its posterior mean has a larger variance (Burda et al., arXiv 1509.00519)."""
LIVELY_LAGS = (1, 2, 4, 8, 16)
"""Frames over which the displacements of sampled and real heads are compared."""
LOSSES = ("loss", "reconstruction", "reconstruction_from_prior", "velocity_loss", "liveliness_loss", "kl")

_log = logging.getLogger(__name__)


class ActiveUnits(Metric):
    """Number of latent dimensions whose posterior mean varies over windows; 0 means that the posterior has collapsed.

    Args:
        latent: Number of latent dimensions Z.
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
        # Not in place, see `WeightedMean`.
        self.total = self.total + mean.sum(dim=0)
        self.squares = self.squares + mean.square().sum(dim=0)
        self.count = self.count + len(mean)

    def compute(self) -> Tensor:
        """Return the number of active dimensions."""
        count = self.count.clamp_min(1)
        variance = self.squares / count - (self.total / count).square()
        return (variance > ACTIVE_VARIANCE).sum().float()


class PoseTask(BaseTask):
    """Fit a `PoseCVAE` to the head motion of tracked clips.

    Args:
        options: Constructor arguments of `PoseCVAE`, or of `expnet.models.sadtalker.SadTalkerPose` with
            ``network="sadtalker"``, as a plain dict.
        loss: Values of `PoseLossConfig` as a plain dict.
        optim: Values of `OptimConfig` as a plain dict.
        augment: Values of `AugmentConfig` as a plain dict.
        max_steps: Optimiser steps of the whole run.
        statistics: Statistics of the training split; None if they are loaded with the weights.
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
        """Return the terms of the loss except the adversarial ones, in units of each head's usual range of motion."""
        error = (windows.predicted - windows.target) / windows.reach  # (N, W, 6)
        velocity = error.diff(dim=1) / VELOCITY_SCALE
        terms = {
            "reconstruction": masked_mean(error.square().mean(dim=-1), windows.valid),
            "velocity_loss": masked_mean(velocity.square().mean(dim=-1), both_valid(windows.valid)),
            "kl": kl_loss(windows.mean, windows.log_variance),
        }
        if windows.from_prior is not None:
            prior_error = ((windows.from_prior - windows.target) / windows.reach).square().mean(dim=-1)
            terms["reconstruction_from_prior"] = masked_mean(prior_error, windows.valid)
            terms["liveliness_loss"] = liveliness_loss(windows)
        return terms

    def total(self, terms: dict[str, Tensor], windows: PoseWindows, *, step: int) -> Tensor:
        """Return the weighted sum of the terms, with the KL weight annealed up to the training step."""
        annealing = annealed(step, steps=self.weights.kl_anneal_steps)
        divergence = kl_loss(windows.mean, windows.log_variance, free_nats=self.weights.free_nats)
        loss = (
            terms["reconstruction"]
            + self.weights.velocity_weight * terms["velocity_loss"]
            + self.weights.kl_weight * annealing * divergence
        )
        if "liveliness_loss" in terms:
            loss = loss + self.weights.liveliness_weight * terms["liveliness_loss"]
        return loss

    def adversarial_loss(self, windows: PoseWindows) -> tuple[Tensor, Tensor]:
        """Return the losses of the generator and of the discriminator (least-squares GAN), for one backward pass.

        The generator's loss treats the discriminator's weights as constants, and the discriminator's loss treats the
        poses as constants, so their sum trains both with a single optimiser.
        """
        discriminator = self.discriminator
        assert discriminator is not None
        real, fake = windows.target / windows.reach, windows.predicted / windows.reach
        frozen = {name: value.detach() for name, value in discriminator.named_parameters()}
        generator_loss = (torch.func.functional_call(discriminator, frozen, fake) - 1).square().mean()
        on_real, on_fake = (discriminator(real) - 1).square().mean(), discriminator(fake.detach()).square().mean()
        return generator_loss, 0.5 * (on_real + on_fake)

    def training_step(self, batch: FaceBatch, batch_idx: int) -> Tensor:
        """Return the loss of a batch of training windows."""
        mel = augment_mel(batch.mel, self.augment)
        sample = self.weights.liveliness_weight > 0
        windows = self.model(mel, batch.relative_pose, batch.first_pose, batch.style, batch.valid, from_prior=sample)
        with self.full_precision():
            windows = _windows_at_least_float32(windows)
            terms = self.losses(windows)
            loss = self.total(terms, windows, step=self.global_step)
            if self.discriminator is not None:
                terms["generator"], terms["discriminator"] = self.adversarial_loss(windows)
                loss = loss + self.weights.adversarial_weight * terms["generator"] + terms["discriminator"]
        logged = {f"train/{name}": value.detach() for name, value in {"loss": loss, **terms}.items()}
        self.log_dict(logged, batch_size=len(batch))
        return loss

    def evaluate_batch(self, batch: FaceBatch, stage: str) -> StepOutput:
        """Reconstruct whole clips window by window, and decode them once more with latents sampled from the prior."""
        model: PoseCVAE | SadTalkerPose = self.evaluated  # type: ignore[assignment]
        mel, pose, valid = pad_to_windows(batch.mel, batch.relative_pose, batch.valid, model.window)
        devices = [self.device] if self.device.type == "cuda" else []
        # The random state of the training is left alone, so that validating more often does not change a run. The seed
        # comes from the clips, since their order depends on the number of processes, which must not change a score.
        with torch.random.fork_rng(devices=devices), self.full_precision():
            torch.manual_seed(seed_of(batch))
            windows = model(mel, pose, batch.first_pose, batch.style, valid, from_prior=True)
        terms = self.losses(windows)
        loss = self.total(terms, windows, step=self.weights.kl_anneal_steps)
        self.log_losses({"loss": loss, **terms}, windows.valid, stage)
        real = windows.valid.any(dim=1)
        self.active_units.update(windows.mean[real])
        self.windows.update(real.sum())
        self.log(f"{stage}/active_units", self.active_units, on_step=False, on_epoch=True)
        self.log(f"{stage}/windows", self.windows, on_step=False, on_epoch=True)
        frames = batch.expression.shape[1]
        predicted = torch.cat([pose[:, :1], windows.predicted.unflatten(0, (len(pose), -1)).flatten(1, 2)], dim=1)
        return StepOutput(predicted[:, :frames], batch.relative_pose, batch.valid, batch.clip_ids)

    def predict_step(self, batch: FaceBatch, batch_idx: int) -> StepOutput:
        """Return a head motion drawn from the audio of each clip, with the averaged weights, beside the real one."""
        model: PoseCVAE | SadTalkerPose = self.evaluated  # type: ignore[assignment]
        generator = torch.Generator().manual_seed(seed_of(batch))
        with self.full_precision():
            frames = batch.expression.shape[1]
            predicted = model.sample(batch.mel, frames, batch.first_pose, batch.style, generator)
        return StepOutput(predicted, batch.relative_pose, batch.valid, batch.clip_ids)

    def on_validation_epoch_end(self) -> None:
        """Warn if the posterior has collapsed: all samples would then be the same."""
        if self.trainer.sanity_checking or self.global_step <= self.weights.kl_anneal_steps:
            return
        if int(self.active_units.compute()) == 0:
            _log.warning(
                "The latent of the head-pose network carries no information at step %d (posterior collapse): lower "
                "loss.kl_weight or raise loss.free_nats.",
                self.global_step,
            )


def seed_of(batch: FaceBatch) -> int:
    """Return a seed that depends on the clips alone, not on how many processes share them."""
    return zlib.crc32("\n".join(batch.clip_ids).encode())


def liveliness_loss(windows: PoseWindows) -> Tensor:
    """Compare how far sampled and real heads move over several lags: 0 if they move alike on average, else positive.

    ``mean over lags k and the six pose components of log(E_sampled / E_real)^2`` with ``E = mean (p_{t+k} - p_t)^2``
    over all windows, in units of each head's range of motion. A squared error alone is minimised by the average of all
    plausible motions, which is calmer than any of them. This loss constrains the spectrum of the samples and leaves
    their direction free. Poses are first smoothed over three frames, because tracking jitter should not be learned.
    """
    assert windows.from_prior is not None
    valid = both_valid(both_valid(windows.valid))
    assert valid is not None
    smooth = [
        (0.25 * x[:, :-2] + 0.5 * x[:, 1:-1] + 0.25 * x[:, 2:]) / windows.reach  # (N, W - 2, 6)
        for x in (windows.from_prior, windows.target)
    ]
    ratios = []
    for lag in LIVELY_LAGS:
        both = (valid[:, lag:] & valid[:, :-lag]).to(smooth[0].dtype)[..., None]
        sampled, real = (((x[:, lag:] - x[:, :-lag]).square() * both).sum(dim=(0, 1)) for x in smooth)  # (6,) each
        ratios.append(((sampled + 1e-4) / (real + 1e-4)).log())
    return torch.stack(ratios).square().mean()


def _windows_at_least_float32(windows: PoseWindows) -> PoseWindows:
    """Convert the 16-bit tensors that mixed precision left in the windows to float32."""
    changes = {name: at_least_float32(value) for name, value in vars(windows).items() if value is not None}
    return dataclasses.replace(windows, **changes)


def pad_to_windows(mel: Tensor, pose: Tensor, valid: Tensor, window: int) -> tuple[Tensor, Tensor, Tensor]:
    """Pad a clip to one frame plus whole windows, with invalid frames and silence.

    Args:
        mel: (B, 80, N).
        pose: (B, T, 6).
        valid: (B, T) bool.
        window: Frames of a window W.

    Returns:
        Mel, pose and valid for ``1 + W ceil((T - 1) / W)`` frames, with at least one window.
    """
    frames = pose.shape[1]
    padded = 1 + window * max(1, -(-(frames - 1) // window))
    missing = padded - frames
    pose = torch.cat([pose, pose[:, -1:].expand(-1, missing, -1)], dim=1)
    valid = torch.cat([valid, valid.new_zeros(len(valid), missing)], dim=1)
    missing_columns = max(0, mel_columns(padded) - mel.shape[-1])
    return nn.functional.pad(mel, (0, missing_columns), value=SILENCE), pose, valid
