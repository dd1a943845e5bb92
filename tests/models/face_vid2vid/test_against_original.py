"""Each network of SadTalker's renderer beside the original code with the same random weights.

The original is not part of this project. To run these tests, check out https://github.com/OpenTalker/SadTalker and name
its folder: ``EXPNET_SADTALKER_SOURCE=/path/to/SadTalker pytest tests/models/face_vid2vid``.
"""

from __future__ import annotations

import importlib
import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor, nn

from expnet.models.face_vid2vid.head_motion import HeadMotion, move_keypoints
from expnet.models.face_vid2vid.published import (
    load_coefficient_regressor,
    load_generator,
    load_keypoint_detector,
    load_mapping,
    load_pose_estimator,
)

SOURCE = os.environ.get("EXPNET_SADTALKER_SOURCE")
pytestmark = pytest.mark.skipif(
    SOURCE is None, reason="the original code is not here: name a checkout of OpenTalker/SadTalker"
)
SIDE = 128
"""The smallest side whose features the hourglass can halve five times."""


@pytest.fixture(scope="module")
def original() -> Iterator[Any]:
    """Imports modules of the original, with an empty kornia, which only training calls."""
    assert SOURCE is not None
    kornia, geometry = types.ModuleType("kornia"), types.ModuleType("kornia.geometry")
    geometry.warp_affine = None  # type: ignore[attr-defined]
    sys.modules.setdefault("kornia", kornia)
    sys.modules.setdefault("kornia.geometry", geometry)
    sys.path.insert(0, SOURCE)
    yield lambda name: importlib.import_module(f"src.{name}")
    sys.path.remove(SOURCE)


@pytest.fixture(scope="module")
def options() -> dict[str, Any]:
    text = (Path(SOURCE or "") / "src/config/facerender_still.yaml").read_text()
    return yaml.safe_load(text)["model_params"]


def randomise(network: nn.Module) -> nn.Module:
    """Random weights that keep the signal's size, and batch statistics away from 0 and 1."""
    generator = torch.Generator().manual_seed(0)
    for name, value in network.state_dict().items():
        if name.endswith(("num_batches_tracked", "down.weight")):
            continue
        if name.endswith("running_var"):
            value.copy_(0.5 + torch.rand(value.shape, generator=generator))
        elif value.ndim > 1:
            value.copy_(torch.randn(value.shape, generator=generator) * (2 / value[0].numel()) ** 0.5)
        elif name.endswith(("weight_u", "weight_v")):
            value.copy_(nn.functional.normalize(torch.randn(value.shape, generator=generator), dim=0))
        else:
            value.copy_(0.1 * torch.randn(value.shape, generator=generator) + (name.endswith("norm.weight")))
    # The stored singular vectors of spectral norms belong to their weights after some power iterations.
    network.train()
    for module in network.modules():
        for hook in list(module._forward_pre_hooks.values()):
            for _ in range(20):
                hook(module, ())
    return network.eval()


def published(folder: Path, prefix: str, network: nn.Module) -> Path:
    path = folder / f"{prefix}.safetensors"
    save_file({f"{prefix}.{name}": value.contiguous() for name, value in network.state_dict().items()}, path)
    return path


def checkpoint(folder: Path, entry: str, network: nn.Module) -> Path:
    path = folder / f"{entry}-model.pth.tar"
    torch.save({entry: network.state_dict(), "epoch": 109}, path)
    return path


def images(count: int = 1, side: int = SIDE) -> Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1))


def keypoints(seed: int, count: int = 1) -> Tensor:
    return torch.rand(count, 15, 3, generator=torch.Generator().manual_seed(seed)) * 1.6 - 0.8


def differs(ours: Tensor, theirs: Tensor) -> float:
    """Largest absolute difference; the outputs must not be constant, or they would say nothing."""
    assert theirs.std() > 1e-3
    return float((ours - theirs).abs().max())


@torch.no_grad()
def test_generator(original: Any, options: dict[str, Any], tmp_path: Path) -> None:
    kind = original("facerender.modules.generator").OcclusionAwareSPADEGenerator
    theirs = randomise(kind(**options["generator_params"], **options["common_params"]))
    ours = load_generator(published(tmp_path, "generator", theirs))
    image, driving, source = images(), keypoints(2), keypoints(3)
    expected = theirs(image, kp_driving={"value": driving}, kp_source={"value": source})["prediction"]
    assert differs(ours(image, driving, source), expected) < 1e-4


@torch.no_grad()
def test_keypoint_detector(original: Any, options: dict[str, Any], tmp_path: Path) -> None:
    kind = original("facerender.modules.keypoint_detector").KPDetector
    theirs = randomise(kind(**options["kp_detector_params"], **options["common_params"]))
    ours = load_keypoint_detector(published(tmp_path, "kp_extractor", theirs))
    assert differs(ours(images(2)), theirs(images(2))["value"]) < 1e-4


@torch.no_grad()
def test_pose_estimator(original: Any, options: dict[str, Any], tmp_path: Path) -> None:
    kind = original("facerender.modules.keypoint_detector").HEEstimator
    theirs = randomise(kind(**options["he_estimator_params"], **options["common_params"]))
    ours = load_pose_estimator(checkpoint(tmp_path, "he_estimator", theirs))
    expected = theirs(images(2))
    for name, value in ours(images(2))._asdict().items():
        assert differs(value, expected[{"translation": "t", "expression": "exp"}.get(name, name)]) < 1e-4


@pytest.mark.parametrize("coefficients", [70, 73])
@torch.no_grad()
def test_mapping(original: Any, options: dict[str, Any], tmp_path: Path, coefficients: int) -> None:
    kind = original("facerender.modules.mapping").MappingNet
    theirs = randomise(kind(**{**options["mapping_params"], "coeff_nc": coefficients}))
    ours = load_mapping(checkpoint(tmp_path, "mapping", theirs))
    window = torch.randn(3, coefficients, 27, generator=torch.Generator().manual_seed(4))
    expected = theirs(window)
    for name, value in ours(window)._asdict().items():
        assert differs(value, expected[{"translation": "t", "expression": "exp"}.get(name, name)]) < 1e-4


@torch.no_grad()
def test_keypoint_motion(original: Any) -> None:
    generator = torch.Generator().manual_seed(5)
    parts = [torch.randn(4, size, generator=generator) for size in (66, 66, 66, 3, 45)]
    names = ("yaw", "pitch", "roll", "t", "exp")
    canonical = keypoints(6, 4)
    moved = move_keypoints(canonical, HeadMotion(*(part.clone() for part in parts)))
    transform = original("facerender.modules.make_animation").keypoint_transformation
    assert differs(moved, transform({"value": canonical}, dict(zip(names, parts, strict=True)))["value"]) < 1e-5


@torch.no_grad()
def test_coefficient_regressor(original: Any, tmp_path: Path) -> None:
    theirs = randomise(original("face3d.models.networks").define_net_recon("resnet50", use_last_fc=False, init_path=""))
    ours = load_coefficient_regressor(published(tmp_path, "face_3drecon", theirs))
    assert differs(ours(images(2, 224)), theirs(images(2, 224))) < 1e-4
