"""The sync expert's metrics in an evaluation: present if an expert is given, with the values of the metric classes."""

import math

import pytest
import torch

from expnet.assets.extractors import open_sync_expert
from expnet.config.evaluate import ProtocolConfig
from expnet.evaluation.store.clips import Clip
from expnet.evaluation.store.prediction import Prediction
from expnet.evaluation.store.scoring import Scorer
from expnet.face.morphable import builtin_face_model
from expnet.metrics import Extractor, LandmarkSyncConfidence
from expnet.models.landmark_sync import LandmarkSync
from expnet.models.saved_model import save_model
from tests.training.small import make_track

COLUMNS = {"landmark_sync_distance", "landmark_sync_confidence", "landmark_sync_offset"}


@pytest.fixture
def expert(tmp_path) -> Extractor:
    torch.manual_seed(0)
    return open_sync_expert(save_model(tmp_path / "expert.safetensors", LandmarkSync(width=8, audio_channels=8)))


def clip(frames: int = 60) -> Clip:
    track = make_track(0, frames, "")
    return Clip(track, 0.3, track.clip_id)


def test_columns_come_with_an_expert(expert: Extractor) -> None:
    real, face = clip(), builtin_face_model()
    without, with_expert = (Scorer(face, ProtocolConfig(), given) for given in (None, expert))
    prediction = Prediction(real.expression)
    scores = with_expert.score(real, prediction).values
    assert scores.keys() - without.score(real, prediction).values.keys() == COLUMNS
    assert {info.key for info in with_expert.infos()} - {info.key for info in without.infos()} == COLUMNS
    frontal = with_expert.frontal(real, real.expression)[None]
    confidence = LandmarkSyncConfidence(expert).score(frontal, real.mel[None], real.valid[None])[0]
    assert scores["landmark_sync_confidence"] == pytest.approx(confidence.item())
    assert with_expert.protocol()["metrics"]["landmark_sync_distance"]["checksum"] == expert.checksum


def test_a_clip_that_is_too_short_has_no_score(expert: Extractor) -> None:
    short = clip(20)
    scores = Scorer(builtin_face_model(), ProtocolConfig(), expert).score(short, Prediction(short.expression)).values
    assert all(math.isnan(scores[key]) for key in COLUMNS)


def test_the_checksum_is_that_of_the_weights(expert: Extractor, tmp_path) -> None:
    torch.manual_seed(1)
    other = open_sync_expert(save_model(tmp_path / "other.safetensors", LandmarkSync(width=8, audio_channels=8)))
    copy = open_sync_expert(save_model(tmp_path / "copy.safetensors", expert.network, {"note": "other header"}))
    assert copy.checksum == expert.checksum != other.checksum
