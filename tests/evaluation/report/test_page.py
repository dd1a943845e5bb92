import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from expnet.evaluation.report import write_report
from expnet.evaluation.report.interval_chart import interval_chart
from expnet.evaluation.report.line_chart import Series, line_chart, training_series
from expnet.evaluation.report.page import Example, ExampleGroup, Extras, read_training_log, render_page
from expnet.evaluation.report.svg import nice_ticks

VOID = {"meta", "link", "img", "br", "hr", "input", "source"}


class Checker(HTMLParser):
    """Collects links and reports tags that do not match."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.identifiers: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href") and value:
                self.addresses.append(value)
            if name == "id" and value:
                self.identifiers.add(value)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parse(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    return checker


def test_page_is_well_formed_and_self_contained(results: Any, fakes: dict[str, Any]) -> None:
    page = render_page(results, Extras(fakes["fake_curves"](), (fakes["fake_strip"](),)))
    checker = parse(page)
    own = {"results.json", "results.csv", "table.md", "table.tex", "videos/clip5.mp4"}
    outside = [a for a in checker.addresses if not a.startswith("data:image/") and a not in own]
    assert outside[0] == "#failed"
    assert all(address[0] == "#" and address[1:] in checker.identifiers for address in outside)
    assert {info.key for info in results.metrics} <= checker.identifiers
    assert "broken&lt;clip&gt;" in page
    assert "broken<clip>" not in page
    assert "Distance &amp; more." in page
    for text in ("0.534", "[0.513, 0.555]", results.protocol_hash, "6 clips, 3 people", "Only three people"):
        assert text in page


def test_page_without_extras(results: Any) -> None:
    page = render_page(results)
    parse(page)
    assert "Mouth opening, real and predicted" not in page
    assert "<video" not in page


def test_every_chart_is_valid_xml(results: Any, fakes: dict[str, Any]) -> None:
    for info in results.metrics:
        ElementTree.fromstring(interval_chart(results, info))
    example = fakes["fake_curves"]()[0]
    chart = line_chart(example.series, label="a < b", seconds_per_step=0.04, shaded=example.silent)
    root = ElementTree.fromstring(chart)
    namespace_free = [element.tag for element in root]
    assert namespace_free.count("path") == 3
    assert namespace_free.count("rect") == 1


def test_a_diverged_system_does_not_squeeze_the_others(results: Any) -> None:
    info = next(info for info in results.metrics if info.key == "within_clip_r2")
    systems = []
    for system in results.systems:
        if system.name == "per_frame":
            far = replace(system.metrics[info.key], mean=-80.0, ci95=(-90.0, -70.0))
            system = replace(system, metrics={**system.metrics, info.key: far})
        systems.append(system)
    chart = ElementTree.fromstring(interval_chart(replace(results, systems=tuple(systems)), info))
    dots = {group.get("class"): group for group in chart if group.tag == "g" and group.find("circle") is not None}
    positions = [float(group.find("circle").get("cx")) for group in dots.values()]  # type: ignore[union-attr]
    assert max(positions) - min(positions) > 100  # of 430
    arrows = [group for group in chart if group.tag == "g" and group.find("path") is not None]
    assert len(arrows) == 1


def test_clips_are_ticks_on_their_systems_line(results: Any) -> None:
    info = next(info for info in results.metrics if info.key == "mouth_opening_correlation")
    chart = ElementTree.fromstring(interval_chart(results, info))
    groups = [group for group in chart if group.tag == "g"]
    assert len(groups) == len(results.systems)
    for group in groups:
        path = group.find("path")
        assert path is not None
        assert path.get("class") == "clip"
        places = [float(mark.split(" ")[0]) for mark in path.get("d", "").split("M")[1:]]
        assert len(places) == 6  # clips 0, 0.1, ... 0.5
        assert places == sorted(places)
        assert places[5] - places[0] == pytest.approx(5 * (places[1] - places[0]), abs=0.3)


def test_examples_are_videos_with_their_scores(results: Any) -> None:
    examples = (Example("Worst", "clip<1>", "0.1", "videos/1.mp4"), Example("Best", "clip2", "0.9", "videos/2.mp4"))
    page = render_page(results, Extras(examples=(ExampleGroup(results.metrics[0], examples),)))
    assert {"videos/1.mp4", "videos/2.mp4"} <= set(parse(page).addresses)
    assert "<b>Worst</b> clip&lt;1&gt;" in page
    assert "worst 0.1; best 0.9" in page
    assert "Worst and best clips" not in render_page(results)


def test_examples_of_many_metrics_are_folded_but_for_the_first(results: Any) -> None:
    example = (Example("Worst", "clip", "0.1", "videos/1.mp4"),)
    infos = [replace(results.metrics[0], key=f"metric_{number}") for number in range(6)]
    page = render_page(results, Extras(examples=tuple(ExampleGroup(info, example) for info in infos)))
    assert re.findall(r'id="examples-metric_(\d)" ?(open)?', page) == [
        ("0", "open"),
        *((str(n), "") for n in range(1, 6)),
    ]
    few = render_page(results, Extras(examples=tuple(ExampleGroup(info, example) for info in infos[:4])))
    assert len(re.findall(r'id="examples-metric_\d" open', few)) == 4


def test_paired_differences_say_better_and_worse(results: Any) -> None:
    page = render_page(results)
    table = page[page.index("Against expnet") : page.index("Each metric")]
    assert "Ridge on mel" in table
    assert "Hold first frame" not in table  # trivial systems are not compared with
    cells = dict(re.findall(r'class="value (better|worse)">([^<]*)', table))
    assert set(cells) == {"better", "worse"}


def thirteen_systems(results: Any) -> Any:
    ours = results.systems[1]
    more = tuple(replace(ours, name=f"system{number}", title=f"System {number}") for number in range(8))
    return replace(results, systems=(*results.systems, *more))


def test_many_systems_are_rows_so_that_the_page_is_wide_enough(results: Any) -> None:
    page = render_page(thirteen_systems(results))
    parse(page)
    tables = re.findall(r'<table class="systems.*?</table>', page, re.DOTALL)
    assert tables
    for table in tables:
        widths = {len(re.findall(r"<td", row)) for row in re.findall(r"<tr.*?</tr>", table, re.DOTALL)} - {0}
        assert len(widths) == 1  # every system has as many cells
        assert widths.pop() <= 9
    scores = [table for table in tables if "differences" not in table]
    assert sum(table.count(">System 7<") for table in scores) == len(scores)
    for info in results.metrics:
        assert sum(table.count(f'href="#{info.key}"') for table in scores) == 1


def test_lines_break_at_nan() -> None:
    chart = line_chart([Series("a", [1.0, 2.0, float("nan"), 2.0, 1.0])], label="gap")
    assert chart.count("M") == 2
    assert line_chart([Series("a", [float("nan")] * 3)], label="none") == ""


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-0.02, 0.13), (3.0, 3.1), (0.0, 1e-6), (-5000.0, 120.0)])
def test_ticks_are_few_and_inside(low: float, high: float) -> None:
    ticks = nice_ticks(low, high)
    assert 2 <= len(ticks) <= 7
    assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in ticks)


def test_training_log(tmp_path: Path, results: Any) -> None:
    log = tmp_path / "metrics.csv"
    lines = ["epoch,step,train/loss,val/loss,lr"] + [f"{s // 10},{s},{1 / (s + 1)},,0.1" for s in range(1300)]
    lines += [f"{s},{s * 10},,{2 / (s + 1)}," for s in range(50)]
    log.write_text("\n".join(lines))
    charts = training_series(read_training_log(log))
    assert list(charts) == ["loss"]
    assert [line.name for line in charts["loss"]] == ["train", "validation"]
    assert len(charts["loss"][0].values) <= 700
    page = render_page(results, Extras(training={"Expression": log, "Gone": tmp_path / "absent.csv"}))
    parse(page)
    assert "Expression" in page
    assert "Gone" not in page


def test_write_report_writes_every_file(results: Any, fakes: dict[str, Any], tmp_path: Path) -> None:
    page = write_report(results, tmp_path / "new" / "folder", Extras(fakes["fake_curves"]()))
    assert page.name == "index.html"
    names = sorted(path.name for path in page.parent.iterdir())
    assert names == ["index.html", "results.csv", "results.json", "table.md", "table.tex"]
