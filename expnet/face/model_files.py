"""Readers of face model files: expnet's own format, and the two licensed models BFM-2009 and FLAME.

BFM and FLAME may not be redistributed, so expnet ships neither and reads the user's files. Both are converted to face
units and 64 expression components, and are fitted to tracked points through the 68 landmarks.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from expnet.coefficients import EXPRESSION_SIZE
from expnet.errors import InputError
from expnet.face.face_model_data import FaceModelData
from expnet.face.landmarks import LEFT_EYE, RIGHT_EYE
from expnet.face.safe_pickle import load_arrays
from expnet.face.template import EYE_DISTANCE

# The vertices of the iBUG landmarks on FLAME's 5023-vertex mesh (yunik1004/SAiD, data/FLAME_landmarks.txt).
FLAME_LANDMARKS: tuple[int, ...] = (
    *(2210, 1963, 3056, 3424, 3423, 3421, 3419, 3416, 3414, 3635, 3643, 3646, 3650, 3652, 2004, 568, 728),
    *(2567, 337, 338, 3154, 3712, 3868, 2135, 27, 18, 1430),
    *(3560, 3561, 3501, 3564, 2751, 2793, 3556, 1676, 1623),
    *(2428, 2453, 2494, 3631, 2278, 2359, 3832, 1343, 1218, 1154, 995, 829),
    *(2820, 2864, 2774, 3543, 1657, 1749, 1703, 1774, 1802, 3503, 2905, 2881),
    *(2845, 2787, 3531, 1670, 1730, 1804, 3504, 2907),
)
FLAME_VERTICES = 5023
FLAME_SHAPES = 300
FLAME_IDENTITIES = 100
"""Number of FLAME's 300 shape components that are used, as in DECA."""
FLAME_EXPRESSIONS = EXPRESSION_SIZE - 3
FLAME_JAW_JOINT = 2
FLAME_JAW_SCALE = (0.12, 0.02, 0.02)
"""Radians of jaw rotation about x (opening), y and z for a coefficient of 1."""

# The depth of these models differs from that of the tracker's points, so depth counts little in the fit.
DEPTH_WEIGHT = 0.1


def read_own_format(path: Path) -> FaceModelData:
    """Read a face model in expnet's own safetensors layout, as ``scripts/build_face_model.py`` writes it.

    Raises:
        InputError: There is no such file, or it has another layout.
    """
    try:
        with safe_open(path, framework="pt") as file:
            data = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
            facts = json.loads((file.metadata() or {})["face_model"])
        return FaceModelData(
            mean=data["mean"],
            identity_basis=data["identity_basis"],
            expression_basis=data["expression_basis"],
            triangles=data["triangles"],
            landmark_indices=data["landmark_indices"],
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


def read_bfm(path: Path) -> FaceModelData:
    """Read BFM-2009 in Deep3DFaceRecon's layout (BFM_model_front.mat, made by its transferBFM09).

    The keys read are meanshape (1, 3V), idBase (3V, 80), exBase (3V, 64), tri (F, 3) and keypoints (1, 68), the last
    two with 1-based indices. The mean is centred, as in Deep3DFaceRecon. Its unit already is the face unit, and its
    bases are scaled for coefficients of about unit variance. Textures are not read.

    Raises:
        InputError: The file cannot be read or has another layout.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        data = loadmat(path)
    except (MatReadError, ValueError, NotImplementedError, OSError, TypeError, IndexError) as error:
        raise InputError(f"{path} cannot be read as a .mat file ({error}); expected BFM_model_front.mat") from error
    arrays = {key: _array(data, key, path) for key in ("meanshape", "idBase", "exBase", "tri", "keypoints")}
    size = arrays["meanshape"].size
    for key in ("idBase", "exBase"):
        if arrays[key].ndim != 2 or arrays[key].shape[0] != size:
            raise InputError(f"{path}: {key} has shape {arrays[key].shape}, expected ({size}, components)")
    if arrays["exBase"].shape[1] != EXPRESSION_SIZE:
        raise InputError(f"{path}: exBase has {arrays['exBase'].shape[1]} components, expected {EXPRESSION_SIZE}")
    mean = arrays["meanshape"].reshape(-1, 3)
    triangles, landmarks = (
        arrays["tri"].astype(np.int64) - 1,
        arrays["keypoints"].ravel().astype(np.int64) - 1,
    )
    _check_indices(path, len(mean), triangles, landmarks)
    return FaceModelData(
        mean=_tensor(mean - mean.mean(axis=0)),
        identity_basis=_tensor(arrays["idBase"].reshape(len(mean), 3, -1)),
        expression_basis=_tensor(arrays["exBase"].reshape(len(mean), 3, -1)),
        triangles=torch.from_numpy(triangles),
        landmark_indices=torch.from_numpy(landmarks),
        name="bfm2009",
        depth_weight=DEPTH_WEIGHT,
    )


def read_flame(path: Path) -> FaceModelData:
    """Read FLAME (generic_model.pkl, flame2023.pkl, or an .npz with the same keys).

    The keys read are v_template (5023, 3) in metres, shapedirs (5023, 3, 400: 300 shape, then 100 expression), posedirs
    (5023, 3, 36), J_regressor (5, 5023), weights (5023, 5) and f (F, 3). The unpickler builds arrays only and cannot
    run code (:mod:`expnet.face.safe_pickle`).

    The model has 100 shape components, 61 expression components, and the jaw: its rotation about x, y and z, linearised
    at the closed mouth, makes the last three of the 64 expression components (0.12, 0.02 and 0.02 radians for a
    coefficient of 1; skinning and pose correctives included). The linear jaw deviates from the true arc by 1 - cos,
    which is 2 % of the lever arm at 0.2 rad. Neck, eyeball rotation, expressions 62 to 100 and texture are left out.

    Raises:
        InputError: The file has another layout, or holds anything but arrays.
    """
    data = load_arrays(path) if path.suffix.lower() == ".pkl" else _load_npz(path)
    keys = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "f")
    arrays = {key: _array(data, key, path) for key in keys}
    template, shapes = arrays["v_template"], arrays["shapedirs"]
    if template.shape != (FLAME_VERTICES, 3):
        raise InputError(f"{path}: v_template has shape {template.shape}, expected ({FLAME_VERTICES}, 3)")
    needed = FLAME_SHAPES + FLAME_EXPRESSIONS
    if shapes.ndim != 3 or shapes.shape[:2] != template.shape or shapes.shape[2] < needed:
        raise InputError(f"{path}: shapedirs has shape {shapes.shape}, expected ({FLAME_VERTICES}, 3, 400)")
    triangles, landmarks = arrays["f"].astype(np.int64), np.array(FLAME_LANDMARKS)
    _check_indices(path, len(template), triangles, landmarks)
    marks = template[landmarks]
    between = marks[list(RIGHT_EYE)].mean(axis=0) - marks[list(LEFT_EYE)].mean(axis=0)
    unit = EYE_DISTANCE / max(float(np.linalg.norm(between)), 1e-9)  # face units per metre
    expression = np.concatenate([shapes[..., FLAME_SHAPES:needed], _jaw_basis(arrays, path)], axis=-1)
    return FaceModelData(
        mean=_tensor((template - template.mean(axis=0)) * unit),
        identity_basis=_tensor(shapes[..., :FLAME_IDENTITIES] * unit),
        expression_basis=_tensor(expression * unit),
        triangles=torch.from_numpy(triangles),
        landmark_indices=torch.from_numpy(landmarks),
        name="flame",
        depth_weight=DEPTH_WEIGHT,
    )


def _jaw_basis(arrays: Mapping[str, NDArray[np.floating]], path: Path) -> NDArray[np.floating]:
    """Return the scaled derivative of the skinned vertices with respect to the jaw's rotation vector, (5023, 3, 3)."""
    template, weights, poses = arrays["v_template"], arrays["weights"], arrays["posedirs"]
    joints = arrays["J_regressor"]
    expected = {
        "weights": (len(template), 5),
        "posedirs": (len(template), 3, 36),
        "J_regressor": (5, len(template)),
    }
    for key, shape in expected.items():
        if arrays[key].shape != shape:
            raise InputError(f"{path}: {key} has shape {arrays[key].shape}, expected {shape}")
    arm = template - (joints @ template)[FLAME_JAW_JOINT]  # (V, 3)
    corrective = poses[..., 9 * (FLAME_JAW_JOINT - 1) : 9 * FLAME_JAW_JOINT]  # (V, 3, 9) of the jaw's R - I
    columns = []
    for axis, scale in zip(np.eye(3), FLAME_JAW_SCALE, strict=True):
        generator = np.cross(axis, np.eye(3)).T  # d R / d angle: generator @ v == cross(axis, v)
        turned = weights[:, FLAME_JAW_JOINT, None] * np.cross(axis, arm)
        columns.append(scale * (turned + corrective @ generator.ravel()))
    return np.stack(columns, axis=-1)


def _load_npz(path: Path) -> Mapping[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as data:
            return {key: data[key] for key in data.files}
    except (ValueError, OSError, BadZipFile, EOFError) as error:
        raise InputError(f"{path} is not an .npz of plain arrays ({error}); expected a FLAME model") from error


def _array(data: Mapping[str, Any], key: str, path: Path) -> NDArray[np.floating]:
    if key not in data:
        raise InputError(f"{path} has no {key!r}; found {sorted(k for k in data if not str(k).startswith('__'))[:12]}")
    try:
        array = np.asarray(data[key], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: {key!r} is not an array of numbers, expected one") from error
    if not np.isfinite(array).all():
        raise InputError(f"{path}: {key!r} holds values that are not finite")
    return array


def _check_indices(path: Path, vertices: int, triangles: NDArray[np.int64], landmarks: NDArray[np.int64]) -> None:
    if triangles.ndim != 2 or triangles.shape[1] != 3 or triangles.min() < 0 or triangles.max() >= vertices:
        raise InputError(f"{path}: the triangles do not index {vertices} vertices in threes")
    if landmarks.shape != (68,) or landmarks.min() < 0 or landmarks.max() >= vertices:
        raise InputError(f"{path}: the landmarks are not 68 indices of {vertices} vertices")


def _tensor(array: NDArray[np.floating]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
