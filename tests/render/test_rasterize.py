"""The rasteriser against slow, straightforward implementations."""

import numpy as np
import pytest

from expnet.render.rasterize import (
    PADDING,
    cubic_weights,
    draw_triangles,
    identity_map,
    pad_image,
    sample,
    soften_folds,
)


def grid_mesh(size: int, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 2) of a grid that covers a square image, and its triangles."""
    places = np.linspace(0, size - 1, cells + 1)
    vertices = np.stack(np.meshgrid(places, places), axis=-1).reshape(-1, 2)
    index = np.arange((cells + 1) ** 2).reshape(cells + 1, cells + 1)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    triangles = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([b, d, c], -1).reshape(-1, 3)])
    return vertices, triangles.astype(np.int32)


def with_depth(points: np.ndarray, depth: float = 0.0) -> np.ndarray:
    return np.concatenate([points, np.full((len(points), 1), depth)], axis=1)


def draw(vertices: np.ndarray, sources: np.ndarray, triangles: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    source_map, depth = identity_map(size, size), np.full((size, size), -np.inf, np.float32)
    draw_triangles(vertices, sources, triangles, source_map, depth)
    return source_map, depth


def slow_map(vertices: np.ndarray, sources: np.ndarray, triangles: np.ndarray, size: int) -> np.ndarray:
    """Barycentric interpolation, pixel by pixel, nearest depth wins."""
    result, best = identity_map(size, size).astype(np.float64), np.full((size, size), -np.inf)
    for row in range(size):
        for column in range(size):
            for triangle in triangles:
                corners = vertices[triangle]
                matrix = np.stack([corners[:, 0], corners[:, 1], np.ones(3)])
                if abs(np.linalg.det(matrix)) < 1e-9:
                    continue
                share = np.linalg.solve(matrix, [column, row, 1.0])
                depth = share @ corners[:, 2]
                if share.min() >= -1e-9 and depth > best[row, column]:
                    best[row, column] = depth
                    result[row, column] = share @ sources[triangle]
    return result


def test_agrees_with_pixel_by_pixel_barycentric_coordinates() -> None:
    random = np.random.default_rng(0)
    vertices = np.concatenate([random.uniform(-4, 28, (12, 2)), random.uniform(-1, 1, (12, 1))], axis=1)
    sources = random.uniform(0, 23, (12, 2))
    triangles = random.permuted(np.tile(np.arange(12), (9, 1)), axis=1)[:, :3].astype(np.int32)
    fast, _ = draw(vertices, sources, triangles, 24)
    slow = slow_map(vertices, sources, triangles, 24)
    assert np.abs(fast - slow).max() < 1e-4


def test_a_sheet_leaves_no_crack() -> None:
    """Every pixel of a distorted mesh is covered; in a crack, its depth would still be -inf."""
    random = np.random.default_rng(1)
    vertices, triangles = grid_mesh(97, 16)
    inner = (vertices > 0).all(1) & (vertices < 96).all(1)
    moved = vertices + random.normal(0, 1.3, vertices.shape) * inner[:, None]
    source_map, depth = draw(with_depth(moved), vertices, triangles, 97)
    assert np.isfinite(depth).all()
    assert np.abs(np.diff(source_map, axis=0)).max() < 25


def test_the_nearer_surface_hides_the_other() -> None:
    vertices, triangles = grid_mesh(16, 1)
    both = np.concatenate([with_depth(vertices, 1.0), with_depth(vertices, 2.0)])
    sources = np.concatenate([vertices, vertices + 100.0])
    for order in (triangles, triangles + 4), (triangles + 4, triangles):
        source_map, _ = draw(both, sources, np.concatenate(order).astype(np.int32), 16)
        assert source_map.min() >= 100.0


def test_a_mesh_at_rest_is_exactly_the_identity() -> None:
    random = np.random.default_rng(2)
    _, triangles = grid_mesh(64, 9)
    vertices = random.uniform(-20, 84, (100, 2))
    source_map, _ = draw(with_depth(vertices), vertices, triangles, 64)
    assert np.array_equal(source_map, identity_map(64, 64))


@pytest.mark.parametrize("fraction", [0.0, 0.25, 0.5, 0.9])
def test_cubic_weights_follow_keys(fraction: float) -> None:
    """Keys' cubic convolution kernel with a = -0.7 at the four distances."""

    def kernel(x: float, a: float = -0.7) -> float:
        x = abs(x)
        if x < 1:
            return (a + 2) * x**3 - (a + 3) * x**2 + 1
        return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0

    weights = cubic_weights(np.float32(fraction))
    assert weights == pytest.approx([kernel(fraction - k) for k in (-1, 0, 1, 2)], abs=1e-6)


def test_sampling_copies_whole_pixels_and_draws_out_the_edge() -> None:
    random = np.random.default_rng(3)
    image = random.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    padded = pad_image(image)
    for shift in ((0, 0), (5, -3), (-4, 2)):
        out = np.zeros_like(image)
        sample(padded, identity_map(20, 30) + np.array(shift, np.float32), PADDING, image.astype(np.float32), out)
        rows = np.pad(image, ((8, 8), (8, 8), (0, 0)), mode="edge")
        assert np.array_equal(out, rows[8 + shift[1] : 28 + shift[1], 8 + shift[0] : 38 + shift[0]])


def test_sampling_far_outside_is_safe() -> None:
    image = np.full((8, 8, 3), 77, np.uint8)
    out = np.zeros_like(image)
    sample(
        pad_image(np.tile(image, (9, 9, 1))),
        np.full((8, 8, 2), 1e6, np.float32),
        PADDING,
        image.astype(np.float32),
        out,
    )
    assert (out == 77).all()


def test_folds_are_softened_and_nothing_else() -> None:
    image = np.zeros((16, 16, 3), np.uint8)
    image[:, 8:] = 200
    smooth = identity_map(16, 16)
    folds = np.empty((16, 16), np.bool_)
    frame = image.copy()
    soften_folds(frame, smooth, folds)
    assert np.array_equal(frame, image)
    torn = smooth.copy()
    torn[:, 8:, 0] += 9
    soften_folds(frame, torn, folds)
    assert 0 < frame[8, 7, 0] < frame[8, 8, 0] < 200
    assert np.array_equal(frame[:, :7], image[:, :7])
    assert np.array_equal(frame[:, 9:], image[:, 9:])
