"""The arrays of a linear face model, as they are read from a file."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class FaceModelData:
    """A linear face model and what fitting it to tracked points needs; see `expnet.face.morphable`.

    Letters: V vertices, K identity and E expression components, P fitted points.

    Attributes:
        mean: (V, 3).
        identity_basis: (V, 3, K), for coefficients of unit variance.
        expression_basis: (V, 3, E), for coefficients of unit variance.
        triangles: (F, 3) vertex indices.
        landmark_indices: (68,) vertices of the iBUG landmarks.
        name: Name of the model, as in ``FaceCoefficients.face_model``.
        fit_vertices: (P,) vertices that are fitted to tracked points; None for the 68 landmarks.
        fit_points: (P,) the MediaPipe points that they are fitted to; None for the 68 landmarks.
        fit_weights: (P,) weights of the squared errors in the fit, mean 1; None for equal weights.
        rigidity: (P,) weights of the points in the head pose, large where a face deforms little.
        noise: RMS error of the expression basis for a single frame, in face units.
        identity_noise: RMS error of both bases for a new person's average face, in face units.
        depth_weight: Weight of the squared error along z, relative to x and y.
    """

    mean: Tensor
    identity_basis: Tensor
    expression_basis: Tensor
    triangles: Tensor
    landmark_indices: Tensor
    name: str
    fit_vertices: Tensor | None = None
    fit_points: Tensor | None = None
    fit_weights: Tensor | None = None
    rigidity: Tensor | None = None
    noise: float = 0.01
    identity_noise: float = 0.02
    depth_weight: float = 1.0
