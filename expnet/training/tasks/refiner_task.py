"""Training of the renderer's refiner, which corrects a warped portrait towards the real frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from expnet.config import RefinerLossConfig
from expnet.models.refiner import OPENING_CHANNEL, Refiner, change
from expnet.render.refiner.regions import REGIONS
from expnet.training.losses import image_loss, pyramid_loss, sharpness, texture_loss
from expnet.training.tasks.base_task import BaseTask, at_least_float32

if TYPE_CHECKING:
    from expnet.render.refiner.batch import RegionBatch

SCORES = ("error", "drawn_error", "sharpness", "drawn_sharpness")


class RefinerTask(BaseTask):
    """Fit a `Refiner` to clips that are rendered from their own frames.

    A validation logs for each kind of region, as ``val/KIND_...``: ``error`` and ``drawn_error``, the mean absolute
    difference from the real frame in grey levels, with and without the refiner; ``sharpness`` and ``drawn_sharpness``,
    the mean gradient magnitude divided by the real frame's. The latter reveal a refiner that lowers the error by
    blurring.

    Args:
        options: Constructor arguments of `Refiner` as a plain dict.
        loss: Values of `RefinerLossConfig` as a plain dict.
        optim: Values of `OptimConfig` as a plain dict.
        augment: Values of `AugmentConfig`; not used, since the refiner takes no audio.
        max_steps: Optimiser steps of the whole run.
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
            By kind: the refined region, the rendered region and the real frame (N, 3, S, S) in [0, 1], and the weight
            of each pixel (N, 1, S, S).
        """
        result = {}
        for kind in model.kinds:
            indices = [index for index, region_kind in enumerate(self.regions) if region_kind == kind]
            inputs = batch.inputs[:, indices].flatten(0, 1)  # (N, 10, S, S)
            real = batch.targets[:, indices].flatten(0, 1).float() / 255.0  # (N, 3, S, S)
            gates = batch.gates[:, indices].flatten(0, 1)[:, None, None, None]  # (N, 1, 1, 1)
            drawn = inputs[:, :3].float() / 255.0
            inside = inputs[:, OPENING_CHANNEL : OPENING_CHANNEL + 1].float() / 255.0
            weight = gates * model.window * (1.0 + (self.weights.opening - 1.0) * inside)
            refined = change(drawn, gates * at_least_float32(model(inputs, kind)))
            result[kind] = (refined, drawn, real, weight)
        return result

    def losses(self, refined: Tensor, real: Tensor, weight: Tensor) -> Tensor:
        """Return the loss of the regions of one kind."""
        return (
            self.weights.pixel_weight * image_loss(refined, real, weight)
            + self.weights.pyramid_weight * pyramid_loss(refined, real, weight)
            + self.weights.texture_weight * texture_loss(refined, real, weight)
        )

    def training_step(self, batch: RegionBatch, batch_idx: int) -> Tensor:
        """Return the loss of a batch of pairs, summed over the kinds of regions."""
        regions = self.refined(self.model, batch)
        with self.full_precision():
            terms = {kind: self.losses(refined, real, weight) for kind, (refined, _, real, weight) in regions.items()}
            loss = torch.stack(list(terms.values())).sum()
        logged = {f"train/{name}": value.detach() for name, value in {"loss": loss, **terms}.items()}
        self.log_dict(logged, batch_size=len(batch))
        return loss

    def evaluate_batch(self, batch: RegionBatch, stage: str) -> None:
        """Log the scores of all pairs of a clip, refined with the averaged weights."""
        model = self.evaluated
        assert isinstance(model, Refiner)
        scores: dict[str, Tensor] = {}
        with self.full_precision():
            regions = self.refined(model, batch)
            for kind, (refined, drawn, real, weight) in regions.items():
                scores[f"{kind}_error"] = 255.0 * image_loss(refined, real, weight)
                scores[f"{kind}_drawn_error"] = 255.0 * image_loss(drawn, real, weight)
                real_sharpness = sharpness(real, weight)
                scores[f"{kind}_sharpness"] = (sharpness(refined, weight) / real_sharpness).mean()
                scores[f"{kind}_drawn_sharpness"] = (sharpness(drawn, weight) / real_sharpness).mean()
            total = [self.losses(refined, real, weight) for refined, _, real, weight in regions.values()]
        self.log_losses({"loss": torch.stack(total).sum(), **scores}, batch.valid, stage)

    def predict_step(self, batch: RegionBatch, batch_idx: int) -> dict[str, Tensor]:
        """Return the refined regions (N, 3, S, S) in [0, 1] by kind, with the averaged weights."""
        model = self.evaluated
        assert isinstance(model, Refiner)
        with self.full_precision():
            return {kind: refined for kind, (refined, *_) in self.refined(model, batch).items()}
