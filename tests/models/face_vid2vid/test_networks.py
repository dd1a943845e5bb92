"""SadTalker's renderer in small cases, checked by hand, and values frozen when it agreed with the original code."""

from __future__ import annotations

import ast
import json
import math
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from expnet.assets.catalogue import ASSETS
from expnet.errors import InputError
from expnet.models.coefficient_regressor import CoefficientRegressor
from expnet.models.face_vid2vid.dense_motion import DenseMotion
from expnet.models.face_vid2vid.generator import FaceGenerator
from expnet.models.face_vid2vid.grids import volume_grid
from expnet.models.face_vid2vid.head_motion import HeadMotion, expected_degrees, move_keypoints
from expnet.models.face_vid2vid.keypoints import KeypointDetector
from expnet.models.face_vid2vid.mapping import MappingNetwork
from expnet.models.face_vid2vid.pose_estimator import PoseEstimator
from expnet.models.face_vid2vid.published import (
    fold_spectral_norm,
    load_coefficient_regressor,
    load_generator,
    load_mapping,
    load_pose_estimator,
)
from expnet.models.face_vid2vid.sizes import SMALL

NAMES = Path(__file__).parent.with_name("sadtalker_names.txt")


def waves(network: nn.Module) -> nn.Module:
    """Weights without a random generator: sines, as large as keeps the signal's size; batch statistics as new."""
    start = 0.0
    for name, value in network.state_dict().items():
        if value.dtype.is_floating_point and not name.endswith(("running_mean", "running_var", "down.weight")):
            phase = start + 0.7 * torch.arange(value.numel(), dtype=torch.float64)
            fan_in = value[0].numel() if value.ndim > 1 else 100
            value.copy_((phase.sin() * (4 / fan_in) ** 0.5).view_as(value))
            start += 1.0
    return network.eval()


def picture(side: int = 32) -> Tensor:
    line = torch.linspace(0.0, 1.0, side)
    return torch.stack(
        [line.expand(side, side), line[:, None].expand(side, side), (9 * line).sin().expand(side, side)]
    )[None].abs()


def keypoints(shift: float) -> Tensor:
    return torch.tensor([[[-0.5, -0.4, 0.1], [0.4, -0.3, 0.0], [0.0, 0.5, -0.2]]]) + shift


def test_the_grid_runs_from_minus_one_to_one_in_the_order_x_y_depth() -> None:
    grid = volume_grid(2, 3, 5, torch.zeros(()))
    assert grid.shape == (2, 3, 5, 3)
    torch.testing.assert_close(grid[1, 0, 4], torch.tensor([1.0, -1.0, 1.0]))
    torch.testing.assert_close(grid[0, 1, 1], torch.tensor([-0.5, 0.0, -1.0]))


def test_classes_of_angles_are_three_degrees_wide_and_begin_at_minus_99() -> None:
    scores = torch.full((2, 66), -1e4)
    scores[0, 33], scores[1, [40, 44]] = 0.0, 0.0
    torch.testing.assert_close(expected_degrees(scores), torch.tensor([0.0, 27.0]))


def test_keypoints_turn_then_shift_in_y_only_and_take_the_expression() -> None:
    scores = torch.full((3, 1, 66), -1e4)
    scores[0, 0, 43], scores[1:, 0, 33] = 0.0, 0.0  # a yaw of 30 degrees
    motion = HeadMotion(*scores, torch.tensor([[5.0, 0.25, 7.0]]), torch.tensor([[0.0, 0.0, 0.0, 0.1, 0.2, 0.3]]))
    angle = 30 / 180 * 3.14
    moved = move_keypoints(torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]), motion)
    expected = [[math.cos(angle), 0.25, -math.sin(angle)], [0.1, 1.45, 0.3]]
    torch.testing.assert_close(moved[0], torch.tensor(expected))


def test_keypoints_that_stay_keep_the_volume_in_place() -> None:
    network = waves(DenseMotion(SMALL))
    with torch.no_grad():
        compressed = network.compressed(torch.rand(1, 2, 4, 8, 8))
        still = network(compressed, keypoints(0.0), keypoints(0.0))
        moved = network(compressed, keypoints(0.1), keypoints(0.0))
    grid = volume_grid(4, 8, 8, compressed)
    # Shares below a thousandth are dropped, so the proposals may sum to a little less than one.
    torch.testing.assert_close(still.grid[0], grid, atol=3e-3, rtol=0)
    shift = (moved.grid[0] - grid).flatten(0, 2)
    assert (shift.mean(dim=0) < -0.02).all(), "what moves to the right comes from the left"
    assert (shift > -0.1 - 3e-3).all()


def test_keypoints_without_preference_are_in_the_middle() -> None:
    network = KeypointDetector(SMALL).eval()
    nn.init.zeros_(network.kp.weight)
    with torch.no_grad():
        torch.testing.assert_close(network(picture()), torch.zeros(1, 3, 3), atol=1e-6, rtol=0)


def test_the_detector_sees_a_constant_image_as_constant_inside() -> None:
    shrunk = KeypointDetector(SMALL).down(torch.full((1, 3, 64, 64), 0.5))
    assert shrunk.shape == (1, 3, 16, 16)
    torch.testing.assert_close(shrunk[:, :, 2:-2, 2:-2], torch.full((1, 3, 12, 12), 0.5))


def test_frozen_values() -> None:
    """These were computed when every network agreed with the original code (test_against_original.py)."""
    with torch.no_grad():
        frame = waves(FaceGenerator(SMALL))(picture(), keypoints(0.2), keypoints(0.0))
        found = waves(KeypointDetector(SMALL))(picture(64))
        motion = waves(MappingNetwork(70, SMALL))(torch.linspace(-1, 1, 70 * 27).view(1, 70, 27))
        pose = waves(PoseEstimator(3, 8))(picture(64))
        face = waves(CoefficientRegressor(((4, 1), (4, 2), (4, 1), (4, 1))))(picture(64))
    rows = [
        torch.stack([frame.mean(), frame.std(), *frame[0, :, 10, 20]]),
        found.flatten()[:5],
        torch.stack([motion.yaw[0, 3], motion.roll[0, 60], motion.translation[0, 1], *motion.expression[0, :2]]),
        torch.stack([pose.yaw[0, 3], pose.roll[0, 60], pose.translation[0, 1], *pose.expression[0, :2]]),
        face[0, [0, 80, 144, 226, 256]],
    ]
    expected = torch.tensor(FROZEN)
    torch.testing.assert_close(torch.stack(rows), expected, atol=2e-5, rtol=2e-5)


FROZEN = [
    [0.495458, 0.317044, 0.785072, 0.779873, 0.761409],
    [0.0025989, 0.274201, -0.00199491, 0.00582933, 0.259831],
    [-0.973727, -0.616438, 1.25904, -1.03779, -0.84206],
    [-3.36211, -0.535416, -1.70697, 2.74114, -2.32803],
    [-0.238531, 0.0260772, 0.216827, -0.0825614, -0.158098],
]


def test_the_source_is_encoded_once_for_all_of_its_frames() -> None:
    network = waves(FaceGenerator(SMALL))
    with torch.no_grad():
        source = network.encode(picture())
        torch.testing.assert_close(
            network.decode(source, keypoints(0.1), keypoints(0.0)), network(picture(), keypoints(0.1), keypoints(0.0))
        )


def test_the_generator_trains_with_spectral_norms() -> None:
    network = FaceGenerator(SMALL, spectral=True)
    network(
        picture().repeat(2, 1, 1, 1), keypoints(0.1).repeat(2, 1, 1), keypoints(0.0).repeat(2, 1, 1)
    ).mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_spectral_norms_fold_into_weights() -> None:
    layer = torch.nn.utils.spectral_norm(nn.Conv2d(3, 5, 3))
    for _ in range(5):
        layer(torch.rand(1, 3, 8, 8))
    image = torch.rand(1, 3, 8, 8)
    plain = nn.Conv2d(3, 5, 3)
    state = {f"conv.{name}": value for name, value in layer.eval().state_dict().items()}
    plain.load_state_dict({name.removeprefix("conv."): value for name, value in fold_spectral_norm(state).items()})
    torch.testing.assert_close(plain(image), layer(image))
    del state["conv.weight_u"]
    with pytest.raises(InputError, match=r"conv\.weight_orig lacks its singular vectors"):
        fold_spectral_norm(state)


def test_a_file_without_a_group_of_tensors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "SadTalker_V0.0.2_256.safetensors"
    save_file({"audio2exp.mapping1.weight": torch.zeros(3), "face_3drecon.backbone.conv1.weight": torch.zeros(2)}, path)
    with pytest.raises(InputError, match=r"lacks the generator of SadTalker's renderer: none of its tensors"):
        load_generator(path)
    with pytest.raises(InputError, match="does not hold the weights of CoefficientRegressor"):
        load_coefficient_regressor(path)
    path.write_bytes(b"not safetensors")
    with pytest.raises(InputError, match="not a readable safetensors file"):
        load_generator(path)


def test_another_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mapping_00109-model.pth.tar"
    torch.save({"mapping": {"first.0.weight": torch.zeros(8, 71, 7)}}, path)
    with pytest.raises(InputError, match="reads 70 or 73 coefficients a frame"):
        load_mapping(path)
    with pytest.raises(InputError, match="no weights called 'he_estimator'"):
        load_pose_estimator(path)
    torch.save([1, 2], path)
    with pytest.raises(InputError, match="no weights called 'mapping'"):
        load_mapping(path)


def test_the_networks_are_those_of_the_published_file_to_the_byte() -> None:
    """The published file has 725 066 984 bytes: its header with every name and shape, and the tensors."""
    tensors = {}
    networks = {
        "generator": FaceGenerator(),
        "kp_extractor": KeypointDetector(),
        "face_3drecon": CoefficientRegressor(),
    }
    for group, network in networks.items():
        for name, value in network.state_dict().items():
            tensors[f"{group}.{name}"] = list(value.shape)
            if re.fullmatch(r"decoder\.(G_middle|up)_\d\.conv_[01s]\.weight", name):  # spectrally normalised
                tensors[f"{group}.{name}_orig"] = tensors.pop(f"{group}.{name}")
                tensors[f"{group}.{name}_u"] = [len(value)]
                tensors[f"{group}.{name}_v"] = [value[0].numel()]
    for line in NAMES.read_text().splitlines()[1:]:
        name, _, shape = line.partition(" ")
        tensors[name] = list(ast.literal_eval(shape))
    end, header = 0, {}
    for name in sorted(tensors, key=lambda name: (not name.endswith("num_batches_tracked"), name)):
        counts = name.endswith("num_batches_tracked")
        begin, end = end, end + math.prod(tensors[name]) * (8 if counts else 4)
        header[name] = {"dtype": "I64" if counts else "F32", "shape": tensors[name], "data_offsets": [begin, end]}
    text = len(json.dumps(header, separators=(",", ":")))
    assert 8 + -(-text // 8) * 8 + end == ASSETS["sadtalker-256"].size == 725_066_984
