"""What the networks are trained on."""

from __future__ import annotations

from dataclasses import dataclass

from expnet.config.checks import not_negative, require


@dataclass
class ExpressionLossConfig:
    """What the expression network is trained on; every term is 1 for a face that never moves."""

    coefficient_weight: float = 1.0
    """Coefficient error, weighed by what each coefficient moves on the face."""
    velocity_weight: float = 0.1
    """Error of the change from frame to frame, weighed alike."""
    landmark_weight: float = 1.0
    """Error of the 68 landmarks of the face model, the mouth weighted up."""
    offset_weight: float = 0.05
    """Weight of an error that a window has in all its frames alike, against 1 for the motion."""
    balance: float = 0.7
    """How far lively and calm windows count alike: 0 by their motion, near 1 all the same."""
    eye_weight: float = 0.0
    """Error of the opening of the eyes."""
    mouth: float = 2.0
    """Weight of an outer lip landmark against one elsewhere."""
    inner_mouth: float = 10.0
    """Weight of an inner lip landmark against one elsewhere."""
    sync_weight: float = 0.0
    """How far the predicted lips are from belonging to the sound, in the eyes of a frozen expert."""
    sync_expert: str | None = None
    """That expert, trained by configs/landmark_sync.yaml on nobody who is tested: run folder, .ckpt or .safetensors."""

    def __post_init__(self) -> None:
        """Check ranges."""
        not_negative("loss", self)
        weights = (
            self.coefficient_weight,
            self.velocity_weight,
            self.landmark_weight,
            self.eye_weight,
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
    """What the head-pose network is trained on."""

    velocity_weight: float = 0.1
    """Error of the change from frame to frame, against 1 for the poses themselves; much more drowns the poses."""
    kl_weight: float = 5e-4
    """Weight of a nat of divergence of a window's latent from the prior; four times as much loses the nods."""
    kl_anneal_steps: int = 200
    """Steps over which that weight rises from 0, so that the latent is in use before it costs."""
    free_nats: float = 0.02
    """Divergence a latent dimension may carry at no cost."""
    liveliness_weight: float = 0.1
    """Weight of the difference between how far drawn and real heads travel, within one frame to sixteen."""
    adversarial_weight: float = 0.0
    """Weight of a discriminator that judges patches of head motion; SadTalker's is 0.7."""

    def __post_init__(self) -> None:
        """Check ranges."""
        not_negative("loss", self)


@dataclass
class RefinerLossConfig:
    """What the renderer's refiner is trained on."""

    pixel_weight: float = 1.0
    """Absolute difference from the real frame."""
    pyramid_weight: float = 2.0
    """The same of the levels of a Laplacian pyramid: edges count as much as areas."""
    texture_weight: float = 1.0
    """Difference of how sharp drawn and real pieces are, which keeps the other two from blurring."""
    opening: float = 4.0
    """Weight of a pixel inside of the lips or lids against one elsewhere."""

    def __post_init__(self) -> None:
        """Check ranges."""
        not_negative("loss", self)
        weights = (self.pixel_weight, self.pyramid_weight, self.texture_weight)
        require(any(weights), "Every weight in loss is 0: there is nothing to train on.")
