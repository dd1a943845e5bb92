"""A head that never rests, to time the renderer with."""

import numpy as np

from expnet.coefficients import FaceCoefficients


def swaying(fit: FaceCoefficients, frames: int) -> FaceCoefficients:
    """Coefficients of a head that keeps turning and talking, so that no part of a frame is at rest."""
    time_axis = np.arange(frames)[:, None] / 25.0
    basis = np.zeros((1, fit.expression.shape[1]))
    basis[0, :4] = 1.0
    return fit.with_(
        expression=fit.expression + basis * np.sin(2 * np.pi * 3 * time_axis),
        rotation=fit.rotation + np.sin(2 * np.pi * time_axis * [0.4, 0.5, 0.3]) * [0.06, 0.1, 0.05],
        translation=np.repeat(fit.translation, frames, axis=0),
    )
