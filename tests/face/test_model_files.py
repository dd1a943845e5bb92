"""BFM and FLAME readers, on small files in the exact layout of the real ones."""

import collections
import os
import pickle
import sys
import types

import numpy as np
import pytest
import torch
from scipy import io, sparse
from scipy.spatial.transform import Rotation

from expnet.errors import InputError
from expnet.face.fitting import fit_clip
from expnet.face.landmarks import LANDMARKS_68_FROM_MEDIAPIPE, MEDIAPIPE_POINTS
from expnet.face.model_files import FLAME_LANDMARKS
from expnet.face.morphable import builtin_face_model, load_face_model


def bfm_arrays(vertices=468):
    """The built-in model in the layout of a BFM file."""
    generator = np.random.default_rng(0)
    model = builtin_face_model()
    expression = model.expression_basis.numpy().astype(np.float64)
    return {
        "meanshape": (model.mean.numpy() + np.array([0.3, 0.1, -0.2])).reshape(1, -1),
        "meantex": np.full((1, vertices * 3), 128.0),
        "idBase": generator.normal(0, 0.01, (vertices * 3, 80)),
        "exBase": expression.reshape(vertices * 3, 64),
        "texBase": generator.normal(0, 1, (vertices * 3, 80)),
        "tri": model.triangles.numpy() + 1,
        "point_buf": np.ones((vertices, 8)),
        "tri_mask2": np.ones((10, 1)),
        "keypoints": model.landmark_indices.numpy()[None] + 1,
        "frontmask2_idx": np.ones((10, 1)),
        "skinmask": np.ones((1, vertices)),
    }


@pytest.fixture(scope="module")
def flame_arrays():
    generator = np.random.default_rng(1)
    template = generator.normal(0, 0.1, (5023, 3))
    regressor = generator.random((5, 5023)) * (generator.random((5, 5023)) > 0.99)
    regressor /= regressor.sum(axis=1, keepdims=True)
    weights = generator.random((5023, 5))
    shapes = np.zeros((5023, 3, 400), dtype=np.float32)
    shapes[:40] = generator.normal(0, 0.001, (40, 3, 400))
    return {
        "v_template": template,
        "shapedirs": shapes,
        "posedirs": generator.normal(0, 0.001, (5023, 3, 36)),
        "J_regressor": regressor,
        "weights": weights / weights.sum(axis=1, keepdims=True),
        "f": generator.integers(0, 5023, (100, 3)).astype(np.uint32),
        "kintree_table": np.array([[4294967295, 0, 1, 1, 1], [0, 1, 2, 3, 4]]),
        "J": regressor @ template,
        "bs_type": "lrotmin",
        "bs_style": "lbs",
    }


@pytest.fixture
def chumpy(monkeypatch):
    """A stand-in for the chumpy package, as the distributed file refers to it."""

    class Ch:
        def __init__(self, x):
            self.x = x

    Ch.__module__, Ch.__qualname__ = "chumpy.ch", "Ch"
    module = types.ModuleType("chumpy.ch")
    module.Ch = Ch
    monkeypatch.setitem(sys.modules, "chumpy", types.ModuleType("chumpy"))
    monkeypatch.setitem(sys.modules, "chumpy.ch", module)
    return Ch


def test_bfm_mat_has_its_layout(tmp_path):
    arrays = bfm_arrays()
    io.savemat(tmp_path / "BFM_model_front.mat", arrays)
    model = load_face_model(tmp_path / "BFM_model_front.mat")
    assert (model.name, model.identity_size, model.expression_size) == ("bfm2009", 80, 64)
    torch.testing.assert_close(model.mean.mean(dim=0), torch.zeros(3), atol=1e-5, rtol=0)
    beta = np.random.default_rng(2).normal(size=64)
    by_hand = (arrays["meanshape"].ravel() + arrays["exBase"] @ beta).reshape(-1, 3) - [0.3, 0.1, -0.2]
    vertices = model.vertices(torch.zeros(80), torch.tensor(beta, dtype=torch.float32))
    np.testing.assert_allclose(vertices.numpy(), by_hand, atol=1e-4)
    assert model.triangles.min() >= 0
    np.testing.assert_array_equal(model.landmark_indices, arrays["keypoints"].ravel() - 1)


def test_tracked_points_are_fitted_to_a_bfm_file(tmp_path):
    io.savemat(tmp_path / "front.mat", bfm_arrays())
    model = load_face_model(tmp_path / "front.mat")
    points = np.zeros((4, MEDIAPIPE_POINTS, 3))
    beta = torch.zeros(4, 64)
    beta[:, 0] = torch.tensor([-1.0, 0.0, 1.0, 2.0])
    marks = model.landmarks(torch.zeros(80), beta).numpy() * [1, -1, -1]
    points[:, list(LANDMARKS_68_FROM_MEDIAPIPE)] = 100 * marks + 128
    fitted = fit_clip(model, points)
    assert fitted.face_model == "bfm2009"
    change = np.diff(model.landmarks(torch.zeros(80), torch.tensor(fitted.expression)).numpy(), axis=0)
    wanted = np.diff(marks * [1, -1, -1], axis=0)
    assert np.abs(change - wanted)[..., :2].max() < 0.1 * np.abs(wanted).max()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("exBase", None, "has no 'exBase'"),
        ("exBase", np.zeros((468 * 3, 29)), "29 components"),
        ("idBase", np.zeros((7, 80)), "idBase has shape"),
        ("keypoints", np.full((1, 68), 9999), "landmarks are not 68"),
        ("meanshape", np.full((1, 468 * 3), np.nan), "not finite"),
    ],
)
def test_a_broken_bfm_file_is_refused_in_one_sentence(tmp_path, key, value, message):
    arrays = bfm_arrays()
    arrays = {k: v for k, v in arrays.items() if k != key} | ({} if value is None else {key: value})
    io.savemat(tmp_path / "broken.mat", arrays)
    with pytest.raises(InputError, match=message):
        load_face_model(tmp_path / "broken.mat")


def test_flame_pickle_with_chumpy_and_sparse(tmp_path, flame_arrays, chumpy):
    data = dict(flame_arrays)
    data["shapedirs"] = chumpy(data["shapedirs"])
    data["J_regressor"] = sparse.csc_matrix(data["J_regressor"])
    (tmp_path / "generic_model.pkl").write_bytes(pickle.dumps(data, protocol=2))
    np.savez(tmp_path / "flame.npz", **{k: v for k, v in flame_arrays.items() if not isinstance(v, str)})
    sys.modules.pop("chumpy.ch")
    model, same = load_face_model(tmp_path / "generic_model.pkl"), load_face_model(tmp_path / "flame.npz")
    assert (model.name, model.identity_size, model.expression_size) == ("flame", 100, 64)
    for key in ("mean", "identity_basis", "expression_basis", "triangles"):
        torch.testing.assert_close(getattr(model, key), getattr(same, key))
    marks = model.mean[list(FLAME_LANDMARKS)]
    assert float((marks[36:42].mean(0) - marks[42:48].mean(0)).norm()) == pytest.approx(0.62, abs=1e-4)


def test_flame_jaw_is_the_derivative_of_skinning(tmp_path, flame_arrays):
    np.savez(tmp_path / "flame.npz", **{k: v for k, v in flame_arrays.items() if not isinstance(v, str)})
    model = load_face_model(tmp_path / "flame.npz")
    template, step = flame_arrays["v_template"], 1e-4
    unit = float(np.linalg.norm(model.mean[0] - model.mean[1]) / np.linalg.norm(template[0] - template[1]))
    joint = flame_arrays["J"][2]
    for axis, scale in enumerate((0.12, 0.02, 0.02)):
        rotation = Rotation.from_rotvec(step * np.eye(3)[axis]).as_matrix()
        feature = np.zeros(36)
        feature[9:18] = (rotation - np.eye(3)).ravel()
        posed = template + flame_arrays["posedirs"] @ feature
        turned = (posed - joint) @ rotation.T + joint
        weight = flame_arrays["weights"][:, 2:3]
        skinned = weight * turned + (1 - weight) * posed
        slope = (skinned - template) / step * scale * unit
        np.testing.assert_allclose(model.expression_basis[..., 61 + axis].numpy(), slope, atol=2e-3 * unit * scale)


class Malicious:
    def __reduce__(self):
        return os.system, ("touch {}".format(os.environ["EXPNET_TEST_MARK"]),)


def test_a_malicious_pickle_is_refused_and_runs_nothing(tmp_path, monkeypatch):
    mark = tmp_path / "ran"
    monkeypatch.setenv("EXPNET_TEST_MARK", str(mark))
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps({"v_template": Malicious()}))
    with pytest.raises(InputError, match=r"refused: it asks for (posix|nt)\.system"):
        load_face_model(tmp_path / "evil.pkl")
    assert not mark.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"cbuiltins\neval\n(S'1+1'\ntR.",
        b"c__builtin__\ngetattr\n(cnumpy\nndarray\nS'tofile'\ntR.",
        b"cnumpy\nload\n(S'/etc/passwd'\ntR.",
        b"ccopy_reg\n_reconstructor\n(cnumpy\ndtype\nc__builtin__\nobject\nNtR.",
        b"csubprocess\nPopen\n(S'true'\ntR.",
        b"not a pickle",
        b"",
        pickle.dumps([1, 2]),
        pickle.dumps({"x": collections.OrderedDict()}),
    ],
)
def test_other_pickles_are_refused(tmp_path, content):
    (tmp_path / "bad.pkl").write_bytes(content)
    with pytest.raises(InputError):
        load_face_model(tmp_path / "bad.pkl")


def test_unknown_and_missing_face_models(tmp_path):
    with pytest.raises(InputError, match="is not known"):
        load_face_model("basel")
    with pytest.raises(InputError, match="no such face model"):
        load_face_model(tmp_path / "missing.mat")
    (tmp_path / "text.mat").write_text("hello")
    with pytest.raises(InputError, match="cannot be read"):
        load_face_model(tmp_path / "text.mat")
    (tmp_path / "text.safetensors").write_text("hello, this is no model")
    with pytest.raises(InputError, match="is not a face model"):
        load_face_model(tmp_path / "text.safetensors")
    np.savez(tmp_path / "object.npz", v_template=np.array([{}], dtype=object))
    with pytest.raises(InputError, match="plain arrays"):
        load_face_model(tmp_path / "object.npz")
