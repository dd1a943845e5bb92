"""The tracker on scikit-image's bundled portrait: points, streams, several faces, and what is refused."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from skimage import data, transform

from expnet.errors import InputError, MissingAssetError
from expnet.face import mediapipe_backend as backend
from expnet.face.face_follower import only_box
from expnet.face.fitting import fit_clip
from expnet.face.morphable import builtin_face_model
from expnet.face.tracker import (
    LandmarkerTaskTracker,
    MediaPipeTracker,
    detect_faces,
    open_tracker,
    track_image,
)
from expnet.face.tracking_models import LANDMARKS, NEAR_DETECTOR, open_model

pytest.importorskip("mediapipe", reason="the bundled tracker needs mediapipe 0.10.14 (Python 3.11 or 3.12)")

TASK_FILE = Path(__file__).parents[2].parent / "shared" / "assets" / "face_landmarker_v2_with_blendshapes.task"


@pytest.fixture(scope="module")
def astronaut():
    return data.astronaut()


def shrink(image, size):
    return (transform.resize(image, size, anti_aliasing=True) * 255).astype(np.uint8)


@pytest.fixture(scope="module")
def still(astronaut):
    return track_image(astronaut)


def test_points_of_a_portrait(still):
    assert still.points.shape == (1, 478, 3)
    assert still.points.dtype == np.float32
    assert still.found.tolist() == [True]
    assert still.frame_size == (512, 512)
    assert still.landmarks.shape == (1, 68, 2)
    nose, chin = still.landmarks[0, 30], still.landmarks[0, 8]
    assert 200 < nose[0] < 240
    assert 100 < nose[1] < chin[1] < 190


def test_a_cut_and_an_enlarged_portrait_give_the_same_points(astronaut, still):
    cut = track_image(np.ascontiguousarray(astronaut[40:240, 120:340]))
    assert np.abs(cut.points + np.array([120, 40, 0]) - still.points)[..., :2].mean() < 1.5
    large = track_image(shrink(astronaut[:256, 96:352], (768, 768)))
    assert np.abs(large.points / 3 + np.array([96, 0, 0]) - still.points)[..., :2].mean() < 1.5


def test_a_mirrored_portrait_turns_the_other_way(astronaut, still):
    model = builtin_face_model()
    mirrored = track_image(np.ascontiguousarray(astronaut[:, ::-1]))
    one, other = fit_clip(model, still.points), fit_clip(model, mirrored.points)
    np.testing.assert_allclose(one.rotation[0] * [1, -1, -1], other.rotation[0], atol=0.04)


def test_a_stream_is_followed_and_its_gaps_are_marked(astronaut):
    frames = [np.ascontiguousarray(np.roll(astronaut, 4 * shift, axis=1)) for shift in range(5)]
    frames[2:2] = [np.zeros_like(astronaut)]
    track = MediaPipeTracker().track(iter(frames))
    assert track.found.tolist() == [True, True, False, True, True, True]
    assert np.isnan(track.points[2]).all()
    steps = np.diff(track.landmarks[[0, 1, 3, 4, 5], 30, 0])
    np.testing.assert_allclose(steps, 4, atol=2)


def test_the_largest_of_two_faces_is_followed(astronaut):
    small = shrink(astronaut, (300, 300))
    both = np.zeros((512, 812, 3), dtype=np.uint8)
    both[:300, :300], both[:, 300:] = small, astronaut
    boxes = detect_faces(both)
    assert len(boxes) == 2
    assert backend.area(boxes[0]) > backend.area(boxes[1])
    assert boxes[0][0] > 300
    track = MediaPipeTracker().track([both] * 3)
    assert (track.landmarks[:, 30, 0] > 300).all()


def test_two_similar_faces_in_a_portrait_are_refused(astronaut):
    with pytest.raises(InputError, match=r"2 faces of similar size.*crop"):
        track_image(np.concatenate([astronaut, astronaut], axis=1))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (lambda _: np.zeros((300, 200, 3), np.uint8), "no face was found in the 200x300 image"),
        (lambda image: np.ascontiguousarray(image[:16, :16]), "16x16 pixels"),
        (lambda image: shrink(image, (110, 110)), "expected at least 40"),
        (lambda image: image[..., 0], "expected uint8"),
        (lambda image: image / 255.0, "expected uint8"),
    ],
)
def test_unusable_portraits_are_refused_in_one_sentence(astronaut, image, message):
    with pytest.raises(InputError, match=message):
        track_image(image(astronaut))


def test_bad_streams(astronaut):
    with pytest.raises(InputError, match="no frames"):
        MediaPipeTracker().track([])
    with pytest.raises(InputError, match="frame 1 has size"):
        MediaPipeTracker().track([astronaut, np.zeros((100, 100, 3), np.uint8)])


def test_trackers_by_name(tmp_path):
    assert isinstance(open_tracker(), MediaPipeTracker)
    with pytest.raises(InputError, match="not known"):
        open_tracker("dlib")
    with pytest.raises(InputError, match="no such file"):
        open_tracker(tmp_path / "missing.task")
    (tmp_path / "text.task").write_text("not a model")
    with pytest.raises(MissingAssetError, match="cannot be used as a Face Landmarker"):
        open_tracker(tmp_path / "text.task").track([np.zeros((64, 64, 3), np.uint8)])


def test_a_task_of_other_networks_is_refused_at_the_first_face(tmp_path, astronaut):
    """The built-in landmark network gives its points in several outputs, for which MediaPipe's Tasks have no graph."""
    with zipfile.ZipFile(tmp_path / "own.task", "w") as file:
        file.write(open_model(NEAR_DETECTOR), "face_detector.tflite")
        file.write(open_model(LANDMARKS), "face_landmarks_detector.tflite")
    tracker = open_tracker(tmp_path / "own.task")
    assert not tracker.track([np.zeros((64, 64, 3), np.uint8)]).found.any()
    with pytest.raises(MissingAssetError, match=r"own\.task cannot be used as a Face Landmarker model"):
        tracker.track([np.zeros_like(astronaut), astronaut])


@pytest.mark.skipif(not TASK_FILE.is_file(), reason="the Face Landmarker .task file is not here")
def test_both_backends_agree(astronaut, still):
    tracker = LandmarkerTaskTracker(TASK_FILE)
    other = track_image(astronaut, tracker=tracker)
    assert np.abs(other.points - still.points)[..., :2].mean() < 2
    wide = np.concatenate([astronaut, astronaut], axis=1)[:, :512]  # rows with a stride, as video decoders give them
    track = tracker.track([wide] * 3)
    assert track.found.all()
    assert np.abs(track.points[-1] - other.points[0])[..., :2].mean() < 2


def test_without_mediapipe_the_message_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(MissingAssetError, match=r"pip install mediapipe, or leave .* expnet assets fetch face-tracker"):
        backend.import_mediapipe()


def test_a_new_mediapipe_without_models_says_so(monkeypatch):
    monkeypatch.setattr(backend, "import_mediapipe", lambda: type("mediapipe", (), {"__version__": "1.2.2"}))
    with pytest.raises(MissingAssetError, match=r"1\.2\.2 bundles no models; LiteRT.*expnet assets fetch face-tracker"):
        backend.import_solutions()


def test_mediapipe_is_silent_and_imported_on_first_use():
    code = (
        "import sys, expnet.face.tracker as t; assert 'mediapipe' not in sys.modules; from skimage import data; "
        "t.track_image(data.astronaut()); t.MediaPipeTracker().track([data.astronaut()] * 2); "
        "print('done', file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert result.stderr == "done\n"


@pytest.mark.parametrize("extra", [{}, {"visibility": 0.5}])
def test_points_are_read_from_the_message(extra):
    from mediapipe.framework.formats.landmark_pb2 import NormalizedLandmarkList

    numbers = np.random.default_rng(0).normal(size=(478, 3)).astype(np.float32)
    numbers[3] = 0
    message = NormalizedLandmarkList()
    for x, y, z in numbers.tolist():
        message.landmark.add(x=x, y=y, z=z, **extra)
    np.testing.assert_array_equal(backend.normalised_points(message), numbers)


def test_boxes():
    inner, outer, aside = (2, 2, 4, 4), (0, 0, 5, 5), (10, 0, 12, 2)
    assert backend.merge_boxes([aside, inner, outer]) == [outer, aside]
    frame = np.zeros((20, 20, 3), np.uint8)
    masked = only_box(frame, (8, 8, 12, 12), margin=0.5)
    assert (masked[6:14, 6:14] == 0).all()
    assert (masked == 128).sum() == (400 - 64) * 3
