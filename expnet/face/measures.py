"""Named measures of a face, such as mouth opening, mouth width and eye opening, and the expressions that have them.

The measures take 68 points in any unit and coordinate system (pixels, face units): all are divided by the distance
between the outer eye corners (landmarks 36 and 45), about 0.87 face units. For (..., 68, 2) points they are measured in
the image; for (..., 68, 3) points in face space they do not depend on the head pose.

:func:`measure_jacobian` returns their linear response to the expression coefficients at the mean face, and
:func:`expression_for` the most probable expression with given measures.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from expnet.face.landmarks import LEFT_EYE, RIGHT_EYE
from expnet.face.morphable import MorphableModel

OUTER_EYE_CORNERS = (36, 45)
MOUTH_CORNERS = (48, 54)


def eye_corner_distance(points: Tensor) -> Tensor:
    """Return the distance between the outer eye corners, the unit of all measures here: (..., 68, D) -> (...)."""
    return _distance(points, *OUTER_EYE_CORNERS)


def mouth_opening(points: Tensor) -> Tensor:
    """Return the gap of the inner lips in the middle, |62 - 66|: 0 closed, 0.2 in an open vowel, 0.5 in a yawn."""
    return _distance(points, 62, 66) / eye_corner_distance(points)


def mouth_width(points: Tensor) -> Tensor:
    """Return the distance between the mouth corners, |48 - 54|: about 0.55 at rest, 0.7 in a smile, 0.4 rounded."""
    return _distance(points, *MOUTH_CORNERS) / eye_corner_distance(points)


def eye_aspect_ratio(points: Tensor, eye: tuple[int, ...]) -> Tensor:
    """Return height over width of one eye, (|p1 - p5| + |p2 - p4|) / (2 |p0 - p3|) (Soukupova and Cech 2016)."""
    height = _distance(points, eye[1], eye[5]) + _distance(points, eye[2], eye[4])
    return height / (2 * _distance(points, eye[0], eye[3]))


def right_eye_opening(points: Tensor) -> Tensor:
    """Return the aspect ratio of the subject's right eye (image left): about 0.3 open, below 0.15 closed."""
    return eye_aspect_ratio(points, RIGHT_EYE)


def left_eye_opening(points: Tensor) -> Tensor:
    """Return the aspect ratio of the subject's left eye (image right)."""
    return eye_aspect_ratio(points, LEFT_EYE)


def eye_opening(points: Tensor) -> Tensor:
    """Return the mean aspect ratio of both eyes."""
    return (right_eye_opening(points) + left_eye_opening(points)) / 2


def jaw_drop(points: Tensor) -> Tensor:
    """Return the distance of the chin (8) from the base of the nose (33), which increases as the jaw opens."""
    return _distance(points, 8, 33) / eye_corner_distance(points)


def lip_pressing(points: Tensor) -> Tensor:
    """Return minus the thickness of both lips at the middle, |51 - 62| + |66 - 57|; 0 when the lips are pressed in."""
    return -(_distance(points, 51, 62) + _distance(points, 66, 57)) / eye_corner_distance(points)


def lip_roundness(points: Tensor) -> Tensor:
    """Return height over width of the outer lips, |51 - 57| / |48 - 54|: about 0.35 at rest, near 1 in /u/ and /o/."""
    return _distance(points, 51, 57) / _distance(points, *MOUTH_CORNERS)


def upper_lip_raise(points: Tensor) -> Tensor:
    """Return minus the distance of the inner upper lip (62) from the base of the nose (33); larger is higher."""
    return -_distance(points, 62, 33) / eye_corner_distance(points)


def lower_lip_depress(points: Tensor) -> Tensor:
    """Return the distance of the inner lower lip (66) from the base of the nose (33); larger is lower."""
    return _distance(points, 66, 33) / eye_corner_distance(points)


def mouth_corner_raise(points: Tensor) -> Tensor:
    """Return the height of the mouth corners over the middle of the lips on the face's up axis; a smile is positive."""
    up = _up(points)
    corners = (points[..., MOUTH_CORNERS[0], :] + points[..., MOUTH_CORNERS[1], :]) / 2
    middle = (points[..., 62, :] + points[..., 66, :]) / 2
    return ((corners - middle) * up).sum(dim=-1) / eye_corner_distance(points)


def brow_raise(points: Tensor) -> Tensor:
    """Return the mean height of the brows above the eye corners, along the face's up axis."""
    up = _up(points)
    brows = points[..., 17:27, :].mean(dim=-2)
    corners = points[..., [36, 39, 42, 45], :].mean(dim=-2)
    return ((brows - corners) * up).sum(dim=-1) / eye_corner_distance(points)


def lip_protrusion(points: Tensor) -> Tensor:
    """Return the depth of the middle of the lips relative to the bridge of the nose, positive toward the viewer.

    Needs 3D points in face space (frontal head); the reference, landmarks 27 to 30, hardly moves in speech.
    """
    if points.shape[-1] < 3:
        raise ValueError("lip_protrusion needs (..., 68, 3) points, got two coordinates")
    lips = points[..., [50, 51, 52, 56, 57, 58, 61, 62, 63, 65, 66, 67], 2].mean(dim=-1)
    return (lips - points[..., 27:31, 2].mean(dim=-1)) / eye_corner_distance(points)


def signed_mouth_opening(points: Tensor) -> Tensor:
    """Return the mouth opening along the face's up axis: negative where the lips would intersect."""
    return _height(points, 62, 66) / eye_corner_distance(points)


def signed_eye_opening(points: Tensor, eye: tuple[int, ...]) -> Tensor:
    """Return one eye's aspect ratio along the face's up axis: negative where the eyelids would intersect."""
    height = _height(points, eye[1], eye[5]) + _height(points, eye[2], eye[4])
    return height / (2 * _distance(points, eye[0], eye[3]))


MEASURES: dict[str, Callable[[Tensor], Tensor]] = {
    "mouth_opening": signed_mouth_opening,
    "mouth_width": mouth_width,
    "lip_protrusion": lip_protrusion,
    "upper_lip_raise": upper_lip_raise,
    "lower_lip_depress": lower_lip_depress,
    "lip_pressing": lip_pressing,
    "lip_roundness": lip_roundness,
    "mouth_corner_raise": mouth_corner_raise,
    "jaw_drop": jaw_drop,
    "right_eye_opening": lambda points: signed_eye_opening(points, RIGHT_EYE),
    "left_eye_opening": lambda points: signed_eye_opening(points, LEFT_EYE),
    "brow_raise": brow_raise,
}
"""Measures of :func:`measure_jacobian` and :func:`expression_for` by name; openings are signed, so that they stay
differentiable where a mouth or an eye closes."""


def measure(model: MorphableModel, expression: Tensor, names: tuple[str, ...] = tuple(MEASURES)) -> Tensor:
    """Return the measures of the mean identity with an expression: (..., E) -> (..., M)."""
    identity = expression.new_zeros(model.identity_size)
    points = model.landmarks(identity, expression)  # (..., 68, 3)
    return torch.stack([MEASURES[name](points) for name in names], dim=-1)


def measure_jacobian(model: MorphableModel, names: tuple[str, ...] = tuple(MEASURES)) -> Tensor:
    """Return the linear response of measures to the expression coefficients.

    It is taken at the mean face, whose mouth is slightly open (mouth_opening 0.07) and whose eyes are open (0.23).

    Args:
        model: The face model.
        names: Keys of MEASURES.

    Returns:
        (M, E): change of each measure per unit of each coefficient.
    """
    zero = model.mean.new_zeros(model.expression_size)
    with torch.enable_grad():
        jacobian = torch.autograd.functional.jacobian(lambda beta: measure(model, beta, names), zero)
    return jacobian.detach()


def expression_for(
    model: MorphableModel,
    measures: Mapping[str, float],
    *,
    relative: bool = True,
    rounds: int = 4,
    eps: float = 1e-6,
) -> Tensor:
    """Return the most probable expression with given measures, at the mean identity.

    This is the minimum-norm solution, the most probable one under beta ~ N(0, I): with the Jacobian J at the current
    face and the wanted measures m, beta <- J^T (J J^T + eps I)^-1 (m - f(beta) + J beta), from beta = 0. The first
    round is linear at the mean face and already close: a wanted mouth_opening of +0.25 gives +0.255, a closed eye
    (-0.2) gives -0.196, and lip_pressing, the least linear measure, gives +0.056 for +0.06. Further rounds account for
    the curvature and reach the values. Open, rounded, smiling, closed and pressed mouths, and one or two closed eyes,
    were checked by eye and look natural; beyond a mouth_opening of about +0.4, or a norm of beta above about 12, the
    linear model no longer gives plausible faces.

    Args:
        model: The face model.
        measures: Wanted values by name; measures that are not named are free.
        relative: Whether the values are changes from the mean face, or absolute.
        rounds: Number of Gauss-Newton rounds, at least one.
        eps: Regularisation that keeps conflicting values finite; raise it (0.001) to meet them approximately.

    Returns:
        (E,) coefficients.

    Raises:
        ValueError: A name is not in MEASURES.
    """
    unknown = set(measures) - set(MEASURES)
    if unknown:
        raise ValueError(f"measures {sorted(unknown)} are not known, expected some of {sorted(MEASURES)}")
    names = tuple(measures)
    wanted = torch.tensor([float(measures[name]) for name in names], dtype=torch.float64)
    beta = model.mean.new_zeros(model.expression_size)
    if relative:
        wanted = wanted + measure(model, beta, names).double()
    for _ in range(rounds):
        function = lambda value: measure(model, value, names)  # noqa: E731 (a name would say no more)
        jacobian = torch.autograd.functional.jacobian(function, beta).double()  # (M, E)
        residual = wanted - function(beta).double() + jacobian @ beta.double()
        gram = jacobian @ jacobian.T + eps * torch.eye(len(names), dtype=torch.float64)
        beta = (jacobian.T @ torch.linalg.solve(gram, residual)).to(model.mean)
    return beta


def _distance(points: Tensor, one: int, other: int) -> Tensor:
    return torch.linalg.vector_norm(points[..., one, :] - points[..., other, :], dim=-1)


def _height(points: Tensor, upper: int, lower: int) -> Tensor:
    return ((points[..., upper, :] - points[..., lower, :]) * _up(points)).sum(dim=-1)


def _up(points: Tensor) -> Tensor:
    """Return the face's up axis in the image plane: a unit vector (..., D) from nose base to nose root, with z = 0."""
    along = (points[..., 27, :] - points[..., 33, :]) * (torch.arange(points.shape[-1], device=points.device) < 2)
    return torch.nn.functional.normalize(along, dim=-1)
