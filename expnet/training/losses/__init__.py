"""Training losses as pure functions of tensors; each returns a scalar that is comparable between batches.

Frames that are not valid (padding, interpolated) never count, and a batch without a valid frame has a loss of 0.
"""

from expnet.training.losses.adversarial import discriminator_loss, feature_matching_loss, generator_loss
from expnet.training.losses.coefficients import (
    balance_windows,
    coefficient_loss,
    discount_offset,
    motion_energy,
    velocity_loss,
)
from expnet.training.losses.images import image_loss, perceptual_loss, pyramid_loss, sharpness, texture_loss
from expnet.training.losses.keypoints import equivariance_loss, keypoint_prior
from expnet.training.losses.landmarks import (
    eye_loss,
    eye_ratio,
    landmark_displacements,
    landmark_loss,
    landmark_weights,
)
from expnet.training.losses.latent import annealed, gaussian_kl, kl_loss
from expnet.training.losses.lips import lip_spread_loss, opening_correlation_loss
from expnet.training.losses.masking import both_valid, masked_mean

__all__ = [
    "annealed",
    "balance_windows",
    "both_valid",
    "coefficient_loss",
    "discount_offset",
    "discriminator_loss",
    "equivariance_loss",
    "eye_loss",
    "eye_ratio",
    "feature_matching_loss",
    "gaussian_kl",
    "generator_loss",
    "image_loss",
    "keypoint_prior",
    "kl_loss",
    "landmark_displacements",
    "landmark_loss",
    "landmark_weights",
    "lip_spread_loss",
    "masked_mean",
    "motion_energy",
    "opening_correlation_loss",
    "perceptual_loss",
    "pyramid_loss",
    "sharpness",
    "texture_loss",
    "velocity_loss",
]
