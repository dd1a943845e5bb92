"""Training of the sync expert on lip landmarks, and the sync loss that it provides for the expression network."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from expnet.errors import ConfigError
from expnet.face.morphable import BUILTIN_NAME, builtin_face_model
from expnet.models.landmark_sync import MAX_LAG, POINTS, LandmarkSync, lag_similarities
from expnet.training.losses import landmark_displacements, masked_mean
from expnet.training.tasks.base_task import BaseTask, StepOutput, at_least_float32
from expnet.training.tasks.mel_augmentation import augment_mel

if TYPE_CHECKING:
    from expnet.data.batch import FaceBatch
    from expnet.data.datamodule import CoefficientStatistics
    from expnet.face.morphable import MorphableModel

SEGMENT = 50
"""Frames of the segments that a validation clip is cut into; 2 s are just enough to find an offset."""
LOSSES = ("loss", "offset_error")


def offset_loss(expert: LandmarkSync, curve: Tensor, frames: Tensor, others: Tensor | None = None) -> Tensor:
    """InfoNCE loss: cross-entropy of lag 0 against the other lags and against other clips.

    Args:
        expert: Turns similarities into logits.
        curve: (B, 31) similarities by lag.
        frames: (B, 1) number of frames that each similarity is averaged over.
        others: (B, N) similarities with other clips; None for none.

    Returns:
        A scalar; log 31 for an expert whose similarities do not depend on the lag.
    """
    candidates = curve if others is None else torch.cat([curve, others], dim=1)
    target = torch.full((len(curve),), MAX_LAG, device=curve.device)
    return torch.nn.functional.cross_entropy(expert.logits(candidates, frames), target)


class SyncLoss:
    """Loss of predicted lips that do not match the audio, as judged by a frozen sync expert.

    It is not a module, so that the expert enters neither the checkpoints nor the averages nor the optimiser of the
    network that is trained with it.

    Args:
        expert: The sync expert, trained without any test speaker of that network.
    """

    def __init__(self, expert: LandmarkSync) -> None:
        self.expert = expert.eval().requires_grad_(False)

    def __call__(self, landmarks: Tensor, mel: Tensor, valid: Tensor) -> Tensor:
        """Return the `offset_loss` of landmarks (B, T, 68, 3) and mel (B, 80, N), a scalar."""
        # As ordinary tensors even in a validation, since later training steps propagate gradients through them.
        with torch.inference_mode(False):
            self.expert.to(mel.device)
        return offset_loss(self.expert, self.expert(landmarks, mel, valid), valid.sum(dim=1, keepdim=True))


class LandmarkSyncTask(BaseTask):
    """Fit a `LandmarkSync` to tracked clips: at which lag, and to which clip's audio, do these lips belong?

    Args:
        options: Constructor arguments of `LandmarkSync` as a plain dict.
        optim: Values of `OptimConfig` as a plain dict.
        augment: Values of `AugmentConfig` as a plain dict.
        max_steps: Optimiser steps of the whole run.
        face_model: Turns coefficients into landmarks. Not part of the checkpoint; None for the built-in one.
        statistics: Statistics of the training split; None if they are loaded with the weights.

    Raises:
        ConfigError: The face model is not the one that the network was trained on.
    """

    model: LandmarkSync

    def __init__(
        self,
        *,
        options: dict[str, Any],
        optim: dict[str, Any],
        augment: dict[str, Any],
        max_steps: int,
        face_model: MorphableModel | None = None,
        statistics: CoefficientStatistics | None = None,
    ) -> None:
        model = LandmarkSync(**options)
        face_model = face_model_of(options, face_model)
        if statistics is not None:
            scale = lip_scale(face_model, statistics.expression_std)
            model.set_statistics(mel_std=statistics.mel_std, lip_scale=scale)
        super().__init__(model, optim=optim, augment=augment, max_steps=max_steps, losses=LOSSES)
        self.save_hyperparameters(ignore=["face_model", "statistics"])
        self.face_model = copy.deepcopy(face_model)

    def landmarks(self, batch: FaceBatch) -> Tensor:
        """Return (B, T, 68, 3) landmarks of a batch of clips, in face units."""
        identity = batch.identity[:, None].expand(-1, batch.expression.shape[1], -1)
        return self.face_model.landmarks(identity, batch.expression)

    def training_step(self, batch: FaceBatch, batch_idx: int) -> Tensor:
        """Return the loss of training windows: lag 0 against the other lags and the audio of other clips."""
        mel = augment_mel(batch.mel, self.augment)
        lips = at_least_float32(self.model.encode_lips(self.landmarks(batch), batch.valid))
        audio = at_least_float32(self.model.encode_audio(mel))
        with self.full_precision():
            curve = lag_similarities(lips, audio, batch.valid)
            frames = batch.valid.sum(dim=1, keepdim=True)  # (B, 1)
            loss = offset_loss(self.model, curve, frames, clip_similarities(lips, audio, batch))
        self.log("train/loss", loss.detach(), batch_size=len(batch))
        return loss

    def evaluate_batch(self, batch: FaceBatch, stage: str) -> StepOutput | None:
        """Log how often the offset of a segment, which is 0, is missed by more than a frame, with averaged weights."""
        expert = self.evaluated
        assert isinstance(expert, LandmarkSync)
        segments = batch.expression.shape[1] // SEGMENT
        if not segments:
            return None
        with self.full_precision():
            lips, audio = (
                features[:, : segments * SEGMENT].reshape(segments, SEGMENT, -1)
                for features in (
                    expert.encode_lips(self.landmarks(batch), batch.valid),
                    expert.encode_audio(batch.mel),
                )
            )
            valid = batch.valid[:, : segments * SEGMENT].reshape(segments, SEGMENT)
            curve = lag_similarities(lips, audio, valid)  # (segments, 31)
            missed = (curve.argmax(dim=1) - MAX_LAG).abs() > 1
            losses = {
                "loss": offset_loss(expert, curve, valid.sum(dim=1, keepdim=True)),
                "offset_error": masked_mean(missed.float(), None),
            }
        self.log_losses(losses, valid, stage)
        return None

    def predict_step(self, batch: FaceBatch, batch_idx: int) -> Tensor:
        """Return the similarity of each clip's lips to its audio by lag, (B, 31), with the averaged weights."""
        expert = self.evaluated
        with self.full_precision():
            return expert(self.landmarks(batch), batch.mel, batch.valid)


def face_model_of(options: dict[str, Any], given: MorphableModel | None) -> MorphableModel:
    """Return the face model of a network, by default the built-in one.

    Args:
        options: Constructor arguments of the network; ``face_model`` names its face model.
        given: The face model to use.

    Raises:
        ConfigError: The network was trained on another face model, or on one that is not built in, and none is given.
    """
    name = options.get("face_model", BUILTIN_NAME if given is None else given.name)
    if given is None and name == BUILTIN_NAME:
        return builtin_face_model()
    if given is None or given.name != name:
        found = "which is not built in" if given is None else f"not on '{given.name}'"
        raise ConfigError(
            f"The network was trained on the face model '{name}', {found}: pass face_model=load_face_model(FILE)."
        )
    return given


def clip_similarities(lips: Tensor, audio: Tensor, batch: FaceBatch) -> Tensor:
    """Similarity of each clip's lips to the other clips' audio, and of its audio to their lips, at lag 0.

    Args:
        lips: (B, T, D) features of the lips.
        audio: (B, T, D) features of the audio.
        batch: Names the valid frames, and the clip of each window: windows of one clip are not compared.

    Returns:
        (B, 2 B) cosine similarities; -1, the lowest one, for two windows of one clip.
    """
    count = batch.valid.sum(dim=1).clamp_min(1)  # (B,)
    lips = lips * batch.valid[..., None]
    across = torch.einsum("btd,ctd->bc", lips, audio) / count[:, None]  # (B, B) lips of b, audio of c
    numbers = {name: number for number, name in enumerate(batch.clip_ids)}
    clip = torch.tensor([numbers[name] for name in batch.clip_ids], device=lips.device)
    same_clip = clip[:, None] == clip[None]
    return torch.cat([across.masked_fill(same_clip, -1.0), across.T.masked_fill(same_clip, -1.0)], dim=1)


def lip_scale(face_model: MorphableModel, expression_std: Tensor) -> Tensor:
    """Return the root mean square motion of a lip coordinate over the expressions of the training clips, a scalar."""
    return landmark_displacements(face_model, expression_std)[:, list(POINTS)].square().sum(dim=0).mean().sqrt()
