"""Distances between sets of videos in the benchmark: values, intervals, refusals, and how they are stored."""

from pathlib import Path

import pytest
import torch

from expnet.config.benchmark import GROUND_TRUTH
from expnet.evaluation.report.results import ScoredClip, SystemResult
from expnet.evaluation.videos.finished_clips import FinishedClips, VideoOutcome
from expnet.evaluation.videos.pairing import PairedClip
from expnet.evaluation.videos.set_distances import add_set_distances
from expnet.metrics.functional.frechet import Moments, frechet_distance

COUNT = 40
KEYS = ("fvd", "fvd_extrapolated")


def draw(seed: int, shift: float = 0.0) -> torch.Tensor:
    return torch.randn(COUNT, 1, 5, generator=torch.Generator().manual_seed(seed)) + shift


@pytest.fixture
def work(tmp_path: Path) -> tuple[FinishedClips, list[PairedClip]]:
    """40 clips of eight people: real, two systems of 40 and a third that lacks ten."""
    finished, clips = FinishedClips(tmp_path, "hash"), []
    sets = {GROUND_TRUTH: draw(0), "near": draw(1, 0.5), "far": draw(2, 2.0), "few": draw(3)}
    for number in range(COUNT):
        path = tmp_path / f"{number}.mp4"
        path.write_bytes(b"x")
        clip = PairedClip(str(number), f"person{number % 8}", dict.fromkeys(sets, path))
        clips.append(clip)
        for system, vectors in sets.items():
            stored = {} if system == "few" and number < 10 else {"fvd": vectors[number]}
            row = ScoredClip(clip.clip_id, system)
            finished.write(clip, system, VideoOutcome(row, features=vectors[number] * 2, vectors=stored))
    return finished, clips


def results() -> list[SystemResult]:
    return [SystemResult(name, name, "model", "", {}) for name in (GROUND_TRUTH, "near", "far", "few")]


def test_values_intervals_and_refusals(work: tuple[FinishedClips, list[PairedClip]]) -> None:
    finished, clips = work
    (real, near, far, few), notes = add_set_distances(results(), KEYS, clips, finished)
    expected = frechet_distance(Moments.of(draw(0)[:, 0]), Moments.of(draw(1, 0.5)[:, 0]))
    assert not real.metrics
    assert near.metrics["fvd"].mean == pytest.approx(expected.item(), rel=1e-9)
    assert near.metrics["fvd"].n == COUNT
    for key in KEYS:
        low, high = far.metrics[key].ci95 or (0.0, 0.0)
        assert low < far.metrics[key].mean < high
        assert (near.metrics[key].ci95 or (0.0, 0.0))[1] < low
        assert far.metrics[key].difference_to_first == pytest.approx(far.metrics[key].mean - near.metrics[key].mean)
        assert near.metrics[key].difference_to_first is None
    assert near.metrics["fvd_extrapolated"].mean < near.metrics["fvd"].mean
    assert not few.metrics
    assert len(notes) == 2
    assert notes[0] == (
        "fvd of few was not computed: it has 30 videos against 30 real ones, and at least 32 are needed on either side."
    )


def test_a_set_without_pairs_is_compared_whole(work: tuple[FinishedClips, list[PairedClip]]) -> None:
    finished, clips = work
    real_only = [PairedClip(clip.clip_id, clip.speaker, {GROUND_TRUTH: clip.paths[GROUND_TRUTH]}) for clip in clips]
    made_only = [PairedClip(clip.clip_id, clip.speaker, {"far": clip.paths["far"]}) for clip in clips[:35]]
    systems = [SystemResult("far", "far", "model", "", {})]
    (far,), notes = add_set_distances(systems, ("fvd",), [*real_only, *made_only], finished, paired=False)
    expected = frechet_distance(Moments.of(draw(0)[:, 0]), Moments.of(draw(2, 2.0)[:35, 0]))
    assert far.metrics["fvd"].mean == pytest.approx(expected.item(), rel=1e-9)
    assert (far.metrics["fvd"].n, far.metrics["fvd"].unscored, notes) == (35, 0, [])


def test_inception_features_are_stored_beside_other_vectors(work: tuple[FinishedClips, list[PairedClip]]) -> None:
    finished, clips = work
    assert torch.equal(finished.features(clips[0])["few"], draw(3)[0] * 2)
    assert "few" not in finished.features(clips[0], "fvd")
    assert torch.equal(finished.features(clips[3], "fvd")["near"], draw(1, 0.5)[3])
