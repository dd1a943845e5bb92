"""The example package of docs/guides/own_parts.md is installed as pip installs it, trained, and loaded again."""

from __future__ import annotations

import importlib
import logging
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from expnet.cli import main as command_line
from expnet.config import load_config, parts
from expnet.data.corpora import open_corpus
from expnet.errors import ConfigError, InputError
from expnet.models.saved_model import load_model
from expnet.render.open_renderer import open_renderer
from expnet.training.main import train
from expnet.training.tasks.expression_task import ExpressionTask

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "docs" / "guides" / "examples" / "studio_parts"
ALL_PARTS = (
    "model.network=gated",
    "model.temporal_module=minimal_gru",
    "model.temporal_options.expansion=0.5",
    "loss.extra.acceleration.weight=0.1",
    "metrics.extra.mouth_width.of=landmarks",
    "callbacks.step_counter.options.every=2",
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which pip installed the package, without a network."""
    folder = tmp_path_factory.mktemp("installed")
    source = shutil.copytree(PACKAGE, folder / "source", ignore=shutil.ignore_patterns("__pycache__"))
    command = ["pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--target"]
    subprocess.run([sys.executable, "-m", *command, str(folder / "site"), str(source)], check=True, timeout=300)
    return folder / "site"


@pytest.fixture
def studio(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package is installed during the test; no module:Class is allowed yet."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(parts, "_allowed", set())
    monkeypatch.syspath_prepend(str(installed))
    yield
    _forget()


def _forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "studio_parts"]:
        del sys.modules[name]


def _small(store: Path, output: Path, *overrides: str) -> list[str]:
    return ["configs/smoke_expression.yaml", f"data.store={store}", "data.batch_size=2", f"output={output}", *overrides]


def _trained(store: Path, output: Path, *overrides: str) -> nn.Module:
    return load_model(train(load_config(_small(store, output, *overrides))), "expression")


@pytest.mark.usefixtures("studio")
def test_a_package_is_trained_and_loaded(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "studio_parts.callback")
    run = train(load_config(_small(store, tmp_path / "run", "trainer.max_steps=3", *ALL_PARTS)))
    assert "step 2" in caplog.messages
    header = (run / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"train/acceleration_loss", "val/acceleration_loss", "val/mouth_width_error"} <= set(header)

    kept = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["expnet"]["parts"]
    assert [(part["kind"], part["package"], part["version"]) for part in kept] == [
        ("temporal_modules", "studio-parts", "1.0"),
        ("expression_networks", "studio-parts", "1.0"),
    ]
    model = load_model(run, "expression")
    assert type(model).__name__ == "GatedRegressor"
    assert type(model.temporal).__name__ == "MinimalGru"
    task = ExpressionTask.load_from_checkpoint(run / "checkpoints" / "last.ckpt")
    assert torch.equal(task.averaged.gate.weight, model.gate.weight)

    # The same weights where the package is missing: what to install, and nothing else.
    with monkeypatch.context() as patch:
        patch.setattr(sys, "path", [path for path in sys.path if not (Path(path) / "studio_parts").is_dir()])
        _forget()
        importlib.invalidate_caches()
        with pytest.raises(InputError, match=r"needs the temporal module minimal_gru, which the package studio-parts"):
            load_model(run, "expression")


@pytest.mark.usefixtures("studio")
def test_the_loss_of_a_package_changes_what_is_trained(store: Path, tmp_path: Path) -> None:
    few = ("trainer.max_steps=3", "loss.extra.acceleration.options.scale=0.001")
    weights = [
        _trained(store, tmp_path / name, *few, f"loss.extra.acceleration.weight={weight}")
        for name, weight in (("off", 0), ("on", 1), ("again", 1))
    ]
    off, on, again = (torch.cat([value.flatten() for value in model.parameters()]) for model in weights)
    assert torch.equal(on, again)
    assert not torch.equal(on, off)


@pytest.mark.usefixtures("studio")
def test_a_temporal_module_ignores_padding_and_sees_the_past_alone() -> None:
    from studio_parts.temporal import MinimalGru, MinimalGruOptions

    torch.manual_seed(0)
    module = MinimalGru(8, 8, MinimalGruOptions(layers=2, expansion=0.5)).eval()
    x, condition = torch.randn(2, 10, 8), torch.randn(2, 8)
    valid = torch.arange(10)[None] < torch.tensor([[10], [6]])
    changed = torch.where(valid[..., None], x, 99.0)
    assert torch.equal(module(x, condition, valid)[valid], module(changed, condition, valid)[valid])
    later = x.clone()
    later[:, 7] = 9
    assert torch.equal(module(later, condition)[:, :7], module(x, condition)[:, :7])
    assert not torch.equal(module(later, condition)[:, 8], module(x, condition)[:, 8])


@pytest.mark.usefixtures("studio")
def test_an_attention_bias_is_chosen_by_name(store: Path, tmp_path: Path) -> None:
    bias = ("model.attention_bias=windowed", "model.bias_options.reach=3", "trainer.max_steps=2")
    model = _trained(store, tmp_path / "run", *bias)
    assert model.temporal.bias.reach == 3


@pytest.mark.usefixtures("studio")
def test_a_corpus_and_a_renderer_are_chosen_by_name(tmp_path: Path) -> None:
    for name in ("anna-happy-2-007.mp4", "ben-neutral-1-041.mp4", "notes.mp4"):
        (tmp_path / name).touch()
    read = open_corpus(tmp_path, corpus="studio")
    assert [(video.speaker, video.emotion, video.split) for video in read.videos] == [
        ("anna", "happy", ""),
        ("ben", "neutral", "test"),
    ]
    assert [problem.file.name for problem in read.problems] == ["notes.mp4"]
    assert open_renderer("brightness").make.__name__ == "Brightness"
    with pytest.raises(InputError, match="expected one of mesh, sadtalker, brightness, or the run folder"):
        open_renderer("brightnes")


@pytest.mark.usefixtures("studio")
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.temporal_module=minimal_gruu"], "minimal_gru, or MODULE:CLASS, not 'minimal_gruu'. Did you mean"),
        (
            ["model.temporal_module=minimal_gru", "model.temporal_options.expand=2"],
            "model.temporal_options.expand is not an option of studio-parts 1.0 (studio_parts.temporal:MinimalGru), "
            "expected some of expansion; did you mean 'expansion'?",
        ),
        (
            ["model.temporal_module=minimal_gru", "model.temporal_options.expansion=wide"],
            "model.temporal_options.expansion: Value 'wide' of type 'str' could not be converted to Float.",
        ),
        (["model.temporal_options.expansion=2"], "belongs to a part of your own, but model.temporal_module is transf"),
        (["loss.extra.acceleration.options.scale=0"], "scale must be above 0, not 0.0."),
        (["loss.extra.velocity.part=acceleration"], "loss.extra.velocity: expnet has a term of this name"),
        (["callbacks.counter.part=nowhere:Callback"], "the module nowhere cannot be imported (ModuleNotFoundError"),
        (["callbacks.counter.part=studio_parts.callback:Counter"], "has no Counter; did you mean"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(["configs/smoke_expression.yaml", *overrides])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("studio")
def test_the_help_lists_what_is_installed(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line(["train", "configs/expression.yaml", "--help"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"model\.temporal_module: transformer\|conv\|gru\|none\|minimal_gru\|MODULE:CLASS = transf", text)


@pytest.fixture
def loose_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module in a folder that no package installs; its import leaves a trace."""
    trace = tmp_path / "imported"
    text = (PACKAGE / "studio_parts" / "temporal.py").read_text()
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "loose_temporal.py").write_text(
        f"open({str(trace)!r}, 'a').close()\n" + text.split("\n", 3)[3]
    )
    monkeypatch.setattr(parts, "_allowed", set())
    monkeypatch.syspath_prepend(str(tmp_path / "code"))
    monkeypatch.chdir(ROOT)
    yield "loose_temporal:MinimalGru"
    sys.modules.pop("loose_temporal", None)


def test_a_checkpoint_imports_nothing_that_its_user_did_not_name(
    loose_module: str, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train(
        load_config(_small(store, tmp_path / "run", f"model.temporal_module={loose_module}", "trainer.max_steps=2"))
    )
    assert load_model(run, "expression").temporal is not None  # the configuration named it in this process

    parts._allowed.clear()
    sys.modules.pop("loose_temporal")
    (tmp_path / "imported").unlink()
    checkpoint = run / "checkpoints" / "last.ckpt"
    for load in (
        lambda: load_model(run, "expression"),
        lambda: load_model(checkpoint, "expression"),
        lambda: ExpressionTask.load_from_checkpoint(checkpoint),
    ):
        with pytest.raises((InputError, ConfigError), match=f"EXPNET_ALLOW_PARTS={loose_module}"):
            load()
    assert "loose_temporal" not in sys.modules
    assert not (tmp_path / "imported").exists()

    monkeypatch.setenv("EXPNET_ALLOW_PARTS", "loose_temporal")
    assert isinstance(ExpressionTask.load_from_checkpoint(checkpoint), pl.LightningModule)
    assert np.isfinite(load_model(run, "expression").state_dict()["expression_mean"].numpy()).all()
