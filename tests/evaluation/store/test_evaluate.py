"""``evaluate.py`` from end to end on a small world in which every score is known in advance."""

import copy
import csv
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from expnet.cli import main as command_line
from expnet.config import SplitConfig
from expnet.config.evaluate import EvaluateConfig
from expnet.config.grammar import merge
from expnet.data.datamodule import TalkingFaceDataModule
from expnet.errors import ConfigError, InputError
from expnet.evaluation.main import main
from expnet.evaluation.store.clips import select_clips
from expnet.evaluation.store.scoring import Scorer
from expnet.evaluation.store.systems import Ridge, build_systems
from expnet.evaluation.store.trivial_systems import GroundTruth
from expnet.face.morphable import builtin_face_model
from expnet.metrics import LandmarkDistance, MouthOpeningCorrelation, WithinClipR2
from expnet.models.saved_model import build_model, save_model


def run(options: list[str], *more: str) -> dict[str, Any]:
    """Evaluate and read results.json."""
    assert main([*options, *more]) == 0
    output = next(option.partition("=")[2] for option in reversed([*options, *more]) if option.startswith("output="))
    content: dict[str, Any] = json.loads((Path(output) / "results.json").read_text())
    return content


def value(results: dict[str, Any], system: str, key: str) -> float:
    return float(results["systems"][system]["metrics"][key]["mean"])


@pytest.fixture(scope="module")
def results(world: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    output = tmp_path_factory.mktemp("evaluation") / "results"
    options = [f"data.store={world.store}", f"expression={world.expression}", f"pose={world.pose}"]
    options += [f"output={output}", "pictures.clips=0", "baselines.per_frame_steps=3", "protocol.resamples=200"]
    return {**run([*options, "threads=1"]), "output": output}


def test_every_file_is_there_and_nothing_else(results: dict[str, Any]) -> None:
    names = sorted(path.name for path in results["output"].iterdir())
    assert names == ["index.html", "results.csv", "results.json", "table.md", "table.tex"]


def test_the_known_scores(results: dict[str, Any]) -> None:
    assert list(results["systems"]) == [
        "ground_truth",
        "real_other_half",
        "ours",
        "ridge",
        "per_frame",
        "hold_first_frame",
        "clip_mean",
    ]
    assert value(results, "ground_truth", "mouth_opening_correlation") == pytest.approx(1.0, abs=1e-4)
    assert value(results, "ground_truth", "landmark_distance") == pytest.approx(0.0, abs=1e-3)
    assert value(results, "ground_truth", "within_clip_r2") == 1.0
    assert value(results, "ground_truth", "jitter_ratio") == pytest.approx(1.0)
    assert value(results, "ground_truth", "pose_diversity_ratio") == pytest.approx(1.0)
    assert value(results, "ground_truth", "mouth_opening_lag") == 0.0
    assert value(results, "hold_first_frame", "mouth_opening_correlation") == pytest.approx(0.0, abs=1e-6)
    assert value(results, "hold_first_frame", "within_clip_r2") == pytest.approx(0.0, abs=1e-6)
    assert value(results, "hold_first_frame", "pose_diversity") == pytest.approx(0.0, abs=1e-6)
    assert value(results, "clip_mean", "within_clip_r2") == pytest.approx(0.0, abs=1e-6)
    assert value(results, "clip_mean", "landmark_distance") < value(results, "hold_first_frame", "landmark_distance")
    assert value(results, "ridge", "mouth_opening_correlation") > 0.8  # the mouth follows the loudness
    assert value(results, "ridge", "within_clip_r2") > 0.3
    assert abs(value(results, "ridge", "mouth_opening_lag")) <= 1


def test_the_table_has_units_intervals_and_counts(results: dict[str, Any], world: SimpleNamespace) -> None:
    module = TalkingFaceDataModule(
        str(world.store), split=SplitConfig(validation_fraction=0.2, test_fraction=0.3, split_seed=5)
    )
    test_ids = {entry.row.clip_id for entry in module.splits["test"]}
    train_people = {entry.row.speaker for entry in module.splits["train"]}
    assert {row["clip_id"] for row in results["clips"]} == test_ids  # the run's own split, not the default
    assert not {row["speaker"] for row in results["clips"]} & train_people
    summary = results["systems"]["ridge"]["metrics"]["landmark_distance_mouth"]
    assert summary["n"] == len(test_ids)
    assert summary["unit"] == "px at 256"
    assert summary["higher_is_better"] is False
    assert summary["ci95"][0] <= summary["mean"] <= summary["ci95"][1]
    truth = value(results, "ground_truth", "landmark_distance_mouth")
    assert summary["distance_to_ground_truth"] == pytest.approx(summary["mean"] - truth)
    ours = value(results, "ours", "landmark_distance_mouth")
    assert summary["difference_to_first"] == pytest.approx(summary["mean"] - ours)
    assert "pose_diversity" not in results["systems"]["ridge"]["metrics"]
    assert results["systems"]["ours"]["metrics"]["pose_sample_diversity"]["mean"] > 0
    assert results["protocol"]["metrics"]["landmark_distance"]["normalisation"] == "centred"
    assert results["protocol"]["data"]["split_seed"] == 5
    assert len(results["protocol_hash"]) == 16
    assert any("people" in note for note in results["notes"])
    with (results["output"] / "results.csv").open() as stream:
        assert len(list(csv.DictReader(stream))) == 7 * len(test_ids)


def test_means_are_those_of_the_metric_classes(results: dict[str, Any], world: SimpleNamespace) -> None:
    config = merge(EvaluateConfig, [f"data.store={world.store}", f"expression={world.expression}", "per_frame=none"])
    selection, model = select_clips(config), builtin_face_model()
    scorer = Scorer(model, config.protocol)
    ridge = next(s for s in build_systems(config, selection, scorer.expression_metric, []) if s.name == "ridge")
    metrics = {
        "landmark_distance_mouth": LandmarkDistance(region="mouth"),
        "mouth_opening_correlation": MouthOpeningCorrelation(),
        "within_clip_r2": WithinClipR2(metric=model.expression_metric),
    }
    for entry in selection.scored:
        clip = selection.read(entry)
        expression = ridge.predict(clip).expression
        drawn, tracked = scorer.landmarks(clip, expression)[None], scorer.tracked_landmarks(clip)[None]
        metrics["landmark_distance_mouth"].update(drawn, tracked, clip.valid[None])
        frontal = [scorer.frontal(clip, beta)[None] for beta in (expression, clip.expression)]
        metrics["mouth_opening_correlation"].update(*frontal, clip.valid[None])
        metrics["within_clip_r2"].update(expression[None], clip.expression[None], clip.valid[None])
    for key, metric in metrics.items():
        assert value(results, "ridge", key) == pytest.approx(metric.compute().item(), rel=1e-9)


def test_same_seed_same_results(results: dict[str, Any], options: list[str]) -> None:
    again = run(options)
    for key in ("protocol_hash", "systems", "clips"):
        assert again[key] == results[key]


def test_a_clip_that_fails_is_a_row_with_a_reason(options: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    config = merge(EvaluateConfig, [*options])
    victim = select_clips(config).scored[0].row.clip_id
    predict = Ridge.predict

    def broken(self: Ridge, clip: Any) -> Any:
        if clip.clip_id == victim:
            raise RuntimeError("planted")
        return predict(self, clip)

    monkeypatch.setattr(Ridge, "predict", broken)
    results = run(options, "per_frame=none")
    rows = {(row["system"], row["clip_id"]): row for row in results["clips"]}
    assert rows["ridge", victim]["status"] == "failed"
    assert rows["ridge", victim]["reason"] == "RuntimeError: planted"
    assert rows["ours", victim]["status"] == "ok"
    metrics = results["systems"]
    assert metrics["ridge"]["metrics"]["within_clip_r2"]["n"] == metrics["ours"]["metrics"]["within_clip_r2"]["n"] - 1
    assert any("could not be scored" in note for note in results["notes"])


def test_a_prediction_that_is_not_a_number_never_enters_a_mean(
    options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    predict = Ridge.predict

    def broken(self: Ridge, clip: Any) -> Any:
        prediction = predict(self, clip)
        prediction.expression[3, 4] = math.nan
        return prediction

    monkeypatch.setattr(Ridge, "predict", broken)
    results = run(options, "per_frame=none")
    assert all(row["status"] == "failed" for row in results["clips"] if row["system"] == "ridge")
    assert results["systems"]["ridge"]["metrics"] == {}


def test_without_networks_the_baselines_stand_alone(options: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("expnet.evaluation.store.systems.has_packaged_weights", lambda name: False)
    kept = [option for option in options if not option.startswith(("expression=", "pose="))]
    results = run(kept, "per_frame=none", "baselines.ridge=false", "data.split=all")
    assert list(results["systems"]) == ["ground_truth", "real_other_half", "hold_first_frame", "clip_mean"]
    assert any("No expression network" in note for note in results["notes"])
    assert len(results["clips"]) == 4 * 20


def test_another_protocol_has_another_hash(options: list[str], results: dict[str, Any]) -> None:
    other = run(options, "protocol.landmarks=interocular", "per_frame=none")
    assert other["protocol_hash"] != results["protocol_hash"]
    assert other["systems"]["ridge"]["metrics"]["landmark_distance"]["unit"] == "eye distances"


def test_a_store_of_another_face_model_is_noticed(
    options: list[str], results: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not any("another build" in note for note in results["notes"])
    other = copy.deepcopy(builtin_face_model())
    other.mean *= 1.2
    monkeypatch.setattr("expnet.evaluation.store.evaluate_networks.load_face_model", lambda spec: other)
    changed = run(options, "per_frame=none")
    assert any("another build" in note for note in changed["notes"])
    assert changed["protocol"]["face_model"] != results["protocol"]["face_model"]


@pytest.mark.parametrize(
    ("override", "fragment"),
    [
        ("data.store=", "data.store"),
        ("data.store=/nowhere", "/nowhere"),
        ("expresion=x", "expresion"),
        ("protocol.resamples=many", "resamples"),
        ("expression=/nowhere", "/nowhere"),
        ("data.test_fraction=0", "test side"),
        ("output=/proc/results", "/proc/results"),
    ],
)
def test_a_mistake_is_one_sentence(options: list[str], override: str, fragment: str) -> None:
    with pytest.raises(InputError) as caught:
        main([*options, override])
    assert fragment in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("network", "described"),
    [("small_convolution", "small convolution, "), ("autoregressive", "autoregressive, transformer, alibi, ")],
)
def test_every_expression_network_is_scored(options: list[str], tmp_path: Path, network: str, described: str) -> None:
    torch.manual_seed(0)
    small = {"width": 16} if network == "small_convolution" else {"width": 16, "layers": 1, "audio_channels": 8}
    weights = save_model(tmp_path / "model.safetensors", build_model("expression", {"network": network, **small}))
    results = run(options, f"expression={weights}", "per_frame=none", "baselines.ridge=false")
    assert described in results["systems"]["ours"]["description"]
    assert value(results, "ours", "landmark_distance") > 0
    with pytest.raises(InputError, match="relates frames to each other"):
        main([*options, f"per_frame={weights}"])


def test_networks_of_the_wrong_kind(options: list[str], world: SimpleNamespace) -> None:
    with pytest.raises(InputError, match="pose"):
        main([*options, f"expression={world.pose}"])
    with pytest.raises(InputError, match="per_frame"):
        main([*options, f"per_frame={world.expression}"])


def test_command_line(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line(["evaluate", "configs/evaluate.yaml", "--print-config", "data.store=x"]) == 0
    assert "per_frame: train" in capsys.readouterr().out
    assert command_line(["evaluate", "--help"]) == 0
    assert "protocol.landmarks" in capsys.readouterr().out
    assert command_line(["evaluate", *options, "no_such_key=1"]) == 2
    assert "no_such_key" in capsys.readouterr().err


def test_configuration_is_checked() -> None:
    with pytest.raises(ConfigError, match=r"pictures\.stride"):
        merge(EvaluateConfig, ["data.store=x", "pictures.stride=0"])


def test_ground_truth_ignores_the_sound(world: SimpleNamespace) -> None:
    config = merge(EvaluateConfig, [f"data.store={world.store}"])
    clip = select_clips(config)
    first = clip.read(clip.scored[0])
    assert torch.equal(GroundTruth().predict(first).expression, first.expression)
    assert bool(first.silent[:10].all())
    assert not bool(first.silent.all())
