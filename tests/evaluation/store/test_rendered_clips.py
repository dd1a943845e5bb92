"""Rendered clips, with a renderer that paints the mouth opening as a grey level."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from expnet.coefficients import FaceCoefficients
from expnet.config.evaluate import PictureConfig, ProtocolConfig
from expnet.data.store.track import Track
from expnet.errors import DataError
from expnet.evaluation.main import main
from expnet.evaluation.scores import Scores
from expnet.evaluation.store import rendered_clips as pictures
from expnet.evaluation.store.clips import Clip
from expnet.evaluation.store.prediction import Prediction
from expnet.evaluation.store.scoring import Scorer
from expnet.evaluation.store.trivial_systems import ClipMean, GroundTruth, HoldFirstFrame
from expnet.face.morphable import builtin_face_model
from expnet.media.video_reader import probe_video, write_video
from expnet.render import open_renderer, reenactment
from expnet.render.portrait import Portrait

SIZE = 240


class PaintingRenderer:
    """Frames whose grey level is the first expression coefficient."""

    lookahead = 0

    def __init__(self, portrait: NDArray[np.uint8], *_: Any, **__: Any) -> None:
        self.shape = portrait.shape

    def render(self, coefficients: FaceCoefficients) -> Iterator[NDArray[np.uint8]]:
        for beta in coefficients.expression:
            yield np.full(self.shape, np.clip(128 + 40 * beta[0], 0, 255), np.uint8)


@pytest.fixture(autouse=True)
def painted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_renderer, "MeshRenderer", PaintingRenderer)
    still = (np.zeros((1, 64)), np.zeros((1, 3)), np.zeros((1, 3)))
    fit = FaceCoefficients(*still, identity=np.zeros(builtin_face_model().identity_size), crop=(120, 120, 200))
    portrait = Portrait(np.zeros((SIZE, SIZE, 3), np.uint8), np.zeros((478, 3), np.float32), fit)
    monkeypatch.setattr(reenactment, "builtin_portrait", lambda model, tracker: portrait)
    monkeypatch.setattr(reenactment, "open_portrait", lambda image, model, max_side, tracker: portrait)


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer(builtin_face_model(), ProtocolConfig())


def clip_of(track: Track) -> Clip:
    return Clip(track, 0.3, track.clip_id)


def test_cut_keeps_a_crop_of_256_as_it_is_and_repeats_the_edge() -> None:
    image = np.random.default_rng(0).integers(0, 255, (256, 256, 3), dtype=np.uint8)
    assert np.array_equal(reenactment.crop_frame(image, np.array([128.0, 128.0, 256.0])), image)
    wide = reenactment.crop_frame(image, np.array([128.0, 128.0, 512.0]))
    assert wide.shape == (256, 256, 3)
    assert np.array_equal(wide[0, 0], image[0, 0])
    shifted = reenactment.crop_frame(image, np.array([128.0 + 10, 128.0, 256.0]))
    assert np.array_equal(shifted[:, :-10], image[:, 10:])


def test_portrait_stage_compares_with_the_true_coefficients(
    scorer: Scorer, track_maker: Callable[..., Track], tmp_path: Path
) -> None:
    clip = clip_of(track_maker("clip", "anna", 3))
    predictions = {
        "ground_truth": ("Real clips", GroundTruth().predict(clip)),
        "ours": ("expnet", Prediction(clip.expression * 0.5, clip.pose)),
        "hold_first_frame": ("Hold", HoldFirstFrame().predict(clip)),
    }
    scores = {name: Scores() for name in predictions}
    shown = pictures.render_clip(clip, predictions, scores, scorer, PictureConfig(frames=20), tmp_path)
    assert shown.kind == reenactment.PORTRAIT
    assert scores["ground_truth"].values["psnr"] == 100.0
    assert scores["ground_truth"].values["ssim"] == pytest.approx(1.0)
    assert 10 < scores["ours"].values["psnr"] < 99
    assert shown.strip.times == pytest.approx((0.2, 0.4, 0.6))
    assert [label for label, _ in shown.strip.rows] == ["reference", "its own coefficients", "expnet"]
    assert all(image.shape == (256, 256, 3) for _, images in shown.strip.rows for image in images)
    info = probe_video(tmp_path / shown.strip.video)
    assert info.has_audio
    assert info.size == (256 + 22, 3 * 256)
    assert info.duration == pytest.approx(20 / 25, abs=0.1)


def test_real_stage_compares_with_the_video(scorer: Scorer, track_maker: Callable[..., Track], tmp_path: Path) -> None:
    path = tmp_path / "source.mp4"
    levels = np.linspace(60, 200, 40)
    frames = (np.full((SIZE, SIZE, 3), level, np.uint8) for level in levels)
    write_video(path, frames, fps=25.0, audio=None, sample_rate=16000)
    track = track_maker("clip", "anna", 3, frames=30, source=str(path), source_start=0.4)
    clip = clip_of(track)
    wanted = torch.zeros(30, 64)
    wanted[:, 0] = torch.from_numpy((levels[10:] - 128) / 40).float()  # the renderer paints the video's own levels
    predictions = {"ours": ("expnet", Prediction(wanted)), "clip_mean": ("Mean", ClipMean().predict(clip))}
    scores = {name: Scores() for name in predictions}
    options = PictureConfig(frames=30, videos=False)
    shown = pictures.render_clip(clip, predictions, scores, scorer, options, tmp_path)
    assert shown.kind == reenactment.REAL
    assert shown.strip.video == ""
    assert scores["ours"].values["psnr"] > 38  # the codec's loss; ten frames off it would be 17 dB
    assert scores["clip_mean"].values["psnr"] < 25


def test_a_video_that_does_not_fit_its_track(track_maker: Callable[..., Track], tmp_path: Path) -> None:
    path = tmp_path / "source.mp4"
    write_video(path, iter([np.zeros((64, 64, 3), np.uint8)] * 30), fps=25.0, audio=None, sample_rate=16000)
    clip = clip_of(track_maker("clip", "anna", 3, frames=30, source=str(path)))
    with pytest.raises(DataError, match="does not fit its track"):
        reenactment.open_reenactment(clip.track, builtin_face_model(), 30)
    gone = clip_of(track_maker("clip", "anna", 3, frames=30, source=str(tmp_path / "gone.mp4")))
    assert reenactment.open_reenactment(gone.track, builtin_face_model(), 30).kind == reenactment.PORTRAIT


def test_the_portrait_itself_is_never_scored(scorer: Scorer, track_maker: Callable[..., Track], tmp_path: Path) -> None:
    """Frame 0 is a perfect copy for whoever holds the first frame: scored, it would be worth 100 dB."""
    clip = clip_of(track_maker("clip", "anna", 3))
    held = {"hold_first_frame": ("Hold", HoldFirstFrame().predict(clip))}
    values = []
    for frames, stride in ((3, 5), (11, 10)):
        scores = {"hold_first_frame": Scores()}
        options = PictureConfig(frames=frames, stride=stride, videos=False)
        pictures.render_clip(clip, held, scores, scorer, options, tmp_path)
        values.append(scores["hold_first_frame"].values["psnr"])
    assert max(values) < 60
    with pytest.raises(DataError, match="portrait itself"):
        pictures.render_clip(clip, held, {}, scorer, PictureConfig(frames=1), tmp_path)


def test_labels_lie_above_the_pictures() -> None:
    sheet = reenactment.label_images(
        [("a", np.zeros((256, 256, 3), np.uint8)), ("b", np.full((256, 256, 3), 9, np.uint8))]
    )
    assert sheet.shape == (278, 512, 3)
    assert (sheet[22:, 256:] == 9).all()
    assert sheet[:22].max() > 150  # letters


def test_a_whole_evaluation_with_pictures(options: list[str]) -> None:

    assert main([*options, "pictures.clips=2", "pictures.frames=15", "per_frame=none"]) == 0
    output = Path(next(option.partition("=")[2] for option in options if option.startswith("output=")))
    results = json.loads((output / "results.json").read_text())
    assert results["systems"]["ours"]["metrics"]["psnr"]["n"] == 2
    assert results["protocol"]["pictures"]["compared with"] == reenactment.PORTRAIT
    assert any("built-in portrait" in note for note in results["notes"])
    assert len(list((output / "videos").glob("*.mp4"))) == 2
    page = (output / "index.html").read_text()
    assert page.count("<video") == 2


def test_a_clip_that_cannot_be_rendered_keeps_its_other_scores(
    options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:

    def fail(*_: object, **__: object) -> None:
        raise DataError("planted")

    monkeypatch.setattr(pictures, "open_reenactment", fail)
    assert main([*options, "pictures.clips=2", "per_frame=none"]) == 0
    output = Path(next(option.partition("=")[2] for option in options if option.startswith("output=")))
    results = json.loads((output / "results.json").read_text())
    assert "psnr" not in results["systems"]["ours"]["metrics"]
    assert results["systems"]["ours"]["metrics"]["within_clip_r2"]["n"] == 6
    assert any("2 clips could not be rendered" in note and "planted" in note for note in results["notes"])
