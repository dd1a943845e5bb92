"""The face of a clip as vertices: the person's neutral face, and lids that close by themselves."""

import numpy as np
from numpy.typing import NDArray

from expnet.coefficients import FaceCoefficients
from expnet.errors import InputError
from expnet.face.landmarks import LEFT_EYE_LOOP, MESH_POINTS, RIGHT_EYE_LOOP
from expnet.face.morphable import MorphableModel
from expnet.formats.motion_clip import Performance

Float = NDArray[np.float32]


def neutral_face(model: MorphableModel, coefficients: FaceCoefficients) -> Float:
    """Vertices (V, 3) of the person without expression, in face units; the mean face where nobody is known."""
    identity = coefficients.identity
    if identity is None:
        return model.mean.numpy().copy()
    whose = identity if identity.ndim == 1 else identity.mean(axis=0)
    return (model.mean.numpy() + model.identity_basis.numpy() @ whose).astype(np.float32)


def closed_lids(model: MorphableModel, face: Float) -> Float:
    """Displacements (V, 3) that lay each point of the upper lids on the lower lid below it.

    Args:
        model: the face model, on the mesh of the built-in one.
        face: (V, 3) with the lids open.

    Raises:
        InputError: where the lids are is not known of this face model.
    """
    if len(model.mean) != MESH_POINTS:
        raise InputError(
            f"the clip has blinks, which are known on the mesh of the built-in face model, not {model.name}."
        )
    closing = np.zeros_like(face)
    for loop in (RIGHT_EYE_LOOP, LEFT_EYE_LOOP):
        # A loop runs from the outer corner along the upper lid to the inner one, and back along the lower lid.
        upper, lower = list(loop[1 : len(loop) // 2]), list(loop[: len(loop) // 2 : -1])
        closing[upper] = face[lower] - face[upper]
    return closing


def performed_faces(model: MorphableModel, performance: Performance) -> Float:
    """Vertices (T, V, 3) of every frame, head looking straight ahead, blinks included."""
    coefficients = performance.coefficients
    basis = model.expression_basis.numpy()
    faces = neutral_face(model, coefficients) + np.tensordot(coefficients.expression, basis, axes=(1, 2))
    if performance.blink is not None and performance.blink.any():
        faces += performance.blink[:, None, None] * closed_lids(model, faces.mean(axis=0))
    return faces.astype(np.float32)
