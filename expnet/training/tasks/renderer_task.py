"""Training of a renderer on the frames of tracked videos, by self-reenactment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from expnet.config import RendererLossConfig, RendererOptimConfig
from expnet.errors import ConfigError
from expnet.metrics.functional.image import psnr, ssim
from expnet.models.face_vid2vid.head_motion import angles_in_volume, expected_degrees
from expnet.models.image_features import ImageFeatures
from expnet.models.patch_discriminator import PatchDiscriminator
from expnet.models.shared_batch_norm import share_batch_norm
from expnet.models.video_renderer import MovedKeypoints, Rendering, VideoRenderer
from expnet.training.losses import (
    discriminator_loss,
    equivariance_loss,
    feature_matching_loss,
    generator_loss,
    image_loss,
    keypoint_prior,
    perceptual_loss,
    pyramid_loss,
)
from expnet.training.tasks.base_task import BaseTask, at_least_float32
from expnet.training.tasks.optimizers import parameter_groups, schedule_of

if TYPE_CHECKING:
    from expnet.render.video_renderer.batch import FramePairs
    from expnet.render.video_renderer.datamodule import RowStatistics

LOSSES = ("loss", "error", "still_error", "psnr", "still_psnr", "ssim", "still_ssim")
_CHUNK = 8
"""Frames of a validation clip that are rendered at once."""


@dataclass(frozen=True, eq=False)
class RenderedClip:
    """A validation clip that was driven from its first frame, which callbacks score.

    Attributes:
        clip_id: Name of the clip.
        source: (3, S, S) uint8, the first frame.
        frames: (T, 3, S, S) uint8, the rendered frames after it.
        target: (T, 3, S, S) uint8, the real ones.
    """

    clip_id: str
    source: Tensor
    frames: Tensor
    target: Tensor


class VideoRendererTask(BaseTask):
    """Fit a `VideoRenderer` to clips: one of their frames is driven to another by the coefficients of both.

    Renderer and discriminator are trained by one optimiser with a group of parameters for each, with their own learning
    rates and gradient norms. Adam treats every parameter by itself, so this equals two optimisers that step together,
    and one backward pass serves both: the renderer's loss takes the discriminator's weights as constants, and the
    discriminator's loss the rendered frames.

    A validation drives the first frame of each clip to those after it and logs, beside the loss of the terms that
    compare frames, ``error`` (mean absolute difference in grey levels), ``psnr`` and ``ssim``, and the same of the
    first frame held still: ``still_error``, ``still_psnr``, ``still_ssim``.

    Args:
        options: Constructor arguments of `VideoRenderer` as a plain dict.
        loss: Values of `RendererLossConfig` as a plain dict.
        optim: Values of `RendererOptimConfig` as a plain dict.
        augment: Values of `AugmentConfig`; not used, since the renderer takes no audio.
        max_steps: Optimiser steps of the whole run.
        statistics: Statistics of the rows of the training clips; None if they are loaded with the weights.
        features: Features of the perceptual term, from `expnet.training.tasks.build.perceptual_features`; None without
            that term. Not part of the checkpoint.
    """

    model: VideoRenderer
    optim: RendererOptimConfig
    optim_schema = RendererOptimConfig

    def __init__(
        self,
        *,
        options: dict[str, Any],
        loss: dict[str, Any],
        optim: dict[str, Any],
        augment: dict[str, Any],
        max_steps: int,
        statistics: RowStatistics | None = None,
        features: ImageFeatures | None = None,
    ) -> None:
        model = VideoRenderer(**options)
        if statistics is not None:
            model.set_statistics(statistics.mean, statistics.std)
        super().__init__(share_batch_norm(model), optim=optim, augment=augment, max_steps=max_steps, losses=LOSSES)
        self.save_hyperparameters(ignore=["statistics", "features"])
        self.weights = RendererLossConfig(**loss)
        self.discriminator = build_discriminator(self.weights)
        self._features = (features,)  # in a tuple, so that it is no submodule

    def image_terms(self, frames: Tensor, real: Tensor) -> dict[str, Tensor]:
        """Return the terms that compare frames (B, 3, S, S) with real ones, in [0, 1]."""
        weights, everywhere, terms = self.weights, torch.ones_like(real[:, :1]), {}
        if weights.perceptual_weight:
            terms["perceptual"] = perceptual_loss(self.features, frames, real, scales=weights.perceptual_scales)
        with self.full_precision():
            if weights.pixel_weight:
                terms["pixel"] = image_loss(frames, real, everywhere)
            if weights.pyramid_weight:
                terms["pyramid"] = pyramid_loss(frames, real, everywhere)
        return terms

    def features(self, images: Tensor) -> list[Tensor]:
        """Return the features of the perceptual term of images (B, 3, S, S) in [0, 1]."""
        (network,) = self._features
        if network is None:
            raise ConfigError("The loss has a perceptual term: pass features=perceptual_features(loss).")
        # As ordinary tensors even in a validation, since later training steps propagate gradients through them.
        with torch.inference_mode(False):
            network.to(images.device)
        return network(images)

    def keypoint_terms(self, rendering: Rendering, batch: FramePairs) -> dict[str, Tensor]:
        """Return the terms of keypoints and head motion."""
        weights, terms = self.weights, {}
        if weights.equivariance_weight:
            changed = self.model.keypoints(unit(batch.changed), batch.changed_window)
            terms["equivariance"] = equivariance_loss(rendering.driven.keypoints, changed.keypoints, batch.change)
        if weights.keypoint_weight:
            terms["keypoint"] = keypoint_prior(rendering.driven.keypoints)
        if weights.head_pose_weight:
            pairs = ((rendering.source, batch.source_window), (rendering.driven, batch.driving_window))
            terms["head_pose"] = torch.stack([self.head_pose_error(*pair) for pair in pairs]).mean()
        if weights.deformation_weight:
            terms["deformation"] = rendering.driven.motion.expression.abs().sum(dim=1).mean()
        return terms

    def head_pose_error(self, moved: MovedKeypoints, window: Tensor) -> Tensor:
        """Return the mean absolute difference from the tracked head angles of a window's middle frame, in radians."""
        rows = window[:, :, window.shape[2] // 2]  # (B, E + 6)
        tracked = angles_in_volume(rows[:, self.model.expression_size : self.model.expression_size + 3])
        motion = moved.motion
        ours = torch.stack([expected_degrees(part) for part in (motion.pitch, motion.yaw, motion.roll)], dim=1)
        return (ours - tracked).deg2rad().abs().mean()

    def adversarial_terms(self, frames: Tensor, real: Tensor) -> dict[str, Tensor]:
        """Return ``generator`` and ``feature_matching``, terms of the renderer, and ``discriminator``.

        See the class for why one backward pass serves both.
        """
        discriminator, kind = self.discriminator, self.weights.adversarial
        assert discriminator is not None
        frozen = {name: value.detach() for name, value in discriminator.named_parameters()}
        judged_real, judged_fake = discriminator(real), discriminator(frames.detach())
        judged = torch.func.functional_call(discriminator, frozen, frames)
        terms = {"generator": generator_loss(judged, kind)}
        if self.weights.feature_matching_weight:
            terms["feature_matching"] = feature_matching_loss(judged_real, judged)
        return {**terms, "discriminator": discriminator_loss(judged_real, judged_fake, kind)}

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        """Return the weighted sum of terms."""
        weights = {name: getattr(self.weights, f"{name}_weight", 1.0) for name in terms}
        weights |= {"generator": self.weights.adversarial_weight}
        return torch.stack([weights[name] * term for name, term in terms.items()]).sum()

    def training_step(self, batch: FramePairs, batch_idx: int) -> Tensor:
        """Return the loss of a batch of pairs."""
        real = unit(batch.driving)
        rendering = self.model(unit(batch.source), batch.source_window, batch.driving_window)
        frames = at_least_float32(rendering.frames)
        terms = self.image_terms(frames, real)
        if self.discriminator is not None:
            terms |= self.adversarial_terms(frames, real)
        terms |= self.keypoint_terms(rendering, batch)
        with self.full_precision():
            loss = self.total(terms)
        logged = {f"train/{name}": value.detach() for name, value in {"loss": loss, **terms}.items()}
        self.log_dict(logged, batch_size=len(batch))
        return loss

    def evaluate_batch(self, batch: FramePairs, stage: str) -> RenderedClip:
        """Drive a clip from its first frame with the averaged weights, and log its scores."""
        rendered = []
        for start in range(0, len(batch), _CHUNK):
            part = batch[start : start + _CHUNK]
            with self.full_precision():
                frames = self.render(part)
                source, real = unit(part.source), unit(part.driving)
                loss = self.total(self.image_terms(frames, real))
                scores = {"loss": loss, **compare(frames, real), **compare(source, real, "still_")}
            self.log_losses(scores, part.valid, stage)
            rendered.append((255 * frames).round().byte())
        return RenderedClip(batch.clip_ids[0], batch.source[0], torch.cat(rendered), batch.driving)

    def render(self, batch: FramePairs) -> Tensor:
        """Return the frames (B, 3, S, S) in [0, 1] of pairs, with the averaged weights."""
        model = self.evaluated
        assert isinstance(model, VideoRenderer)
        return model(unit(batch.source), batch.source_window, batch.driving_window).frames

    def predict_step(self, batch: FramePairs, batch_idx: int) -> Tensor:
        """Return the frames (B, 3, S, S) in [0, 1] of pairs, with the averaged weights."""
        with self.full_precision():
            return torch.cat([self.render(batch[start : start + _CHUNK]) for start in range(0, len(batch), _CHUNK)])

    def configure_optimizers(self) -> Any:
        """Return AdamW with a group of parameters for renderer and discriminator, and the schedule of all tasks."""
        options = self.optim
        groups = [{**group, "lr": options.lr} for group in parameter_groups(self.model, options.weight_decay)]
        if self.discriminator is not None:
            judging = parameter_groups(self.discriminator, options.weight_decay)
            groups += [{**group, "lr": options.discriminator_lr} for group in judging]
        optimizer = torch.optim.AdamW(groups, lr=options.lr, betas=(options.beta1, 0.999))
        return schedule_of(optimizer, options, self.max_steps)

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip the gradients of renderer and discriminator, each by its own norm."""
        for network in (self.model, self.discriminator):
            if network is not None and gradient_clip_val:
                nn.utils.clip_grad_norm_(network.parameters(), gradient_clip_val)


def build_discriminator(weights: RendererLossConfig) -> PatchDiscriminator | None:
    """Return the discriminator that a loss asks for; None without adversarial term."""
    if not weights.adversarial_weight:
        return None
    return PatchDiscriminator(weights.discriminator_width, weights.discriminator_layers, weights.discriminator_scales)


def compare(frames: Tensor, real: Tensor, prefix: str = "") -> dict[str, Tensor]:
    """Return ``error`` (grey levels), ``psnr`` (dB) and ``ssim``, means over frames (B, 3, S, S) in [0, 1]."""
    return {
        f"{prefix}error": 255 * (frames - real).abs().mean(),
        f"{prefix}psnr": psnr(frames, real).mean(),
        f"{prefix}ssim": ssim(frames, real).mean(),
    }


def unit(images: Tensor) -> Tensor:
    """Return uint8 images as float32 in [0, 1]."""
    return images.float() / 255
