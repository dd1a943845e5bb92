"""Training of the expression network."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from expnet.config import ExpressionLossConfig
from expnet.config.part_sections import LossTermConfig, build_section
from expnet.errors import ConfigError
from expnet.models.expression_regressor import ExpressionRegressor
from expnet.models.saved_model import build_model
from expnet.training.losses import (
    balance_windows,
    coefficient_loss,
    discount_offset,
    eye_loss,
    landmark_displacements,
    landmark_loss,
    landmark_weights,
    lip_spread_loss,
    motion_energy,
    opening_correlation_loss,
    velocity_loss,
)
from expnet.training.tasks.base_task import BaseTask, StepOutput, at_least_float32
from expnet.training.tasks.expression_scores import ExpressionScores
from expnet.training.tasks.landmark_sync_task import SyncLoss, face_model_of
from expnet.training.tasks.mel_augmentation import augment_mel

if TYPE_CHECKING:
    from expnet.data.batch import FaceBatch
    from expnet.data.datamodule import CoefficientStatistics
    from expnet.face.morphable import MorphableModel

VELOCITY_SHARE = 0.15
"""Variance of the frame-to-frame change divided by the variance of the expression, in 23 tracked clips of 18 people."""
EYE_SCALE = 0.1
"""A typical difference of `expnet.training.losses.eye_ratio`."""
LOSSES = (
    "loss",
    "coefficient_loss",
    "velocity_loss",
    "landmark_loss",
    "eye_loss",
    "correlation_loss",
    "spread_loss",
    "sync_loss",
)


class ExpressionTask(BaseTask):
    """Fit an `ExpressionRegressor` to tracked clips.

    Every loss is divided by its scale in the training clips, so that the weights are comparable: a face that always
    shows the mean expression has a loss of 1.

    Args:
        options: Constructor arguments of `ExpressionRegressor`, or of the network that their ``network`` names, as a
            plain dict.
        loss: Values of `ExpressionLossConfig` as a plain dict.
        optim: Values of `OptimConfig` as a plain dict.
        augment: Values of `AugmentConfig` as a plain dict.
        max_steps: Optimiser steps of the whole run.
        face_model: Turns coefficients into landmarks and weights coefficient errors. Not part of the checkpoint; None
            for the built-in one.
        sync: Loss of the sync expert if `ExpressionLossConfig.sync_weight` is not 0. Not part of the checkpoint.
        statistics: Statistics of the training split; None if they are loaded with the weights.

    Raises:
        ConfigError: The face model is not the one that the network was trained on.
    """

    monitor = "val/within_clip_r2"
    monitor_mode = "max"
    model: ExpressionRegressor
    metric: Tensor
    landmark_weights: Tensor
    expression_scale: Tensor
    landmark_scale: Tensor

    def __init__(
        self,
        *,
        options: dict[str, Any],
        loss: dict[str, Any],
        optim: dict[str, Any],
        augment: dict[str, Any],
        max_steps: int,
        face_model: MorphableModel | None = None,
        sync: SyncLoss | None = None,
        statistics: CoefficientStatistics | None = None,
    ) -> None:
        model: Any = build_model("expression", options)
        face_model = face_model_of(options, face_model)
        metric = face_model.expression_metric.detach().float()
        if statistics is not None:
            model.set_statistics(
                expression_mean=statistics.expression_mean,
                expression_std=statistics.expression_std,
                mel_mean=statistics.mel_mean,
                mel_std=statistics.mel_std,
                expression_metric=metric,
            )
        weights = ExpressionLossConfig(**loss)
        names = (*LOSSES, *(f"{label}_loss" for label in weights.extra))
        super().__init__(model, optim=optim, augment=augment, max_steps=max_steps, losses=names)
        self.save_hyperparameters(ignore=["face_model", "sync", "statistics"])
        self.weights = weights
        self.extra = nn.ModuleDict({label: _Term(label, term) for label, term in weights.extra.items()})
        self.sync = sync
        # None of these buffers is persistent: a checkpoint holds only what was trained.
        self.face_model = copy.deepcopy(face_model)
        self.register_buffer("metric", metric, persistent=False)
        points = landmark_weights(mouth=self.weights.mouth, inner_mouth=self.weights.inner_mouth)
        self.register_buffer("landmark_weights", points, persistent=False)
        expression_scale, landmark_scale = self._scales()
        self.register_buffer("expression_scale", expression_scale, persistent=False)
        self.register_buffer("landmark_scale", landmark_scale, persistent=False)
        self.register_load_state_dict_post_hook(_rescale)

    def configure_callbacks(self) -> list[pl.Callback]:
        """Add `ExpressionScores`, which logs the monitored value, to a Trainer that was given none."""
        if any(isinstance(callback, ExpressionScores) for callback in self.trainer.callbacks):  # type: ignore[attr-defined]
            return []
        return [ExpressionScores(self.metric)]

    def setup(self, stage: str) -> None:
        """Refuse to compute a loss without its sync expert, which is not part of a checkpoint.

        Raises:
            ConfigError: The weight of the sync loss is not 0, and there is no expert.
        """
        if self.weights.sync_weight and self.sync is None and stage != "predict":
            raise ConfigError(
                f"This task has loss.sync_weight={self.weights.sync_weight:g} but no sync expert: pass "
                "sync=SyncLoss(load_model(FILE, 'landmark_sync')) to it or to load_from_checkpoint."
            )

    def _scales(self) -> tuple[Tensor, Tensor]:
        """Return the coefficient and landmark loss of the mean expression, for uncorrelated coefficients.

        The first is ``sum_e G_ee s_e^2`` with the standard deviations ``s`` of the training clips.
        """
        std = self.model.expression_std
        displacements = landmark_displacements(self.face_model, std)
        landmark = (displacements.square().sum(dim=-1) * self.landmark_weights).mean(dim=-1).sum()
        return (self.metric.diagonal() * std.square()).sum().clamp_min(1e-12), landmark.clamp_min(1e-12)

    def landmarks(self, identity: Tensor, expression: Tensor) -> Tensor:
        """Return (B, T, 68, 3) landmarks in face units for identity (B, K) and expression (B, T, E)."""
        return self.face_model.landmarks(identity[:, None].expand(-1, expression.shape[1], -1), expression)

    def predict(self, model: ExpressionRegressor, batch: FaceBatch, mel: Tensor) -> Tensor:
        """Return the expression (B, T, E) that a network predicts for a batch."""
        frames = batch.expression.shape[1]
        not_padding = torch.arange(frames, device=mel.device)[None] < batch.frames[:, None]  # (B, T)
        features = {"features": batch.features} if batch.features.numel() else {}
        return model(mel, frames, batch.first_expression, batch.blink, batch.emotion, not_padding, **features)

    def losses(self, predicted: Tensor, batch: FaceBatch, valid: Tensor) -> tuple[dict[str, Tensor], StepOutput]:
        """Return the loss with its terms by name, and the output for callbacks."""
        target, weights = batch.expression, self.weights
        landmarks = self.landmarks(batch.identity, predicted)
        with torch.no_grad():
            target_landmarks = self.landmarks(batch.identity, target)
        output = StepOutput(predicted.detach(), target, valid, batch.clip_ids, landmarks.detach(), target_landmarks)
        # All of these take the lips before offsets and windows are reweighted; the expert, audio without augmentation.
        lips: dict[str, Tensor] = {}
        if weights.correlation_weight:
            lips["correlation_loss"] = opening_correlation_loss(landmarks, target_landmarks, valid)
        if weights.spread_weight:
            lips["spread_loss"] = lip_spread_loss(landmarks, target_landmarks, valid)
        if self.sync:
            lips["sync_loss"] = self.sync(landmarks, batch.mel, valid)
        whole = StepOutput(predicted, target, valid, batch.clip_ids, landmarks, target_landmarks)
        extra = {f"{label}_loss": term(whole) for label, term in self.extra.items()}
        energy = motion_energy(target, self.metric, valid)
        predicted = self._reweighted(predicted, target, energy, valid)
        landmarks = self._reweighted(landmarks, target_landmarks, energy, valid)
        terms = {
            "coefficient_loss": coefficient_loss(predicted, target, self.metric, valid) / self.expression_scale,
            "velocity_loss": velocity_loss(predicted, target, self.metric, valid)
            / (VELOCITY_SHARE * self.expression_scale),
            "landmark_loss": landmark_loss(landmarks, target_landmarks, self.landmark_weights, valid)
            / self.landmark_scale,
            "eye_loss": eye_loss(landmarks, target_landmarks, valid) / EYE_SCALE,
            **lips,
            **extra,
        }
        loss = (
            weights.coefficient_weight * terms["coefficient_loss"]
            + weights.velocity_weight * terms["velocity_loss"]
            + weights.landmark_weight * terms["landmark_loss"]
            + weights.eye_weight * terms["eye_loss"]
        )
        for name in lips:
            loss = loss + getattr(weights, f"{name.removesuffix('_loss')}_weight") * terms[name]
        for label, term in weights.extra.items():
            loss = loss + term.weight * extra[f"{label}_loss"]
        return {"loss": loss, **terms}, output

    def _reweighted(self, predicted: Tensor, target: Tensor, energy: Tensor, valid: Tensor) -> Tensor:
        """Discount the constant error of each window, and balance windows with much and with little motion."""
        predicted = discount_offset(predicted, target, valid, weight=self.weights.offset_weight)
        return balance_windows(predicted, target, energy, share=self.weights.balance)

    def training_step(self, batch: FaceBatch, batch_idx: int) -> Tensor:
        """Return the loss of a batch of training windows."""
        mel = augment_mel(batch.mel, self.augment)
        predicted = self.predict(self.model, batch, mel)
        with self.full_precision():
            losses, _ = self.losses(at_least_float32(predicted), batch, batch.valid)
        self.log_dict({f"train/{name}": value.detach() for name, value in losses.items()}, batch_size=len(batch))
        return losses["loss"]

    def evaluate_batch(self, batch: FaceBatch, stage: str) -> StepOutput:
        """Log the losses of whole clips, predicted with the averaged weights."""
        with self.full_precision():
            predicted = self.predict(self.evaluated, batch, batch.mel)  # type: ignore[arg-type]
            losses, output = self.losses(predicted, batch, batch.valid)
        self.log_losses(losses, batch.valid, stage)
        return output

    def predict_step(self, batch: FaceBatch, batch_idx: int) -> StepOutput:
        """Return the expression of whole clips, predicted with the averaged weights, beside the real one."""
        with self.full_precision():
            predicted = self.predict(self.evaluated, batch, batch.mel)  # type: ignore[arg-type]
            landmarks, target = (self.landmarks(batch.identity, x) for x in (predicted, batch.expression))
        return StepOutput(predicted, batch.expression, batch.valid, batch.clip_ids, landmarks, target)


class _Term(nn.Module):
    """A term of the loss from another package; it may be a function, or a module whose buffers follow the device."""

    def __init__(self, label: str, section: LossTermConfig) -> None:
        super().__init__()
        self.label = label
        self.term = build_section("losses", label, section)
        if isinstance(self.term, nn.Module):
            self.term.requires_grad_(False)  # a loss is fixed: what is trained is the network

    def forward(self, output: StepOutput) -> Tensor:
        """Return the term, a scalar.

        Raises:
            ConfigError: It is no scalar tensor.
        """
        value = self.term(output)
        if not isinstance(value, Tensor) or value.dim() > 0:
            shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ConfigError(f"loss.extra.{self.label} must return a scalar tensor, not {shape}.")
        return value


def _rescale(task: nn.Module, _: object) -> None:
    """Update the scales of the losses from the statistics that were loaded with the weights."""
    assert isinstance(task, ExpressionTask)
    task.expression_scale, task.landmark_scale = task._scales()
