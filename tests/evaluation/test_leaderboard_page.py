"""The page of a leaderboard in a browser: headings that sort, and numbers of others that can be hidden."""

import asyncio
import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from expnet.evaluation.leaderboard.board import add_results, import_published, read_board
from expnet.evaluation.leaderboard.page import write_board
from expnet.evaluation.report.results import MetricInfo, MetricSummary, Results, ScoredClip, SystemResult
from expnet.evaluation.report.results_files import to_json

BROWSER = runpy.run_path(str(Path(__file__).parents[1] / "ui" / "browser.py"))
BINARY = BROWSER["find_browser"]()

pytestmark = pytest.mark.skipif(BINARY is None, reason="no Chromium is installed")

INFOS = (
    MetricInfo("psnr", "PSNR", "dB", True, protocol={"metric": "PSNR"}),
    MetricInfo("landmark_distance", "Landmark distance", "px", False, protocol={"metric": "LMD"}),
    MetricInfo("sync_offset", "Sync offset", "frames", None, 0.0, protocol={"metric": "offset"}),
)
VALUES = {
    "beta": {"psnr": 9.5, "landmark_distance": 2.0, "sync_offset": -3.0},
    "Alpha": {"psnr": 30.0, "landmark_distance": 10.0, "sync_offset": 1.0},
    "gamma": {"psnr": 20.0, "sync_offset": 2.0},
}
ORDER = """[...document.querySelectorAll("#board tbody tr")].filter((row) => !row.hidden)
    .map((row) => row.cells[0].firstChild.textContent.trim())"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    systems = tuple(
        SystemResult(
            name, name, "model", "", {key: MetricSummary(value, (value, value), 2) for key, value in values.items()}
        )
        for name, values in VALUES.items()
    )
    rows = tuple(
        ScoredClip(
            clip,
            name,
            clip,
            50,
            values=dict(values),
            unscored={info.key: "no face" for info in INFOS if info.key not in values},
        )
        for name, values in VALUES.items()
        for clip in ("c0", "c1")
    )
    rules = {
        "metrics": {info.key: dict(info.protocol) for info in INFOS},
        "intervals": {"bootstrap over": "speaker", "draws": 50},
    }
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "results.json").write_text(json.dumps(to_json(Results("one", INFOS, systems, rows, rules))))
    (tmp_path / "papers.csv").write_text("system,metric,value,source\nPaper,psnr,25,a paper\n")
    board = tmp_path / "board"
    add_results(board, tmp_path / "one")
    import_published(board, tmp_path / "papers.csv")
    return write_board(read_board(board), board)


def test_each_heading_sorts_and_turns_round(page: Path, tmp_path: Path) -> None:
    async def visit() -> dict[str, Any]:
        seen: dict[str, Any] = {}
        async with BROWSER["tab"](BINARY, tmp_path / "profile") as tab:
            await tab.call("Runtime.enable")
            await tab.call("Page.navigate", url=page.as_uri())
            await tab.wait_for("document.querySelector('#board') !== null && document.readyState === 'complete'")
            for column in range(4):
                for turn in ("first", "second"):
                    await tab.evaluate(f"document.querySelectorAll('#board thead button')[{column}].click()")
                    seen[f"{column} {turn}"] = await tab.evaluate(ORDER)
            seen["marked"] = await tab.evaluate(
                "[...document.querySelectorAll('#board th[aria-sort]')].map((th) => th.cellIndex)"
            )
            await tab.evaluate("document.querySelector('#published').click()")
            seen["hidden"] = await tab.evaluate(ORDER)
            seen["text"] = await tab.evaluate("document.querySelector('#board').textContent")
            seen["errors"] = tab.messages
        return seen

    seen = asyncio.run(visit())
    assert seen["0 first"] == ["Alpha", "beta", "gamma", "Paper"]
    assert seen["0 second"] == ["Paper", "gamma", "beta", "Alpha"]
    assert seen["1 first"] == ["Alpha", "Paper", "gamma", "beta"]  # as numbers: as text, 9.5 would precede 30
    assert seen["1 second"] == ["beta", "gamma", "Paper", "Alpha"]
    assert seen["2 first"][:2] == ["beta", "Alpha"]  # less is better
    assert seen["2 second"][:2] == ["Alpha", "beta"]
    assert set(seen["2 first"][2:]) == set(seen["2 second"][2:]) == {"gamma", "Paper"}  # without a value: last
    assert seen["3 first"] == ["Alpha", "gamma", "beta", "Paper"]  # by the distance to 0
    assert seen["3 second"] == ["beta", "gamma", "Alpha", "Paper"]
    assert seen["marked"] == [3]
    assert seen["hidden"] == ["beta", "gamma", "Alpha"]
    assert "no face (2 of 2 clips)" in seen["text"]
    assert "not re-scored: a paper" in seen["text"]
    assert seen["errors"] == []
