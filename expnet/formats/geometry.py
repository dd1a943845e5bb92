"""The face of a clip as vertices: the neutral face of the person, the expression, and the closing eyelids."""

import numpy as np
from numpy.typing import NDArray

from expnet.coefficients import FaceCoefficients
from expnet.errors import InputError
from expnet.face.landmarks import LEFT_EYE_LOOP, MESH_POINTS, RIGHT_EYE_LOOP
from expnet.face.morphable import MorphableModel
from expnet.formats.motion_clip import MotionClip

Float = NDArray[np.float32]


def neutral_face(model: MorphableModel, coefficients: FaceCoefficients) -> Float:
    """Return the vertices (V, 3) of the person without expression, in face units; the mean face without an identity."""
    identity = coefficients.identity
    if identity is None:
        return model.mean.numpy().copy()
    person = identity if identity.ndim == 1 else identity.mean(axis=0)
    return (model.mean.numpy() + model.identity_basis.numpy() @ person).astype(np.float32)


def closed_lids(model: MorphableModel, face: Float) -> Float:
    """Return displacements (V, 3) that move each point of the upper eyelids onto the lower eyelid below it.

    Args:
        model: The face model, on the mesh of the built-in one.
        face: (V, 3) with the eyes open.

    Raises:
        InputError: The eyelids of this face model are not known.
    """
    if len(model.mean) != MESH_POINTS:
        raise InputError(
            f"the clip has blinks, but eyelids are known only on the mesh of the built-in face model, not {model.name}."
        )
    closing = np.zeros_like(face)
    for loop in (RIGHT_EYE_LOOP, LEFT_EYE_LOOP):
        # A loop runs from the outer corner along the upper lid to the inner corner, and back along the lower lid.
        upper, lower = list(loop[1 : len(loop) // 2]), list(loop[: len(loop) // 2 : -1])
        closing[upper] = face[lower] - face[upper]
    return closing


def animated_faces(model: MorphableModel, clip: MotionClip) -> Float:
    """Return the vertices (T, V, 3) of every frame, blinks included, with the head looking straight ahead."""
    coefficients = clip.coefficients
    basis = model.expression_basis.numpy()
    faces = neutral_face(model, coefficients) + np.tensordot(coefficients.expression, basis, axes=(1, 2))
    if clip.blink is not None and clip.blink.any():
        faces += clip.blink[:, None, None] * closed_lids(model, faces.mean(axis=0))
    return faces.astype(np.float32)
