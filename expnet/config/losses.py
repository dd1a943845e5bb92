"""The terms of each network's training loss and their weights."""

from __future__ import annotations

from dataclasses import dataclass

from expnet.config.checks import not_negative, require


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

    def __post_init__(self) -> None:
        """Check ranges."""
        not_negative("loss", self)
        weights = (
            self.coefficient_weight,
            self.velocity_weight,
            self.landmark_weight,
            self.eye_weight,
            self.correlation_weight,
            self.sync_weight,
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
