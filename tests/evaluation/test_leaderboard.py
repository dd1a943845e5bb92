"""A leaderboard: result files of one protocol, published numbers, and what it refuses."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from expnet.cli import main as command_line
from expnet.errors import DataError, InputError
from expnet.evaluation.leaderboard.board import add_results, import_published, read_board
from expnet.evaluation.leaderboard.page import write_board
from expnet.evaluation.leaderboard.published import read_published
from expnet.evaluation.leaderboard.rows import Row, board_rows
from expnet.evaluation.report.results import MetricInfo, MetricSummary, Results, ScoredClip, SystemResult
from expnet.evaluation.report.results_files import to_json

INFOS = {
    "psnr": MetricInfo("psnr", "PSNR", "dB", True, group="Image", protocol={"metric": "PSNR"}),
    "csim": MetricInfo("csim", "CSIM", "cosine", True, 1.0, "Image", protocol={"metric": "CSIM"}),
    "pose_diversity": MetricInfo(
        "pose_diversity", "Diversity", "degrees", None, None, "Head", protocol={"metric": "D"}
    ),
}
Saved = Callable[..., Path]


def system(name: str, values: dict[str, list[float]]) -> tuple[SystemResult, list[ScoredClip]]:
    """One system with its clips c0, c1, ... of as many people."""
    summaries = {
        key: MetricSummary(float(np.nanmean(own)), (min(own), max(own)), len(own)) for key, own in values.items()
    }
    count = max(map(len, values.values()))
    rows = [
        ScoredClip(f"c{i}", name, f"p{i}", 50, values={key: own[i] for key, own in values.items()})
        for i in range(count)
    ]
    kind = "reference" if name == "ground_truth" else "model"
    return SystemResult(name, name, kind, "", summaries), rows


@pytest.fixture
def saved(tmp_path: Path) -> Saved:
    def save(name: str, systems: dict[str, dict[str, list[float]]], **protocol: Any) -> Path:
        """Write a result file of systems with their values of each metric, clip by clip."""
        made = [system(key, values) for key, values in systems.items()]
        keys = list(dict.fromkeys(key for values in systems.values() for key in values))
        infos = tuple(INFOS[key] for key in keys)
        rules = {
            "metrics": {info.key: dict(info.protocol) for info in infos},
            "seconds": 60.0,
            "data": name,
            **protocol,
        }
        rules["intervals"] = {"bootstrap over": "speaker", "draws": 50}
        rows = tuple(row for _, own in made for row in own)
        results = Results(name, infos, tuple(one for one, _ in made), rows, rules)
        folder = tmp_path / "results" / name
        folder.mkdir(parents=True)
        (folder / "results.json").write_text(json.dumps(to_json(results)))
        return folder

    return save


def row(rows: list[Row], name: str) -> Row:
    return next(row for row in rows if row.name == name)


def test_systems_of_several_files_stand_on_one_page(saved: Saved, tmp_path: Path) -> None:
    real = {"pose_diversity": [3.0, 3.2, 3.4]}
    one = saved("one", {"ground_truth": real, "a": {"psnr": [30.0, 31.0, 32.0], "pose_diversity": [2.0, 2.0, 2.0]}})
    two = saved("two", {"ground_truth": real, "b": {"psnr": [27.0, 28.2, 29.0], "pose_diversity": [3.0, 3.0, 3.1]}})
    board_folder = tmp_path / "board"
    for path in (one, two):
        add_results(board_folder, path)
    infos, rows = board_rows(read_board(board_folder))
    assert [info.key for info in infos] == ["pose_diversity", "psnr"]
    assert [one.name for one in rows] == ["ground_truth", "a", "b"]
    diversity, psnr = row(rows, "b").cells
    assert psnr.text == "28.07"
    assert psnr.against_leader.startswith("\N{MINUS SIGN}2.93 [")
    assert psnr.detail == "\N{MINUS SIGN}2.93 to a on 3 clips"
    assert psnr.verdict == "worse"
    assert row(rows, "a").cells[1].best
    assert row(rows, "a").cells[1].against_leader == ""
    assert diversity.best  # nearer to the real clips
    assert row(rows, "ground_truth").cells[1].why == "compares with the real clips themselves"
    assert row(rows, "a").source == "one"


def test_the_order_of_a_column_is_its_aim(saved: Saved, tmp_path: Path) -> None:
    values = {"far": 2.0, "near": 3.1, "beyond": 3.9}
    systems = {name: {"pose_diversity": [value, value]} for name, value in {"ground_truth": 3.0, **values}.items()}
    add_results(tmp_path / "board", saved("one", systems))
    _, rows = board_rows(read_board(tmp_path / "board"))
    ranks = {one.name: one.cells[0].rank for one in rows}
    assert sorted(values, key=lambda name: ranks[name] or math.inf) == ["near", "beyond", "far"]
    assert ranks["near"] == pytest.approx(0.1)


def test_a_set_of_real_clips_is_the_aim_of_systems_with_other_clips(saved: Saved, tmp_path: Path) -> None:
    real = {"pose_diversity": [3.0, 3.2]}
    one = saved("one", {"ground_truth": real, "near": {"pose_diversity": [3.0, 3.0]}})
    two = saved("two", {"ground_truth": real, "far": {"pose_diversity": [1.0, 1.5, 2.0]}})
    for folder in (one, two):
        content = json.loads((folder / "results.json").read_text())
        for clip in content["clips"]:
            if clip["system"] == "ground_truth":
                clip["clip_id"] = f"reference_set/{clip['clip_id']}"
        (folder / "results.json").write_text(json.dumps(content))
        add_results(tmp_path / "board", folder)
    board = read_board(tmp_path / "board")
    _, rows = board_rows(board)
    assert row(rows, "near").cells[0].best
    assert not row(rows, "far").cells[0].best
    assert row(rows, "far").cells[0].detail == "\N{MINUS SIGN}1.750 to near on 2 clips"
    page = write_board(board, tmp_path / "board").read_text()
    assert "one (2 clips), two (3 clips)" in page


def test_other_clips_and_other_metrics_are_told_in_the_cell(saved: Saved, tmp_path: Path) -> None:
    one = saved("one", {"a": {"psnr": [30.0, 31.0], "csim": [0.8, 0.9]}})
    two = saved("two", {"b": {"psnr": [28.0]}})
    for path in (one, two):
        add_results(tmp_path / "board", path)
    _, rows = board_rows(read_board(tmp_path / "board"))
    psnr, csim = row(rows, "b").cells
    assert psnr.why == "1 of 1 clips"
    assert psnr.detail == "\N{MINUS SIGN}2.00 to a on 1 clips"
    assert csim.text == "\N{EN DASH}"
    assert csim.why == "not computed in two"


def test_adding_again_replaces(saved: Saved, tmp_path: Path) -> None:
    first, second = saved("one", {"a": {"psnr": [30.0]}}), saved("later", {"a": {"psnr": [33.0]}})
    add_results(tmp_path / "board", first)
    add_results(tmp_path / "board", second, "one")
    board = read_board(tmp_path / "board")
    assert list(board.parts) == ["one"]
    assert board.results.systems[0].metrics["psnr"].mean == 33.0


def test_another_protocol_is_refused(saved: Saved, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = saved("one", {"a": {"psnr": [30.0]}}), saved("two", {"b": {"psnr": [28.0]}}, seconds=8.0)
    board = tmp_path / "board"
    assert command_line(["leaderboard", "add", str(one), "--board", str(board)]) == 0
    capsys.readouterr()
    assert command_line(["leaderboard", "add", str(two / "results.json"), "--board", str(board)]) == 2
    told = capsys.readouterr().err
    assert "two was scored under another protocol" in told
    assert "they differ in seconds" in told
    assert len(told.strip().splitlines()) == 1
    assert [path.name for path in (board / "results").iterdir()] == ["one.json"]
    other = json.loads((two / "results.json").read_text())
    other["protocol"] |= {"seconds": 60.0, "metrics": {"psnr": {"metric": "another"}}}
    (two / "results.json").write_text(json.dumps(other))
    with pytest.raises(DataError, match=r"differ in metrics\.psnr\.metric"):
        add_results(board, two)


def test_published_numbers_are_marked_and_never_best(
    saved: Saved, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    board = tmp_path / "board"
    add_results(board, saved("one", {"a": {"psnr": [30.0, 31.0]}, "b": {"psnr": [29.0, 30.0]}}))
    (tmp_path / "papers.csv").write_text("system,metric,value,source,note\nW<av>,psnr,40.5,a paper,other clips\n")
    assert command_line(["leaderboard", "import", str(tmp_path / "papers.csv"), "--board", str(board)]) == 0
    _, rows = board_rows(read_board(board))
    found = row(rows, "W<av>")
    assert (found.kind, found.source) == ("published", "a paper")
    assert found.cells[0].text == "40.50"
    assert not found.cells[0].best
    assert found.cells[0].why == "not re-scored: other clips"
    page = (board / "index.html").read_text()
    assert "not re-scored: a paper" in page
    assert "W&lt;av&gt;" in page
    assert "| W<av> † | 40.50 |" in (board / "table.md").read_text()
    assert command_line(["leaderboard", "remove", "papers", "--board", str(board)]) == 0
    assert "a paper" not in (board / "index.html").read_text()
    assert command_line(["leaderboard", "remove", "papers", "--board", str(board)]) == 2


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("", "lacks the column system"),
        ("system,metric,value\na,psnr,1\n", "lacks the column source"),
        ("system,metric,value,source\n", "holds no numbers"),
        ("system,metric,value,source\na,psnr,high,b\n", "line 2: high is no number"),
        ("system,metric,value,source\na,psnr,nan,b\n", "line 2: nan is no number"),
        ("system,metric,value,source\na,PSNR,1,b\n", "line 2: there is no metric PSNR"),
        ("system,metric,value,source\na,psnr,1,\n", "line 2: expected a value"),
        ("system,metric,value,source\na,psnr,1,b,c,d\n", "line 2: expected a value"),
        ("system,metric,value,source\na,psnr,1,b\na,psnr,2,b\n", "line 3: a has two values of psnr"),
        ("system,metric,value,source\nground_truth,psnr,1,b\n", "stands for the real clips"),
        ('system,metric,value,source\n"a,psnr,1,b\n', "cannot be read as a csv file"),
    ],
)
def test_a_malformed_csv_is_one_sentence(tmp_path: Path, text: str, fragment: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError) as error:
        read_published(tmp_path / "a.csv")
    assert fragment in str(error.value)
    with pytest.raises(DataError):
        import_published(tmp_path / "board", tmp_path / "a.csv")
    assert not (tmp_path / "board").exists()


def test_mistakes_of_the_user(saved: Saved, tmp_path: Path) -> None:
    board = str(tmp_path / "board")
    assert command_line(["leaderboard", "write", "--board", board]) == 2
    assert command_line(["leaderboard", "add", str(tmp_path / "gone"), "--board", board]) == 2
    with pytest.raises(InputError, match="cannot be a name"):
        add_results(tmp_path / "board", saved("one", {"a": {"psnr": [30.0]}}), "../one")


def test_the_hash_of_a_board_is_that_of_its_rules(saved: Saved, tmp_path: Path) -> None:
    add_results(tmp_path / "board", saved("one", {"a": {"psnr": [30.0]}}))
    before = read_board(tmp_path / "board")
    add_results(tmp_path / "board", saved("two", {"b": {"psnr": [30.0]}}))  # other data, the same rules
    after = read_board(tmp_path / "board")
    assert after.hash == before.hash
    changed = replace(before.results, protocol={**before.results.protocol, "seconds": 1.0})
    assert replace(before, results=changed).hash != before.hash
