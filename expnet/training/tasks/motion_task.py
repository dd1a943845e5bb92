"""Training of the motion network by flow matching."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from expnet.config import MotionLossConfig
from expnet.face.lip_directions import lip_projection
from expnet.metrics.functional import mouth_opening
from expnet.metrics.functional.masking import masked_std
from expnet.models.audio_encoder import level_mel
from expnet.models.flow_matching.motion import Motion, Reference
from expnet.models.flow_matching.motion_flow import MotionFlow
from expnet.models.flow_matching.noise import smooth_head
from expnet.models.saved_model import build_model
from expnet.training.losses import landmark_displacements, landmark_loss, landmark_weights, velocity_loss
from expnet.training.losses.flow_matching import (
    flow_matching_loss,
    flow_times,
    metric_weights,
    on_the_path,
)
from expnet.training.tasks.base_task import BaseTask, StepOutput, WeightedMean, at_least_float32
from expnet.training.tasks.expression_task import VELOCITY_SHARE
from expnet.training.tasks.landmark_sync_task import face_model_of
from expnet.training.tasks.mel_augmentation import augment_mel
from expnet.training.tasks.motion_scores import MotionScores
from expnet.training.tasks.pose_task import seed_of

if TYPE_CHECKING:
    from expnet.data.batch import FaceBatch
    from expnet.data.coefficient_statistics import CoefficientStatistics, MotionStatistics
    from expnet.face.morphable import MorphableModel

TIMES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)
"""Times of the flow at which a validation measures the losses; the first is that of the mean motion."""
LOSSES = ("loss", "expression_loss", "head_loss", "lids_loss", "landmark_loss", "velocity_loss")


@dataclass(frozen=True, eq=False)
class FlowDraws:
    """Everything that is random in the loss of a batch.

    Attributes:
        time: (B,) times of the flow.
        noise: (B, T, M).
        previous: (B,) number of frames at the beginning of each window that are known.
        heard: (B,) bool, false where the audio is left out.
        styled: (B,) bool, false where head-motion style and emotion are left out.
    """

    time: Tensor
    noise: Tensor
    previous: Tensor
    heard: Tensor
    styled: Tensor


class MotionTask(BaseTask):
    """Fit a `MotionFlow` to tracked clips.

    Args:
        options: Constructor arguments of `MotionFlow` as a plain dict.
        loss: Values of `MotionLossConfig` as a plain dict.
        optim: Values of `OptimConfig` as a plain dict.
        augment: Values of `AugmentConfig` as a plain dict.
        max_steps: Optimiser steps of the whole run.
        face_model: Turns coefficients into landmarks and weights coefficient errors. Not part of the checkpoint; None
            for the built-in one.
        statistics: Statistics of the training split; None if they are loaded with the weights.
        motion: Statistics of the motion within its clips; None likewise.

    Raises:
        ConfigError: The face model is not the one that the network was trained on.
    """

    model: MotionFlow
    metric: Tensor
    landmark_weights: Tensor

    def __init__(
        self,
        *,
        options: dict[str, Any],
        loss: dict[str, Any],
        optim: dict[str, Any],
        augment: dict[str, Any],
        max_steps: int,
        face_model: MorphableModel | None = None,
        statistics: CoefficientStatistics | None = None,
        motion: MotionStatistics | None = None,
    ) -> None:
        model: Any = build_model("motion", options)
        face_model = face_model_of(options, face_model)
        metric = face_model.expression_metric.detach().float()
        if statistics is not None and motion is not None:
            model.set_statistics(
                expression_mean=statistics.expression_mean,
                expression_std=statistics.expression_std,
                motion_std=motion.expression_std,
                pose_std=statistics.pose_std,
                lid_mean=motion.lid_mean,
                lid_std=motion.lid_std,
                mel_mean=statistics.mel_mean,
                mel_std=statistics.mel_std,
                expression_metric=metric,
                lip_projection=lip_projection(face_model),
            )
        super().__init__(model, optim=optim, augment=augment, max_steps=max_steps, losses=LOSSES)
        self.save_hyperparameters(ignore=["face_model", "statistics", "motion"])
        self.weights = MotionLossConfig(**loss)
        self.opening_std = WeightedMean()
        # Neither buffer is persistent: a checkpoint holds only what was trained.
        self.face_model = copy.deepcopy(face_model)
        self.register_buffer("metric", metric, persistent=False)
        weights = landmark_weights(mouth=self.weights.mouth, inner_mouth=self.weights.inner_mouth)
        self.register_buffer("landmark_weights", weights, persistent=False)

    def configure_callbacks(self) -> list[pl.Callback]:
        """Add `MotionScores` to a Trainer that was given none, if there is an expression to score."""
        given = any(isinstance(callback, MotionScores) for callback in self.trainer.callbacks)  # type: ignore[attr-defined]
        return [] if given or "expression" not in self.model.layout else [MotionScores()]

    def draw(self, batch: FaceBatch) -> FlowDraws:
        """Draw what is random in a training step, from torch's global generator."""
        config, count, device = self.model.config, len(batch), self.device
        continues = torch.rand(count, device=device) < config.previous_share
        previous = torch.randint(1, config.previous + 1, (count,), device=device)
        averaged = torch.rand(count, device=device) < config.mean_share
        return FlowDraws(
            time=flow_times(count, device).where(~averaged, 0),
            noise=self._noise(batch).where(~averaged[:, None, None], 0),
            previous=torch.where(continues, previous, 0),
            heard=torch.rand(count, device=device) >= config.audio_left_out,
            styled=torch.rand(count, device=device) >= config.style_left_out,
        )

    def _noise(self, batch: FaceBatch) -> Tensor:
        frames, smooth = batch.expression.shape[1], self.model.config.head_noise_frames
        white = torch.randn(len(batch), smooth + frames, self.model.layout.size, device=self.device)
        return smooth_head(white, self.model.layout, smooth)  # (B, T, M)

    def losses(self, model: MotionFlow, batch: FaceBatch, mel: Tensor, draws: FlowDraws) -> dict[str, Tensor]:
        """Return the loss of a batch with its terms by name.

        Args:
            model: The trained network, or the one with averaged weights.
            batch: The batch.
            mel: (B, 80, N), augmented in training; read only by a network without speech features.
            draws: Times, noise and what is left out.
        """
        layout, frames = model.layout, batch.expression.shape[1]
        motion = Motion(batch.expression, batch.relative_pose, batch.blink)
        reference = _reference(model, batch, draws.previous)
        data = model.whiten(motion, reference)  # (B, T, M)
        known = _known(model, draws.previous, frames)  # (B, T, G)
        not_padding = torch.arange(frames, device=data.device)[None] < batch.frames[:, None]  # (B, T)
        point = torch.where(layout.spread(known), data, on_the_path(draws.noise, data, draws.time))
        if model.speech.mel is not None and model.config.level:
            mel = level_mel(mel, not_padding)
        speech = model.speech(mel, batch.features if batch.features.numel() else None, frames)
        velocity = model(
            point,
            draws.time,
            known,
            model.speech.without(speech, draws.heard),
            model.condition(reference, draws.styled),
            not_padding,
        )
        with self.full_precision():
            velocity = at_least_float32(velocity)
            terms = {}
            for place, group in enumerate(layout.groups):
                columns, counted = layout.slice(group), batch.valid & ~known[..., place]
                predicted, noise, target = (part[..., columns] for part in (velocity, draws.noise, data))
                weights = self._column_weights(model, group)
                terms[f"{group}_loss"] = flow_matching_loss(predicted, noise, target, weights, counted)
            averaged, weighed = draws.time == 0, self.weights.landmark_weight or self.weights.velocity_weight
            if "expression" in layout and weighed and averaged.any():
                mean = torch.where(layout.spread(known), data, point + velocity)
                terms |= self._face_losses(model, model.unwhiten(mean, reference), batch, averaged)
            return {"loss": self._total(terms), **terms}

    def _column_weights(self, model: MotionFlow, group: str) -> Tensor:
        """Return the weights (M,) of a group's columns, with mean 1."""
        if group == "expression":
            return metric_weights(self.metric, model.motion_std, power=self.weights.metric_power)
        return torch.ones(model.layout.sizes[group], device=self.metric.device)

    def _face_losses(self, model: MotionFlow, mean: Motion, batch: FaceBatch, averaged: Tensor) -> dict[str, Tensor]:
        """Return the terms on the mean of the windows that teach it, each 1 for a face that never moves."""
        assert mean.expression is not None
        std, valid = model.motion_std, batch.valid & averaged[:, None]
        moved = landmark_displacements(self.face_model, std).square().sum(dim=-1)  # (E, 68)
        scale = (moved * self.landmark_weights).mean(dim=-1).sum().clamp_min(1e-12)
        predicted, target = (self.landmarks(batch.identity, x) for x in (mean.expression, batch.expression))
        energy = (self.metric.diagonal() * std.square()).sum().clamp_min(1e-12)
        change = velocity_loss(mean.expression, batch.expression, self.metric, valid)
        return {
            "landmark_loss": landmark_loss(predicted, target, self.landmark_weights, valid) / scale,
            "velocity_loss": change / (VELOCITY_SHARE * energy),
        }

    def _total(self, terms: dict[str, Tensor]) -> Tensor:
        """Return the weighted sum of the terms."""
        weights = {
            "expression_loss": self.weights.expression_weight,
            "head_loss": self.weights.head_weight,
            "lids_loss": self.weights.lid_weight,
            "landmark_loss": self.weights.landmark_weight,
            "velocity_loss": self.weights.velocity_weight,
        }
        return torch.stack([weights[name] * value for name, value in terms.items()]).sum()

    def landmarks(self, identity: Tensor, expression: Tensor) -> Tensor:
        """Return (B, T, 68, 3) landmarks in face units for identity (B, K) and expression (B, T, E)."""
        return self.face_model.landmarks(identity[:, None].expand(-1, expression.shape[1], -1), expression)

    def training_step(self, batch: FaceBatch, batch_idx: int) -> Tensor:
        """Return the loss of a batch of training windows."""
        mel = batch.mel if self.model.speech.mel is None else augment_mel(batch.mel, self.augment)
        losses = self.losses(self.model, batch, mel, self.draw(batch))
        self.log_dict({f"train/{name}": value.detach() for name, value in losses.items()}, batch_size=len(batch))
        return losses["loss"]

    def evaluate_batch(self, batch: FaceBatch, stage: str) -> StepOutput:
        """Log the losses of whole clips at five times of the flow, and return a motion drawn for each."""
        model: MotionFlow = self.evaluated  # type: ignore[assignment]
        devices = [self.device] if self.device.type == "cuda" else []
        nobody = torch.zeros(len(batch), dtype=torch.long, device=self.device)
        everybody = torch.ones_like(nobody, dtype=torch.bool)
        found = []
        # As for the head pose: the random state of the training is left alone, and the seed comes from the clips.
        with torch.random.fork_rng(devices=devices), self.full_precision():
            torch.manual_seed(seed_of(batch))
            for time in TIMES:
                times = torch.full((len(batch),), time, device=self.device)
                # at time 0, as in training, without noise: the loss of the mean
                draws = FlowDraws(times, self._noise(batch) * (time > 0), nobody, everybody, everybody)
                found.append(self.losses(model, batch, batch.mel, draws))
        means = {name: torch.stack([losses[name] for losses in found if name in losses]).mean() for name in found[0]}
        self.log_losses(means, batch.valid, stage)
        output = self.predict_step(batch, 0)
        if output.landmarks is not None:
            self._log_opening(output, stage)
        return output

    def _log_opening(self, output: StepOutput, stage: str) -> None:
        """Log the standard deviation of the mouth opening over that of the real clip."""
        assert output.landmarks is not None
        assert output.target_landmarks is not None
        weights = output.valid.double()
        drawn, real = (masked_std(mouth_opening(x), weights) for x in (output.landmarks, output.target_landmarks))
        ratio, count = drawn / real, output.valid.sum(dim=1)
        known = ratio.isfinite()
        mean = (ratio.where(known, 0.0) * count).sum() / (count * known).sum()
        self.opening_std.update(mean, (count * known).sum())
        self.log(f"{stage}/opening_std_ratio", self.opening_std, on_step=False, on_epoch=True)

    def predict_step(self, batch: FaceBatch, batch_idx: int) -> StepOutput:
        """Return a motion drawn for each clip with the averaged weights and a seed of its own, beside the real one."""
        model: MotionFlow = self.evaluated  # type: ignore[assignment]
        with self.full_precision():
            drawn = model.sample(
                batch.expression.shape[1],
                batch.first_expression,
                mel=batch.mel,
                features=batch.features if batch.features.numel() else None,
                first_pose=batch.first_pose,
                style=batch.style,
                emotion=batch.emotion,
                seed=seed_of(batch),
            )
            if drawn.expression is None:
                predicted = drawn.pose if drawn.pose is not None else torch.zeros_like(batch.relative_pose)
                return StepOutput(predicted, batch.relative_pose, batch.valid, batch.clip_ids)
            landmarks, target = (self.landmarks(batch.identity, x) for x in (drawn.expression, batch.expression))
        return StepOutput(drawn.expression, batch.expression, batch.valid, batch.clip_ids, landmarks, target)


def _reference(model: MotionFlow, batch: FaceBatch, previous: Tensor) -> Reference:
    """Return what the windows are drawn for; the head moves on from the last frame that is known."""
    pose = batch.relative_pose
    last = (previous - 1).clamp_min(0)  # (B,)
    return Reference(
        first_expression=batch.first_expression,
        style=model.measured_style(pose, batch.valid, batch.style),
        anchor=pose[torch.arange(len(pose), device=pose.device), last],
        emotion=batch.emotion,
    )


def _known(model: MotionFlow, previous: Tensor, frames: int) -> Tensor:
    """Return which groups of which frames are known (B, T, G): those before the window, and the head's first pose."""
    groups = model.layout.groups
    least = torch.tensor([int(group == "head") for group in groups], device=previous.device)  # (G,)
    count = torch.maximum(previous[:, None], least)  # (B, G)
    return torch.arange(frames, device=previous.device)[None, :, None] < count[:, None]
