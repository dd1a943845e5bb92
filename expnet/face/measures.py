"""Named measures of a face: how far the mouth is open, how wide, how much an eye is closed; and their inverse.

The measures work on 68 points in any unit and frame (pixels of a frame, face units): all are divided by the distance
between the outer eye corners (landmarks 36 and 45), about 0.87 face units. With (..., 68, 2) points they are those of
the picture; with (..., 68, 3) points in face space they do not depend on the head's pose.

:func:`measure_jacobian` is their linear response to the expression coefficients at the mean face, and
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
    """Distance of the outer eye corners, the unit of every measure here: (..., 68, D) -> (...)."""
    return _distance(points, *OUTER_EYE_CORNERS)


def mouth_opening(points: Tensor) -> Tensor:
    """Gap between the middles of the inner lips, |62 - 66|: about 0 closed, 0.2 an open vowel, 0.5 a yawn."""
    return _distance(points, 62, 66) / eye_corner_distance(points)


def mouth_width(points: Tensor) -> Tensor:
    """Distance of the mouth corners, |48 - 54|: about 0.55 at rest, 0.7 in a smile, 0.4 rounded."""
    return _distance(points, *MOUTH_CORNERS) / eye_corner_distance(points)


def eye_aspect_ratio(points: Tensor, eye: tuple[int, ...]) -> Tensor:
    """Height over width of one eye, (|p1 - p5| + |p2 - p4|) / (2 |p0 - p3|) (Soukupova and Cech 2016)."""
    height = _distance(points, eye[1], eye[5]) + _distance(points, eye[2], eye[4])
    return height / (2 * _distance(points, eye[0], eye[3]))


def right_eye_opening(points: Tensor) -> Tensor:
    """Aspect ratio of the subject's right eye (image left): about 0.3 open, below 0.15 closed."""
    return eye_aspect_ratio(points, RIGHT_EYE)


def left_eye_opening(points: Tensor) -> Tensor:
    """Aspect ratio of the subject's left eye (image right)."""
    return eye_aspect_ratio(points, LEFT_EYE)


def eye_opening(points: Tensor) -> Tensor:
    """Mean aspect ratio of both eyes."""
    return (right_eye_opening(points) + left_eye_opening(points)) / 2


def jaw_drop(points: Tensor) -> Tensor:
    """Distance of the chin (8) from the bottom of the nose (33): grows by about the opening of the jaw."""
    return _distance(points, 8, 33) / eye_corner_distance(points)


def lip_pressing(points: Tensor) -> Tensor:
    """Thinness of the lips: minus the red of both lips at the middle, |51 - 62| + |66 - 57|; 0 is no red at all."""
    return -(_distance(points, 51, 62) + _distance(points, 66, 57)) / eye_corner_distance(points)


def lip_roundness(points: Tensor) -> Tensor:
    """Height over width of the outer lips, |51 - 57| / |48 - 54|: about 0.35 at rest, towards 1 in /u/ and /o/."""
    return _distance(points, 51, 57) / _distance(points, *MOUTH_CORNERS)


def upper_lip_raise(points: Tensor) -> Tensor:
    """Minus the distance of the inner upper lip (62) from the bottom of the nose (33); larger is higher."""
    return -_distance(points, 62, 33) / eye_corner_distance(points)


def lower_lip_depress(points: Tensor) -> Tensor:
    """Distance of the inner lower lip (66) from the bottom of the nose (33); larger is lower."""
    return _distance(points, 66, 33) / eye_corner_distance(points)


def mouth_corner_raise(points: Tensor) -> Tensor:
    """How far the mouth corners lie above the middle of the lips, along the face's own up; a smile is positive."""
    up = _up(points)
    corners = (points[..., MOUTH_CORNERS[0], :] + points[..., MOUTH_CORNERS[1], :]) / 2
    middle = (points[..., 62, :] + points[..., 66, :]) / 2
    return ((corners - middle) * up).sum(dim=-1) / eye_corner_distance(points)


def brow_raise(points: Tensor) -> Tensor:
    """Mean height of the brows above the eye corners, along the face's own up."""
    up = _up(points)
    brows = points[..., 17:27, :].mean(dim=-2)
    corners = points[..., [36, 39, 42, 45], :].mean(dim=-2)
    return ((brows - corners) * up).sum(dim=-1) / eye_corner_distance(points)


def lip_protrusion(points: Tensor) -> Tensor:
    """How far the lips stand out toward the viewer of a frontal face: z of the mid lips over that of the nose's root.

    Needs 3D points in face space (head turned straight); the reference, landmarks 27 to 30, hardly moves in speech.
    """
    if points.shape[-1] < 3:
        raise ValueError("lip_protrusion needs (..., 68, 3) points, got two coordinates")
    lips = points[..., [50, 51, 52, 56, 57, 58, 61, 62, 63, 65, 66, 67], 2].mean(dim=-1)
    return (lips - points[..., 27:31, 2].mean(dim=-1)) / eye_corner_distance(points)


def signed_mouth_opening(points: Tensor) -> Tensor:
    """The mouth's opening along the face's own up: negative where the lips would pass through each other."""
    return _height(points, 62, 66) / eye_corner_distance(points)


def signed_eye_opening(points: Tensor, eye: tuple[int, ...]) -> Tensor:
    """One eye's aspect ratio along the face's own up: negative where the lids would pass through each other."""
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
"""What :func:`measure_jacobian` and :func:`expression_for` know by name; openings are signed, so that shutting a mouth
or an eye is no kink."""


def measure(model: MorphableModel, expression: Tensor, names: tuple[str, ...] = tuple(MEASURES)) -> Tensor:
    """Measures of the mean identity with an expression: (..., E) -> (..., M)."""
    identity = expression.new_zeros(model.identity_size)
    points = model.landmarks(identity, expression)  # (..., 68, 3)
    return torch.stack([MEASURES[name](points) for name in names], dim=-1)


def measure_jacobian(model: MorphableModel, names: tuple[str, ...] = tuple(MEASURES)) -> Tensor:
    """Linear response of measures to the expression coefficients.

    Taken at the mean face, whose mouth is slightly open (mouth_opening 0.07) and whose eyes are open (0.23).

    Args:
        model: the face model.
        names: measures, keys of MEASURES.

    Returns:
        (M, E): change of each measure for a unit of each coefficient.
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
    """Most probable expression with given measures, at the mean identity.

    The minimum-norm solution, which is the most probable one under beta ~ N(0, I): with the Jacobian J at the
    current face and the wanted measures m, beta <- J^T (J J^T + eps I)^-1 (m - f(beta) + J beta), from beta = 0. One
    round is the linear answer at the mean face: mouth_opening +0.25 comes out as +0.255, a shut eye (-0.2) as -0.196,
    with jaw and width held as +0.264; lip_pressing is the least linear (+0.06 gives +0.056). The further rounds follow
    the measures' own curvature and meet the values. Looked at: an open, a rounded, a smiling, a shut and a pressed
    mouth, shut eyes and one shut eye are faces; beyond about mouth_opening +0.4, or a norm of beta above about 12,
    the linear face is no longer one that anybody makes.

    Args:
        model: the face model.
        measures: name -> wanted value. Those that are not named are free.
        relative: the values are changes from the mean face; else absolute values.
        rounds: Gauss-Newton rounds, at least one.
        eps: keeps conflicting wishes finite; raise it (0.001) to let them be met in part.

    Returns:
        (E,) coefficients.

    Raises:
        ValueError: for a name that is not in MEASURES.
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
        gap = wanted - function(beta).double() + jacobian @ beta.double()
        gram = jacobian @ jacobian.T + eps * torch.eye(len(names), dtype=torch.float64)
        beta = (jacobian.T @ torch.linalg.solve(gram, gap)).to(model.mean)
    return beta


def _distance(points: Tensor, one: int, other: int) -> Tensor:
    return torch.linalg.vector_norm(points[..., one, :] - points[..., other, :], dim=-1)


def _height(points: Tensor, upper: int, lower: int) -> Tensor:
    return ((points[..., upper, :] - points[..., lower, :]) * _up(points)).sum(dim=-1)


def _up(points: Tensor) -> Tensor:
    """The face's own up in the picture: from the bottom of the nose to its root, a unit vector (..., D), z = 0."""
    along = (points[..., 27, :] - points[..., 33, :]) * (torch.arange(points.shape[-1], device=points.device) < 2)
    return torch.nn.functional.normalize(along, dim=-1)
