from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from expnet.coefficients import FaceCoefficients, concatenate, split_pose
from expnet.errors import DataError
from expnet.formats.coefficient_files import (
    CoefficientFile,
    coefficients_from_bytes,
    coefficients_from_vectors,
    coefficients_to_bytes,
    coefficients_to_vectors,
    read_coefficient_file,
    write_coefficient_file,
)

ANNOTATIONS = Path(__file__).parents[2] / "shared" / "annotations"
REAL_FILES = sorted([*ANNOTATIONS.glob("styletalk_dev/3DMM/*.mat"), *ANNOTATIONS.glob("dreamtalk/**/*.mat")])
needs_annotations = pytest.mark.skipif(not REAL_FILES, reason="no ../shared/annotations beside the checkout")


def make_coefficients(frames=7, seed=0, **changes):
    generator = np.random.default_rng(seed)
    values = {
        "expression": generator.normal(size=(frames, 64)),
        "rotation": generator.normal(size=(frames, 3)) * 0.1,
        "translation": generator.normal(size=(frames, 3)) * 0.1,
        **changes,
    }
    return FaceCoefficients(**values)


def make_vectors(frames, width, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(frames, width)).astype(np.float32)
    if width in (73, 260):
        vectors[:, -3] = np.abs(vectors[:, -3]) + 0.5  # the scale of a crop is positive
    return vectors


def test_slicing_takes_frames_and_keeps_what_belongs_to_the_clip():
    whole = make_coefficients(identity=np.arange(5), crop=np.ones((7, 3)))
    part = whole[2:5]
    assert part.frames == len(part) == 3
    np.testing.assert_array_equal(part.expression, whole.expression[2:5])
    np.testing.assert_array_equal(part.identity, whole.identity)
    assert part.crop.shape == (3, 3)
    assert whole[-1].equals(whole[6:7])
    with pytest.raises(IndexError, match="empty selection"):
        whole[7:]
    with pytest.raises(IndexError):
        whole[7]


def test_concatenate_undoes_slicing():
    whole = make_coefficients(identity=np.arange(5), crop=np.random.default_rng(1).normal(size=(7, 3)))
    assert concatenate([whole[:3], whole[3:4], whole[4:]]).equals(whole)
    other = make_coefficients(identity=np.arange(5) + 1, crop=np.zeros((7, 3)))
    joined = concatenate([whole, other])
    np.testing.assert_array_equal(joined.identity[6:8], [whole.identity, other.identity])
    with pytest.raises(ValueError, match="frame rate"):
        concatenate([whole, whole.with_(fps=30)])
    with pytest.raises(ValueError, match="some pieces have texture"):
        concatenate([whole, whole.with_(texture=np.ones(2))])


def test_pose_is_rotation_then_translation():
    coefficients = make_coefficients()
    rotation, translation = split_pose(coefficients.pose)
    np.testing.assert_array_equal(rotation, coefficients.rotation)
    np.testing.assert_array_equal(translation, coefficients.translation)
    relative = coefficients.relative_pose()
    assert not relative[0].any()
    restored = coefficients.with_relative_pose(relative)
    np.testing.assert_allclose(restored.pose, coefficients.pose, atol=1e-7)
    with pytest.raises(ValueError, match="6 numbers"):
        split_pose(np.zeros((2, 5)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"expression": np.zeros((7, 63))}, r"expression has shape \(7, 63\)"),
        ({"expression": np.zeros((0, 64))}, "at least one frame"),
        ({"rotation": np.zeros((6, 3))}, r"rotation has shape \(6, 3\), expected \(7, 3\)"),
        ({"identity": np.zeros((6, 4))}, r"identity has shape \(6, 4\)"),
        ({"crop": np.zeros(4)}, "centre x, centre y and side"),
        ({"fps": 0}, "fps is 0"),
    ],
)
def test_wrong_shapes_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        make_coefficients(**changes)


def test_resampling_keeps_a_straight_line_straight_and_does_not_cut_an_angle():
    frames = 31
    ramp = np.linspace(0, 1, frames)
    turning = np.stack([np.angle(np.exp(1j * (3 + ramp))), ramp, ramp], axis=1)  # passes through pi
    clip = make_coefficients(frames, expression=ramp[:, None] * np.ones(64), rotation=turning, fps=30)
    resampled = clip.resampled(25)
    assert resampled.fps == 25
    assert resampled.frames == 26
    np.testing.assert_allclose(resampled.expression[:, 0], np.arange(26) / 25, atol=1e-6)
    np.testing.assert_allclose(resampled.rotation[:, 0], 3 + np.arange(26) / 25, atol=1e-6)
    assert clip.resampled(30) is clip


@pytest.mark.parametrize("width", [70, 73, 257, 260])
def test_vectors_round_trip_bit_for_bit(width):
    vectors = make_vectors(9, width)
    coefficients = coefficients_from_vectors(vectors)
    assert coefficients.face_model == "bfm2009"
    assert coefficients_to_vectors(coefficients, width).tobytes() == vectors.tobytes()


def test_lmdb_items_round_trip_bit_for_bit():
    item = make_vectors(4, 260).tobytes()
    assert coefficients_to_bytes(coefficients_from_bytes(item)) == item
    with pytest.raises(DataError, match="not a whole number"):
        coefficients_from_bytes(item[:-4])


def test_aligned_crop_is_the_one_that_deep3d_cuts():
    # Deep3DFaceRecon scales the image by s and cuts 224 pixels about (t0, height - t1): util/preprocess.py.
    vectors = make_vectors(1, 73)
    vectors[0, 70:] = (1.25, 100, 80)
    crop = coefficients_from_vectors(vectors, frame_height=300).crop[0]
    np.testing.assert_allclose(crop, [100, 220, 224 / 1.25])


@pytest.mark.parametrize("layout", ["sadtalker70", "sadtalker73", "deep3d257", "deep3d_image", "pirender"])
def test_every_layout_is_written_and_recognised(tmp_path, layout):
    width = {"sadtalker70": 70, "sadtalker73": 73, "pirender": 260}.get(layout, 257)
    frames = 1 if layout == "deep3d_image" else 5
    coefficients = coefficients_from_vectors(make_vectors(frames, width), fps=30)
    first = coefficients_from_vectors(make_vectors(1, 257), fps=30) if layout == "sadtalker73" else None
    landmarks = np.ones((1, 68, 2), np.float32) if layout == "deep3d_image" else None
    contents = CoefficientFile(coefficients, layout, first_frame=first, landmarks=landmarks)
    write_coefficient_file(tmp_path / "clip.mat", contents)
    again = read_coefficient_file(tmp_path / "clip.mat", fps=30)
    assert again.layout == layout
    assert again.coefficients.equals(coefficients)
    assert (again.first_frame is None) == (first is None)
    assert first is None or again.first_frame.equals(first)
    assert landmarks is None or np.array_equal(again.landmarks, landmarks)
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mat"]


@needs_annotations
@pytest.mark.parametrize("path", REAL_FILES, ids=lambda path: path.stem)
def test_real_files_round_trip_bit_for_bit(tmp_path, path):
    fps = 30 if "styletalk" in str(path) else 25
    contents = read_coefficient_file(path, fps=fps)
    assert contents.coefficients.fps == fps
    assert contents.coefficients.frames == len(loadmat(path)["coeff"])
    write_coefficient_file(tmp_path / "again.mat", contents)
    # The first 128 bytes are MATLAB's header with the date of writing; all that follows must be the same.
    assert (tmp_path / "again.mat").read_bytes()[128:] == path.read_bytes()[128:]
    vectors = coefficients_to_vectors(contents.coefficients, 257)
    assert vectors.tobytes() == np.ascontiguousarray(loadmat(path)["coeff"]).tobytes()


def test_what_cannot_be_read_is_said_in_one_sentence(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_coefficient_file(tmp_path / "missing.mat")
    (tmp_path / "text.mat").write_text("not a matlab file, but long enough to be looked at" * 9)
    with pytest.raises(DataError, match=r"text\.mat is not a MATLAB"):
        read_coefficient_file(tmp_path / "text.mat")
    savemat(tmp_path / "other.mat", {"speed": np.ones(3)})
    with pytest.raises(DataError, match="it holds speed, expected coeff_3dmm"):
        read_coefficient_file(tmp_path / "other.mat")
    savemat(tmp_path / "wide.mat", {"coeff_3dmm": np.ones((3, 71))})
    with pytest.raises(DataError, match="width of 70, 73, 257, 260"):
        read_coefficient_file(tmp_path / "wide.mat")
    savemat(tmp_path / "crop.mat", {"coeff_3dmm": np.zeros((3, 73))})
    with pytest.raises(DataError, match="scale"):
        read_coefficient_file(tmp_path / "crop.mat")


def test_what_cannot_be_written_is_said(tmp_path):
    with pytest.raises(DataError, match="80 numbers of identity, but this clip has none"):
        write_coefficient_file(tmp_path / "clip.mat", CoefficientFile(make_coefficients(), "deep3d257"))
    assert not list(tmp_path.iterdir())
