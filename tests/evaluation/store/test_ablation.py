"""``expnet ablate`` from end to end on a small world, and its parts: the plan, the trainings, the tables."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml

from expnet.cli import main as command_line
from expnet.config import SplitConfig, load_config
from expnet.config.built_in_parts import BUILT_IN
from expnet.config.evaluate import ProtocolConfig
from expnet.config.grammar import to_container
from expnet.data.datamodule import TalkingFaceDataModule
from expnet.errors import ConfigError
from expnet.evaluation.report.results import MetricInfo, ScoredClip
from expnet.evaluation.store.ablation_tables import paired_differences
from expnet.evaluation.store.length_curve import BIAS, attention_variants
from expnet.evaluation.store.variants import Variant, mean_curves, mean_over_seeds
from expnet.models.saved_model import load_model
from expnet.training.ablate import VARIANTS, make_plan
from expnet.training.main import train
from expnet.training.run_folder import RUN_VARIABLE

FOLDER = Path(__file__).resolve().parents[3] / "configs" / "ablations"
CHANGES: dict[str, tuple[str, Any]] = {
    "no_alibi": ("model.attention_bias", "none"),
    "sinusoidal": ("model.attention_bias", "sinusoidal"),
    "alibi_causal": ("model.attention_bias", "alibi_causal"),
    "alibi_periodic": ("model.attention_bias", "alibi_periodic"),
    "alibi_learned": ("model.attention_bias", "alibi_learned"),
    "no_landmarks": ("loss.landmark_weight", 0.0),
    "no_transformer": ("model.temporal_module", "none"),
    "no_first_frame": ("model.first_frame_conditioning", False),
    "no_velocity": ("loss.velocity_weight", 0.0),
}
SMALL = [
    "model.width=16",
    "model.layers=1",
    "model.audio_channels=8",
    "data.batch_size=4",
    "data.window=32",
    "data.test_fraction=0.3",
    "data.validation_fraction=0.2",
    "optim.warmup_steps=1",
    "trainer.max_steps=4",
    "trainer.validate_every=2",
    "trainer.accelerator=cpu",
    "trainer.threads=1",
]


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(RUN_VARIABLE, raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def refusal(*layers: str) -> str:
    with pytest.raises(ConfigError) as caught:
        make_plan(layers)
    return str(caught.value)


# --- the configurations


def test_every_configuration_is_known_here() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} == {"full", *CHANGES}
    assert set(VARIANTS) <= {"full", *CHANGES}
    biases = {"alibi"} | {value for key, value in CHANGES.values() if key == "model.attention_bias"}
    assert biases == set(BUILT_IN["attention_biases"])


@pytest.mark.parametrize("name", CHANGES)
def test_a_configuration_is_one_change(name: str) -> None:
    section, _, key = CHANGES[name][0].partition(".")
    content = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    assert content == {"task": "expression", section: {key: CHANGES[name][1]}}
    full = to_container(load_config([str(FOLDER / "full.yaml")]))
    assert full == to_container(load_config(["configs/expression.yaml"]))
    assert full[section][key] != CHANGES[name][1]


def test_flipping_any_of_them_changes_the_output(world: SimpleNamespace) -> None:
    module = TalkingFaceDataModule(str(world.store), split=SplitConfig(test_fraction=0.3, validation_fraction=0.2))
    module.setup("fit")
    batch = next(iter(module.val_dataloader()))

    def predict(name: str, folder: str) -> torch.Tensor:
        # Long steps: slopes that are trained start where those of ALiBi stay.
        fast = "optim.lr=0.02"
        overrides = [f"data.store={world.store}", f"output={folder}", *SMALL, fast, str(FOLDER / f"{name}.yaml")]
        network = load_model(train(load_config(overrides)), "expression")
        with torch.no_grad():
            found: torch.Tensor = network(batch.mel, batch.expression.shape[1], batch.first_expression)
        return found

    full = predict("full", "full")
    assert torch.equal(predict("full", "again"), full)  # what differs below is the switch, not chance
    for name in CHANGES:
        assert float((predict(name, name) - full).abs().max()) > 1e-6, name


# --- the plan


def test_the_plan() -> None:
    plan = make_plan(["data.store=here", "seeds=2", "output=out", "model.attention_bias=alibi_learned", "jobs=3"])
    assert list(plan.configs) == list(VARIANTS)
    assert [(t.variant, t.seed) for t in plan.trainings] == [(name, seed) for seed in (0, 1) for name in VARIANTS]
    assert plan.options.jobs == 3
    assert plan.trainings[-1].folder == Path("out/runs/no_velocity/seed-1")
    # What all share is in force, but does not undo a variant's own change.
    assert plan.configs["full"].model.attention_bias == "alibi_learned"
    assert plan.configs["no_alibi"].model.attention_bias == "none"
    assert plan.changes("no_alibi") == {"model.attention_bias": ("none", "alibi_learned")}
    assert plan.changes("full") == {}
    own = load_config(plan.trainings[-1].layers)
    assert (own.seed, own.ckpt, own.data.store, own.output) == (1, "last", "here", "out/runs/no_velocity/seed-1")


def test_files_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("task: expression\nmodel: {layers: 3}\n")
    plan = make_plan(["mine.yaml", "configs/ablations/full.yaml", "data.store=here"])
    assert list(plan.configs) == ["full", "mine"]  # the reference is the one that is called full
    assert plan.changes("mine") == {"model.layers": (3, 2)}
    assert next(iter(make_plan(["mine.yaml", "configs/ablations/no_alibi.yaml", "data.store=x"]).configs)) == "mine"


def test_refusals(tmp_path: Path) -> None:
    store = "data.store=here"
    assert "data.store is missing" in refusal()
    assert "set seeds=NUMBER instead" in refusal(store, "seed=3")
    assert "unfinished runs are resumed" in refusal(store, "ckpt=last")
    assert "Did you mean: 'lr'?" in refusal(store, "optim.lrr=3")
    assert "no_velocity is the same as full" in refusal(store, "loss.velocity_weight=0")
    assert "seeds must be 1 or more" in refusal(store, "seeds=0")
    assert "contains a value twice" in refusal(store, "lengths=[64, 64]")
    assert "not a variant of the expression network" in refusal("configs/pose.yaml", store)
    (tmp_path / "full.yaml").write_text("task: expression\n")
    assert "have the same name" in refusal("full.yaml", "configs/ablations/full.yaml", store)


# --- the tables


def row(system: str, clip: str, value: float, *, weight: float = 1.0, **changes: Any) -> ScoredClip:
    weights = {} if weight == 1.0 else {"score": weight}
    return ScoredClip(clip, system, f"person{clip}", 50, values={"score": value}, weights=weights, **changes)


def variants(*names: str) -> list[Variant]:
    return [Variant(name, {}, (Path("a"), Path("b"))) for name in names]


def test_mean_over_seeds() -> None:
    rows = [row("one/seed-0", "x", 1.0), row("one/seed-1", "x", 3.0), row("ridge", "x", 9.0)]
    rows += [row("one/seed-0", "y", math.nan), row("one/seed-1", "y", 5.0)]
    rows += [row("one/seed-0", "z", 1.0), ScoredClip("z", "one/seed-1", status="failed", reason="too short")]
    rows += [row("one/seed-0", "w", math.nan), row("one/seed-1", "w", math.nan)]
    found = {one.clip_id: one for one in mean_over_seeds(variants("one"), rows)}
    assert {one.system for one in found.values()} == {"one"}
    assert (found["x"].values["score"], found["y"].values["score"]) == (2.0, 5.0)
    assert (found["z"].status, found["z"].reason) == ("failed", "one/seed-1: too short")
    assert math.isnan(found["w"].values["score"])
    assert found["w"].reason == "undefined: score"


def test_mean_of_lag_curves() -> None:
    still, curve = torch.full((3,), math.nan).numpy(), torch.tensor([0.0, 1.0, 0.0]).numpy()
    curves = {("one/seed-0", "x"): curve, ("one/seed-1", "x"): 3 * curve, ("one/seed-0", "y"): still}
    found = mean_curves(variants("one"), {**curves, ("one/seed-1", "y"): curve})
    assert found["one", "x"].tolist() == [0.0, 2.0, 0.0]
    assert found["one", "y"].tolist() == [0.0, 1.0, 0.0]
    assert ("one/seed-0", "x") in found


def test_paired_differences_by_hand() -> None:
    clips = "abcdefgh"
    rows = []
    for place, clip in enumerate(clips):
        for name, lift in (("full", 0.0), ("better", 1.0), ("unsure", 1.0 if place % 2 else -1.0)):
            for seed in (0, 1):
                # Seeds of `unsure` pull it apart: +.5 and -.4 on average.
                pull = (0.5, -0.4)[seed] if name == "unsure" else 0.0
                rows.append(row(f"{name}/seed-{seed}", clip, place + lift + pull, weight=2.0 if clip == "a" else 1.0))
    compared = variants("full", "better", "unsure")
    rows += mean_over_seeds(compared, rows)
    info = MetricInfo("score", "Score", "points", higher_is_better=True)
    better, unsure = paired_differences(compared, [info], rows, ProtocolConfig(resamples=200))
    assert (better.mean, better.ci95, better.n, better.people) == (1.0, (1.0, 1.0), 8, 8)
    assert better.p == pytest.approx(2 / 2**8)
    assert better.p_holm == pytest.approx(2 * better.p)  # the smaller of two
    assert better.significant
    # Eight clips alternate by 1 around .05, and the first, at -.95, counts twice: (8 * .05 - .95) / 9.
    assert unsure.mean == pytest.approx((8 * 0.05 - 0.95) / 9)
    assert unsure.seeds == pytest.approx(((8 * 0.5 - 0.5) / 9, (8 * -0.4 - 1.4) / 9))
    assert unsure.agreeing == 1
    assert not unsure.significant


def test_the_curve_compares_attention_biases_alone() -> None:
    causal = Variant("causal", {BIAS: ("alibi_causal", "alibi")}, ())
    both = Variant("both", {BIAS: ("none", "alibi"), "model.layers": (3, 2)}, ())
    others = [Variant("full", {}, ()), causal, both, Variant("no_velocity", {"loss.velocity_weight": (0.0, 0.1)}, ())]
    assert [variant.name for variant in attention_variants(others)] == ["full", "causal"]


# --- end to end


@pytest.mark.slow
def test_the_command(world: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out"
    files = [str(FOLDER / f"{name}.yaml") for name in ("full", "sinusoidal")]
    mine = ["seeds=1", "jobs=2", "lengths=[32, 200, 99999]", "threads=1", "resamples=200", "baselines=false"]
    arguments = ["ablate", *files, f"data.store={world.store}", *SMALL, *mine, f"output={output}"]
    assert command_line([*arguments, "--print-commands"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert not output.exists()
    assert command_line(arguments) == 0
    assert "| Sinusoidal |" in capsys.readouterr().out
    _check_files(output)
    content = _check_numbers(output)

    # A second time nothing is trained but what was lost, and that comes out the same.
    models = {path: (path.stat().st_mtime_ns, weights(path)) for path in output.glob("runs/*/*/model.safetensors")}
    lost = output / "runs" / "full" / "seed-0"
    shutil.rmtree(lost)
    assert command_line(arguments) == 0
    assert json.loads((output / "ablation.json").read_text()) == content
    assert [path.parent for path, (time, _) in models.items() if path.stat().st_mtime_ns != time] == [lost]
    assert torch.equal(weights(lost / "model.safetensors"), models[lost / "model.safetensors"][1])

    # Other options are another ablation.
    assert command_line([*arguments, "optim.lr=0.5"]) == 2
    assert "was trained with optim.lr=0.001, not 0.5" in capsys.readouterr().err
    # A training that fails says so, with its last words.
    assert command_line([*arguments, f"output={output}-2", "init=nowhere.ckpt"]) == 1
    message = capsys.readouterr().err
    assert "stopped with exit code 2" in message
    assert "nowhere.ckpt" in message


@pytest.mark.slow
def test_the_command_on_speech_features(
    world: SimpleNamespace, write_encoder: Callable[..., Path], tmp_path: Path
) -> None:
    features, output = tmp_path / "features", tmp_path / "out"
    encoder = write_encoder(tmp_path / "whisper.safetensors", 0)
    assert command_line(["features", str(world.store), "--weights", str(encoder), "--output", str(features)]) == 0
    files = [str(FOLDER / f"{name}.yaml") for name in ("full", "no_first_frame")]
    mine = ["seeds=1", "jobs=1", "lengths=[32]", "threads=1", "resamples=200", "baselines=false", f"output={output}"]
    heard = [f"data.store=[{world.store}]", f"data.features=[{features}]", "data.silent_share=0"]
    assert command_line(["ablate", *files, *heard, *SMALL, *mine]) == 0
    content = json.loads((output / "ablation.json").read_text())
    assert {d["variant"] for d in content["differences"]} == {"no_first_frame"}
    assert all(value["mouth_opening_correlation"] is not None for value in content["trainings"].values())
    for name in ("full", "no_first_frame"):
        network = load_model(output / "runs" / name / "seed-0" / "model.safetensors", "expression")
        assert network.options["speech_features"]["size"] == 64
        assert network.options["first_frame_conditioning"] == (name == "full")


def weights(path: Path) -> torch.Tensor:
    """All weights of a model as one vector."""
    return torch.cat([value.flatten().double() for value in load_model(path, "expression").state_dict().values()])


def _check_numbers(output: Path) -> dict[str, Any]:
    """Check ablation.json and return it."""
    content: dict[str, Any] = json.loads((output / "ablation.json").read_text())
    systems = json.loads((output / "results.json").read_text())["systems"]
    assert list(systems) == ["ground_truth", "full", "sinusoidal", "hold_first_frame", "clip_mean"]
    change = {"model.attention_bias": {"value": "sinusoidal", "reference": "alibi"}}
    assert content["variants"]["sinusoidal"]["changes"] == change
    key = "mouth_opening_correlation"
    full, other = (systems[name]["metrics"][key]["mean"] for name in ("full", "sinusoidal"))
    assert content["trainings"]["full/seed-0"][key] == pytest.approx(full)
    (one,) = [d for d in content["differences"] if (d["variant"], d["metric"]) == ("sinusoidal", key)]
    assert one["mean"] == pytest.approx(other - full)
    # 99999 frames are more than there are.
    points = {(point["bias"], point["frames"]) for point in content["length_curve"]}
    assert points == {(bias, frames) for bias in ("alibi", "sinusoidal") for frames in (32, 200)}
    return content


def _check_files(output: Path) -> None:
    names = {path.name for path in output.iterdir() if path.is_file()}
    report = {"results.json", "results.csv", "table.md", "table.tex", "index.html"}
    assert names == {*report, "differences.md", "differences.tex", "ablation.json", ".lock"}
    assert {path.name for path in (output / "lengths").iterdir()} == {*report, "curve.md", "curve.svg", "curve.pdf"}
    table = (output / "differences.tex").read_text()
    assert sum(line.endswith(r"\\") for line in table.splitlines()) == 3  # heading, reference, variant
    assert r"95 \% interval" in table
    curve = (output / "lengths" / "curve.md").read_text()
    assert "not measured at 99999" in curve
    assert curve.count("| alibi |") == 1
    assert curve.count("| sinusoidal |") == 2  # its curve, and its difference to ALiBi's
