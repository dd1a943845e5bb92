"""Linear maps in place of the Basel Face Model where it is not given; ``basel_map.md`` says how they were fitted."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file

from expnet.face.face_model_data import FaceModelData
from expnet.face.landmarks import LANDMARKS_68_FROM_MEDIAPIPE

PATH = Path(__file__).with_suffix(".safetensors")
NAME = "bfm-deep3d"
"""Name in commands and configurations of the 68 landmarks of Basel coefficients without the Basel Face Model."""
IDENTITY_SIZE = 80


@lru_cache(maxsize=1)
def _maps() -> dict[str, NDArray[np.float64]]:
    return {name: value.astype(np.float64) for name, value in load_file(PATH).items()}


def basel_expression_change(change: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the change (T, 64) of Basel expression coefficients for a change (T, 64) of the built-in model's."""
    return change.astype(np.float64) @ _maps()["expression"]


def built_in_expression_change(change: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the change (T, 64) of the built-in model's expression coefficients for a change (T, 64) of Basel ones."""
    return change.astype(np.float64) @ _maps()["built_in_expression"]


def basel_origin() -> NDArray[np.float64]:
    """Return the origin of the Basel face (3,) in the face space of the built-in model, in face units."""
    return _maps()["origin"]


def basel_landmark_data(mean: torch.Tensor) -> FaceModelData:
    """Return a face model of the 68 landmarks alone, driven by Basel expression coefficients.

    Identity coefficients do not change it: the landmarks of a person differ from the mean face's by what no clip here
    could tell apart from the tracker's bias.

    Args:
        mean: (V, 3) mean of the built-in face model, whose landmarks are its own.
    """
    marks = mean[list(LANDMARKS_68_FROM_MEDIAPIPE)].double() - torch.from_numpy(basel_origin())
    basis = torch.from_numpy(_maps()["landmark_basis"])
    return FaceModelData(
        mean=marks.float(),
        identity_basis=torch.zeros(len(marks), 3, IDENTITY_SIZE),
        expression_basis=basis.float(),
        triangles=torch.zeros(0, 3, dtype=torch.long),
        landmark_indices=torch.arange(len(marks)),
        name="bfm2009",
    )
