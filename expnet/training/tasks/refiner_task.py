"""Training of the renderer's refiner: what a warped portrait lacks, against the real frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from expnet.config import RefinerLossConfig
from expnet.models.refiner import OPENING_CHANNEL, Refiner, change
from expnet.render.regions import REGIONS
from expnet.training.losses import picture_loss, pyramid_loss, sharpness, texture_loss
from expnet.training.tasks.base_task import BaseTask, widened

if TYPE_CHECKING:
    from expnet.render.refinement.batch import RegionBatch

SCORES = ("error", "drawn_error", "sharpness", "drawn_sharpness")


class RefinerTask(BaseTask):
    """Fit a `Refiner` to clips that are driven from their own frames.

    A validation logs for each kind of region, as ``val/KIND_...``: ``error`` and ``drawn_error``, mean absolute
    differences from the real frame in grey levels, with and without the refiner; ``sharpness`` and ``drawn_sharpness``,
    mean lengths of the gradient over the real frame's. A refiner that lowers the error by a blur shows in the latter.

    Args:
        options: arguments of `Refiner`, a plain dict.
        loss: values of `RefinerLossConfig`, a plain dict.
        optim: values of `OptimConfig`, a plain dict.
        augment: of sound; not looked at.
        max_steps: steps of the whole run.
    """

    model: Refiner

    def __init__(
        self,
        *,
        options: dict[str, Any],
        loss: dict[str, Any],
        optim: dict[str, Any],
        augment: dict[str, Any],
        max_steps: int,
    ) -> None:
        model = Refiner(**options)
        losses = ("loss", *(f"{kind}_{score}" for kind in model.kinds for score in SCORES))
        super().__init__(model, optim=optim, augment=augment, max_steps=max_steps, losses=losses)
        self.save_hyperparameters()
        self.weights = RefinerLossConfig(**loss)
        self.regions = [region.kind for kind in model.kinds for region in REGIONS[kind]]

    def refined(self, model: Refiner, batch: RegionBatch) -> dict[str, tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Refine every region of a batch.

        Returns:
            By kind: what was refined, what was drawn and the real frame (N, 3, S, S) in [0, 1], and the weight of each
            pixel (N, 1, S, S).
        """
        answer = {}
        for kind in model.kinds:
            places = [place for place, of in enumerate(self.regions) if of == kind]
            inputs = batch.inputs[:, places].flatten(0, 1)  # (N, 10, S, S)
            real = batch.targets[:, places].flatten(0, 1).float() / 255.0  # (N, 3, S, S)
            gates = batch.gates[:, places].flatten(0, 1)[:, None, None, None]  # (N, 1, 1, 1)
            drawn = inputs[:, :3].float() / 255.0
            inside = inputs[:, OPENING_CHANNEL : OPENING_CHANNEL + 1].float() / 255.0
            weight = gates * model.window * (1.0 + (self.weights.opening - 1.0) * inside)
            refined = change(drawn, gates * widened(model(inputs, kind)))
            answer[kind] = (refined, drawn, real, weight)
        return answer

    def losses(self, refined: Tensor, real: Tensor, weight: Tensor) -> Tensor:
        """Return the loss of regions of one kind."""
        return (
            self.weights.pixel_weight * picture_loss(refined, real, weight)
            + self.weights.pyramid_weight * pyramid_loss(refined, real, weight)
            + self.weights.texture_weight * texture_loss(refined, real, weight)
        )

    def training_step(self, batch: RegionBatch, batch_idx: int) -> Tensor:
        """Return the loss of a batch of pairs, summed over the kinds of regions."""
        pictures = self.refined(self.model, batch)
        with self.full_precision():
            terms = {kind: self.losses(refined, real, weight) for kind, (refined, _, real, weight) in pictures.items()}
            loss = torch.stack(list(terms.values())).sum()
        logged = {f"train/{name}": value.detach() for name, value in {"loss": loss, **terms}.items()}
        self.log_dict(logged, batch_size=len(batch))
        return loss

    def validation_step(self, batch: RegionBatch, batch_idx: int) -> None:
        """Refine all pairs of a clip with the averaged weights."""
        model = self.evaluated
        assert isinstance(model, Refiner)
        scores: dict[str, Tensor] = {}
        with self.full_precision():
            pictures = self.refined(model, batch)
            for kind, (refined, drawn, real, weight) in pictures.items():
                scores[f"{kind}_error"] = 255.0 * picture_loss(refined, real, weight)
                scores[f"{kind}_drawn_error"] = 255.0 * picture_loss(drawn, real, weight)
                true = sharpness(real, weight)
                scores[f"{kind}_sharpness"] = (sharpness(refined, weight) / true).mean()
                scores[f"{kind}_drawn_sharpness"] = (sharpness(drawn, weight) / true).mean()
            total = [self.losses(refined, real, weight) for refined, _, real, weight in pictures.values()]
        self.log_losses({"loss": torch.stack(total).sum(), **scores}, batch.valid)
