"""Every format, checked with a reader that is not expnet's."""

import json
from pathlib import Path

import numpy as np
import pygltflib
import pytest
import torch
from bvh import Bvh
from scipy.io import loadmat, savemat
from scipy.spatial.transform import Rotation

from expnet.errors import DataError, InputError
from expnet.face.landmarks import INNER_LIP_LOOP, LEFT_EYE_LOOP
from expnet.face.morphable import load_face_model
from expnet.face.rotation import euler_to_matrix
from expnet.formats.coefficient_files import read_coefficient_file
from expnet.formats.convert import FORMATS, MotionFileSettings, read_motion, write_motion
from expnet.formats.geometry import animated_faces, neutral_face
from expnet.formats.gltf import BLINK
from expnet.formats.head_motion_files import METRES_PER_FACE_UNIT
from expnet.formats.motion_clip import MotionClip


def test_npz_comes_back_bit_for_bit(tmp_path, make_clip):
    clip = make_clip(fps=30.0)
    back = read_motion(write_motion(clip, tmp_path / "clip.npz"))
    assert back.coefficients.equals(clip.coefficients)
    np.testing.assert_array_equal(back.blink, clip.blink)
    assert back.frame_size == (256, 256)
    with np.load(tmp_path / "clip.npz", allow_pickle=False) as arrays:
        assert arrays["expression"].shape == (60, 64)
        assert str(arrays["face_model"]) == "mediapipe468"


def test_bvh_holds_the_head_pose(tmp_path, make_clip):
    clip = make_clip()
    skeleton = Bvh(write_motion(clip, tmp_path / "head.bvh").read_text())
    assert (skeleton.nframes, skeleton.frame_time) == (60, 0.04)
    channels = skeleton.joint_channels("Head")
    rows = np.array([[skeleton.frame_joint_channel(k, "Head", name) for name in channels] for k in range(60)])
    order = "".join(name[0] for name in channels if name.endswith("rotation"))
    turned = Rotation.from_euler(order, rows[:, 3:], degrees=True).as_matrix()
    expected = euler_to_matrix(torch.from_numpy(clip.coefficients.rotation)).numpy()
    np.testing.assert_allclose(turned, expected, atol=1e-5)
    np.testing.assert_allclose(rows[:, :3] / 100 / METRES_PER_FACE_UNIT, clip.coefficients.translation, atol=1e-5)


def test_json_has_the_head_motion_and_says_what_it_means(tmp_path, make_clip):
    clip = make_clip()
    content = json.loads(write_motion(clip, tmp_path / "head.json").read_text())
    assert (content["fps"], content["frames"]) == (25.0, 60)
    np.testing.assert_allclose(content["rotation"], clip.coefficients.rotation, atol=1e-6)
    np.testing.assert_allclose(content["translation"], clip.coefficients.translation, atol=1e-6)
    np.testing.assert_allclose(content["blink"], clip.blink, atol=1e-6)
    assert "Rz(roll) Ry(yaw) Rx(pitch)" in content["conventions"]["rotation"]


class Viewer:
    """What a glTF viewer does: reads accessors with pygltflib, mixes morph targets, places the node."""

    def __init__(self, path: Path) -> None:
        self.file = pygltflib.GLTF2().load(str(path))
        self.blob = self.file.binary_blob()
        self.mesh = self.file.meshes[0]
        self.primitive = self.mesh.primitives[0]
        self.animation = self.file.animations[0]

    def accessor(self, index: int) -> np.ndarray:
        entry = self.file.accessors[index]
        view = self.file.bufferViews[entry.bufferView]
        width = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}[entry.type]
        kind = {pygltflib.FLOAT: np.float32, pygltflib.UNSIGNED_INT: np.uint32}[entry.componentType]
        values = np.frombuffer(self.blob, kind, entry.count * width, view.byteOffset)
        assert view.byteLength == values.nbytes
        values = values.reshape(entry.count, width)
        if entry.min:
            np.testing.assert_allclose([entry.min, entry.max], [values.min(axis=0), values.max(axis=0)], rtol=1e-6)
        return values

    def track(self, path: str) -> tuple[np.ndarray, np.ndarray]:
        channel = next(one for one in self.animation.channels if one.target.path == path)
        sampler = self.animation.samplers[channel.sampler]
        return self.accessor(sampler.input)[:, 0], self.accessor(sampler.output)

    def vertices(self, frame: int) -> np.ndarray:
        assert self.file.accessors[self.primitive.attributes.POSITION].min  # the format requires them
        targets = np.stack([self.accessor(target["POSITION"]) for target in self.primitive.targets])
        weights = self.track("weights")[1].reshape(-1, len(targets))[frame]
        local = self.accessor(self.primitive.attributes.POSITION) + np.tensordot(weights, targets, axes=1)
        turned = Rotation.from_quat(self.track("rotation")[1][frame]).apply(local)
        return turned + self.track("translation")[1][frame]


def test_gltf_shows_the_same_face_in_every_frame(tmp_path, make_clip, model):
    clip = make_clip()
    viewer = Viewer(write_motion(clip, tmp_path / "clip.glb"))
    times, _ = viewer.track("weights")
    np.testing.assert_allclose(times, np.arange(60) / 25.0, atol=1e-6)
    faces = animated_faces(model, clip)
    for frame in (0, 17, 59):
        turn = Rotation.from_euler("ZYX", clip.coefficients.rotation[frame, ::-1]).as_matrix()
        expected = (faces[frame] @ turn.T + clip.coefficients.translation[frame]) * METRES_PER_FACE_UNIT
        np.testing.assert_allclose(viewer.vertices(frame), expected, atol=2e-6)
    assert len(viewer.primitive.targets) == 65
    assert viewer.mesh.extras["targetNames"][-1] == BLINK


def test_gltf_closes_the_lids_in_a_blink(tmp_path, make_clip):
    clip = make_clip()
    viewer = Viewer(write_motion(clip, tmp_path / "clip.glb"))
    upper, lower = list(LEFT_EYE_LOOP[1:8]), list(LEFT_EYE_LOOP[:8:-1])

    def gap(frame: int) -> float:
        points = viewer.vertices(frame)
        return float(np.linalg.norm(points[upper] - points[lower], axis=1).mean())

    shut = int(np.argmax(clip.blink))
    assert gap(shut) < 0.35 * gap(shut - 5)
    without = Viewer(write_motion(make_clip(blink=False), tmp_path / "without.glb"))
    assert len(without.primitive.targets) == 64


def test_gltf_fills_the_open_mouth_with_a_dark_interior(tmp_path, make_clip, model):
    """Seen from the front, the area between the inner lips is filled exactly, and the lips carry it along."""
    viewer = Viewer(write_motion(make_clip(), tmp_path / "clip.glb"))
    face, cavity = viewer.mesh.primitives
    assert cavity.targets == face.targets
    triangles = viewer.accessor(cavity.indices).reshape(-1, 3)
    assert set(triangles.ravel().tolist()) == set(INNER_LIP_LOOP)
    points = viewer.vertices(17)[:, :2]
    corners = points[triangles]
    a, b = (corners[:, i] - corners[:, 0] for i in (1, 2))
    filled = 0.5 * (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
    x, y = points[list(INNER_LIP_LOOP)].T
    opening = 0.5 * abs((x * np.roll(y, -1) - y * np.roll(x, -1)).sum())
    assert opening > 1e-5  # square metres
    assert filled.sum() == pytest.approx(opening, rel=1e-4)
    colours = [material.pbrMetallicRoughness.baseColorFactor[:3] for material in viewer.file.materials]
    assert max(colours[cavity.material]) < 0.05 < min(colours[face.material])


def test_gltf_has_the_portrait_as_its_texture(tmp_path, make_clip, model):
    clip = make_clip()
    picture = np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8)
    fit = clip.coefficients[0].with_(rotation=np.zeros((1, 3)), translation=np.zeros((1, 3)))
    viewer = Viewer(write_motion(clip, tmp_path / "clip.glb", settings=MotionFileSettings(portrait=picture, fit=fit)))
    places = viewer.accessor(viewer.primitive.attributes.TEXCOORD_0)
    assert places.min() >= 0.0
    assert places.max() <= 1.0
    nose, chin = model.landmark_indices[[30, 8]].tolist()
    face = neutral_face(model, clip.coefficients)
    assert places[chin, 1] > places[nose, 1]
    assert np.corrcoef(places[:, 0], face[:, 0])[0, 1] > 0.99
    image = viewer.file.images[0]
    view = viewer.file.bufferViews[image.bufferView]
    assert viewer.blob[view.byteOffset : view.byteOffset + 2] == b"\xff\xd8"  # the first bytes of a JPEG


def bfm_file(path: Path, model) -> Path:
    """The built-in model in the layout of a BFM file, so that both can represent the same faces."""
    arrays = {
        "meanshape": model.mean.numpy().reshape(1, -1),
        "idBase": np.pad(model.identity_basis.numpy().reshape(-1, 40), ((0, 0), (0, 40))).astype(float),
        "exBase": model.expression_basis.numpy().reshape(-1, 64).astype(float),
        "tri": model.triangles.numpy() + 1,
        "keypoints": model.landmark_indices.numpy()[None] + 1,
    }
    savemat(path, arrays)
    return path


def semantics_of_sadtalker(driving: Path, portrait: Path) -> tuple[np.ndarray, np.ndarray]:
    """The arrays that SadTalker's renderer cuts from its two files, by the names and widths that it expects."""
    source = loadmat(portrait)["coeff_3dmm"][:1]
    generated = loadmat(driving)["coeff_3dmm"]
    assert (source.shape[1], generated.shape[1]) == (73, 70)
    return source, np.concatenate([generated, np.repeat(source[:, 70:], len(generated), axis=0)], axis=1)


def test_sadtalker_reads_clips_converted_with_a_basel_model(tmp_path, make_clip, model):
    clip = make_clip()
    basel = load_face_model(bfm_file(tmp_path / "front.mat", model))
    settings = MotionFileSettings(face_model=basel)
    driving = write_motion(clip, tmp_path / "motion.mat", "sadtalker", settings)
    portrait = write_motion(clip, tmp_path / "first.mat", "sadtalker-first", settings)
    source, generated = semantics_of_sadtalker(driving, portrait)
    assert source.shape == (1, 73)
    assert generated.shape == (60, 73)
    assert loadmat(portrait)["full_3dmm"].shape == (1, 257)
    back = read_coefficient_file(portrait).coefficients
    identity = torch.from_numpy(read_coefficient_file(portrait).first_frame.identity[0])
    made = basel.landmarks(identity, torch.from_numpy(back.expression)).numpy()
    meant = animated_faces(model, clip)[:, model.landmark_indices]
    moved = (made - made.mean(axis=0)).ravel(), (meant - meant.mean(axis=0)).ravel()
    assert np.corrcoef(*moved)[0, 1] > 0.97
    assert np.abs(back.rotation - clip.coefficients.rotation).max() < 0.03


def test_pirender_reads_converted_clips(tmp_path, make_clip, model):
    basel = load_face_model(bfm_file(tmp_path / "front.mat", model))
    arrays = loadmat(write_motion(make_clip(), tmp_path / "clip.mat", "pirender", MotionFileSettings(face_model=basel)))
    assert arrays["coeff"].shape == (60, 257)
    assert arrays["transform_params"].shape == (60, 5)
    assert (arrays["transform_params"][:, :2] == 256).all()
    assert not arrays["coeff"][:, 144:224].any()  # the texture is unknown


def test_a_clip_of_the_basel_model_passes_unchanged(tmp_path, make_clip):
    clip = make_clip(blink=False)
    theirs = clip.coefficients.with_(face_model="bfm2009", identity=None)
    written = loadmat(write_motion(MotionClip(theirs), tmp_path / "motion.mat"))["coeff_3dmm"]
    np.testing.assert_array_equal(written[:, :64], theirs.expression)
    np.testing.assert_array_equal(written[:, 64:], theirs.pose)
    again = read_motion(tmp_path / "motion.mat")
    np.testing.assert_array_equal(again.coefficients.expression, theirs.expression)
    with pytest.raises(InputError, match="--face-model"):
        write_motion(again, tmp_path / "take.csv")
    assert not (tmp_path / "take.csv").exists()


@pytest.mark.parametrize(
    ("name", "file", "message"),
    [
        (None, "clip.xyz", "not an export format"),
        ("vmd", "clip.vmd", "choose one of"),
        ("gltf", "clip.csv", "a .glb file"),
        (None, "nowhere/clip.bvh", "does not exist"),
        ("sadtalker", "clip.mat", "BFM_model_front.mat"),
    ],
)
def test_impossible_exports_are_refused_in_one_sentence(tmp_path, make_clip, name, file, message):
    with pytest.raises(InputError, match=message):
        write_motion(make_clip(), tmp_path / file, name)
    assert not list(tmp_path.iterdir())


def test_unreadable_files_are_refused_in_one_sentence(tmp_path):
    with pytest.raises(DataError, match="no such"):
        read_motion(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("not an archive")
    with pytest.raises(DataError, match="not a coefficient file of expnet"):
        read_motion(tmp_path / "text.npz")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(DataError, match="not a coefficient file of expnet"):
        read_motion(tmp_path / "other.npz")


def test_every_format_is_tested_here():
    assert set(FORMATS) == {"npz", "arkit", "gltf", "bvh", "json", "sadtalker", "sadtalker-first", "pirender"}
