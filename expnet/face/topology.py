"""Triangles of the MediaPipe face mesh, from the edges in the mediapipe wheel (which holds no triangle list)."""

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray


def mesh_triangles(vertices: NDArray[np.floating]) -> NDArray[np.int64]:
    """Find the triangles of MediaPipe's tesselation: its 3-cliques, less the spurious ones.

    Three edges can close a triangle that is not a face of the mesh (two of them: each of their edges already has its
    two triangles). The eyes and the mouth stay open.

    Args:
        vertices: (468, 3) an average face, x right, y up, z to the viewer; only used to turn each triangle's front
            to the viewer.

    Returns:
        (852, 3) vertex indices, counter-clockwise as seen from the front, in a fixed order.
    """
    from mediapipe.python.solutions.face_mesh_connections import FACEMESH_TESSELATION

    neighbours: dict[int, set[int]] = defaultdict(set)
    for one, other in FACEMESH_TESSELATION:
        neighbours[one].add(other)
        neighbours[other].add(one)
    cliques = {
        tuple(sorted((a, b, c)))
        for a in neighbours
        for b in neighbours[a]
        for c in neighbours[a] & neighbours[b]
    }
    uses: dict[tuple[int, int], int] = defaultdict(int)
    for a, b, c in cliques:
        for edge in ((a, b), (b, c), (a, c)):
            uses[edge] += 1
    triangles = np.array(
        sorted((a, b, c) for a, b, c in cliques if not uses[a, b] == uses[b, c] == uses[a, c] == 3)
    )
    first, second, third = (vertices[triangles[:, k], :2] for k in range(3))
    one, other = second - first, third - first
    clockwise = one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0] < 0
    triangles[clockwise] = triangles[clockwise][:, [0, 2, 1]]
    return triangles.astype(np.int64)
