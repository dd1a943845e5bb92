"""Distance of dlib's face embeddings: by hand, and dlib's own steps where its packages are installed."""

import copy
import importlib.util
import pickle
import sys

import numpy as np
import pytest
import torch
from skimage import data

from expnet.config.benchmark import VideoBenchmarkConfig
from expnet.errors import MissingAssetError
from expnet.evaluation.videos.scoring_setup import open_scoring_setup
from expnet.metrics import IdentityDistance
from expnet.models.dlib_recogniser import FIVE_POINTS, DlibRecogniser, _weight_file

INSTALLED = all(importlib.util.find_spec(name) for name in ("dlib", "face_recognition_models"))
needs_dlib = pytest.mark.skipif(not INSTALLED, reason="pip install 'expnet[identity]'")


class Colour:
    """Stands in for the network: the mean colour."""

    name, checksum = "colour", "none"

    def __call__(self, images: torch.Tensor, landmarks: torch.Tensor) -> torch.Tensor:
        assert len(images) == len(landmarks)
        return images.double().mean((2, 3))


def clip(levels: list[int]) -> torch.Tensor:
    return torch.tensor(levels, dtype=torch.uint8).reshape(1, -1, 1, 1, 1).expand(-1, -1, 3, 8, 8)


def test_the_mean_over_every_nth_frame_with_two_faces_by_hand() -> None:
    marks = torch.zeros(1, 6, 68, 2)
    metric = IdentityDistance(Colour(), every=2)
    made, real = clip([0, 99, 10, 99, 20, 99]), clip([0, 0, 0, 0, 0, 0])
    metric.update(made, real, marks, marks)
    assert metric.compute().item() == pytest.approx(3**0.5 * (0 + 10 + 20) / 3)
    metric.reset()
    valid = torch.tensor([[True, True, False, True, True, True]])
    metric.update(made, real, marks, marks, valid)
    assert metric.compute().item() == pytest.approx(3**0.5 * (0 + 20) / 2)
    lost = marks.clone()
    lost[:, ::2] = torch.nan
    metric.reset()
    metric.update(made, real, marks, lost)
    assert (int(metric.clips), int(metric.unscored)) == (0, 1)
    assert metric.protocol == {"metric": "IdentityDistance", "every": 2, "extractor": "colour", "checksum": "none"}
    with pytest.raises(ValueError, match="must be uint8"):
        metric.update(made.float(), real, marks, marks)
    with pytest.raises(ValueError, match="frames and target_frames must be"):
        metric.update(made, real[:, :3], marks, marks)


def test_without_the_packages_it_is_left_out_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("expnet.models.dlib_recogniser.util.find_spec", lambda _: None)
    config = VideoBenchmarkConfig(reference="r", systems={"a": "b"}, metrics=["identity_distance_dlib"])
    setup = open_scoring_setup(config, torch.device("cpu"))
    assert not setup.infos()
    assert any("pip install 'expnet[identity]'" in note for note in setup.notes)
    monkeypatch.undo()
    if INSTALLED:
        monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(MissingAssetError, match="identity"):
        DlibRecogniser()


@needs_dlib
def test_embeddings_are_those_of_face_recognition() -> None:
    """The lines of ``face_recognition.face_encodings`` (its "small" model), with its points as ours."""
    import dlib

    image = data.astronaut()
    models = _weight_file().parent
    found = dlib.get_frontal_face_detector()(image, 1)[0]
    shape = dlib.shape_predictor(str(models / "shape_predictor_5_face_landmarks.dat"))(image, found)
    network = dlib.face_recognition_model_v1(str(models / "dlib_face_recognition_resnet_model_v1.dat"))
    expected = np.array(network.compute_face_descriptor(image, shape, 1))
    landmarks = torch.zeros(1, 68, 2)
    for place, index in enumerate(FIVE_POINTS):
        landmarks[0, index] = torch.tensor([shape.part(place).x, shape.part(place).y])
    recogniser = DlibRecogniser()
    images = torch.from_numpy(image.copy()).permute(2, 0, 1)[None]
    assert np.abs(recogniser(images, landmarks)[0].numpy() - expected).max() < 1e-6
    assert copy.deepcopy(recogniser) is recogniser
    again = pickle.loads(pickle.dumps(recogniser))
    assert torch.equal(again(images, landmarks), recogniser(images, landmarks))
