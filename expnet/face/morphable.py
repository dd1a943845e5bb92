"""Linear morphable face models: vertices = mean + identity_basis . alpha + expression_basis . beta.

Three models behind one class: the built-in one on the MediaPipe mesh (``mediapipe468.md`` beside this file says how
it was made), BFM-2009 in Deep3DFaceRecon's layout, and FLAME; the last two from a path that the user gives.
"""

import json
import logging
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from expnet.errors import InputError
from expnet.face.landmarks import LANDMARKS_68_FROM_MEDIAPIPE

logger = logging.getLogger(__name__)

BUILTIN_NAME = "mediapipe468"
BUILTIN_PATH = Path(__file__).with_name(f"{BUILTIN_NAME}.safetensors")

# Rigidity of the 68 landmarks for models that have not learnt their own: jaw, brows, nose, eyes, mouth.
_LANDMARK_RIGIDITY = [0.5] * 17 + [0.6] * 10 + [2.0] * 9 + ([2.0, 0.5, 0.5] * 4) + [0.2] * 20


class MorphableModel(nn.Module):
    """A linear face model and what fitting it to tracked points needs.

    Letters: V vertices, K identity and E expression components, P fitted points. Units are face units
    (docs/conventions.md): x to the image's right, y up, z toward the viewer, mean eye centres 0.62 apart.
    All buffers are non-persistent: a network that holds a face model does not write it into its checkpoint.

    Args:
        mean: (V, 3).
        identity_basis: (V, 3, K), for coefficients of unit variance.
        expression_basis: (V, 3, E), for coefficients of unit variance.
        triangles: (F, 3) vertex indices.
        landmark_indices: (68,) vertices of the iBUG landmarks.
        name: goes into ``FaceCoefficients.face_model``.
        fit_vertices: (P,) vertices that tracked points fix; the 68 landmarks if None.
        fit_points: (P,) MediaPipe points that belong to them; the 68 landmarks if None.
        fit_weights: (P,) weights of the squared errors in the fit, mean 1.
        rigidity: (P,) weights for the head pose: large where a face moves little.
        noise: what the expression basis misses of a frame, rms in face units.
        identity_noise: what both bases miss of a new person's average face, rms in face units.
        depth_weight: weight of the squared error along z relative to x and y.
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

    def __init__(
        self,
        mean: Tensor,
        identity_basis: Tensor,
        expression_basis: Tensor,
        triangles: Tensor,
        landmark_indices: Tensor,
        *,
        name: str,
        fit_vertices: Tensor | None = None,
        fit_points: Tensor | None = None,
        fit_weights: Tensor | None = None,
        rigidity: Tensor | None = None,
        noise: float = 0.01,
        identity_noise: float = 0.02,
        depth_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.name = name
        self.noise = noise
        self.identity_noise = identity_noise
        self.depth_weight = depth_weight
        if fit_vertices is None or fit_points is None:
            fit_vertices, fit_points = landmark_indices, torch.tensor(LANDMARKS_68_FROM_MEDIAPIPE)
            rigidity = torch.tensor(_LANDMARK_RIGIDITY) if rigidity is None else rigidity
        points = len(fit_vertices)
        buffers = {
            "mean": mean.float(),
            "identity_basis": identity_basis.float(),
            "expression_basis": expression_basis.float(),
            "triangles": triangles.long(),
            "landmark_indices": landmark_indices.long(),
            "fit_vertices": fit_vertices.long(),
            "fit_points": fit_points.long(),
            "fit_weights": torch.ones(points) if fit_weights is None else fit_weights.float(),
            "rigidity": torch.ones(points) if rigidity is None else rigidity.float(),
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
        """Every vertex of the face.

        Args:
            identity: (..., K), or (K,) for all.
            expression: (..., E).

        Returns:
            (..., V, 3) in face units, head looking straight ahead.
        """
        return _combine(self.mean, self.identity_basis, self.expression_basis, identity, expression)

    def landmarks(self, identity: Tensor, expression: Tensor) -> Tensor:
        """The 68 landmarks, (..., 68, 3) in face units; only these rows are computed."""
        rows = self.landmark_indices
        return _combine(self.mean[rows], self.identity_basis[rows], self.expression_basis[rows], identity, expression)

    def forward(self, identity: Tensor, expression: Tensor) -> Tensor:
        """Same as :meth:`vertices`."""
        return self.vertices(identity, expression)


def _combine(mean: Tensor, identity_basis: Tensor, expression_basis: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    rows = mean.shape[0]
    shape = alpha @ identity_basis.flatten(0, 1).T + beta @ expression_basis.flatten(0, 1).T  # (..., 3V)
    return shape.unflatten(-1, (rows, 3)) + mean


def read_builtin(path: Path = BUILTIN_PATH) -> MorphableModel:
    """Read a face model in expnet's own safetensors layout, as ``scripts/build_face_model.py`` writes it.

    Raises:
        InputError: if there is no such file or it is not such a file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            data = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
            facts = json.loads((file.metadata() or {})["face_model"])
        return MorphableModel(
            data["mean"],
            data["identity_basis"],
            data["expression_basis"],
            data["triangles"],
            data["landmark_indices"],
            name=str(facts["name"]),
            fit_vertices=torch.arange(len(data["mean"])),
            fit_points=torch.arange(len(data["mean"])),
            fit_weights=data["fit_weights"],
            rigidity=data["rigidity"],
            noise=float(facts["noise"]),
            identity_noise=float(facts["identity_noise"]),
        )
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such face model file; give an existing path") from error
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise InputError(
            f"{path} is not a face model ({error}); expected a file written by scripts/build_face_model.py"
        ) from error


@lru_cache(maxsize=1)
def builtin_face_model() -> MorphableModel:
    """The built-in model, read once; do not change its buffers (``copy.deepcopy`` it to move it to a device)."""
    return read_builtin()


def load_face_model(spec: str | Path = BUILTIN_NAME) -> MorphableModel:
    """Load a face model by name or file.

    Args:
        spec: "mediapipe468", or the path of a BFM-2009 .mat (Deep3DFaceRecon's BFM_model_front.mat), of a FLAME
            .pkl or .npz, or of a .safetensors written by scripts/build_face_model.py.

    Returns:
        The model, on the CPU.

    Raises:
        InputError: if the file is missing or is not a face model.
    """
    if str(spec) == BUILTIN_NAME:
        return builtin_face_model()
    from expnet.face.model_files import load_bfm, load_flame

    path = Path(spec).expanduser()
    loaders: dict[str, Callable[[Path], MorphableModel]] = {
        ".mat": load_bfm,
        ".pkl": load_flame,
        ".npz": load_flame,
        ".safetensors": read_builtin,
    }
    loader = loaders.get(path.suffix.lower())
    if loader is None:
        raise InputError(
            f"face model {str(spec)!r} is not known; expected {BUILTIN_NAME!r}, or a BFM .mat, FLAME .pkl or .npz, "
            "or .safetensors file"
        )
    if not path.is_file():
        raise InputError(f"{path}: there is no such face model file; give an existing path")
    logger.info("face model: %s", path)
    return loader(path)
