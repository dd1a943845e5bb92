"""``benchmarks/head_turns.py``: its frames, its regions, and its measure of stretch."""

from pathlib import Path

import numpy as np
import pytest

from expnet.coefficients import FaceCoefficients
from expnet.data.store.track import Track
from expnet.data.store.track_store import TrackStoreWriter
from expnet.errors import DataError, InputError
from head_turns import main
from shared.render_scores import SETTLING
from shared.turn_scores import mean_inside, regions, stretch, turned_frames

CROP = np.array([64.0, 64.0, 128.0])


def turning(degrees: np.ndarray) -> Track:
    """A clip without a video in which the head turns by these angles."""
    frames = len(degrees)
    return Track(
        clip_id="turning",
        speaker="one",
        coefficients=FaceCoefficients(
            expression=np.zeros((frames, 64)),
            rotation=np.radians(degrees)[:, None] * [0.0, 1.0, 0.0],
            translation=np.zeros((frames, 3)),
            identity=np.zeros(10),
            crop=CROP,
        ),
        landmarks=np.zeros((frames, 68, 2), np.float32),
        valid=np.ones(frames, bool),
        audio=np.zeros(frames * 640, np.float32),
        frame_size=(128, 128),
    )


def test_the_straightest_frame_is_the_portrait_and_the_others_are_turned() -> None:
    degrees = np.concatenate([np.zeros(SETTLING), [30, 2, -20, 10, 1, 18, -40, 25]])
    chosen = turned_frames(turning(degrees), 3, 15.0)
    assert degrees[chosen].tolist() == [1, -40, 18, 30]
    with pytest.raises(DataError, match="fewer than four frames"):
        turned_frames(turning(degrees), 3, 35.0)


def test_regions_are_above_the_chin_around_and_beside_the_person() -> None:
    landmarks = np.full((68, 2), 120.0)
    landmarks[8] = (128, 200)
    person = np.zeros((256, 256), bool)
    person[60:, 100:160] = True
    before = np.zeros((256, 256), bool)
    before[50:, 70:130] = True
    found = regions(person, before, landmarks)
    assert found["outline"][130, 96:105].all()
    assert not found["outline"][130, [90, 110]].any()
    assert not found["outline"][200:].any()
    assert found["uncovered"][130, 70:95].all()
    assert not found["uncovered"][130, 95:].any()
    assert not found["uncovered"][:, :70].any()


def test_a_mean_over_almost_nothing_is_not_a_number() -> None:
    values, mask = np.full((64, 64), 3.0), np.zeros((64, 64), bool)
    assert np.isnan(mean_inside(values, mask))
    mask[:10, :10] = True
    assert mean_inside(values, mask) == 3.0


def test_stretch_is_the_enlargement_of_what_has_moved() -> None:
    rows, columns = np.mgrid[:128, :128].astype(np.float32)
    person = np.zeros((128, 128), bool)
    person[:, 64:] = True
    enlarged = np.stack([64 + (columns - 64) / 3, rows + 0.0], axis=-1)
    assert stretch(enlarged, person, CROP) == pytest.approx(3.0, rel=1e-4)
    assert np.isnan(stretch(np.stack([columns, rows], axis=-1), person, CROP))


def test_a_clip_without_its_video_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with TrackStoreWriter(tmp_path / "store") as writer:
        writer.add(turning(np.linspace(0, 40, 30)))
        writer.finish()
    with pytest.raises(InputError, match="no clip could be scored"):
        main([str(tmp_path / "store"), "--output", str(tmp_path / "out")])
    assert "turning" in capsys.readouterr().out
