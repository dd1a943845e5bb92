"""Requirements of every clip metric: any split over processes, any module dtype, reset, copies, files."""

import json
import pickle
import runpy
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from expnet.metrics import ClipMetric, LandmarkDistance

ROOT = Path(__file__).resolve().parents[2]
WORKER = Path(__file__).with_name("distributed_worker.py")
COMMON: dict[str, Any] = runpy.run_path(str(WORKER))
NAMES = list(COMMON["cases"]())


@pytest.fixture(scope="module")
def single() -> dict[str, list[float]]:
    return COMMON["computed"](COMMON["SPLITS"]["one"][0])


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    folder = tmp_path_factory.mktemp("gloo")
    outputs = [folder / f"{rank}.json" for rank in range(2)]
    workers = [
        subprocess.Popen([sys.executable, str(WORKER), str(rank), "2", str(folder / "meet"), str(output)], cwd=ROOT)
        for rank, output in enumerate(outputs)
    ]
    try:
        codes = [worker.wait(timeout=100) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert codes == [0, 0]
    return [json.loads(output.read_text()) for output in outputs]


@pytest.mark.parametrize("split", ["uneven", "empty"])
@pytest.mark.parametrize("name", NAMES)
def test_two_processes_equal_one(
    single: dict[str, list[float]], two_processes: list[Any], split: str, name: str
) -> None:
    expected = single[name]
    assert expected[2] > 0
    for rank in range(2):
        got = two_processes[rank][split][name]
        assert got == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_all_clips_at_once_reset_pickle_and_forward(single: dict[str, list[float]], name: str) -> None:
    metric, inputs = COMMON["cases"]()[name]
    metric.update(*inputs)
    assert metric.compute().dtype is torch.float64
    assert metric.compute().item() == pytest.approx(single[name][0], rel=1e-12)
    copy = pickle.loads(pickle.dumps(metric))
    assert copy.compute().item() == metric.compute().item()
    clone = metric.clone()
    metric.reset()
    assert int(metric.clips) == int(metric.unscored) == 0
    assert clone.compute().item() == pytest.approx(single[name][0], rel=1e-12)
    batch = metric(*inputs)  # forward returns the value of the batch and accumulates it
    assert batch.item() == pytest.approx(single[name][0], rel=1e-12)
    assert not metric.state_dict()


@pytest.mark.parametrize("name", NAMES)
def test_a_bfloat16_parent_changes_nothing(single: dict[str, list[float]], name: str) -> None:
    parent = torch.nn.Module()
    metric, inputs = COMMON["cases"]()[name]
    parent.metric = metric
    parent.linear = torch.nn.Linear(2, 2)
    parent.to(torch.bfloat16)
    assert parent.linear.weight.dtype is torch.bfloat16
    with torch.autocast("cpu", dtype=torch.bfloat16):
        metric.update(*inputs)
        assert metric.compute().item() == pytest.approx(single[name][0], rel=1e-12)
    metric.reset()
    metric.half()
    metric.update(*inputs)
    assert metric.total.dtype is torch.float64
    assert metric.compute().item() == pytest.approx(single[name][0], rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_training_continues_with_a_metric_that_a_validation_reset(single: dict[str, list[float]], name: str) -> None:
    metric, inputs = COMMON["cases"]()[name]
    with torch.inference_mode():
        metric.update(*inputs)
        metric.reset()
    assert metric.total.is_inference()
    metric.update(*inputs)
    assert metric.compute().item() == pytest.approx(single[name][0], rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_attributes_for_reports(name: str) -> None:
    metric: ClipMetric = COMMON["cases"]()[name][0]
    assert metric.name.replace("_", "").isalnum()
    assert metric.title
    assert metric.unit
    assert len(metric.explanation) > 60
    assert metric.higher_is_better in (True, False, None)
    json.dumps(metric.protocol)  # plain values only


def test_nothing_scored_is_nan_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    metric = LandmarkDistance()
    metric.update(torch.zeros(0, 4, 68, 2), torch.zeros(0, 4, 68, 2))
    assert torch.isnan(metric.compute())
    assert not [warning for warning in recwarn if "overflow" in str(warning.message)]


def test_metrics_import_nothing_else_of_the_package(two_processes: list[Any]) -> None:
    modules = two_processes[0]["modules"]
    assert "expnet.metrics" in modules
    assert [name for name in modules if not name.startswith("expnet.metrics")] == []


def test_scores_added_without_update_reach_the_next_compute() -> None:
    metric = LandmarkDistance()
    ones = torch.ones(2)
    metric.accumulate(ones * 3, ones)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torchmetrics warns of a metric without updates
        assert metric.compute().item() == 3
    metric.accumulate(ones * 5, ones)
    assert metric.compute().item() == 4
