"""The terms of each network's training loss and their weights."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Literal

from expnet.config.checks import at_least, not_negative, require
from expnet.config.part_sections import LossTermConfig, checked_sections


@dataclass
class ExpressionLossConfig:
    """Loss of the expression network; every term is 1 for a face that never moves."""

    coefficient_weight: float = 1.0
    """Weight of the coefficient error, which counts each coefficient by how far it moves the vertices of the face."""
    velocity_weight: float = 0.1
    """Weight of the error in the change from frame to frame, measured in the same way."""
    landmark_weight: float = 1.0
    """Weight of the error of the face model's 68 landmarks, in which the mouth counts more."""
    offset_weight: float = 0.05
    """Weight of the part of the error that is constant over a window, relative to 1 for the motion."""
    balance: float = 0.7
    """How far windows with much and with little motion are made to count alike: 0 leaves the loss proportional to the
    motion, values near 1 give every window the same share."""
    eye_weight: float = 0.0
    """Weight of the error in how far the eyes are open."""
    correlation_weight: float = 0.0
    """Weight of one minus the correlation of the mouth opening with the real one."""
    spread_weight: float = 0.0
    """Weight of the squared logarithm of how far the lips move relative to the real ones: it makes them move as far,
    where the other terms leave them too calm."""
    mouth: float = 2.0
    """Weight of an outer lip landmark relative to a landmark elsewhere."""
    inner_mouth: float = 10.0
    """Weight of an inner lip landmark relative to a landmark elsewhere."""
    sync_weight: float = 0.0
    """Weight of the sync loss: how badly the predicted lips match the audio according to a frozen sync expert."""
    sync_expert: str | None = None
    """The sync expert, trained by configs/landmark_sync.yaml without any test speaker: a run folder, .ckpt or
    .safetensors."""
    extra: dict[str, LossTermConfig] = field(default_factory=dict)
    """Terms of other packages under labels: loss.extra.LABEL.part, .weight, .options (docs/guides/own_parts.md)."""

    def __post_init__(self) -> None:
        """Check ranges."""
        not_negative("loss", self)
        self.extra = checked_sections("losses", "loss.extra", self.extra, LossTermConfig)
        taken = {item.name.removesuffix("_weight") for item in fields(self)}
        for label, term in self.extra.items():
            require(label not in taken, f"loss.extra.{label}: expnet has a term of this name; choose another label.")
            require(term.weight >= 0, f"loss.extra.{label}.weight must be 0 or more, not {term.weight}.")
        weights = (
            self.coefficient_weight,
            self.velocity_weight,
            self.landmark_weight,
            self.eye_weight,
            self.correlation_weight,
            self.sync_weight,
            *(term.weight for term in self.extra.values()),
        )
        require(any(weights), "Every weight in loss is 0: there is nothing to train on.")
        require(self.balance < 1, f"loss.balance must be at least 0 and below 1, not {self.balance}.")
        require(
            not self.sync_weight or bool(self.sync_expert),
            "loss.sync_weight needs loss.sync_expert, a network that configs/landmark_sync.yaml trained.",
        )


@dataclass
class PoseLossConfig:
    """Loss of the head-pose network."""

    velocity_weight: float = 0.1
    """Weight of the error in the change from frame to frame, relative to 1 for the poses; a much larger weight
    overwhelms the poses."""
    kl_weight: float = 5e-4
    """Weight of the KL divergence between a window's posterior and the prior, per nat; with four times this weight the
    head no longer nods."""
    kl_anneal_steps: int = 200
    """Steps over which the KL weight rises from 0, so that the decoder uses the latent before it costs anything."""
    free_nats: float = 0.02
    """KL divergence that each latent dimension may carry at no cost."""
    liveliness_weight: float = 0.1
    """Weight of the difference between how far sampled and real heads move, over 1 to 16 frames."""
    adversarial_weight: float = 0.0
    """Weight of a discriminator that judges short stretches of head motion; SadTalker uses 0.7."""

    def __post_init__(self) -> None:
        """Check ranges."""
        not_negative("loss", self)


@dataclass
class MotionLossConfig:
    """Loss of the motion network: the squared error of the predicted velocity, about 2 for an untrained network."""

    expression_weight: float = 1.0
    """Weight of the expression."""
    head_weight: float = 0.6
    """Weight of the head motion."""
    lid_weight: float = 0.1
    """Weight of the closure of the eyelids."""
    metric_power: float = 0.5
    """How strongly a coefficient counts by how far it moves the face: 0 counts all alike, 0.5 by the distance that the
    vertices move, 1 by its square, as the loss of the expression network does."""
    landmark_weight: float = 0.5
    """Weight of the error of the 68 landmarks of the mean motion, 1 for a face that never moves."""
    velocity_weight: float = 0.0
    """Weight of the error in the change from frame to frame of the mean motion, 1 for a face that never moves."""
    mouth: float = 2.0
    """Weight of an outer lip landmark relative to a landmark elsewhere."""
    inner_mouth: float = 10.0
    """Weight of an inner lip landmark relative to a landmark elsewhere."""

    def __post_init__(self) -> None:
        """Check ranges."""
        not_negative("loss", self)
        weights = (self.expression_weight, self.head_weight, self.lid_weight)
        require(any(weights), "Every weight in loss is 0: there is nothing to train on.")


@dataclass
class RefinerLossConfig:
    """Loss of the renderer's refiner."""

    pixel_weight: float = 1.0
    """Weight of the absolute difference from the real frame."""
    pyramid_weight: float = 2.0
    """Weight of the absolute difference over the levels of a Laplacian pyramid, in which edges count as much as
    areas."""
    texture_weight: float = 1.0
    """Weight of the difference in local sharpness, which keeps the other two terms from blurring the image."""
    opening: float = 4.0
    """Weight of a pixel between the lips or eyelids relative to a pixel elsewhere."""

    def __post_init__(self) -> None:
        """Check ranges."""
        not_negative("loss", self)
        weights = (self.pixel_weight, self.pyramid_weight, self.texture_weight)
        require(any(weights), "Every weight in loss is 0: there is nothing to train on.")


@dataclass
class RendererLossConfig:
    """Loss of the renderer that is trained; a weight of 0 switches a term off. The weights are face-vid2vid's."""

    perceptual_weight: float = 10.0
    """Weight of the distance of VGG-16's features from the real frame's, summed over its stages and the scales."""
    perceptual_network: Literal["vgg16", "random"] = "vgg16"
    """vgg16 has torchvision's weights, which have to be at hand; random is the same network with random weights, which
    sees edges and textures and knows nothing of faces."""
    perceptual_weights: str | None = None
    """Weight file of vgg16; null searches the places that `expnet assets list` shows."""
    perceptual_scales: int = 4
    """Scales of the perceptual term: the full size and its halves."""
    perceptual_stages: int = 5
    """Stages of VGG-16 that it compares."""
    pixel_weight: float = 0.0
    """Weight of the absolute difference from the real frame."""
    pyramid_weight: float = 0.0
    """Weight of the absolute difference over the levels of a Laplacian pyramid, in which edges count as much as
    areas."""
    adversarial_weight: float = 1.0
    """Weight of a discriminator that judges patches; it is trained beside the renderer."""
    adversarial: Literal["hinge", "least_squares"] = "hinge"
    """Loss of renderer and discriminator."""
    discriminator_width: int = 32
    """Channels of the discriminator's first layer."""
    discriminator_layers: int = 4
    """Layers of the discriminator."""
    discriminator_scales: int = 1
    """Scales of the discriminator: the full size and its halves."""
    feature_matching_weight: float = 10.0
    """Weight of the distance of the discriminator's features from the real frame's, summed over layers and scales."""
    equivariance_weight: float = 10.0
    """Weight of the distance between the keypoints of a turned, scaled and shifted frame and the keypoints of the frame
    itself, moved in the same way."""
    keypoint_weight: float = 10.0
    """Weight of the keypoint prior: keypoints keep apart and stay at a depth around 0.33."""
    head_pose_weight: float = 20.0
    """Weight of the distance between the head angles of the mapping network and the tracked ones, in radians."""
    deformation_weight: float = 5.0
    """Weight of the size of the keypoints' shifts by the expression."""

    def __post_init__(self) -> None:
        """Check ranges."""
        not_negative("loss", self)
        at_least("loss", self, perceptual_scales=1, perceptual_stages=1)
        at_least("loss", self, discriminator_width=1, discriminator_layers=1, discriminator_scales=1)
        require(self.perceptual_stages <= 5, f"loss.perceptual_stages must be 1 to 5, not {self.perceptual_stages}.")
        images = (self.perceptual_weight, self.pixel_weight, self.pyramid_weight)
        require(
            any(images), "loss needs a weight for perceptual, pixel or pyramid: nothing else compares with real frames."
        )
        require(
            not self.feature_matching_weight or bool(self.adversarial_weight),
            "loss.feature_matching_weight needs the discriminator: give loss.adversarial_weight a value, or set it to "
            "0, too.",
        )
