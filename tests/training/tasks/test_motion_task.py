"""The motion task: its objective written out, what is random in it, and a training that learns to move."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from small_tasks import E, clip, motion_task
from torch.utils.data import DataLoader

from expnet.data.batch import FaceBatch, collate
from expnet.metrics.functional import pearson
from expnet.models.audio_encoder import level_mel
from expnet.models.flow_matching.motion_flow import HEAD_SPREAD
from expnet.models.flow_matching.solver import Sampling
from expnet.models.pose_style import distances
from expnet.models.saved_model import load_model
from expnet.training.losses import landmark_displacements
from expnet.training.losses.flow_matching import metric_weights
from expnet.training.tasks.expression_task import VELOCITY_SHARE
from expnet.training.tasks.motion_task import FlowDraws, MotionTask


def batch_of(frames: int = 60, count: int = 3) -> FaceBatch:
    batch = collate([clip(seed, frames) for seed in range(count)])
    batch.blink = torch.rand(count, frames)
    batch.valid[1, 40:] = False
    batch.frames[1] = 40
    return batch


def draws_of(task: MotionTask, batch: FaceBatch) -> FlowDraws:
    count = len(batch)
    return FlowDraws(
        time=torch.linspace(0.2, 0.9, count),
        noise=torch.randn(count, batch.expression.shape[1], task.model.layout.size),
        previous=torch.tensor([0, 4, 15])[:count],
        heard=torch.tensor([True, False, True])[:count],
        styled=torch.tensor([True, True, False])[:count],
    )


def test_a_share_of_the_windows_teaches_the_mean() -> None:
    """They stand at the beginning of the flow, without noise, so that the target is the motion itself."""
    torch.manual_seed(0)
    task = motion_task(mean_share=0.3)
    batch = batch_of(count=3)
    many = [task.draw(batch) for _ in range(100)]
    time, noise = torch.cat([draws.time for draws in many]), torch.cat([draws.noise for draws in many])
    averaged = time == 0
    assert averaged.float().mean() == pytest.approx(0.3, abs=0.08)  # three standard deviations of 300 draws
    assert noise[averaged].abs().max() == 0
    assert (noise[~averaged].flatten(1).std(dim=1) > 0.8).all()


def test_the_objective_clip_by_clip() -> None:
    """Each clip's path, known frames, conditions and error, with loops over clips and frames."""
    task = motion_task(landmark_weight=0).eval()
    for value in task.model.parameters():
        torch.nn.init.normal_(value, std=0.2)
    batch, model = batch_of(), task.model
    draws = draws_of(task, batch)
    found = task.losses(model, batch, batch.mel, draws)
    columns = {"expression": slice(0, E), "head": slice(E, E + 6), "lids": slice(E + 6, E + 7)}
    weights = (task.metric.diagonal() * model.motion_std**2).sqrt()
    scale = {"expression": weights / weights.mean(), "head": torch.ones(6), "lids": torch.ones(1)}
    errors: dict[str, list[torch.Tensor]] = {name: [] for name in columns}
    for index in range(3):
        before = int(draws.previous[index])
        pose = batch.relative_pose[index]
        style = distances((pose / model.pose_std)[None], batch.valid[index : index + 1])[0][0]
        reach = style[-6:] * model.pose_std
        data = torch.cat(
            [
                (batch.expression[index] - batch.first_expression[index]) / model.motion_std,
                ((pose - pose[max(before, 1) - 1]) / reach / HEAD_SPREAD).clamp(-6, 6),
                ((batch.blink[index] - model.lid_mean) / model.lid_std)[:, None],
            ],
            dim=-1,
        )
        time, noise = draws.time[index], draws.noise[index]
        point, known = (1 - time) * noise + time * data, torch.zeros(len(data), 3, dtype=torch.bool)
        for frame in range(len(data)):
            for place, name in enumerate(columns):
                if frame < before or (name == "head" and frame == 0):
                    point[frame, columns[name]] = data[frame, columns[name]]
                    known[frame, place] = True
        padding = torch.arange(len(data)) < batch.frames[index]
        speech = model.speech(level_mel(batch.mel[index : index + 1], padding[None]), None, len(data))
        if not draws.heard[index]:
            speech = model.speech.absent.expand_as(speech)
        first = (batch.first_expression[index] - model.expression_mean) / model.expression_std * model.importance
        condition = model.embed_first(first)  # type: ignore[misc]
        anchor = pose[max(before, 1) - 1] / reach
        condition = condition + model.embed_anchor(anchor)  # type: ignore[misc]
        condition = condition + (model.embed_style(style.log()) if draws.styled[index] else model.no_style)  # type: ignore[misc]
        velocity = model(point[None], time[None], known[None], speech, condition[None], padding[None])[0]
        for place, (name, part) in enumerate(columns.items()):
            for frame in range(len(data)):
                if batch.valid[index, frame] and not known[frame, place]:
                    error = velocity[frame, part] - (data - noise)[frame, part]
                    errors[name].append((error**2 * scale[name]).mean())
    expected = {name: torch.stack(values).mean() for name, values in errors.items()}
    for name, value in expected.items():
        torch.testing.assert_close(found[f"{name}_loss"], value, rtol=1e-4, atol=1e-4)
    total = expected["expression"] + 0.6 * expected["head"] + 0.1 * expected["lids"]
    torch.testing.assert_close(found["loss"], total, rtol=1e-4, atol=1e-4)


def test_known_frames_and_padding_do_not_count() -> None:
    task = motion_task().eval()
    batch = batch_of()
    draws = draws_of(task, batch)
    before = task.losses(task.model, batch, batch.mel, draws)
    draws.noise[2, :15] = 50.0
    draws.noise[1, 40:] = 50.0
    after = task.losses(task.model, batch, batch.mel, draws)
    assert {name: float(value) for name, value in before.items()} == pytest.approx(
        {name: float(value) for name, value in after.items()}
    )
    draws.noise[2, 15] = 50.0
    assert float(task.losses(task.model, batch, batch.mel, draws)["loss"]) > 2 * float(before["loss"])


def test_weights_of_the_coefficients() -> None:
    metric, std = torch.diag(torch.tensor([4.0, 1.0])), torch.tensor([1.0, 4.0])
    torch.testing.assert_close(metric_weights(metric, std, power=0), torch.ones(2))
    torch.testing.assert_close(metric_weights(metric, std, power=0.5), torch.tensor([2 / 3, 4 / 3]))
    torch.testing.assert_close(metric_weights(metric, std, power=1), torch.tensor([0.4, 1.6]))


def test_what_is_drawn_for_a_step() -> None:
    task = motion_task(previous_share=0.5, audio_left_out=0.25, style_left_out=0.1, mean_share=0)
    torch.manual_seed(0)
    draws = task.draw(collate([clip(0, 40)] * 2000))
    assert (draws.previous == 0).float().mean() == pytest.approx(0.5, abs=0.05)
    assert sorted(set(draws.previous.tolist())) == list(range(16))
    assert draws.heard.float().mean() == pytest.approx(0.75, abs=0.04)
    assert draws.styled.float().mean() == pytest.approx(0.9, abs=0.03)
    assert draws.time.mean() == pytest.approx(0.5, abs=0.02)
    assert draws.noise.std() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("name", ["landmark_weight", "velocity_weight"])
def test_terms_on_the_mean_are_switches(name: str) -> None:
    """They count in the windows that teach the mean, here the second, where the estimate is the velocity itself."""
    off, on = (motion_task(**{"landmark_weight": 0, name: weight}).eval() for weight in (0.0, 0.5))
    batch, term = batch_of(), name.replace("weight", "loss")
    draws = draws_of(off, batch)
    assert term not in on.losses(on.model, batch, batch.mel, draws)
    draws.time[1], draws.noise[1] = 0.0, 0.0
    plain, more = (task.losses(task.model, batch, batch.mel, draws) for task in (off, on))
    assert term not in plain
    assert float(more["loss"]) == pytest.approx(float(plain["loss"]) + 0.5 * float(more[term]), rel=1e-5)
    # An untrained network returns a velocity of zero: the mean is the first frame, after the frames that are known.
    known = int(draws.previous[1])
    still = batch.first_expression[1].expand_as(batch.expression[1]).clone()
    still[:known] = batch.expression[1, :known]
    valid, std = batch.valid[1], on.model.motion_std
    if name == "landmark_weight":
        real, drawn = (on.landmarks(batch.identity[1:2], x[None])[0] for x in (batch.expression[1], still))
        error = ((real - drawn).square().sum(-1) * on.landmark_weights).mean(-1)[valid].mean()
        moved = landmark_displacements(on.face_model, std).square().sum(-1) * on.landmark_weights
        expected = error / moved.mean(-1).sum()
    else:
        change = (still - batch.expression[1]).diff(dim=0)[valid[1:] & valid[:-1]]
        error = torch.einsum("te,ef,tf->t", change, on.metric, change).mean()
        expected = error / (VELOCITY_SHARE * (on.metric.diagonal() * std**2).sum())
    assert float(more[term]) == pytest.approx(float(expected), rel=1e-4)


def fit(task: MotionTask, folder: Path, steps: int) -> pl.Trainer:
    """Train on four clips, and validate on the same ones."""
    trainer = pl.Trainer(
        max_steps=steps,
        max_epochs=-1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        num_sanity_val_steps=0,
        check_val_every_n_epoch=None,
        val_check_interval=steps,
    )
    clips = [clip(seed, 65) for seed in range(4)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(
            task,
            DataLoader(clips * 4, batch_size=8, collate_fn=collate),
            DataLoader(clips, batch_size=1, collate_fn=collate),
        )
    return trainer


def test_the_motion_network_learns(tmp_path: Path) -> None:
    """On four clips of a sine in the audio, samples follow the sine, with the right amplitude."""
    task = motion_task(250, audio_left_out=0.05, first_frame_dropout=0.0)
    trainer = fit(task, tmp_path, 250)
    assert float(trainer.callback_metrics["val/expression_loss"]) < 0.6
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    checkpoint = torch.load(tmp_path / "x.ckpt", weights_only=True)
    assert not [name for name in checkpoint["state_dict"] if "face_model" in name or "metric" in name]
    model = load_model(tmp_path / "x.ckpt", "motion")
    batch = clip(1, 65)
    loudness = batch.expression[0, :, 0]
    # the sample as it is drawn, and lips that follow the mean: where the speech decides, both move as far
    for mean_guidance, lip_variation in ((0.0, 1.0), (0.5, 0.5)):
        sampling = Sampling(temperature=0.7, mean_guidance=mean_guidance, lip_variation=lip_variation)
        drawn = model.sample(65, batch.first_expression, mel=batch.mel, sampling=sampling).expression[0, :, 0]
        assert float(pearson(drawn, loudness)) > 0.9
        assert float(drawn.std() / loudness.std()) == pytest.approx(1, abs=0.3)
    again = MotionTask.load_from_checkpoint(tmp_path / "x.ckpt", face_model=task.face_model, weights_only=True)
    assert torch.equal(again.model.head.weight, task.model.head.weight)


def test_a_validation_leaves_the_random_state_alone(tmp_path: Path) -> None:
    task = motion_task().eval()
    task.log = lambda *_, **__: None  # type: ignore[method-assign]
    state = torch.get_rng_state()
    first = task.validation_step(clip(3, 70), 0)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    second = task.validation_step(clip(3, 70), 0)
    assert torch.equal(first.predicted, second.predicted)
    assert math.isfinite(float(first.landmarks.sum()))
