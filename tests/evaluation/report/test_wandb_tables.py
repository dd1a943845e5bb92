"""The result table on Weights & Biases without an API key: everything is stored in the folder."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from expnet.config import WandbConfig
from expnet.evaluation.report import Extras, write_report
from expnet.evaluation.report.results import Results
from expnet.evaluation.report.wandb_tables import clip_table, log_benchmark, system_table


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")


def table_of(run: Path, name: str) -> dict[str, Any]:
    (path,) = run.glob(f"files/media/table/{name}_*.table.json")
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def test_a_row_a_system_and_a_row_a_clip(results: Results) -> None:
    columns, rows = system_table(results)
    assert len(rows) == len(results.systems)
    ridge = dict(zip(columns, rows[2], strict=True))
    assert ridge["system"] == "Ridge on mel"
    summary = results.system("ridge").metrics["landmark_distance"]
    assert [ridge[f"landmark_distance{part}"] for part in ("", "_low", "_high", "_n")] == [
        summary.mean,
        *summary.ci95,
        summary.n,
    ]
    assert ridge["pose_diversity"] is None  # NaN, which a table cannot hold
    columns, rows = clip_table(results)
    assert len(rows) == len(results.clips)
    broken = dict(zip(columns, rows[-1], strict=True))
    assert (broken["status"], broken["reason"]) == ("failed", "no valid frame")
    assert not any(isinstance(value, float) and math.isnan(value) for row in rows for value in row)


def test_the_table_is_logged_with_the_files(results: Results, tmp_path: Path) -> None:
    write_report(results, tmp_path, Extras())
    log_benchmark(WandbConfig(wandb=False), results, tmp_path)
    assert not (tmp_path / "wandb").exists()
    log_benchmark(WandbConfig(wandb=True, project="tables"), results, tmp_path)
    (run,) = (tmp_path / "wandb").glob("offline-run-*")
    columns, rows = system_table(results)
    assert table_of(run, "benchmark") == {"columns": columns, "data": rows}
    assert len(table_of(run, "clips")["data"]) == len(results.clips)
    stored = next(run.glob("run-*.wandb")).read_bytes()
    bars = next(run.glob("files/media/table/plots/within_clip_r2_table_*.table.json"))
    assert ["Ridge on mel", results.system("ridge").metrics["within_clip_r2"].mean] in json.loads(bars.read_text())[
        "data"
    ]
    for words in (b"benchmark-" + results.protocol_hash.encode(), b"index.html", b"ours/within_clip_r2", b"tables"):
        assert words in stored
