"""A portrait with exactly known points: the face model's mean face on a finely textured image."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from skimage.data import astronaut

from expnet.coefficients import FaceCoefficients
from expnet.face.camera import DISTANCE, FOCAL, Crop, project_depth
from expnet.face.morphable import MorphableModel, builtin_face_model


@dataclass(frozen=True)
class KnownPortrait:
    image: np.ndarray
    points: np.ndarray
    fit: FaceCoefficients
    model: MorphableModel

    def driven(self, frames: int = 1, *, expression=None, rotation=None, translation=None) -> FaceCoefficients:
        """The portrait's own coefficients plus changes."""

        def rows(base: np.ndarray, change) -> np.ndarray:
            base = np.repeat(base, frames, axis=0)
            return base if change is None else base + np.asarray(change, np.float32)

        return self.fit.with_(
            expression=rows(self.fit.expression, expression),
            rotation=rows(self.fit.rotation, rotation),
            translation=rows(self.fit.translation, translation),
        )

    def expression_for(self, upper: int, lower: int, change: float) -> np.ndarray:
        """The smallest change of the coefficients that changes the height between two points by ``change``."""
        basis = self.model.expression_basis.numpy()
        response = basis[upper, 1] - basis[lower, 1]
        return response * (change / (response @ response))


def known_portrait(*, rotation=(0.0, 0.0, 0.0), side: float = 0.42, centre=(210.0, 120.0)) -> KnownPortrait:
    """Place the mean face on the astronaut's face, roughly at its position and size."""
    model = builtin_face_model()
    image = astronaut()
    size = image.shape[0] * side / FOCAL * DISTANCE / 2
    square = Crop(*centre, size)
    angles = torch.tensor([rotation], dtype=torch.float64)
    zero = torch.zeros(1, 3, dtype=torch.float64)
    placed = project_depth(model.mean.double()[None], angles, zero, square)[0].numpy()
    points = np.zeros((478, 3), np.float32)
    points[:468] = placed * [1, 1, -1]
    fit = FaceCoefficients(
        expression=np.zeros((1, 64)),
        rotation=angles.numpy(),
        translation=np.zeros((1, 3)),
        identity=np.zeros(model.identity_basis.shape[-1]),
        crop=np.array([*centre, size]),
    )
    return KnownPortrait(image, points, fit, model)


@pytest.fixture(scope="session")
def portrait() -> KnownPortrait:
    return known_portrait()


@pytest.fixture(scope="session")
def make_portrait() -> Callable[..., KnownPortrait]:
    return known_portrait
