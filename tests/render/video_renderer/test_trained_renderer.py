"""The trained renderer on a small random network: drawing, lids, streaming, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from expnet.errors import InputError
from expnet.face.facial_features import close_lids, feature_space
from expnet.models.saved_model import save_model
from expnet.models.video_renderer import VideoRenderer
from expnet.render.face_vid2vid.face_crop import face_crop
from expnet.render.open_renderer import open_renderer
from expnet.render.portrait import Portrait
from expnet.render.video_renderer.renderer import TrainedRenderer, open_video_renderer

SIZES = {
    "keypoints": 3,
    "width": 4,
    "volume_channels": 2,
    "depth": 4,
    "volume_blocks": 1,
    "motion_width": 4,
    "motion_largest": 8,
    "motion_halvings": 2,
    "compressed": 2,
    "modulation": 4,
    "decoder_blocks": 1,
    "mapping_width": 8,
}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    network = VideoRenderer(size=64, sizes=SIZES).eval()
    return save_model(tmp_path_factory.mktemp("run") / "model.safetensors", network)


@pytest.fixture(scope="module")
def network(file: Path) -> VideoRenderer:
    return open_video_renderer(file, device="cpu")


@pytest.fixture(scope="module")
def opened(portrait: Any) -> Portrait:
    return Portrait(portrait.image, portrait.points, portrait.fit)


def talking(portrait: Any, frames: int) -> Any:
    steps = np.random.default_rng(0).normal(0, 1, (frames, 64)).cumsum(axis=0)
    steps -= steps[0]
    return portrait.driven(frames, expression=steps, rotation=0.01 * steps[:, :3])


def test_the_square_around_the_face_is_drawn_and_the_rest_is_the_portrait(
    portrait: Any, opened: Portrait, network: VideoRenderer
) -> None:
    renderer = TrainedRenderer(opened, portrait.model, network)
    frames = list(renderer.render(talking(portrait, 20)))
    assert renderer.size == opened.image.shape[:2]
    assert len(frames) == 20
    assert all(frame.shape == opened.image.shape and frame.dtype == np.uint8 for frame in frames)
    assert (frames[0] != frames[19]).any(), "the motion must be visible"
    crop = face_crop(opened.landmarks)
    outside = np.ones(opened.image.shape[:2], bool)
    outside[max(crop.top, 0) : crop.top + crop.side, max(crop.left, 0) : crop.left + crop.side] = False
    np.testing.assert_array_equal(frames[19][outside], opened.image[outside])


def test_a_motion_in_parts_has_the_same_frames(portrait: Any, opened: Portrait, network: VideoRenderer) -> None:
    motion = talking(portrait, 30)
    blink = np.zeros(30, np.float32)
    blink[20:24] = 1.0
    renderer = TrainedRenderer(opened, portrait.model, network)
    parts = [
        SimpleNamespace(coefficients=motion[start : start + 7], blink=blink[start : start + 7])
        for start in range(0, 30, 7)
    ]
    whole = list(renderer.render(motion, blink=blink))
    np.testing.assert_array_equal(np.stack(list(renderer.render_parts(parts))), np.stack(whole))
    assert not list(renderer.render_parts([]))


def test_a_blink_closes_the_lids_of_the_expression(portrait: Any) -> None:
    expression = 0.1 * np.random.default_rng(0).normal(size=(3, 64))
    closed = close_lids(portrait.model, portrait.fit.identity, expression, np.array([0.0, 0.5, 1.0]))
    space, identity = feature_space(portrait.model), np.atleast_2d(portrait.fit.identity)[0].astype(np.float64)
    before, after = (space.measured(identity, part)["lids_apart"] for part in (expression, closed))
    assert (before > 0).all()
    np.testing.assert_allclose(after, before * [1.0, 0.5, 0.0], atol=1e-6)
    np.testing.assert_array_equal(closed[0], expression[0])


def test_what_is_opened_draws_as_what_was_trained(file: Path, network: VideoRenderer) -> None:
    """The spectral norm is folded into the weights, which changes no frame."""
    from expnet.models.saved_model import load_model

    trained = load_model(file, "renderer")
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(1, 3, 64, 64, generator=generator)
    windows = torch.randn(2, 1, 70, 27, generator=generator)
    with torch.inference_mode():
        ours, theirs = (model(image, windows[0], windows[1]).frames for model in (network, trained))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    assert sum("parametrizations" in name for name in trained.state_dict())
    assert not sum("parametrizations" in name for name in network.state_dict())


def test_another_face_model_is_refused(portrait: Any, opened: Portrait) -> None:
    other = VideoRenderer(size=64, sizes=SIZES, face_model="FLAME").eval()
    with pytest.raises(InputError, match="trained on coefficients of the face model 'FLAME'"):
        TrainedRenderer(opened, portrait.model, other)


def test_a_face_that_is_too_small_is_refused(portrait: Any, network: VideoRenderer) -> None:
    points = portrait.points * [0.2, 0.2, 0.2]
    with pytest.raises(InputError, match="the face is too small"):
        TrainedRenderer(Portrait(portrait.image, points, portrait.fit), portrait.model, network)


def test_the_file_of_another_network_is_refused(tmp_path: Path) -> None:
    from expnet.models.refiner import Refiner

    path = save_model(tmp_path / "refiner.safetensors", Refiner())
    with pytest.raises(InputError, match="holds a model of the task 'refiner'"):
        open_video_renderer(path)


def test_it_opens_by_its_path_under_the_name_of_its_weights(file: Path, portrait: Any, opened: Portrait) -> None:
    found = open_renderer(str(file), device="cpu")
    assert found.square == 64
    assert found.make_pair is None, "it draws no video without background"
    assert found.name == open_renderer(file, device="cpu").name
    assert found.name.startswith("trained ")
    assert isinstance(found.make(opened, portrait.model), TrainedRenderer)
    with pytest.raises(InputError, match="only SadTalker's renderer has sizes"):
        open_renderer(str(file), size=256)
    with pytest.raises(InputError, match="there is no such file"):
        open_renderer(str(file) + "x")
