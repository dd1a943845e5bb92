"""Every shipped YAML file loads and runs one step."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf
from small import ROOT

from expnet.config import load_config
from expnet.config.grammar import merge
from expnet.evaluation.main import choose_evaluation
from expnet.evaluation.main import main as evaluate
from expnet.models.saved_model import load_model
from expnet.training.main import train
from expnet.training.sweep.plan import plan_file

CONFIGS = ROOT / "configs"
FILES = {path.relative_to(CONFIGS).as_posix(): OmegaConf.load(path) for path in sorted(CONFIGS.rglob("*.yaml"))}
FILMED = ["refiner.yaml", "renderer.yaml", "smoke_renderer.yaml"]
"""Trained on videos, which the synthetic store lacks; test_refiner_run.py and test_renderer_run.py run them."""
TRAININGS = [name for name, content in FILES.items() if "task" in content and name not in FILMED]
PARTS = ["metrics.yaml", "cluster/gpus.yaml", "cluster/slurm.yaml"]
"""Files that are combined with the file of a training."""
SWEEPS = ["sweeps/expression.yaml"]
EVALUATIONS = ["evaluate.yaml", "benchmark.yaml", *(name for name in FILES if name.startswith("presets/"))]
"""Of the presets, tests/evaluation/videos/test_presets.py runs each."""
QUICK = (
    "data.batch_size=2",
    "data.limit_clips=2",
    "data.limit_validation_clips=1",
    "trainer.max_steps=1",
    "trainer.validate_every=1",
    "trainer.accelerator=cpu",
    "trainer.devices=1",
    "trainer.num_nodes=1",
    "trainer.strategy=auto",
    "metrics.clips=1",
    "metrics.frames=4",
    "output=run",
)


def test_each_file_is_known() -> None:
    assert sorted([*TRAININGS, *FILMED, *PARTS, *SWEEPS, *EVALUATIONS]) == sorted(FILES)
    assert len(TRAININGS) > 8


@pytest.mark.parametrize("name", TRAININGS)
def test_a_training_runs_a_step(name: str, store: Path) -> None:
    shipped = load_config([f"configs/{name}"])
    assert shipped.data.store in (None, "")  # no private path
    small = [] if shipped.init else ["model.width=24", "model.layers=1"]  # a pretrained network has a fixed size
    config = load_config([f"configs/{name}", f"data.store={store}", *QUICK, *small])
    assert load_model(train(config), config.task)


@pytest.mark.parametrize("name", PARTS)
def test_a_part_runs_beside_a_training(name: str, store: Path) -> None:
    config = load_config(["configs/smoke_expression.yaml", f"configs/{name}", f"data.store={store}", *QUICK])
    assert load_model(train(config), "expression")


@pytest.mark.parametrize("name", SWEEPS)
def test_a_sweep_loads(name: str, store: Path) -> None:
    plan = plan_file([f"configs/{name}", f"data.store={store}", "output=sweep"])
    assert {"optim.lr", "model.layers"} <= set(plan.space)


def test_the_evaluation_runs(store: Path, tmp_path: Path) -> None:
    quick = ["data.split=validation", "data.limit=1", "pictures.clips=0", "baselines.per_frame_steps=1"]
    assert evaluate(["configs/evaluate.yaml", f"data.store={store}", *quick, "output=results"]) == 0
    assert (tmp_path / "results" / "results.json").is_file()


def test_the_benchmark_of_videos_loads() -> None:
    layers = ["configs/benchmark.yaml", "reference=real", "systems.ours=made"]
    assert merge(choose_evaluation(layers).schema, layers).systems == {"ours": "made"}
