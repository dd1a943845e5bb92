"""``benchmarks/pose.py``: styles are measured outside the scored frames, and constructed motion has known scores."""

import dataclasses
import importlib
import math
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from expnet.data.store.track_store import TrackStoreWriter
from tests.training.small import make_track


@pytest.fixture
def scores(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return importlib.import_module("shared.pose_scores")


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return importlib.import_module("shared.pose_table")


def seeded(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def clip_of(scores: ModuleType, frames: int, **changes: Any) -> Any:
    values = {
        "pose": torch.zeros(frames, 6),
        "valid": torch.ones(frames, dtype=torch.bool),
        "mel": torch.zeros(80, 32 + math.ceil(3.2 * frames)),
        "beats": torch.zeros(0),
        "shown": None,
    }
    return scores.Segment("clip", "anna", **(values | changes))


def test_a_style_is_never_measured_in_frames_that_are_scored(
    scores: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scores, "audio_beats", lambda sound: torch.zeros(0))  # the beat tracker takes long to import
    clips = {"a1": ("anna", 80), "a2": ("anna", 70), "b": ("bert", 150), "c": ("cleo", 80), "d": ("dora", 60)}
    with TrackStoreWriter(tmp_path / "store") as writer:
        for seed, (name, (speaker, frames)) in enumerate(clips.items()):
            writer.add(dataclasses.replace(make_track(seed, frames, ""), clip_id=name, speaker=speaker))
        writer.finish()
    found = {c.name: c for c in scores.read_clips([tmp_path / "store"], {"anna", "bert", "cleo", "dora"})}
    assert set(found) == {"a1", "a2", "b", "c"}  # two seconds are too short
    tracks = {name: scores.poses_of(scores.TrackStore(tmp_path / "store").read(name))[0] for name in clips}
    torch.testing.assert_close(found["a1"].shown[0], tracks["a2"])  # another clip of the same person
    torch.testing.assert_close(found["a2"].shown[0], tracks["a1"])
    assert found["a1"].frames == 80
    torch.testing.assert_close(found["b"].shown[0], tracks["b"][:75])  # no other clip: its first half
    torch.testing.assert_close(found["b"].pose, tracks["b"][75:])
    assert found["b"].mel.shape[1] == 32 + math.ceil(3.2 * 75)
    assert found["c"].shown is None  # too short to be divided
    assert found["c"].frames == 80


@pytest.mark.parametrize("order", [1, 2])
def test_joins(scores: ModuleType, order: int) -> None:
    """A walk with even steps has no visible joins; one that jumps between windows has."""
    steps = torch.nn.functional.normalize(seeded(4500, 6), dim=-1)
    assert scores.join_ratio(steps.cumsum(dim=0), order) == pytest.approx(1.0, abs=0.1)
    steps[33::32] *= 5  # from frame 32 k to frame 32 k + 1
    assert scores.join_ratio(steps.cumsum(dim=0), order) > 3


def test_three_minutes(scores: ModuleType) -> None:
    """Even swaying is no drift, moving away is; the largest angle is absolute."""
    time = torch.arange(scores.LONG) / 25.0
    sway = torch.zeros(1, scores.LONG, 6)
    sway[0, :, :3] = 0.1 * torch.sin(time * 0.2 * math.pi)[:, None]
    first = torch.tensor([0.2, 0.0, 0.0, 0.0, 0.0, 0.0])
    clip = clip_of(scores, 100, pose=first.expand(100, 6))

    def drawer(pose: torch.Tensor) -> Any:
        return scores.Drawer(SimpleNamespace(sample=lambda *arguments: pose))

    sway[..., 3:] = 1e-3 * seeded(1, scores.LONG, 3)
    even = scores.score_long(drawer(sway), clip)
    assert even["shift_to_third"] < 0.05 * even["spread_first"]
    assert even["spread_third"] == pytest.approx(even["spread_first"], rel=0.01)
    assert even["long_largest_angle"] == pytest.approx(0.3, abs=0.001)
    growing = sway * (1 + time / 180)[:, None]
    growing[..., 0] += 0.002 * time
    left = scores.score_long(drawer(growing), clip)
    assert left["shift_to_third"] > 0.5 * left["spread_first"]
    assert left["shift_to_third"] == pytest.approx(2 * left["shift_to_second"], rel=0.05)
    assert left["spread_third"] > 1.3 * left["spread_first"]


def test_each_clip_has_its_own_chance(scores: ModuleType) -> None:
    drawer = scores.Drawer(
        SimpleNamespace(sample=lambda mel, frames, first, style, g: torch.randn(1, 1, 6, generator=g))
    )
    clips = [dataclasses.replace(clip_of(scores, 100), name=name) for name in ("a", "b")]
    (one, again), (other, _) = ([drawer.draw(clip, 0), drawer.draw(clip, 0)] for clip in clips)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert not torch.equal(one, drawer.draw(clips[0], 1))


def test_a_head_that_moves_with_the_sound_follows_it(scores: ModuleType) -> None:
    energy = 2 + torch.sin(torch.arange(120) * 0.15)
    other = 2 + torch.sin(torch.arange(120) * 0.15 + math.pi)
    pace = scores.smoothed(energy[1:, None])[:, 0]
    assert scores.follows(pace, energy) > 0.8
    assert scores.follows(pace, other) < -0.8
    assert scores.follows(pace[:80], energy) > 0.8  # audio and motion may differ in length


def test_out_of_range_counts_turns_of_the_drawing_not_those_of_the_portrait(scores: ModuleType) -> None:
    pose = torch.zeros(100, 6)
    pose[:, 1] = 0.6  # as turned as its first frame
    pose[:25, 0] = 0.5
    inside = clip_of(scores, 100, pose=torch.tensor([0.0, 0.6, 0, 0, 0, 0]).expand(100, 6))
    assert scores.motion_scores(pose, inside, inside)["out_of_range"] == pytest.approx(0.25)


def test_divergence_is_that_of_a_window(scores: ModuleType) -> None:
    """A clip of three windows, of which the last is invalid, has the divergence of the other two's mean."""

    def model(mel: Any, pose: torch.Tensor, first: Any, style: Any, valid: torch.Tensor, from_prior: bool) -> Any:
        seen = valid[:, 1:].unflatten(1, (-1, 32)).flatten(0, 1)
        target = pose[:, 1:].unflatten(1, (-1, 32)).flatten(0, 1)
        mean = torch.tensor([[1.0], [2.0], [100.0]])
        return SimpleNamespace(
            valid=seen, target=target, predicted=target, from_prior=target + 1, mean=mean, log_variance=0 * mean
        )

    valid = torch.ones(97, dtype=torch.bool)
    valid[65:] = False
    clip = clip_of(scores, 97, pose=seeded(97, 6), valid=valid)
    model.pose_std = torch.ones(6)  # type: ignore[attr-defined]
    row = scores.score_posterior(model, clip)
    assert row["kl"] == pytest.approx((0.5 + 2.0) / 2)
    assert row["reconstruction"] == 0
    assert row["blind_reconstruction"] == pytest.approx(64 * 6)


def test_ratios_are_sums_over_sums_and_gaps_are_left_out(table: ModuleType) -> None:
    people = {"a": "anna", "b": "bert", "c": "cleo"}
    results = {
        table.REAL: {"a": {"diversity": 1.0}, "b": {"diversity": 3.0}, "c": {"diversity": 5.0}},
        "ours": {"a": {"diversity": 2.0, "long": 0.1}, "b": {"diversity": 3.0, "long": 0.3}, "c": {}},
    }
    ratio = table.Column("diversity", "diversity", "real")
    assert table.cell(ratio, "ours", results, people).startswith("1.25 [")
    assert table.cell(ratio, table.REAL, results, people).startswith("3 [")
    assert table.cell(table.Column("long", "", largest=True), "ours", results, people) == "0.30"
    assert table.cell(table.Column("long", ""), table.REAL, results, people) == ""
    text = table.tables(results, people)
    assert "3 segments of 3 people" in text
    assert "| ours (3) | 1.25 [" in text
