"""Joins and drift of motions that are known."""

from pathlib import Path

import numpy as np
import pytest
import torch

from expnet.audio.wave import write_wav
from expnet.models.flow_matching.motion import Motion
from motion_joins import joined_speech
from shared.motion_joins import drift, join_rows, joins_of

FRAMES = 900


@pytest.fixture(scope="module")
def steady() -> Motion:
    """Two motions whose every part changes by the same amount from frame to frame, forwards or backwards at random."""
    random = torch.Generator().manual_seed(0)
    steps = torch.randint(0, 2, (2, FRAMES, 1), generator=random) * 2.0 - 1
    track = steps.cumsum(dim=1)
    direction = torch.randn(64, generator=random)
    return Motion(0.01 * track * direction, (0.001 * track).expand(-1, -1, 6), 0.01 * track[..., 0])


def test_windows_join_where_the_second_one_begins_to_draw() -> None:
    assert joins_of(250, 15) == []
    assert joins_of(251, 15) == [230]
    assert joins_of(FRAMES, 15) == [230, 445, 660, 875]


def test_a_steady_motion_has_no_joins(steady: Motion) -> None:
    for row in join_rows(steady, joins_of(FRAMES, 15)):
        if row.change == "velocity":
            assert row.at_joins.mean == pytest.approx(1, abs=0.01), row.part
        assert row.at_joins.mean == pytest.approx(1, abs=0.2), row.part
        assert row.halfway.mean == pytest.approx(1, abs=0.2), row.part


def test_a_jump_at_joins_is_seen_there_and_nowhere_else(steady: Motion) -> None:
    joins = joins_of(FRAMES, 15)
    pose = steady.pose.clone()
    for join in joins:
        pose[:, join:] += 0.024  # 24 times the change of a frame, within the 26 frames that count as the join
    jumping = {(row.part, row.change): row for row in join_rows(Motion(steady.expression, pose, steady.lids), joins)}
    calm = {(row.part, row.change): row for row in join_rows(steady, joins)}
    # Three of the four joins lie wholly within the motion. The step of 24 adds to or takes from one of 1.
    assert jumping["head", "velocity"].at_joins.mean == pytest.approx(1 + 24 / 25, abs=0.1)
    assert jumping["head", "velocity"].halfway.mean == pytest.approx(1, abs=0.01)
    assert jumping["head", "acceleration"].at_joins.mean > 2
    for part in ("landmarks", "lids"):
        assert jumping[part, "velocity"] == calm[part, "velocity"]


def test_drift_is_seen_by_half_minute() -> None:
    rising = torch.linspace(0, 1, FRAMES)
    lids = rising[None]
    pose = torch.zeros(1, FRAMES, 6)
    pose[..., :3] = torch.deg2rad(10 * rising)[:, None]
    expression = torch.zeros(1, FRAMES, 64)
    expression[:, FRAMES // 2 :, 0] = 1.0
    rows = drift(Motion(expression, pose, lids), FRAMES // 3)
    assert [row["lids"] for row in rows] == pytest.approx([1 / 6, 1 / 2, 5 / 6], abs=0.01)
    assert [row["angles"] for row in rows] == pytest.approx([10 / 6, 5, 50 / 6], abs=0.05)
    assert rows[0]["mean_face"] == 0
    assert rows[2]["mean_face"] == pytest.approx(2 * rows[1]["mean_face"], rel=0.01)


def test_speech_is_repeated(tmp_path: Path) -> None:
    for name, value in (("a", 0.25), ("b", 0.5)):
        write_wav(tmp_path / f"{name}.wav", np.full(8000, value, np.float32))
    speech = joined_speech([tmp_path / "a.wav", tmp_path / "b.wav"], 1.25)
    assert speech.reshape(5, -1).mean(axis=1) == pytest.approx([0.25, 0.25, 0.5, 0.5, 0.25], abs=1e-3)
