"""A run that is killed with SIGKILL anywhere and resumed equals an uninterrupted run bit for bit."""

import itertools
import random
import signal
from collections.abc import Callable
from pathlib import Path

import killable
import numpy as np
import pytest
import torch
from killable import Point, finish, log_of, start
from safetensors.torch import load_file
from small import arguments, checkpoint_of, rows_of, same, write_store

from expnet.training.random_state import random_state, set_random_state

KEPT = ("epoch", "global_step", "state_dict", "optimizer_states", "lr_schedulers", "expnet", "TalkingFaceDataModule")
POINTS: dict[str, Point] = {
    "in the first epoch": (killable.in_a_step, 2),
    "in a step": (killable.in_a_step, 6),
    "in a validation": (killable.in_a_validation, 8),
    "in last.ckpt": (killable.in_last_checkpoint, 8),
    "in best.ckpt": (killable.in_best_checkpoint, 8),
    "after last.ckpt": (killable.after_last_checkpoint, 8),
    "in metrics.csv": (killable.in_a_row, 10),
}
MATRIX = [
    *itertools.product(["in a step", "in a validation", "in last.ckpt"], [0, 2], [1, 2]),
    *((point, 0, 1) for point in ("in the first epoch", "in best.ckpt", "after last.ckpt", "in metrics.csv")),
]
"""The moment of the kill, the number of loader processes, the number of training processes."""


def assert_same_run(first: Path, second: Path) -> None:
    """Metrics, the last checkpoint and the exported network are equal bit for bit."""
    assert (first / "metrics.csv").read_text() == (second / "metrics.csv").read_text()
    ours, theirs = checkpoint_of(first), checkpoint_of(second)
    for checkpoint in (ours, theirs):
        del checkpoint["expnet"]["notes"]["versions"]  # there may have been a commit in between
    for key in KEPT:
        assert same(ours[key], theirs[key]), key
    assert same(ours["callbacks"]["RandomState"], theirs["callbacks"]["RandomState"])
    assert same(load_file(first / "model.safetensors"), load_file(second / "model.safetensors"))
    assert not list(second.rglob(".*"))


@pytest.mark.slow
@pytest.mark.parametrize(("point", "workers", "processes"), MATRIX)
def test_a_killed_run_ends_as_if_it_had_lived(
    point: str, workers: int, processes: int, store: Path, tmp_path: Path, whole: Callable[..., Path]
) -> None:
    given = arguments("expression", store, f"data.workers={workers}")
    killed = finish(start(given, tmp_path, processes=processes, point=POINTS[point]))
    assert killed[0] == -signal.SIGKILL, log_of(tmp_path)
    assert finish(start(given, tmp_path, processes=processes)) == [0] * processes, log_of(tmp_path)
    assert_same_run(whole("expression", f"data.workers={workers}", processes=processes), tmp_path / "run")


@pytest.mark.parametrize(("workers", "processes"), [(0, 1), (2, 2)])
def test_audio_that_is_augmented_on_the_device_resumes(
    workers: int, processes: int, store: Path, tmp_path: Path, whole: Callable[..., Path]
) -> None:
    shares = (f"data.{name}=0.5" for name in ("pitch", "babble", "reverberation", "codec"))
    overrides = ("data.augment_on=device", "data.noise_snr=5", *shares, f"data.workers={workers}")
    given = arguments("expression", store, *overrides)
    killed = finish(start(given, tmp_path, processes=processes, point=(killable.in_a_step, 6)))
    assert killed[0] == -signal.SIGKILL, log_of(tmp_path)
    assert finish(start(given, tmp_path, processes=processes)) == [0] * processes, log_of(tmp_path)
    assert_same_run(whole("expression", *overrides, processes=processes), tmp_path / "run")


@pytest.mark.parametrize("point", [(killable.in_a_step, 6), (killable.after_last_checkpoint, 8)])
def test_head_poses_resume_in_the_middle_of_annealing(
    point: Point, store: Path, tmp_path: Path, whole: Callable[..., Path]
) -> None:
    overrides = ("loss.kl_anneal_steps=20", "loss.adversarial_weight=0.7")
    given = arguments("pose", store, *overrides)
    assert finish(start(given, tmp_path, point=point)) == [-signal.SIGKILL], log_of(tmp_path)
    assert finish(start(given, tmp_path)) == [0], log_of(tmp_path)
    assert_same_run(whole("pose", *overrides), tmp_path / "run")


@pytest.mark.parametrize(
    ("point", "processes"), [((killable.in_a_step, 6), 1), ((killable.after_last_checkpoint, 8), 2)]
)
def test_drawn_motion_resumes_with_the_same_noise(
    point: Point, processes: int, store: Path, tmp_path: Path, whole: Callable[..., Path]
) -> None:
    given = arguments("motion", store, "data.workers=0")
    killed = finish(start(given, tmp_path, processes=processes, point=point))
    assert killed[0] == -signal.SIGKILL, log_of(tmp_path)
    assert finish(start(given, tmp_path, processes=processes)) == [0] * processes, log_of(tmp_path)
    assert_same_run(whole("motion", "data.workers=0", processes=processes), tmp_path / "run")


def test_what_is_measured_now_and_then_keeps_its_turns(store: Path, tmp_path: Path, whole: Callable[..., Path]) -> None:
    """Every second of six validations is rendered; the run is killed before a validation that is not."""
    overrides = (
        "trainer.validate_every=2",
        "metrics.landmark_distance=true",
        "metrics.every=2",
        "metrics.clips=2",
        "metrics.frames=4",
        "trainer.monitor=val/landmark_distance",
    )
    given = arguments("expression", store, *overrides)
    assert finish(start(given, tmp_path, point=(killable.in_a_step, 7))) == [-signal.SIGKILL], log_of(tmp_path)
    assert finish(start(given, tmp_path)) == [0], log_of(tmp_path)
    assert_same_run(whole("expression", *overrides), tmp_path / "run")
    measured = [int(row["step"]) for row in rows_of(tmp_path / "run") if row["val/landmark_distance"]]
    assert measured == [1, 5, 9]


@pytest.mark.parametrize("point", [(killable.in_a_step, 6), (killable.after_last_checkpoint, 8)])
def test_a_run_without_validation_resumes(point: Point, tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", train=3, validation=0)
    given = arguments("expression", store, "data.validation_fraction=0", "data.test_fraction=0")
    assert finish(start(given, tmp_path / "whole")) == [0], log_of(tmp_path / "whole")
    assert finish(start(given, tmp_path / "killed", point=point)) == [-signal.SIGKILL]
    assert finish(start(given, tmp_path / "killed")) == [0], log_of(tmp_path / "killed")
    assert_same_run(tmp_path / "whole" / "run", tmp_path / "killed" / "run")


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("step", [6, 8])
def test_a_run_that_is_asked_to_leave_saves_where_it_is(
    step: int, processes: int, store: Path, tmp_path: Path, whole: Callable[..., Path]
) -> None:
    """At a step without and at a step with a validation.

    Of two processes only one receives the signal; the other learns of it with the gradients of the next step.
    """
    given = arguments("expression", store, "data.workers=0")
    left = finish(start(given, tmp_path, processes=processes, point=(killable.asked_to_leave, step)))
    assert left[0] == 128 + signal.SIGTERM, log_of(tmp_path)
    last = step + (processes > 1)
    assert checkpoint_of(tmp_path / "run")["global_step"] == last
    assert f"Stopped by SIGTERM after step {last}; continue with ckpt=last." in log_of(tmp_path)
    assert finish(start(given, tmp_path, processes=processes)) == [0] * processes, log_of(tmp_path)
    assert_same_run(whole("expression", "data.workers=0", processes=processes), tmp_path / "run")


def test_a_signal_in_a_validation_waits_for_its_end(store: Path, tmp_path: Path, whole: Callable[..., Path]) -> None:
    given = arguments("expression", store, "data.workers=0")
    left = finish(start(given, tmp_path, point=(killable.asked_in_a_validation, 4)))
    assert left == [128 + signal.SIGTERM], log_of(tmp_path)
    assert checkpoint_of(tmp_path / "run")["global_step"] == 4
    assert finish(start(given, tmp_path)) == [0], log_of(tmp_path)
    assert_same_run(whole("expression", "data.workers=0"), tmp_path / "run")


def test_the_random_numbers_of_every_process_are_kept(whole: Callable[..., Path]) -> None:
    states = checkpoint_of(whole("expression", "data.workers=0", processes=2))["callbacks"]["RandomState"]["processes"]
    assert len(states) == 2
    # The processes draw different random numbers for dropout and augmentation.
    assert not torch.equal(states[0]["torch"], states[1]["torch"])


def test_another_number_of_processes_goes_on_where_the_epoch_was(store: Path, tmp_path: Path) -> None:
    given = arguments("expression", store)
    assert finish(start(given, tmp_path, processes=2, point=(killable.asked_to_leave, 5)))[0] == 128 + signal.SIGTERM
    assert finish(start(given, tmp_path)) == [0], log_of(tmp_path)
    assert "goes on with 1 processes, but was stopped with 2" in log_of(tmp_path)
    assert checkpoint_of(tmp_path / "run")["global_step"] == 12


def test_generators_are_restored() -> None:
    state = random_state()
    first = (torch.rand(3).tolist(), np.random.rand(3).tolist(), random.random())
    set_random_state(state)
    assert (torch.rand(3).tolist(), np.random.rand(3).tolist(), random.random()) == first
