"""MediaPipe's models run by LiteRT: the points, boxes and mattes of mediapipe itself, and what is refused."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from skimage import data

from expnet.errors import MissingAssetError
from expnet.face import tracker as tracker_module
from expnet.face.litert import landmark_network as network
from expnet.face.litert.face_detector import average_overlapping
from expnet.face.litert.region import Region, face_region
from expnet.face.mediapipe_backend import Image
from expnet.face.tracker import LiteRtTracker, MediaPipeTracker, detect_faces, open_tracker, track_image
from expnet.face.tracking_models import (
    LANDMARKS,
    PERSON_SEGMENTER,
    TRACKING_MODELS,
    installed_model,
    locate_model,
    open_model,
)

pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")
pytestmark = pytest.mark.skipif(
    any(locate_model(model) is None for model in TRACKING_MODELS), reason="the models are not here"
)
needs_mediapipe = pytest.mark.skipif(
    installed_model(LANDMARKS) is None, reason="mediapipe up to 0.10.21 is not installed"
)


@pytest.fixture(scope="module")
def astronaut() -> Image:
    return data.astronaut()


def distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Distance in the image of points (..., 3)."""
    return np.linalg.norm((one - other)[..., :2], axis=-1)


@needs_mediapipe
@pytest.mark.parametrize("angle", [0, 25, -70])
def test_a_portrait_has_the_points_of_mediapipe(astronaut: Image, angle: int) -> None:
    import cv2

    turned = cv2.warpAffine(astronaut, cv2.getRotationMatrix2D((256, 200), angle, 1), (512, 400))
    one, other = (track_image(turned, tracker=tracker).points for tracker in (MediaPipeTracker(), LiteRtTracker()))
    assert distances(one, other).mean() < 0.02
    assert np.abs(one - other).max() < 0.2


@needs_mediapipe
def test_a_video_has_the_points_of_mediapipe(astronaut: Image) -> None:
    """Differences of rounding grow in a video, because each frame is cropped by the points of the one before."""
    frames = [np.ascontiguousarray(np.roll(astronaut, 3 * shift, axis=1)) for shift in range(8)]
    frames[4:4] = [np.zeros_like(astronaut)]
    one, other = (tracker.track(frames) for tracker in (MediaPipeTracker(), LiteRtTracker()))
    assert one.found.tolist() == other.found.tolist() == [True] * 4 + [False] + [True] * 4
    apart = distances(one.points, other.points)[one.found]
    assert apart.mean() < 0.1
    assert apart.max() < 0.3


@needs_mediapipe
def test_both_detectors_find_the_boxes_of_mediapipe(astronaut: Image) -> None:
    import cv2

    both = np.zeros((512, 812, 3), np.uint8)
    both[:300, :300], both[:, 300:] = cv2.resize(astronaut, (300, 300), interpolation=cv2.INTER_AREA), astronaut
    one, other = (detect_faces(both, tracker=tracker) for tracker in (MediaPipeTracker(), LiteRtTracker()))
    assert len(one) == 2
    np.testing.assert_allclose(one, other, atol=0.1)


@needs_mediapipe
def test_the_matte_is_that_of_mediapipe(astronaut: Image) -> None:
    from expnet.face.litert.person_segmenter import PersonSegmenter
    from expnet.render.person_matte import _segment_by_mediapipe

    wide = np.ascontiguousarray(astronaut[:400])
    mask = PersonSegmenter(open_model(PERSON_SEGMENTER))(wide)
    assert mask.shape == (400, 512)
    assert mask.min() < 0.01
    assert mask.max() > 0.99
    np.testing.assert_allclose(mask, _segment_by_mediapipe(wide), atol=1e-3)


def test_the_person_is_separated_without_mediapipe(astronaut: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    from expnet.render import person_matte

    points = track_image(astronaut, tracker=LiteRtTracker()).points[0]
    monkeypatch.setattr(person_matte, "has_solutions", lambda: False)
    matte = person_matte.person_matte(astronaut, points)
    assert matte is not None
    assert matte[20, 130] < 0.1  # background beside the head
    assert matte[110, 220] > 0.99  # the face


def test_a_missing_segmenter_is_said(only_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    from expnet.render import person_matte

    (only_folder / PERSON_SEGMENTER.file).unlink()
    monkeypatch.setattr(person_matte, "has_solutions", lambda: False)
    assert person_matte._segment(np.zeros((64, 64, 3), np.uint8)) is None
    assert "expnet assets fetch face-tracker" in caplog.text


def test_the_same_models_are_one_identity() -> None:
    assert LiteRtTracker().models == MediaPipeTracker().models
    assert str(LiteRtTracker().models).startswith("mediapipe ")


def test_litert_runs_where_mediapipe_has_no_models(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(open_tracker("litert"), LiteRtTracker)
    monkeypatch.setattr(tracker_module, "has_solutions", lambda: False)
    assert isinstance(open_tracker(), LiteRtTracker)


@pytest.fixture
def only_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder in which models are looked for, with all of them."""
    for model in TRACKING_MODELS:
        shutil.copy(open_model(model), tmp_path / model.file)
    monkeypatch.setattr("expnet.face.tracking_models.mediapipe_folder", lambda: None)
    monkeypatch.setattr("expnet.face.tracking_models.asset_folders", lambda: [tmp_path])
    return tmp_path


def test_fetched_models_serve_without_mediapipe(astronaut: Image, only_folder: Path) -> None:
    assert track_image(astronaut, tracker=LiteRtTracker()).found.all()
    assert open_model(LANDMARKS).parent == only_folder


def test_missing_models_are_one_sentence(astronaut: Image, only_folder: Path) -> None:
    (only_folder / LANDMARKS.file).unlink()
    with pytest.raises(MissingAssetError, match=r"face_landmark_with_attention.*expnet assets fetch face-tracker"):
        track_image(astronaut, tracker=LiteRtTracker())


@pytest.mark.parametrize("change", ["other file", "truncated", "another version"])
def test_a_wrong_model_is_one_sentence(astronaut: Image, only_folder: Path, change: str) -> None:
    place = only_folder / LANDMARKS.file
    content = place.read_bytes()
    place.write_bytes({"other file": b"text", "truncated": content[:-100]}.get(change, content + b"newer"))
    with pytest.raises(MissingAssetError, match=r"another version of this model, or damaged.*delete it"):
        track_image(astronaut, tracker=LiteRtTracker())


def test_without_litert_the_message_says_what_to_do(astronaut: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    monkeypatch.delitem(sys.modules, "ai_edge_litert.interpreter", raising=False)
    with pytest.raises(MissingAssetError, match="pip install ai-edge-litert"):
        track_image(astronaut, tracker=LiteRtTracker())


def test_a_crop_is_the_region_of_the_image() -> None:
    rows, columns = np.mgrid[:60, :80].astype(np.float32)
    image = np.stack([2 * columns, 3 * rows, columns + rows], axis=-1).astype(np.uint8)
    region = Region(40.0, 30.0, 24.0, 24.0, 0.3)
    crop = region.crop(image, 16, low=0.0, zero_border=False)[0] * 255
    grid = np.arange(16, dtype=np.float32) / 16
    unit = np.stack([*np.meshgrid(grid, grid), np.zeros((16, 16), np.float32)], axis=-1).reshape(-1, 3)
    places = region.to_image(unit)
    expected = [map_coordinates(image[..., channel].astype(float), places[:, 1::-1].T, order=1) for channel in range(3)]
    np.testing.assert_allclose(crop.reshape(-1, 3).T, expected, atol=0.6)  # rounded to 1/32 pixel and whole values


def test_an_upright_face_fills_its_region() -> None:
    eyes = np.array([[10.0, 20.0], [30.0, 40.0]], np.float32)
    region = face_region(np.float32([5, 10]), np.float32([45, 70]), eyes[0], eyes[1])
    assert (region.x, region.y, region.width, region.height) == (25.0, 40.0, 90.0, 90.0)
    assert region.angle == pytest.approx(np.pi / 4)


def test_features_are_sampled_in_the_turned_box_of_their_points() -> None:
    points = np.zeros((478, 2), np.float32)
    points[[1, 2, 3]] = (20, 20), (28, 28), (24, 24)  # level at 45 degrees
    points[[4, 5]] = (22, 26), (26, 22)
    matrix = network.crop_matrix(points, (1, 2, 3, 4, 5), 1, 2)
    np.testing.assert_allclose(matrix @ (8, 8, 1), (24, 24), atol=1e-5)  # the middle of the crop
    half = 0.5 * 1.5 * 8 * np.sqrt(2) * np.array([1, 1]) / np.sqrt(2)
    np.testing.assert_allclose(matrix @ (16, 8, 1), half + 24, atol=1e-5)  # its right side
    rows, columns = np.mgrid[:48, :48].astype(np.float32)
    sampled = network.sample_features(np.stack([columns, rows], axis=-1), matrix)
    np.testing.assert_allclose(sampled[7, 11], matrix @ (11.5, 7.5, 1) - 0.5, atol=1e-4)
    outside = network.sample_features(np.ones((48, 48, 1), np.float32), np.float32([[9, 0, 0], [0, 1, 0]]))
    assert set(np.unique(outside)) == {0.0, 1.0}


def test_overlapping_faces_are_averaged_by_score() -> None:
    one, shifted, apart = ([[x, 0], [x + 10, 10], [x + 5, 5]] for x in (0, 2, 40))
    faces = average_overlapping(np.float32([one, apart, shifted]), np.float32([0.75, 0.6, 0.25]))
    np.testing.assert_allclose(faces[0], np.float32(one) + np.float32([0.5, 0]), atol=1e-6)
    np.testing.assert_allclose(faces[1], apart)
    assert average_overlapping(np.zeros((0, 3, 2), np.float32), np.zeros(0, np.float32)) == []
