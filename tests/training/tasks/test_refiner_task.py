"""The refiner reduces the error on unseen images, and its sharpness is logged."""

from __future__ import annotations

import warnings

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from expnet.models.refiner import CHANNELS
from expnet.render.refiner.batch import RegionBatch, join
from expnet.training.tasks.refiner_task import RefinerTask

SIZE = 32
OPTIM = {"lr": 5e-3, "warmup_steps": 5, "ema": 0.5, "weight_decay": 0.0}


def pair(seed: int) -> RegionBatch:
    """A rendered mouth and two eyes whose openings are twice as bright as in the real frame."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randint(0, 200, (1, 3, CHANNELS, SIZE, SIZE), generator=generator, dtype=torch.uint8)
    inputs[:, :, 8:] = 0
    top, left = (int(place) for place in torch.randint(8, 14, (2,), generator=generator))
    inputs[:, :, 8, top : top + 8, left : left + 8] = 255
    inside = inputs[:, :, 8:9] > 0
    drawn = inputs[:, :, :3]
    return RegionBatch(inputs, torch.where(inside, drawn // 2, drawn), torch.ones(1, 3), (f"clip{seed}",))


def task(**loss: float) -> RefinerTask:
    torch.manual_seed(0)
    options = {"kinds": ["mouth", "eye"], "size": SIZE, "width": 4, "levels": 2}
    return RefinerTask(options=options, loss=loss, optim=OPTIM, augment={}, max_steps=40)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[RefinerTask, pl.Trainer]:
    trainer = pl.Trainer(
        max_steps=40,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=tmp_path_factory.mktemp("refiner"),
    )
    made = task(texture_weight=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(
            made,
            DataLoader([pair(seed) for seed in range(48)], batch_size=8, collate_fn=join),
            DataLoader([pair(seed) for seed in range(50, 53)], batch_size=1, collate_fn=join),
        )
    return made, trainer


def test_it_comes_closer_to_pictures_it_has_not_seen(fitted: tuple[RefinerTask, pl.Trainer]) -> None:
    scores = fitted[1].callback_metrics
    for kind in ("mouth", "eye"):
        assert float(scores[f"val/{kind}_error"]) < 0.7 * float(scores[f"val/{kind}_drawn_error"])


def test_both_eyes_go_through_one_network_and_the_mouth_through_another(
    fitted: tuple[RefinerTask, pl.Trainer],
) -> None:
    made = fitted[0]
    batch = join([pair(60), pair(61)])
    pictures = made.refined(made.model, batch)
    assert pictures["mouth"][0].shape == (2, 3, SIZE, SIZE)
    assert pictures["eye"][0].shape == (4, 3, SIZE, SIZE)
    refined, drawn, real, weight = pictures["eye"]
    assert torch.equal(drawn[1], batch.inputs[0, 2, :3] / 255)
    assert torch.equal(real[2], batch.targets[1, 1] / 255)
    assert weight.max() == pytest.approx(made.weights.opening)
    assert not torch.equal(refined, drawn)


def test_what_did_not_move_neither_changes_nor_counts(fitted: tuple[RefinerTask, pl.Trainer]) -> None:
    made, batch = fitted[0], pair(70)
    batch.gates[:] = 0
    refined, drawn, _, weight = made.refined(made.model, batch)["mouth"]
    assert torch.equal(refined, drawn)
    assert weight.sum() == 0


def test_each_weight_counts() -> None:
    batch = pair(80)
    only = {"pixel_weight": 0.0, "pyramid_weight": 0.0, "texture_weight": 0.0}
    losses = {}
    for name in only:
        made = task(**{**only, name: 2.0})
        refined, _, real, weight = made.refined(made.model, batch)["mouth"]
        losses[name] = float(made.losses(refined, real, weight).detach())
    made = task(pixel_weight=2.0, pyramid_weight=2.0, texture_weight=2.0)
    together = float(made.losses(refined, real, weight).detach())
    assert min(losses.values()) > 0
    assert together == pytest.approx(sum(losses.values()), rel=1e-5)
