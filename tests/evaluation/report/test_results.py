import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from expnet.errors import DataError
from expnet.evaluation.report import write_report
from expnet.evaluation.report.results import protocol_hash
from expnet.evaluation.report.results_files import check_same_protocol, read_results, to_csv, to_json
from expnet.io.atomic import write_atomically


def test_json_has_the_promised_keys_and_no_nan(results: Any) -> None:
    content = to_json(results)
    json.dumps(content, allow_nan=False)
    summary = content["systems"]["ours"]["metrics"]["landmark_distance"]
    assert summary["mean"] == pytest.approx(1.61)
    assert summary["unit"] == "px at 256"
    assert summary["higher_is_better"] is False
    assert len(summary["ci95"]) == 2
    assert summary["n"] == 24
    assert content["systems"]["ridge"]["metrics"]["pose_diversity"]["mean"] is None
    assert content["protocol_hash"] == results.protocol_hash
    failed = [row for row in content["clips"] if row["status"] == "failed"]
    assert [(row["clip_id"], row["reason"]) for row in failed] == [("broken<clip>", "no valid frame")]


def test_csv_has_a_row_for_each_clip_and_system(results: Any) -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(results))))
    assert len(rows) == len(results.clips)
    assert rows[1]["mouth_opening_correlation"] == "0.1"
    assert rows[-1]["status"] == "failed"
    assert rows[-1]["within_clip_r2"] == ""


def test_protocol_hash_depends_on_values_not_on_order() -> None:
    assert protocol_hash({"a": 1, "b": {"c": 2}}) == protocol_hash({"b": {"c": 2}, "a": 1})
    assert protocol_hash({"a": 1}) != protocol_hash({"a": 2})
    assert len(protocol_hash({})) == 16


def test_different_protocols_refuse_one_table(results: Any) -> None:
    first = to_json(results)
    other = to_json(replace(results, protocol={**results.protocol, "data": {"store": "test", "clips": 7}}))
    check_same_protocol({"a": first, "b": first})
    with pytest.raises(DataError, match=r"a and b .*differ in data\.clips"):
        check_same_protocol({"a": first, "b": other})


def test_reading_back_and_bad_files(results: Any, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps(to_json(results)))
    assert read_results(tmp_path) == read_results(path) == to_json(results)
    path.write_text("{}")
    with pytest.raises(DataError, match="schema"):
        read_results(path)
    path.write_text("not json")
    with pytest.raises(DataError, match=r"results\.json"):
        read_results(path)
    with pytest.raises(DataError):
        read_results(tmp_path / "absent.json")


def test_nothing_half_written(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_atomically(path, "old")
    with pytest.raises(TypeError):
        write_atomically(path, 5)  # type: ignore[arg-type]
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.txt"]


def test_a_report_is_written_whole_or_not_at_all(results: Any, small_disk: Callable[[int], Path]) -> None:
    folder = small_disk(64)
    for name in ("index.html", "results.csv", "results.json", "table.md", "table.tex"):
        (folder / name).write_text("before")
    (folder / "other").write_bytes(bytes(30_000))
    with pytest.raises(OSError, match="No space left"):
        write_report(results, folder)
    assert {path.read_text() for path in folder.iterdir() if path.name != "other"} == {"before"}
    assert not list(folder.glob(".*"))
