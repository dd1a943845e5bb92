"""Expression coefficients in the benchmark of videos: which frames are stored, and E-FID without its weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from expnet.coefficients import FaceCoefficients
from expnet.config.benchmark import VideoBenchmarkConfig
from expnet.evaluation.scores import Scores
from expnet.evaluation.videos.expression_measures import deep3d_expression_measures, own_expression_measures
from expnet.evaluation.videos.reader import Face, Source, Video
from expnet.evaluation.videos.scoring_setup import open_scoring_setup
from expnet.metrics import Extractor

FRAMES = 6


@pytest.fixture
def video() -> Video:
    """A face in all frames but the third."""
    marks = torch.zeros(FRAMES, 68, 2)
    for points, place in ((slice(36, 42), (80, 90)), (slice(42, 48), (140, 90)), (30, (110, 120)), (48, (85, 150))):
        marks[:, points] = torch.tensor(place, dtype=torch.float32)
    marks[:, 54] = torch.tensor([135.0, 150.0])
    valid = torch.arange(FRAMES) != 2
    coefficients = FaceCoefficients(
        np.arange(FRAMES)[:, None] * np.ones(64),
        np.zeros((FRAMES, 3)),
        np.zeros((FRAMES, 3)),
        crop=(110.0, 110.0, 200.0),
    )
    face = Face(marks, valid, torch.zeros(FRAMES, 68, 3), coefficients, torch.zeros(FRAMES, 478, 2))
    frames = (20 * torch.arange(FRAMES)).to(torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 3, 240, 260)
    return Video(frames, None, face, Source(260, 240, 25.0, "h264", FRAMES))


def test_frames_with_a_face_are_stored(video: Video) -> None:
    (measure,) = own_expression_measures("made up")
    scores = Scores()
    measure.run(scores, video, None)
    assert scores.vectors["expression_frechet_distance"][:, 0].tolist() == [0, 1, 3, 4, 5]
    assert measure.pooled
    assert measure.metrics[0].protocol["face_model"] == "made up"


class Red(nn.Module):
    """Returns the mean red of the image as every coefficient but depth, 0."""

    def forward(self, images: Tensor) -> Tensor:
        rows = images[:, 0].mean((1, 2))[:, None].expand(-1, 257).clone()
        rows[:, 256] = 0.0
        return rows


def test_deep3dfacerecon_sees_every_frame_with_a_face(video: Video) -> None:
    (measure,) = deep3d_expression_measures(Extractor(Red()))
    scores = Scores()
    measure.run(scores, video, None)
    stored = scores.vectors["e_fid"]
    assert stored.shape == (5, 64)
    steps = stored[:, 0].diff()
    assert (steps > 0).all()
    assert steps[1] == pytest.approx(2 * steps[0].item(), rel=1e-4)  # over the frame without a face


def test_without_sadtalkers_file_e_fid_is_left_out_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXPNET_ASSETS", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    keys = ["expression_frechet_distance", "e_fid"]
    config = VideoBenchmarkConfig(reference=str(tmp_path), systems={"a": "b"}, metrics=keys)
    setup = open_scoring_setup(config, torch.device("cpu"))
    assert [info.key for info in setup.infos()] == keys[:1]
    assert any("sadtalker-256" in note for note in setup.notes)


def test_random_weights_try_e_fid_out(tmp_path: Path, video: Video) -> None:
    config = VideoBenchmarkConfig(reference=str(tmp_path), metrics=["e_fid"], assets={"deep3d": "random"})
    setup = open_scoring_setup(config, torch.device("cpu"))
    assert any(note.startswith("RANDOM WEIGHTS: deep3d") for note in setup.notes)
    (measure,) = setup.measures
    scores = Scores()
    measure.run(scores, video, None)
    assert scores.vectors["e_fid"].isfinite().all()
    assert scores.vectors["e_fid"].std(dim=0).max() > 0
