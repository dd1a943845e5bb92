"""``benchmarks/render_quality.py``: its baseline, its choice of frames, its regions, its table, and resuming."""

from pathlib import Path

import numpy as np
import pytest
from skimage.data import astronaut

from expnet.coefficients import FaceCoefficients
from expnet.data.store.track import Track
from expnet.data.store.track_store import TrackStore, TrackStoreWriter
from expnet.errors import InputError
from render_quality import main
from shared.inner_mouth import BINS, MEASURES, REAL
from shared.opening_errors import opening_errors
from shared.piecewise_affine import PiecewiseAffine
from shared.render_scores import (
    AFFINE,
    OURS,
    REPEATED,
    STILL,
    crop_frame,
    region_error,
    score_points,
    settled,
    spread,
    tracked_again,
)
from shared.render_table import COLUMNS, table


@pytest.fixture
def landmarks() -> np.ndarray:
    return np.random.default_rng(0).uniform(60, 190, (68, 2))


def test_the_baseline_is_exact_at_rest_and_moves_its_landmarks(landmarks: np.ndarray) -> None:
    image = astronaut()[:256, 100:356]
    affine = PiecewiseAffine(image, landmarks)
    assert np.array_equal(affine.warp(landmarks), image)
    moved = affine.warp(landmarks + np.array([3.0, -2.0])).astype(int)
    middle = np.s_[110:140, 110:140]
    assert np.abs(moved[middle] - np.roll(image, (-2, 3), axis=(0, 1))[middle]).mean() < 1.0
    for edge in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        assert np.array_equal(moved[edge], image[edge])


def test_frames_are_spread_over_those_that_were_seen() -> None:
    valid = np.ones(100, bool)
    valid[:5] = False
    chosen = spread(valid, 10)
    assert (chosen[0], chosen[-1], len(chosen)) == (5, 99, 11)
    assert spread(valid[:8], 10).tolist() == [5, 6, 7]


def test_the_frames_in_which_a_tracker_settles_are_left_out() -> None:
    valid = np.ones(30, bool)
    valid[[0, 4]] = False
    kept = settled(valid)
    assert np.flatnonzero(kept)[0] == 7
    assert kept[7:].all()
    assert valid.sum() == 28


def mouths(openings: list[float]) -> np.ndarray:
    """Landmarks (T, 68, 2) with the eye corners 100 px apart and these openings of the mouth."""
    points = np.zeros((len(openings), 68, 2))
    points[:, 45, 0] = 100.0
    points[:, 8, 1] = 200.0
    points[:, 66, 1] = 100.0 * np.array(openings)
    return points


def test_openings_are_compared_bin_by_bin_and_lips_that_touch_are_counted() -> None:
    true = [0.0, 0.01, 0.03, 0.04, 0.2]
    found = [0.01, 0.03, 0.04, 0.02, 0.3]
    errors = opening_errors(mouths(found), mouths(true))
    assert errors["contact"] == 0.5
    assert errors["bins"][0] == pytest.approx([0.015, 0.015])
    assert errors["bins"][1] == pytest.approx([-0.005, 0.015])
    assert errors["bins"][2:] == [None, None, None]  # one frame is too few
    assert opening_errors(mouths([0.1, 0.1]), mouths([0.1, 0.1]))["contact"] is None


def test_a_region_sees_its_own_error_only(landmarks: np.ndarray) -> None:
    real = [np.full((256, 256, 3), 100, np.uint8)]
    drawn = real[0].copy()
    points = landmarks.copy()
    points[48:68] = np.random.default_rng(1).uniform(100, 140, (20, 2))
    drawn[150:, :] = 0  # below the region, margin included
    assert region_error([drawn], real, points[None], range(48, 68)) == 0.0
    drawn[:150] = 110
    assert region_error([drawn], real, points[None], range(48, 68)) == 10.0


def test_an_opening_is_compared_in_correlation_slope_and_pixels() -> None:
    true = mouths([0.1, 0.0, 0.1, 0.2]).astype(np.float32)
    assert score_points(true, true)["mouth_opening_error"] == 0.0
    wider = score_points(mouths([0.9, 0.01, 0.13, 0.25]).astype(np.float32), true)  # the first frame does not count
    assert wider["mouth_opening_correlation"] == pytest.approx(1.0)
    assert wider["mouth_opening_slope"] == pytest.approx(1.2)
    assert wider["mouth_opening_error"] == pytest.approx(3.0, abs=1e-4)  # of 1, 3 and 5 px between eyes 100 px apart


def test_the_second_tracking_of_the_real_frames_is_in_the_same_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, columns = np.mgrid[:200, :200]
    spot = np.round(250 * np.exp(-((columns - 90.0) ** 2 + (rows - 110.0) ** 2) / 50)).astype(np.uint8)
    frame, crop = np.repeat(spot[..., None], 3, axis=-1), np.array([100.0, 100.0, 128.0])
    sizes = []

    def middle(frames: list[np.ndarray]) -> np.ndarray:
        weight = frames[0][..., 0].astype(float)
        sizes.append(np.sqrt(weight.sum()))
        y, x = np.mgrid[: weight.shape[0], : weight.shape[1]]
        return np.array([[[(x * weight).sum() / weight.sum(), (y * weight).sum() / weight.sum()]]])

    monkeypatch.setattr("shared.render_scores.tracked", middle)
    found = tracked_again([frame], crop)
    assert found == pytest.approx(middle([crop_frame(frame, crop)]), abs=0.6)  # conventions of pixel centres
    assert sizes[1] / sizes[0] == pytest.approx(1.06, rel=0.01)


def row(clip: str, speaker: str, correlation: float) -> dict:
    scores = dict.fromkeys(COLUMNS, 1.0)
    systems = {name: dict(scores) for name in (OURS, AFFINE, STILL)}
    systems[OURS]["mouth_opening_correlation"] = correlation
    systems[REPEATED] = score_points(*2 * (mouths([0.1, 0.0, 0.1, 0.2]).astype(np.float32),))
    bins = {name: [dict.fromkeys(MEASURES, level)] * len(BINS) for name, level in ((REAL, 0.6), (OURS, 0.4))}
    openings = {name: {"bins": [[0.01, 0.02]] * (len(BINS) + 1), "contact": 0.75} for name in (OURS, AFFINE, REPEATED)}
    return {
        "clip": clip,
        "speaker": speaker,
        "systems": systems,
        "openings": openings,
        "inner_mouth": bins,
        "flicker": None,
    }


def test_the_table_names_what_falls_short_and_what_is_left_out() -> None:
    rows = [row("good", "a", 0.99), row("poor", "b", 0.5)]
    written = table([*rows, {"clip": "gone", "speaker": "c", "reason": "the video is not here"}])
    assert "2 clips of 2 people" in written
    assert "poor 0.500" in written
    assert "good 0.990" not in written
    assert "gone is left out: the video is not here" in written
    assert written.count("| 0.60 / 0.40 |") >= len(BINS)
    assert written.count("| 2 | 10.0 | 20.0 | 10.0 | 20.0 | 10.0 | 20.0 |") == len(BINS) + 1
    assert f"seen to: {OURS} 0.75, {AFFINE} 0.75, {REPEATED} 0.75 (2 people)" in written
    assert f"slope of 0.95 to 1.05: {OURS} 1 and 2; {AFFINE} 2 and 2; {REPEATED} 2 and 2." in written
    assert f"{OURS} - {REPEATED}" not in written  # it has no image
    with pytest.raises(InputError, match="no clip could be scored"):
        table([{"clip": "gone", "speaker": "c", "reason": "the video is not here"}])


def still_clip(name: str) -> Track:
    """Twenty frames of nothing."""
    return Track(
        clip_id=name,
        speaker=name,
        coefficients=FaceCoefficients(
            expression=np.zeros((20, 64)),
            rotation=np.zeros((20, 3)),
            translation=np.zeros((20, 3)),
            identity=np.zeros(10),
            crop=np.array([64.0, 64.0, 128.0]),
        ),
        landmarks=np.random.default_rng(0).uniform(0, 128, (20, 68, 2)).astype(np.float32),
        valid=np.ones(20, bool),
        audio=np.zeros(20 * 640, np.float32),
        frame_size=(128, 128),
    )


def test_a_run_goes_on_where_it_was_and_refuses_other_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Clips without a video: each is a row with that reason, kept and read again."""
    store = tmp_path / "store"
    with TrackStoreWriter(store) as writer:
        for name in ("a", "b"):
            writer.add(still_clip(name))
        writer.finish()
    arguments = [str(store), "--output", str(tmp_path)]
    with pytest.raises(InputError, match="no clip could be scored"):
        main(arguments)
    files = sorted((tmp_path / "clips").iterdir())
    assert [file.stem for file in files] == [clip.clip_id for clip in TrackStore(store).rows]
    assert "is not here" in capsys.readouterr().out
    before = [file.stat().st_mtime_ns for file in files]
    with pytest.raises(InputError, match="no clip could be scored"):
        main(arguments)
    assert [file.stat().st_mtime_ns for file in files] == before
    with pytest.raises(InputError, match="give another --output"):
        main([*arguments, "--frames", "7"])
