"""Realism in the evaluation: the yardstick, systems of several samples, and distances of sets with their intervals."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from expnet.audio.speech_synthesis import Phoneme
from expnet.coefficients import split_pose
from expnet.config.evaluate import ProtocolConfig
from expnet.evaluation.report.results import ScoredClip
from expnet.evaluation.scores import Scores
from expnet.evaluation.statistics.jackknife import jackknife
from expnet.evaluation.statistics.summary import summarise
from expnet.evaluation.store.clips import Clip
from expnet.evaluation.store.prediction import Prediction
from expnet.evaluation.store.realism import RealismScorer, cheek_vertices, windows_by_half
from expnet.evaluation.store.realism_record import OTHER_HALF, RealismRecord
from expnet.evaluation.store.trivial_systems import GroundTruth, HoldFirstFrame
from expnet.face.morphable import builtin_face_model
from expnet.metrics import MotionAmountRatio, MotionFrechetDistance, MotionNeighbours

CLIPS = 10
FRAMES = 350  # seven windows in either half


class Noisy:
    """Real motion with seeded noise of its own size: three samples for each clip."""

    name, title, kind, description = "noisy", "Noisy", "model", "The real motion with noise."

    def predict(self, clip: Clip) -> Prediction:
        generator = torch.Generator().manual_seed(len(clip.clip_id))
        noise = torch.randn(3, *clip.expression.shape, generator=generator)
        turn = 0.02 * torch.randn(3, clip.frames, 6, generator=generator)
        expressions, poses = clip.expression + 0.3 * noise, clip.pose + turn
        return Prediction(expressions[0], poses[0], split_pose(poses)[0], expressions)


@pytest.fixture(scope="module")
def clips(track_maker: Callable[..., Any]) -> list[Clip]:
    tracks = [track_maker(f"clip{i}", f"person{i % 5}", i, frames=FRAMES) for i in range(CLIPS)]
    return [Clip(track, 0.3, track.clip_id) for track in tracks]


@pytest.fixture(scope="module")
def scored(clips: list[Clip]) -> tuple[RealismRecord, dict[str, Any], list[ScoredClip]]:
    """The record, the results by system, and the rows of all systems."""
    record, systems = RealismRecord(builtin_face_model()), (GroundTruth(), Noisy(), HoldFirstFrame())
    rows = []
    for clip in clips:
        real, half = record.add_real(clip)
        rows.append(ScoredClip(clip.clip_id, OTHER_HALF, clip.track.speaker, values=half.values, weights=half.weights))
        for system in systems:
            scores = Scores()
            record.add(clip, system.name, system.predict(clip), real, scores)
            row = ScoredClip(
                clip.clip_id, system.name, clip.track.speaker, values=scores.values, weights=scores.weights
            )
            rows.append(row)
    table = summarise(record.described(systems), record.infos(), rows, {}, ProtocolConfig(resamples=50))
    return record, {system.name: system for system in record.complete(table)}, rows


def test_real_clips_hold_still_and_the_yardstick(scored: tuple[Any, dict[str, Any], Any]) -> None:
    _, systems, _ = scored
    assert list(systems) == ["ground_truth", "real_other_half", "noisy", "hold_first_frame"]
    for region in ("lips", "jaw", "cheeks", "brows", "lids", "head"):
        for measure in ("deviation", "speed"):
            key = f"{region}_{measure}_ratio"
            assert systems["ground_truth"].metrics[key].mean == pytest.approx(1)
            assert systems["hold_first_frame"].metrics[key].mean == pytest.approx(0, abs=1e-6)
            assert 0.8 < systems[OTHER_HALF].metrics[key].mean < 1.25, key
            assert systems["noisy"].metrics[key].mean > 1
    for region in ("lips", "upper_face", "head"):
        key = f"{region}_frechet_distance"
        assert "lips_frechet_distance" not in systems["ground_truth"].metrics
        assert systems["hold_first_frame"].metrics[key].mean > systems[OTHER_HALF].metrics[key].mean
        assert systems["hold_first_frame"].metrics[f"{region}_window_recall"].mean == 0
        low, high = systems["noisy"].metrics[key].ci95
        assert 0 <= low <= systems["noisy"].metrics[key].mean <= high
        difference = systems["hold_first_frame"].metrics[key].difference_to_first
        assert difference == pytest.approx(
            systems["hold_first_frame"].metrics[key].mean - systems["noisy"].metrics[key].mean
        )
    assert systems["hold_first_frame"].metrics["lips_frechet_distance"].mean == pytest.approx(1, abs=0.1)


def test_only_a_sampler_has_diversity_and_correlations_of_samples(scored: tuple[Any, dict[str, Any], Any]) -> None:
    _, systems, _ = scored
    noisy = systems["noisy"].metrics
    one, mean = (noisy[f"mouth_opening_correlation_{of}_sample"].mean for of in ("one", "mean"))
    assert 0 < one < mean < 1
    for region in ("lips", "upper_face", "head"):
        assert noisy[f"{region}_sample_diversity_ratio"].mean > 0
    for other in ("ground_truth", OTHER_HALF, "hold_first_frame"):
        assert not [key for key in systems[other].metrics if "sample" in key]


def test_the_table_has_a_heading_for_each_kind_of_metric() -> None:
    groups = [info.group for info in RealismRecord(builtin_face_model()).infos()]
    assert list(dict.fromkeys(groups)) == [
        "Windows of motion",
        "Amount of motion",
        "Energy by frequency",
        "Blinks",
        "Samples",
        "Lips at m, b, p",
    ]
    assert groups == sorted(groups, key=list(dict.fromkeys(groups)).index)  # the table joins neighbours


def test_a_sampler_is_scored_by_the_mean_of_its_samples(clips: list[Clip]) -> None:
    scorer, clip = RealismScorer(builtin_face_model()), clips[0]
    real, prediction = scorer.real(clip), Noisy().predict(clip)
    together = Scores()
    scorer.add(together, scorer.predicted(clip, prediction), real)
    rotations = prediction.rotations
    assert rotations is not None
    singles = []
    for place in range(3):
        scores = Scores()
        motion = scorer.motion(clip, prediction.expressions[place : place + 1], rotations[place : place + 1])
        scorer.add(scores, motion, real)
        singles.append(scores.values)
    for key in ("lips_deviation_ratio", "cheeks_speed_ratio", "head_jitter_ratio", "upper_face_fast_energy_ratio"):
        assert together.values[key] == pytest.approx(np.mean([values[key] for values in singles]))
    metric = MotionAmountRatio("cheeks", measure="speed")
    cheeks = scorer.predicted(clip, prediction).cheeks
    metric.update(cheeks, real.cheeks.expand_as(cheeks), clip.valid.expand(3, -1))
    assert together.values["cheeks_speed_ratio"] == pytest.approx(metric.compute().item())


def test_set_scores_are_those_of_the_metric_classes(clips: list[Clip], scored: tuple[Any, dict[str, Any], Any]) -> None:
    _, systems, _ = scored
    scorer, system = RealismScorer(builtin_face_model()), Noisy()
    for key, make in {
        "upper_face_frechet_distance": lambda: MotionFrechetDistance("upper_face"),
        "upper_face_window_recall": lambda: MotionNeighbours("upper_face", score="recall"),
    }.items():
        found = []
        for real_start, start in ((0, FRAMES // 2), (FRAMES // 2, 0)):
            for sample in range(3):
                metric = make()
                for clip in clips:
                    real = scorer.real(clip).between(real_start, real_start + FRAMES // 2)
                    drawn = scorer.predicted(clip, system.predict(clip)).between(start, start + FRAMES // 2)
                    metric.update(real.landmarks, real.valid[None], real=True)
                    metric.update(drawn.landmarks[sample][None], drawn.valid[None], real=False)
                found.append(metric.compute().item())
        assert systems["noisy"].metrics[key].mean == pytest.approx(np.mean(found), rel=1e-6), key


def test_replayed_halves_are_as_near_as_the_yardstick(clips: list[Clip], scored: tuple[Any, Any, Any]) -> None:
    """A system that repeats the real motion of the same half scores exactly what the real clips score."""
    record = RealismRecord(builtin_face_model())
    for clip in clips:
        real, _ = record.add_real(clip)
        record.add(clip, "copy", GroundTruth().predict(clip), real, Scores())
    found = record.windows.summaries(None)
    assert {key: value.mean for key, value in found["copy"].items()} == {
        key: value.mean for key, value in found[OTHER_HALF].items()
    }
    yardstick = scored[1][OTHER_HALF].metrics["lips_frechet_distance"].mean
    assert found["copy"]["lips_frechet_distance"].mean == pytest.approx(yardstick)


def test_closures_are_scored_where_phonemes_are_known(clips: list[Clip]) -> None:
    spoken = tuple(Phoneme("m", start, start + 0.1) for start in np.arange(1.0, 13.0, 0.5).tolist())
    clip = dataclasses.replace(clips[0], track=clips[0].track.with_phonemes(spoken))
    record = RealismRecord(builtin_face_model())
    real, _ = record.add_real(clip)
    found = {}
    for system in (GroundTruth(), HoldFirstFrame()):
        record.add(clip, system.name, system.predict(clip), real, scores := Scores())
        found[system.name] = scores.values
    assert found["ground_truth"]["lip_closure_recall"] == 1
    assert found["ground_truth"]["lip_closure_precision"] == 1
    assert found["hold_first_frame"]["lip_closure_recall"] == 0
    record.add(clips[1], "ground_truth", GroundTruth().predict(clips[1]), real, scores := Scores())
    assert not [key for key in scores.values if "closure" in key]


def test_too_few_windows_are_left_out_and_said(clips: list[Clip]) -> None:
    record = RealismRecord(builtin_face_model())
    for clip in clips[:3]:
        record.add_real(clip)
    assert record.windows.summaries(None) == {OTHER_HALF: {}}
    assert "lips: 21 and 21, too few of at least 60" in record.windows.notes()[0]


def test_the_jackknife_of_a_mean_is_its_textbook_error() -> None:
    values = np.array([1.0, 4.0, 2.0, 7.0])
    mean, ends = jackknife(
        lambda without: float(np.delete(values, [] if without is None else without).mean()), range(4)
    )
    error = values.std(ddof=1) / math.sqrt(4)
    assert mean == 3.5
    assert ends == pytest.approx((3.5 - 1.96 * error, 3.5 + 1.96 * error))
    assert jackknife(lambda without: 0.5, [0]) == (0.5, None)
    shares = {None: 0.7, 0: 0.1, 1: 0.9}
    assert jackknife(lambda without: shares[without], range(2), most=1.0) == (0.7, (0.0, 1.0))


def test_cheeks_lie_between_eye_mouth_and_jaw() -> None:
    model = builtin_face_model()
    chosen = cheek_vertices(model)
    assert len(set(chosen.tolist())) == 16
    landmarks, cheeks = model.mean[model.landmark_indices], model.mean[chosen]
    assert ((cheeks[:8, 0] < 0) == (landmarks[36, 0] < 0)).all()
    assert ((cheeks[8:, 0] < 0) == (landmarks[45, 0] < 0)).all()
    eyes, mouth = landmarks[[36, 45], 1].mean(), landmarks[[48, 54], 1].mean()
    between = (cheeks[:, 1] - eyes) / (mouth - eyes)
    assert ((between > 0.1) & (between < 1.3)).all()


def test_windows_are_of_each_half_with_its_own_mean(clips: list[Clip]) -> None:
    scorer = RealismScorer(builtin_face_model())
    motion = scorer.real(clips[0])
    halves = windows_by_half(motion)
    assert set(halves) == {"lips", "upper_face", "head"}
    for start, windows in zip((0, FRAMES // 2), halves["head"], strict=True):
        assert windows.shape == (1, 7, 30)
        alone = windows_by_half(motion.between(start, start + FRAMES // 2))
        assert alone["head"][0].shape == (1, 3, 30)
        assert torch.allclose(
            windows[0].reshape(7, 3, 10)[:, :, 0].sum(0), torch.zeros(3, dtype=torch.float64), atol=1e-9
        )
