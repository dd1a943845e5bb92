"""The sync expert learns which lips match which audio, and its loss trains the expression network."""

import copy
import warnings

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from expnet.assets.extractors import open_sync_expert
from expnet.audio.alignment import mel_columns
from expnet.config import load_config
from expnet.data.batch import FaceBatch, collate
from expnet.data.coefficient_statistics import CoefficientStatistics
from expnet.errors import ConfigError
from expnet.face.morphable import builtin_face_model
from expnet.metrics import LandmarkSyncConfidence, LandmarkSyncOffset
from expnet.models.saved_model import save_model
from expnet.training.tasks.build import sync_loss
from expnet.training.tasks.expression_task import ExpressionTask
from expnet.training.tasks.landmark_sync_task import LandmarkSyncTask, SyncLoss, clip_similarities, offset_loss

E = 64
STILL = dict.fromkeys(("time_masks", "band_masks", "gain", "tilt", "warp", "floor", "noise"), 0)
SHARED = {"optim": {"lr": 3e-3, "warmup_steps": 5, "ema": 0.0}, "augment": STILL}


def clip(seed: int, frames: int = 80, early: int = 0) -> FaceBatch:
    """A clip whose expression follows the loudness of its audio, which leads by ``early`` frames."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(1, 1, frames + 60, generator=generator)
    loud = torch.nn.functional.avg_pool1d(noise, 3, stride=1)[0, 0] * 1.5
    direction = torch.randn(E, generator=torch.Generator().manual_seed(9))
    expression = loud[20 : 20 + frames, None] * direction + torch.randn(E, generator=generator)
    columns = ((torch.arange(mel_columns(frames)) - 16) / 3.2 - 0.5).round().long() + 20 + early
    mel = loud[columns.clamp(0, len(loud) - 1)].expand(80, -1) - 1.0
    pose = torch.zeros(1, frames, 3)
    return FaceBatch(
        mel=mel[None].clamp(-4, 4),
        expression=expression[None],
        identity=torch.randn(1, builtin_face_model().identity_size, generator=generator),
        rotation=pose,
        translation=pose,
        first_expression=expression[:1],
        first_pose=torch.zeros(1, 6),
        blink=torch.zeros(1, frames),
        valid=torch.ones(1, frames, dtype=torch.bool),
        emotion=torch.zeros(1, dtype=torch.long),
        style=torch.zeros(1, dtype=torch.long),
        frames=torch.tensor([frames]),
        clip_ids=(f"clip{seed}",),
        first_frame=torch.zeros(1, dtype=torch.long),
    )


def statistics() -> CoefficientStatistics:
    return CoefficientStatistics(torch.zeros(E), torch.ones(E), torch.ones(6), torch.zeros(80), torch.ones(80))


def trained(steps: int, folder) -> tuple[LandmarkSyncTask, pl.Trainer]:
    torch.manual_seed(0)
    task = LandmarkSyncTask(
        options={"width": 16, "audio_channels": 8, "layers": 1, "dropout": 0.0, "lip_gain": 0.1},
        max_steps=steps,
        face_model=builtin_face_model(),
        statistics=statistics(),
        **SHARED,
    )
    trainer = pl.Trainer(
        max_steps=steps,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(
            task,
            DataLoader([clip(seed) for seed in range(16)], batch_size=8, collate_fn=collate),
            DataLoader([clip(seed, 120) for seed in range(50, 53)], batch_size=1, collate_fn=collate),
        )
    return task, trainer


@pytest.fixture(scope="module")
def fitted(tmp_path_factory) -> tuple[LandmarkSyncTask, pl.Trainer]:
    return trained(40, tmp_path_factory.mktemp("expert"))


def test_it_learns_the_offset_of_clips_it_has_not_seen(fitted, tmp_path) -> None:
    task, trainer = fitted
    assert float(trainer.callback_metrics["val/offset_error"]) == 0.0
    assert float(trainer.callback_metrics["val/loss"]) < 1.0
    expert = open_sync_expert(save_model(tmp_path / "expert.safetensors", task.evaluated))
    offset = LandmarkSyncOffset(expert)
    for early in (-6, 0, 5):
        shifted = clip(70, early=early)
        assert offset.score(task.landmarks(shifted), shifted.mel)[0].item() == early
    own, other = clip(70), clip(71)
    confidence = LandmarkSyncConfidence(expert)
    together = confidence.score(task.landmarks(own), own.mel)[0]
    assert together > 1.5 * confidence.score(task.landmarks(own), other.mel)[0]


def test_windows_of_one_clip_are_not_held_against_each_other() -> None:
    batch = collate([clip(1), clip(2), clip(1)])
    features = torch.nn.functional.normalize(torch.randn(3, 80, 4), dim=-1)
    similarities = clip_similarities(features, features, batch)
    assert similarities.shape == (3, 6)
    excluded = torch.tensor([[True, False, True], [False, True, False], [True, False, True]]).repeat(1, 2)
    assert torch.equal(similarities == -1, excluded)
    assert float(similarities[0, 1]) == pytest.approx(float((features[0] * features[1]).sum(dim=-1).mean()), abs=1e-6)


def test_the_loss_of_no_knowledge_is_the_number_of_choices(fitted) -> None:
    curve, frames = torch.zeros(4, 31), torch.full((4, 1), 50)
    expert = fitted[0].model
    assert offset_loss(expert, curve, frames).item() == pytest.approx(torch.tensor(31.0).log().item())
    others = torch.zeros(4, 9)
    assert offset_loss(expert, curve, frames, others).item() == pytest.approx(torch.tensor(40.0).log().item())


def test_the_frozen_expert_teaches_and_is_not_taught(fitted) -> None:
    task, _ = fitted
    expert = copy.deepcopy(task.model)
    expert.zero_grad()
    sync = SyncLoss(expert)
    batch = collate([clip(80), clip(81)])
    landmarks = task.landmarks(batch).requires_grad_()
    in_step = sync(landmarks, batch.mel, batch.valid)
    in_step.backward()
    assert landmarks.grad.abs().sum() > 0
    assert all(value.grad is None for value in expert.parameters())
    late = collate([clip(80, early=-5), clip(81, early=-5)])
    assert in_step < 0.5 * sync(landmarks, late.mel, batch.valid)


def expression_task(**extra) -> ExpressionTask:
    torch.manual_seed(0)
    options = {"expression_size": E, "width": 16, "audio_channels": 8, "layers": 1}
    return ExpressionTask(
        options=options, max_steps=5, face_model=builtin_face_model(), statistics=statistics(), **SHARED, **extra
    )


def test_the_expression_network_can_be_trained_on_it(fitted) -> None:
    batch = collate([clip(90), clip(91)])
    with_term = expression_task(
        loss={"sync_weight": 0.5, "sync_expert": "x"}, sync=SyncLoss(copy.deepcopy(fitted[0].model))
    )
    without = expression_task(loss={})
    predicted = batch.expression + 0.3 * torch.randn(2, 80, E, generator=torch.Generator().manual_seed(0))
    losses, _ = with_term.losses(predicted, batch, batch.valid)
    plain, _ = without.losses(predicted, batch, batch.valid)
    assert "sync_loss" not in plain
    assert float(losses["loss"]) == pytest.approx(float(plain["loss"] + 0.5 * losses["sync_loss"]), rel=1e-5)
    assert with_term.state_dict().keys() == without.state_dict().keys()


def test_what_is_asked_for_must_be_there(fitted, tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"needs loss\.sync_expert"):
        load_config(["task=expression", "loss.sync_weight=0.1"])
    file = save_model(tmp_path / "expert.safetensors", fitted[0].model)
    config = load_config(["task=expression", "loss.sync_weight=0.1", f"loss.sync_expert={file}"])
    assert sync_loss(config.loss, "mediapipe468") is not None
    with pytest.raises(ConfigError, match="mediapipe468"):
        sync_loss(config.loss, "bfm2009")
    assert sync_loss(load_config(["task=expression"]).loss, "mediapipe468") is None
    with pytest.raises(ConfigError, match="more than 30"):
        load_config(["task=landmark_sync", "data.window=30"])
    with pytest.raises(ConfigError, match="nothing to render"):
        load_config(["task=landmark_sync", "metrics.samples=true"])
