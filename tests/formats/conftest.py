from collections.abc import Callable

import numpy as np
import pytest

from expnet.coefficients import FaceCoefficients
from expnet.face.morphable import MorphableModel, builtin_face_model
from expnet.formats.motion_clip import MotionClip


@pytest.fixture(scope="session")
def model() -> MorphableModel:
    return builtin_face_model()


@pytest.fixture
def make_clip() -> Callable[..., MotionClip]:
    """A clip of one person's smooth random motion, with a blink in the middle."""

    def make(frames: int = 60, *, fps: float = 25.0, blink: bool = True) -> MotionClip:
        random = np.random.default_rng(0)
        phase = np.linspace(0, 6, frames)[:, None]
        waves = np.sin(phase * random.uniform(0.5, 3, 70) + random.uniform(0, 6, 70)).astype(np.float32)
        coefficients = FaceCoefficients(
            expression=waves[:, :64] * 0.7,
            rotation=waves[:, 64:67] * [0.1, 0.2, 0.1],
            translation=waves[:, 67:] * [0.05, 0.05, 0.3],
            identity=random.normal(size=builtin_face_model().identity_size) * 0.5,
            crop=[130.0, 120.0, 180.0],
            fps=fps,
        )
        lids = np.zeros(frames, np.float32)
        lids[frames // 2 : frames // 2 + 3] = [0.5, 1.0, 0.4]
        return MotionClip(coefficients, lids if blink else None, (256, 256))

    return make
