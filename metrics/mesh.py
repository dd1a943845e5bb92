"""Metrics of animated 3D meshes: lip vertex error and upper-face dynamics deviation."""

import hashlib
from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor

from expnet.metrics.base import ClipMetric, unweighted
from expnet.metrics.functional.mesh import (
    VARIANTS,
    index_tensor,
    lip_vertex_error,
    upper_face_dynamics_deviation,
)


class _VertexMetric(ClipMetric):
    """A metric over chosen vertices of a mesh, which are part of the protocol.

    Args:
        chosen: Vertex indices.
        vertex_set: Name or source of the indices, for the protocol.
        length_unit: Unit of the vertex coordinates.
        **kwargs: Arguments of ``torchmetrics.Metric``.
    """

    options: ClassVar[tuple[str, ...]] = ("vertices", "length_unit")
    chosen: Tensor

    def __init__(self, chosen: Sequence[int] | Tensor, *, vertex_set: str, length_unit: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        indices = index_tensor(chosen)
        self.register_buffer("chosen", indices, persistent=False)
        self.length_unit = length_unit
        digest = hashlib.sha256(",".join(map(str, indices.tolist())).encode()).hexdigest()[:16]
        self.vertices = f"{vertex_set or 'given'}: {len(indices)} vertices, {digest}"


class LipVertexError(_VertexMetric):
    """Error of the worst lip vertex of each frame, averaged over the frames of all clips; lower is better.

    ``functional.lip_vertex_error`` has formula and sources. The unit is ``length_unit`` squared for the variant
    ``squared``, and ``length_unit`` for ``root``.

    Args:
        lips: Vertex indices of the lips.
        variant: ``squared`` or ``root``.
        vertex_set: Name or source of the indices, for the protocol.
        length_unit: Unit of the vertex coordinates.
        **kwargs: Arguments of ``torchmetrics.Metric``.

    ``update`` takes vertices ``predicted`` and ``target`` (B, T, V, 3) and ``valid`` (B, T) boolean or None.
    """

    higher_is_better = False
    ideal = 0.0
    name = "lip_vertex_error"
    title = "Lip vertex error"
    options: ClassVar[tuple[str, ...]] = (*_VertexMetric.options, "variant")

    def __init__(
        self,
        lips: Sequence[int] | Tensor,
        *,
        variant: str = "squared",
        vertex_set: str = "",
        length_unit: str = "face units",
        **kwargs: Any,
    ) -> None:
        super().__init__(lips, vertex_set=vertex_set, length_unit=length_unit, **kwargs)
        if variant not in VARIANTS:
            raise ValueError(f"variant must be one of {', '.join(VARIANTS)}, got {variant!r}")
        self.variant = variant
        self.unit = f"{length_unit}²" if variant == "squared" else length_unit
        self.explanation = (
            "Distance of the worst lip vertex of a frame from its true position "
            f"({'squared' if variant == 'squared' else 'not squared'}), averaged over all frames. A single vertex "
            "decides, and averaged motion is favoured. Numbers of two papers are comparable only for the same mesh, "
            "unit, lip vertices and exponent, which most papers do not state."
        )

    def score(self, predicted: Tensor, target: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return each clip's error (B,), and its number of valid frames as weight."""
        return lip_vertex_error(predicted, target, self.chosen, variant=self.variant, valid=valid)


class UpperFaceDynamicsDeviation(_VertexMetric):
    """Real minus predicted dynamics of the upper face (FDD), averaged over clips, in ``length_unit`` squared.

    ``functional.upper_face_dynamics_deviation`` has the formula. The ideal is 0: positive values mean that the
    prediction moves too little, negative ones that it moves too much.

    Args:
        upper_face: Vertex indices of the upper face.
        vertex_set: Name or source of the indices, for the protocol.
        length_unit: Unit of the vertex coordinates.
        **kwargs: Arguments of ``torchmetrics.Metric``.

    ``update`` takes vertices ``predicted`` and ``target`` (B, T, V, 3), the face at rest ``template`` (V, 3) or
    (B, V, 3), and ``valid`` (B, T) boolean or None.
    """

    higher_is_better = None
    ideal = 0.0
    name = "upper_face_dynamics_deviation"
    title = "Upper-face dynamics deviation"
    explanation = (
        "Variation of the real upper face's motion minus that of the predicted one: above 0 the prediction moves too "
        "little, below 0 too much. Opposite signs cancel in the mean over clips, so 0 is necessary but not sufficient, "
        "and the score does not see when the brows move."
    )

    def __init__(
        self,
        upper_face: Sequence[int] | Tensor,
        *,
        vertex_set: str = "",
        length_unit: str = "face units",
        **kwargs: Any,
    ) -> None:
        super().__init__(upper_face, vertex_set=vertex_set, length_unit=length_unit, **kwargs)
        self.unit = f"{length_unit}²"

    def score(
        self, predicted: Tensor, target: Tensor, template: Tensor, valid: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return each clip's deviation (B,) and weight 1."""
        return unweighted(upper_face_dynamics_deviation(predicted, target, template, self.chosen, valid=valid))
