"""The projection on the directions of the lips."""

import pytest
import torch

from expnet.face.landmarks import MOUTH
from expnet.face.lip_directions import DIRECTIONS, lip_projection
from expnet.face.morphable import builtin_face_model


@pytest.fixture(scope="module")
def changes() -> torch.Tensor:
    return torch.randn(200, builtin_face_model().expression_basis.shape[-1], generator=torch.Generator().manual_seed(0))


def test_it_is_a_projection_of_its_rank(changes: torch.Tensor) -> None:
    projection = lip_projection(builtin_face_model())
    once = changes @ projection
    torch.testing.assert_close(once @ projection, once, rtol=1e-3, atol=1e-3)
    assert float(projection.trace()) == pytest.approx(DIRECTIONS, abs=1e-2)
    assert int(torch.linalg.matrix_rank(projection.double(), rtol=1e-4)) == DIRECTIONS


def test_the_two_parts_move_the_vertices_independently(changes: torch.Tensor) -> None:
    face = builtin_face_model()
    lips = changes @ lip_projection(face)
    moved = torch.einsum("vce,ne->nvc", face.expression_basis, lips).flatten(1)
    left = torch.einsum("vce,ne->nvc", face.expression_basis, changes - lips).flatten(1)
    cosine = (moved * left).sum(dim=1) / (moved.norm(dim=1) * left.norm(dim=1))
    assert cosine.abs().max() < 1e-3


def test_it_takes_the_lips_and_leaves_the_brows(changes: torch.Tensor) -> None:
    face = builtin_face_model()
    lips = changes @ lip_projection(face)
    rest = face.landmarks(torch.zeros(face.identity_basis.shape[-1]), torch.zeros_like(changes[:1]))

    def moved(part: torch.Tensor, points: list[int]) -> torch.Tensor:
        change = face.landmarks(torch.zeros(face.identity_basis.shape[-1]), part) - rest
        return change[:, points].square().sum()

    brows, whole = list(range(17, 27)), changes
    assert moved(lips, list(MOUTH)) > 0.7 * moved(whole, list(MOUTH))
    assert moved(lips, brows) < 0.1 * moved(whole, brows)


def test_all_directions_are_everything(changes: torch.Tensor) -> None:
    projection = lip_projection(builtin_face_model(), directions=changes.shape[-1])
    torch.testing.assert_close(changes @ projection, changes, rtol=1e-3, atol=1e-3)
