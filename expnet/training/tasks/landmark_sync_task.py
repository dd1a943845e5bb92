"""Training of the landmark-space sync expert, and the loss that it gives the expression network."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from expnet.models.landmark_sync import MAX_LAG, POINTS, LandmarkSync, lag_similarities
from expnet.training.losses import masked_mean
from expnet.training.tasks.base_task import BaseTask, StepOutput, widened
from expnet.training.tasks.mel_augmentation import augment_mel

if TYPE_CHECKING:
    from expnet.data.batch import FaceBatch
    from expnet.data.datamodule import CoefficientStatistics
    from expnet.face.morphable import MorphableModel

PIECE = 50
"""Frames of the pieces that a validation clip is cut into: 2 s are what an offset can just be found in."""
LOSSES = ("loss", "offset_error")


def offset_loss(expert: LandmarkSync, curve: Tensor, frames: Tensor, others: Tensor | None = None) -> Tensor:
    """InfoNCE: cross-entropy of lag 0 against the other lags, and against other clips.

    Args:
        expert: gives the evidence of a frame.
        curve: (B, 31) similarities by lag.
        frames: (B, 1) frames that each similarity is a mean over.
        others: (B, N) similarities with other clips; None for none.

    Returns:
        A scalar; log 31 for an expert that knows nothing of the lags.
    """
    candidates = curve if others is None else torch.cat([curve, others], dim=1)
    target = torch.full((len(curve),), MAX_LAG, device=curve.device)
    return torch.nn.functional.cross_entropy(expert.logits(candidates, frames), target)


class SyncLoss:
    """How little a frozen expert finds that predicted lips belong to the sound.

    No module, so that the expert does not enter the checkpoints, the averages and the optimiser of who is trained.

    Args:
        expert: trained on nobody whom the trained network is to be tested on.
    """

    def __init__(self, expert: LandmarkSync) -> None:
        self.expert = expert.eval().requires_grad_(False)

    def __call__(self, landmarks: Tensor, mel: Tensor, valid: Tensor) -> Tensor:
        """Loss of landmarks (B, T, 68, 3) and mel (B, 80, N), see `offset_loss`; a scalar."""
        self.expert.to(mel.device)
        return offset_loss(self.expert, self.expert(landmarks, mel, valid), valid.sum(dim=1, keepdim=True))


class LandmarkSyncTask(BaseTask):
    """Fit a `LandmarkSync` to tracked clips: which lag, and whose sound, belongs to these lips?

    Args:
        options: arguments of `LandmarkSync`, a plain dict.
        optim: values of `OptimConfig`, a plain dict.
        augment: values of `AugmentConfig`, a plain dict.
        max_steps: steps of the whole run.
        face_model: turns coefficients into landmarks. Not part of the checkpoint.
        statistics: of the training split; None when the weights (and with them the statistics) are loaded.
    """

    model: LandmarkSync

    def __init__(
        self,
        *,
        options: dict[str, Any],
        optim: dict[str, Any],
        augment: dict[str, Any],
        max_steps: int,
        face_model: MorphableModel,
        statistics: CoefficientStatistics | None = None,
    ) -> None:
        model = LandmarkSync(**options)
        if statistics is not None:
            scale = lip_scale(face_model, statistics.expression_std)
            model.set_statistics(mel_std=statistics.mel_std, lip_scale=scale)
        super().__init__(model, optim=optim, augment=augment, max_steps=max_steps, losses=LOSSES)
        self.save_hyperparameters(ignore=["face_model", "statistics"])
        self.face_model = copy.deepcopy(face_model)

    def landmarks(self, batch: FaceBatch) -> Tensor:
        """Return (B, T, 68, 3) face-space landmarks of a batch of clips."""
        identity = batch.identity[:, None].expand(-1, batch.expression.shape[1], -1)
        return self.face_model.landmarks(identity, batch.expression)

    def training_step(self, batch: FaceBatch, batch_idx: int) -> Tensor:
        """Return the loss of a batch of windows: lips against their own sound at other lags, and against others'."""
        mel = augment_mel(batch.mel, self.augment)
        lips = widened(self.model.encode_lips(self.landmarks(batch), batch.valid))
        sound = widened(self.model.encode_sound(mel))
        with self.full_precision():
            curve = lag_similarities(lips, sound, batch.valid)
            frames = batch.valid.sum(dim=1, keepdim=True)  # (B, 1)
            loss = offset_loss(self.model, curve, frames, clip_similarities(lips, sound, batch))
        self.log("train/loss", loss.detach(), batch_size=len(batch))
        return loss

    def validation_step(self, batch: FaceBatch, batch_idx: int) -> StepOutput | None:  # type: ignore[override]
        """Find the offset, which is 0, of pieces of whole clips, with the averaged weights."""
        expert = self.evaluated
        assert isinstance(expert, LandmarkSync)
        pieces = batch.expression.shape[1] // PIECE
        if not pieces:
            return None
        with self.full_precision():
            lips, sound = (
                features[:, : pieces * PIECE].reshape(pieces, PIECE, -1)
                for features in (
                    expert.encode_lips(self.landmarks(batch), batch.valid),
                    expert.encode_sound(batch.mel),
                )
            )
            valid = batch.valid[:, : pieces * PIECE].reshape(pieces, PIECE)
            curve = lag_similarities(lips, sound, valid)  # (pieces, 31)
            missed = (curve.argmax(dim=1) - MAX_LAG).abs() > 1
            losses = {
                "loss": offset_loss(expert, curve, valid.sum(dim=1, keepdim=True)),
                "offset_error": masked_mean(missed.float(), None),
            }
        self.log_losses(losses, valid)
        return None


def clip_similarities(lips: Tensor, sound: Tensor, batch: FaceBatch) -> Tensor:
    """Similarity of each clip's lips to the others' sound, and of its sound to their lips, all at lag 0.

    Args:
        lips: (B, T, D).
        sound: (B, T, D).
        batch: says which frames are valid, and which windows are of one clip: these are not compared.

    Returns:
        (B, 2 B), -1, as unlike as can be, where a window would meet its own clip.
    """
    count = batch.valid.sum(dim=1).clamp_min(1)  # (B,)
    lips = lips * batch.valid[..., None]
    across = torch.einsum("btd,ctd->bc", lips, sound) / count[:, None]  # (B, B) lips of b, sound of c
    names = {name: number for number, name in enumerate(batch.clip_ids)}
    clip = torch.tensor([names[name] for name in batch.clip_ids], device=lips.device)
    own = clip[:, None] == clip[None]
    return torch.cat([across.masked_fill(own, -1.0), across.T.masked_fill(own, -1.0)], dim=1)


def lip_scale(face_model: MorphableModel, expression_std: Tensor) -> Tensor:
    """Root mean square of what the expressions of the training clips move a coordinate of the lips, a scalar."""
    identity = expression_std.new_zeros(len(expression_std), face_model.identity_basis.shape[-1])
    rest, moved = (face_model.landmarks(identity, torch.diag(size * expression_std)) for size in (0, 1))
    # One standard deviation of each coefficient alone; the model is linear, so their squares add up.
    return (moved - rest)[:, list(POINTS)].square().sum(dim=0).mean().sqrt()
