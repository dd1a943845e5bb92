"""Linear morphable face models: vertices = mean + identity_basis . alpha + expression_basis . beta.

One class serves three models: the built-in one on the MediaPipe mesh (``mediapipe468.md`` beside this file says how it
was made), BFM-2009 in Deep3DFaceRecon's layout, and FLAME. The last two are read from files that the user has.
"""

import logging
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from expnet.errors import InputError
from expnet.face import basel_map
from expnet.face.face_model_data import FaceModelData
from expnet.face.landmarks import LANDMARKS_68_FROM_MEDIAPIPE
from expnet.face.model_files import read_bfm, read_flame, read_own_format

logger = logging.getLogger(__name__)

BUILTIN_NAME = "mediapipe468"
BUILTIN_PATH = Path(__file__).with_name(f"{BUILTIN_NAME}.safetensors")

# Rigidity of the 68 landmarks for models that have not learnt their own: jaw, brows, nose, eyes, mouth.
_LANDMARK_RIGIDITY = [0.5] * 17 + [0.6] * 10 + [2.0] * 9 + ([2.0, 0.5, 0.5] * 4) + [0.2] * 20

_READERS: dict[str, Callable[[Path], FaceModelData]] = {
    ".mat": read_bfm,
    ".pkl": read_flame,
    ".npz": read_flame,
    ".safetensors": read_own_format,
}


class MorphableModel(nn.Module):
    """A linear face model.

    Units are face units (docs/reference/conventions.md): x to the image's right, y up, z toward the viewer, mean eye
    centres 0.62 apart. All buffers are non-persistent, so a network that holds a face model does not write it to
    its checkpoint.

    Args:
        data: The arrays of the model, which become buffers of the same names.
    """

    mean: Tensor
    identity_basis: Tensor
    expression_basis: Tensor
    triangles: Tensor
    landmark_indices: Tensor
    fit_vertices: Tensor
    fit_points: Tensor
    fit_weights: Tensor
    rigidity: Tensor

    def __init__(self, data: FaceModelData) -> None:
        super().__init__()
        self.name = data.name
        self.noise = data.noise
        self.identity_noise = data.identity_noise
        self.depth_weight = data.depth_weight
        vertices, points, rigidity = data.fit_vertices, data.fit_points, data.rigidity
        if vertices is None or points is None:
            vertices, points = data.landmark_indices, torch.tensor(LANDMARKS_68_FROM_MEDIAPIPE)
            rigidity = torch.tensor(_LANDMARK_RIGIDITY) if rigidity is None else rigidity
        count = len(vertices)
        buffers = {
            "mean": data.mean.float(),
            "identity_basis": data.identity_basis.float(),
            "expression_basis": data.expression_basis.float(),
            "triangles": data.triangles.long(),
            "landmark_indices": data.landmark_indices.long(),
            "fit_vertices": vertices.long(),
            "fit_points": points.long(),
            "fit_weights": torch.ones(count) if data.fit_weights is None else data.fit_weights.float(),
            "rigidity": torch.ones(count) if rigidity is None else rigidity.float(),
        }
        for key, value in buffers.items():
            self.register_buffer(key, value.contiguous(), persistent=False)

    @property
    def identity_size(self) -> int:
        """Number of identity components K."""
        return self.identity_basis.shape[-1]

    @property
    def expression_size(self) -> int:
        """Number of expression components E."""
        return self.expression_basis.shape[-1]

    @property
    def expression_metric(self) -> Tensor:
        """basis^T basis / V, (E, E): d^T M d is the mean squared shift of a vertex for an expression change d."""
        flat = self.expression_basis.flatten(0, 1)  # (3V, E)
        return flat.T @ flat / self.mean.shape[0]

    def vertices(self, identity: Tensor, expression: Tensor) -> Tensor:
        """Return all vertices of the face.

        Args:
            identity: (..., K), or (K,) for all.
            expression: (..., E).

        Returns:
            (..., V, 3) in face units, with the head looking straight ahead.
        """
        return _combine(self.mean, self.identity_basis, self.expression_basis, identity, expression)

    def landmarks(self, identity: Tensor, expression: Tensor) -> Tensor:
        """Return the 68 landmarks, (..., 68, 3) in face units; only these rows are computed."""
        return self.chosen_vertices(self.landmark_indices, identity, expression)

    def chosen_vertices(self, rows: Tensor, identity: Tensor, expression: Tensor) -> Tensor:
        """Return the vertices with the indices ``rows`` (P,), as (..., P, 3) in face units; no others are computed."""
        return _combine(self.mean[rows], self.identity_basis[rows], self.expression_basis[rows], identity, expression)

    def forward(self, identity: Tensor, expression: Tensor) -> Tensor:
        """Same as :meth:`vertices`."""
        return self.vertices(identity, expression)


def _combine(mean: Tensor, identity_basis: Tensor, expression_basis: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    rows = mean.shape[0]
    shape = alpha @ identity_basis.flatten(0, 1).T + beta @ expression_basis.flatten(0, 1).T  # (..., 3V)
    return shape.unflatten(-1, (rows, 3)) + mean


@lru_cache(maxsize=1)
def builtin_face_model() -> MorphableModel:
    """Return the built-in model, read once.

    The instance is shared, so its buffers must not change: ``copy.deepcopy`` it to move it to a device.
    """
    return MorphableModel(read_own_format(BUILTIN_PATH))


def load_face_model(spec: str | Path = BUILTIN_NAME) -> MorphableModel:
    """Load a face model by name or file.

    Args:
        spec: "mediapipe468", "bfm-deep3d" for the 68 landmarks of Basel coefficients alone
            (`expnet.face.basel_map`), or the path of a BFM-2009 .mat (Deep3DFaceRecon's BFM_model_front.mat), of a
            FLAME .pkl or .npz, or of a .safetensors written by scripts/build_face_model.py.

    Returns:
        The model, on the CPU.

    Raises:
        InputError: The file is missing or is not a face model.
    """
    if str(spec) == BUILTIN_NAME:
        return builtin_face_model()
    if str(spec) == basel_map.NAME:
        return MorphableModel(basel_map.basel_landmark_data(builtin_face_model().mean))
    path = Path(spec).expanduser()
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(
            f"face model {str(spec)!r} is not known; expected {BUILTIN_NAME!r}, {basel_map.NAME!r}, or a BFM .mat, "
            "FLAME .pkl or .npz, or .safetensors file"
        )
    if not path.is_file():
        raise InputError(f"{path}: there is no such face model file; give an existing path")
    logger.info("face model: %s", path)
    return MorphableModel(reader(path))
