"""Reads SadTalker's published renderer by parameter name.

==========================================  ================================  =======================================
file                                        tensors                           networks
==========================================  ================================  =======================================
``SadTalker_V0.0.2_{256,512}.safetensors``  ``generator.*, kp_extractor.*``,  generator, keypoint detector, regressor
                                            ``face_3drecon.*``                of Basel coefficients
``mapping_00109-model.pth.tar``             ``mapping``                       mapping network of the whole image (73)
``mapping_00229-model.pth.tar``             ``mapping``                       mapping network of a crop (70)
``facevid2vid_00189-model.pth.tar``         ``he_estimator``                  pose estimator
==========================================  ================================  =======================================

Source: OpenTalker/SadTalker ``src/utils/model2safetensor.py`` and ``src/facerender/animate.py``. Nothing is downloaded,
and no code in a file is run.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from torch import Tensor, nn

from expnet.errors import InputError
from expnet.models.coefficient_regressor import CoefficientRegressor
from expnet.models.face_vid2vid.generator import FaceGenerator
from expnet.models.face_vid2vid.keypoints import KeypointDetector
from expnet.models.face_vid2vid.mapping import COEFFICIENTS, MappingNetwork
from expnet.models.face_vid2vid.pose_estimator import PoseEstimator
from expnet.models.published_weights import fill, read_checkpoint, read_safetensors_below, safetensors_names

Network = TypeVar("Network", bound=nn.Module)

GROUPS = {"generator": "generator", "keypoint detector": "kp_extractor", "coefficient regressor": "face_3drecon"}
"""The networks of the renderer and the first part of their tensors' names in the safetensors files."""


def load_generator(path: str | Path) -> FaceGenerator:
    """Read the generator, with its spectral normalisation folded into the weights.

    Raises:
        InputError: The file cannot be read, lacks the network, or holds one of other shapes.
    """
    return _frozen(FaceGenerator(), fold_spectral_norm(_group(path, "generator")), path)


def load_keypoint_detector(path: str | Path) -> KeypointDetector:
    """Read the keypoint detector; errors as in `load_generator`."""
    return _frozen(KeypointDetector(), _group(path, "keypoint detector"), path)


def load_coefficient_regressor(path: str | Path) -> CoefficientRegressor:
    """Read the regressor of Basel coefficients; errors as in `load_generator`."""
    return _frozen(CoefficientRegressor(), _group(path, "coefficient regressor"), path)


def load_mapping(path: str | Path) -> MappingNetwork:
    """Read the mapping network of a crop or of the whole image, as the file has it; errors as in `load_generator`."""
    state = _entry(path, "mapping")
    first = state.get("first.0.weight")
    inputs = 0 if first is None or first.ndim != 3 else first.shape[1]
    if inputs not in COEFFICIENTS.values():
        known = " or ".join(map(str, COEFFICIENTS.values()))
        raise InputError(f"{path} does not hold SadTalker's mapping network, which reads {known} coefficients a frame.")
    return _frozen(MappingNetwork(inputs), state, path)


def load_pose_estimator(path: str | Path) -> PoseEstimator:
    """Read the pose estimator; errors as in `load_generator`."""
    return _frozen(PoseEstimator(), _entry(path, "he_estimator"), path)


def fold_spectral_norm(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Replace ``weight_orig`` and its singular vectors u, v by the normalised weight ``W / (u^T W v)``.

    Source: Miyato et al. 2018, as in ``torch.nn.utils.spectral_norm`` in evaluation mode.
    """
    folded = {}
    for name, value in state.items():
        layer, _, part = name.rpartition(".")
        if part == "weight_orig":
            u, v = (state.get(f"{layer}.weight_{vector}") for vector in "uv")
            if u is None or v is None:
                raise InputError(f"the weight {name} lacks its singular vectors weight_u and weight_v.")
            folded[f"{layer}.weight"] = value / (u @ value.flatten(1) @ v)
        elif part not in ("weight_u", "weight_v"):
            folded[name] = value
    return folded


def _group(path: str | Path, network: str) -> dict[str, Tensor]:
    """Read the tensors of one network from the safetensors file."""
    prefix = f"{GROUPS[network]}."
    if not any(name.startswith(prefix) for name in safetensors_names(path)):
        raise InputError(
            f"{path} lacks the {network} of SadTalker's renderer: none of its tensors is named {prefix}*; use "
            "SadTalker_V0.0.2_256.safetensors or SadTalker_V0.0.2_512.safetensors as published."
        )
    return read_safetensors_below(path, prefix)


def _entry(path: str | Path, entry: str) -> dict[str, Tensor]:
    """Read one state dict of a training checkpoint."""
    state = read_checkpoint(path).get(entry)
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path} is not SadTalker's checkpoint of that network: it has no weights called '{entry}'.")
    return state


def _frozen(network: Network, state: dict[str, Tensor], path: str | Path) -> Network:
    return fill(network, state, path).requires_grad_(False)
