"""Result files of one protocol are merged into one table; those of two protocols are refused."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from expnet import cli
from expnet.config.benchmark import GROUND_TRUTH
from expnet.errors import DataError, InputError
from expnet.evaluation.report import write_report
from expnet.evaluation.report.compare import compare, merge
from expnet.evaluation.report.results import (
    MetricInfo,
    MetricSummary,
    Results,
    ScoredClip,
    SystemResult,
)
from expnet.evaluation.report.results_files import from_json, read_results, to_json

INFOS = (
    MetricInfo("psnr", "PSNR", "dB", True, None, "Pictures", "Pixels."),
    MetricInfo("fid", "FID", "distance", False, 0.0, "Pictures", "Of all frames at once."),
)
CLIPS = 12


def made(name: str, values: list[float], *, fid: float = 20.0, real: float = 50.0, clips: int = CLIPS) -> Results:
    """A result with the real clips and one system, whose PSNR on each clip is given."""
    rows = [
        ScoredClip(f"clip{index}", system, f"person{index % 4}", 50, "ok", "", {"psnr": value})
        for system, scores in ((GROUND_TRUTH, [real] * clips), (name, values[:clips]))
        for index, value in enumerate(scores)
    ]
    mean = float(np.mean(values[:clips]))
    return Results(
        title=name,
        metrics=INFOS,
        systems=(
            SystemResult(GROUND_TRUTH, "Real clips", "reference", "", {"psnr": MetricSummary(real, None, clips)}),
            SystemResult(
                name,
                name.title(),
                "model",
                "A system.",
                {
                    "psnr": MetricSummary(mean, (mean - 1, mean + 1), clips, 0, mean - real),
                    "fid": MetricSummary(fid, None, clips, 0, math.nan),
                },
            ),
        ),
        clips=tuple(rows),
        protocol={"data": "these clips", "intervals": {"bootstrap over": "clip", "draws": 500}},
        versions={"torch": "2", "expnet": name},
        notes=(f"A note on {name}.",),
    )


FIRST = made("ours", [20.0 + index for index in range(CLIPS)])
SECOND = made("theirs", [19.5 + index for index in range(CLIPS)], fid=30.0)


def test_json_is_read_back_whole() -> None:
    content = json.loads(json.dumps(to_json(FIRST)))
    again = from_json(content)
    assert to_json(again) == to_json(FIRST)
    assert again.protocol_hash == FIRST.protocol_hash
    assert again.system("ours") == replace(
        FIRST.systems[1],
        metrics={
            **FIRST.systems[1].metrics,
            "fid": replace(FIRST.systems[1].metrics["fid"], distance_to_ground_truth=None),
        },
    )


def test_systems_of_both_files_and_the_real_clips_once() -> None:
    merged = merge({"a": FIRST, "b": SECOND})
    assert [system.name for system in merged.systems] == [GROUND_TRUTH, "ours", "theirs"]
    assert len(merged.clips) == 3 * CLIPS
    assert merged.notes == ("a: A note on ours.", "b: A note on theirs.")
    assert merged.versions == {"torch": "2", "expnet (a)": "ours", "expnet (b)": "theirs"}


def test_differences_are_paired_across_files_where_clips_have_numbers_of_their_own() -> None:
    theirs = merge({"a": FIRST, "b": SECOND}).system("theirs")
    assert theirs is not None
    psnr = theirs.metrics["psnr"]
    assert psnr.difference_to_first == pytest.approx(-0.5)
    assert psnr.difference_ci95 == pytest.approx((-0.5, -0.5))  # the clips' own spread cancels
    assert theirs.metrics["fid"].difference_to_first is None
    assert theirs.metrics["fid"].mean == 30.0
    ours = merge({"a": FIRST, "b": SECOND}).system("ours")
    assert ours is not None
    assert ours.metrics["psnr"].difference_to_first is None


def test_one_name_for_two_systems_gets_the_files_behind_it() -> None:
    other = made("ours", [10.0] * CLIPS)
    merged = merge({"a": FIRST, "b": other})
    assert [system.name for system in merged.systems] == [GROUND_TRUTH, "ours", "ours (b)"]
    assert merged.systems[2].title == "Ours (b)"
    assert {row.values["psnr"] for row in merged.clips if row.system == "ours (b)"} == {10.0}
    assert len(merge({"a": FIRST, "b": replace(FIRST)}).systems) == 2


def test_it_warns_of_other_clips_and_other_real_scores() -> None:
    fewer = made("theirs", [19.5] * CLIPS, clips=7)
    assert any("12, b 7; 7 in common" in note for note in merge({"a": FIRST, "b": fewer}).notes)
    moved = merge({"a": FIRST, "b": made("theirs", [19.5] * CLIPS, real=48.0)})
    assert any("real clips do not have the same scores" in note for note in moved.notes)
    truth = moved.system(GROUND_TRUTH)
    assert truth is not None
    assert truth.metrics["psnr"].mean == 50.0


def test_command_writes_one_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder, results in (("ours", FIRST), ("theirs", SECOND)):
        write_report(results, tmp_path / folder)
    files = [str(tmp_path / "ours"), str(tmp_path / "theirs" / "results.json")]
    assert cli.main(["compare", *files, "--output", str(tmp_path / "both")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "both" / "index.html")
    content = read_results(tmp_path / "both")
    assert list(content["systems"]) == [GROUND_TRUTH, "ours", "theirs"]
    assert content["details"]["result file theirs"] == files[1]
    assert content["protocol_hash"] == FIRST.protocol_hash


def test_two_protocols_are_refused(tmp_path: Path) -> None:
    write_report(FIRST, tmp_path / "a")
    write_report(replace(SECOND, protocol={**SECOND.protocol, "data": "others"}), tmp_path / "b")
    with pytest.raises(DataError, match=r"a and b .*differ in data"):
        compare([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="two or more different"):
        compare([tmp_path / "a", tmp_path / "a" / "results.json"], tmp_path / "out")
