"""Triangles of the MediaPipe face mesh, derived from its edges; the mediapipe package has no list of triangles."""

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray


def mesh_triangles(vertices: NDArray[np.floating]) -> NDArray[np.int64]:
    """Find the triangles of MediaPipe's tesselation: its 3-cliques without the spurious ones.

    Three edges can form a triangle that is not a face of the mesh. There are two such triangles, and each of their
    edges already has its two triangles. The eyes and the mouth stay open.

    Args:
        vertices: (468, 3) An average face, x right, y up, z toward the viewer; used only to orient the mesh.

    Returns:
        (852, 3) vertex indices, counter-clockwise as seen from the front, in a fixed order.
    """
    from mediapipe.python.solutions.face_mesh_connections import FACEMESH_TESSELATION

    neighbours: dict[int, set[int]] = defaultdict(set)
    for one, other in FACEMESH_TESSELATION:
        neighbours[one].add(other)
        neighbours[other].add(one)
    cliques = {
        tuple(sorted((a, b, c))) for a in neighbours for b in neighbours[a] for c in neighbours[a] & neighbours[b]
    }
    uses: dict[tuple[int, int], int] = defaultdict(int)
    for a, b, c in cliques:
        for edge in ((a, b), (b, c), (a, c)):
            uses[edge] += 1
    triangles = np.array(sorted((a, b, c) for a, b, c in cliques if not uses[a, b] == uses[b, c] == uses[a, c] == 3))
    return _same_side(triangles.astype(np.int64), vertices)


def _same_side(triangles: NDArray[np.int64], vertices: NDArray[np.floating]) -> NDArray[np.int64]:
    """Wind every triangle like its neighbours (a shared edge runs both ways), and most of them toward the viewer."""
    by_edge: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, (a, b, c) in enumerate(triangles.tolist()):
        for one, other in ((a, b), (b, c), (a, c)):
            by_edge[min(one, other), max(one, other)].append(index)
    wound = triangles.copy()
    done, waiting = {0}, [0]
    while waiting:
        a, b, c = wound[waiting.pop()].tolist()
        for one, other in ((a, b), (b, c), (c, a)):
            for neighbour in by_edge[min(one, other), max(one, other)]:
                if neighbour in done:
                    continue
                row = wound[neighbour].tolist()
                if row[(row.index(one) + 1) % 3] == other:  # the edge runs the same way, so the winding is opposite
                    wound[neighbour] = wound[neighbour][[0, 2, 1]]
                done.add(neighbour)
                waiting.append(neighbour)
    one, other = (vertices[wound[:, k]] - vertices[wound[:, 0]] for k in (1, 2))
    toward = one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]
    return np.ascontiguousarray(wound if toward.sum() > 0 else wound[:, [0, 2, 1]])
