"""Runs of configs/smoke_renderer.yaml: they learn, on any number of processes alike, and resume bit for bit."""

from __future__ import annotations

import signal
from pathlib import Path

import killable
import numpy as np
import pytest
import torch
from filmed import write_filmed_store
from killable import finish, log_of, start
from safetensors.torch import load_file
from small import ROOT, arguments, checkpoint_of, rows_of, same

from expnet.config import load_config
from expnet.errors import ConfigError, ExpnetError, MissingAssetError
from expnet.media.video_reader import read_video
from expnet.render.video_renderer.renderer import open_video_renderer
from expnet.training.main import train
from expnet.training.replay import replay
from expnet.training.saved_step import SavedStep

SMOKE = str(ROOT / "configs" / "smoke_renderer.yaml")
TINY = (
    "model.size=32",
    "model.motion_halvings=2",
    "model.mapping_width=32",
    "model.volume_blocks=1",
    "data.validation_frames=6",
    "data.workers=0",
)
ADVERSARIAL = (
    "loss.adversarial_weight=1",
    "loss.feature_matching_weight=1",
    "loss.discriminator_width=4",
    "loss.discriminator_layers=2",
    "loss.discriminator_scales=2",
    "data.jitter=0.05",
    "data.colour=0.1",
)
EVERY_TERM = (
    *ADVERSARIAL,
    "loss.perceptual_weight=1",
    "loss.perceptual_network=random",
    "loss.perceptual_stages=2",
    "loss.perceptual_scales=2",
)


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_filmed_store(tmp_path_factory.mktemp("data") / "store")


def tiny(store: Path, *overrides: str) -> list[str]:
    crops = f"data.crops={store.parent / 'frames'}"
    return arguments("renderer", store, crops, *TINY, "trainer.max_steps=6", "trainer.validate_every=3", *overrides)


def is_cancelled(name: str, state: dict[str, torch.Tensor]) -> bool:
    """Return whether a normalisation subtracts the parameter again, or is the mean that does so.

    The gradient of such a bias is 0 up to rounding, of which Adam makes a step of full size in a random direction.
    """
    block, _, kind = name.rpartition(".")
    stem, _, layer = block.rpartition(".")
    following = {"conv": "norm", "conv1": "norm2"}
    if name.startswith("discriminator.scales.") and stem.endswith("layers"):
        return kind == "bias" and layer != "0"  # instance normalisation follows from the second layer on
    if kind == "bias" and layer in following:
        return f"{stem}.{following[layer]}.running_mean" in state
    return kind == "running_mean" and layer in following.values()


@pytest.mark.slow
def test_held_out_frames_come_closer_than_the_source_held_still(filmed: Path) -> None:
    """The first 70 % of two clips are trained on; the rest is driven from its first frame."""
    options = ["trainer.max_steps=150", "trainer.validate_every=150", "optim.lr=3e-3", "data.batch_size=4"]
    run = train(load_config(tiny(filmed, "data.validation_frames=15", *options)))
    scores = {name: float(value) for name, value in rows_of(run)[-1].items() if name[:4] == "val/"}
    assert scores["val/frames"] == 2 * 14
    assert scores["val/error"] < 0.8 * scores["val/still_error"], scores
    assert scores["val/psnr"] > scores["val/still_psnr"] + 1
    assert scores["val/ssim"] > scores["val/still_ssim"]


def test_a_killed_run_goes_on_bit_for_bit(filmed: Path, tmp_path: Path) -> None:
    given = tiny(filmed, *ADVERSARIAL)
    assert finish(start(given, tmp_path / "whole")) == [0], log_of(tmp_path / "whole")
    killed = start(given, tmp_path / "killed", point=(killable.in_a_step, 5))
    assert finish(killed) == [-signal.SIGKILL], log_of(tmp_path / "killed")
    assert finish(start(given, tmp_path / "killed")) == [0], log_of(tmp_path / "killed")
    whole, again = (tmp_path / name / "run" for name in ("whole", "killed"))
    assert rows_of(again) == rows_of(whole)
    for key in ("state_dict", "optimizer_states", "lr_schedulers", "callbacks"):
        ours, theirs = checkpoint_of(again)[key], checkpoint_of(whole)[key]
        if key == "callbacks":
            ours, theirs = ours["RandomState"], theirs["RandomState"]
        assert same(ours, theirs), key
    assert same(load_file(again / "model.safetensors"), load_file(whole / "model.safetensors"))


def test_two_processes_train_like_one_with_their_batches_together(filmed: Path, tmp_path: Path) -> None:
    """Batch normalisation, discriminator and gradient norms see the pairs of both; scores count each clip once."""
    steps = ("trainer.max_steps=3", "trainer.validate_every=3", "trainer.log_every=1")
    for processes, batch in ((1, 4), (2, 2)):
        given = tiny(filmed, *ADVERSARIAL, *steps, f"data.batch_size={batch}")
        folder = tmp_path / str(processes)
        assert finish(start(given, folder, processes=processes)) == [0] * processes, log_of(folder)
    one, two = (checkpoint_of(tmp_path / name / "run")["state_dict"] for name in "12")
    assert one.keys() == two.keys()
    for name, value in one.items():
        if not name.startswith(("sums.", "frames.")) and not is_cancelled(name, one):
            torch.testing.assert_close(two[name], value, rtol=2e-3, atol=2e-5, msg=name)
    alone, both = (rows_of(tmp_path / name / "run") for name in "12")
    assert [row["val/frames"] for row in alone] == [row["val/frames"] for row in both]
    for name in ("val/error", "val/still_error", "val/loss", "train/gradient_norm"):
        first, second = ([float(row[name]) for row in rows if row[name]] for rows in (alone, both))
        assert first == pytest.approx(second, rel=1e-3), name


def test_mixed_precision_with_every_term_trains_and_draws(filmed: Path) -> None:
    shown = ("metrics.samples=true", "metrics.every=1", "metrics.clips=1")
    run = train(load_config(tiny(filmed, *EVERY_TERM, "trainer.precision=bf16-mixed", *shown)))
    state = checkpoint_of(run)["state_dict"]
    assert not any(value.dtype == torch.bfloat16 for value in state.values())
    assert all(torch.isfinite(value).all() for value in state.values())
    names = ("perceptual", "pixel", "pyramid", "generator", "feature_matching", "discriminator")
    names = (*names, "equivariance", "keypoint", "head_pose", "deformation")
    assert all(np.isfinite(float(rows_of(run)[0][f"train/{name}"])) for name in names)
    (video,) = (run / "samples" / "step_000006").glob("*.mp4")
    frames = list(read_video(video, fps=25.0))
    assert len(frames) == 6, "the source, and the five frames that it is driven to"
    assert frames[0].shape[1] >= 3 * 32, "source, real and generated frame side by side"
    network = open_video_renderer(run)
    assert not any("parametrizations" in name for name in network.state_dict())


def test_a_step_that_fails_can_be_run_again(filmed: Path) -> None:
    with pytest.raises(ExpnetError, match="The loss"):
        train(load_config(tiny(filmed, *ADVERSARIAL, "optim.lr=1e30", "optim.warmup_steps=0", "trainer.explosion=2")))
    (step,) = Path("run/failure").glob("*.safetensors")
    saved = SavedStep.load(step)
    found = replay(saved, accelerator="cpu")
    assert found.loss == pytest.approx(saved.about["loss"], nan_ok=True)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.size=40", "must be a multiple of 4 \\* 2 \\^ model.motion_halvings = 32, not 40"),
        ("loss.feature_matching_weight=1", "needs the discriminator"),
        ("loss.perceptual_stages=6", "must be 1 to 5, not 6"),
        ("metrics.landmark_distance=true", "switch it off"),
        ("optim.discriminator_lr=0", "must be above 0"),
        ("data.frames=1", "must be 2 or more, or null, not 1"),
    ],
)
def test_what_does_not_fit_together_is_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config([SMOKE, override])


def test_nothing_to_compare_with_real_frames_is_refused() -> None:
    with pytest.raises(ConfigError, match="nothing else compares"):
        load_config([SMOKE, "loss.pixel_weight=0", "loss.pyramid_weight=0"])


def test_a_missing_vgg_is_named_before_anything_is_trained(filmed: Path) -> None:
    with pytest.raises(MissingAssetError, match="at nowhere"):
        train(load_config(tiny(filmed, "loss.perceptual_weight=1", "loss.perceptual_weights=nowhere")))
