import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from expnet.evaluation.report.best_systems import best_systems
from expnet.evaluation.report.decimals import metric_decimals, three_digits
from expnet.evaluation.report.latex_table import results_as_latex
from expnet.evaluation.report.results import MetricInfo, MetricSummary, Results, ScoredClip, SystemResult
from expnet.evaluation.report.tables import direction, number, results_as_markdown


def info(results: Any, key: str) -> MetricInfo:
    return next(info for info in results.metrics if info.key == key)


def test_directions() -> None:
    assert direction(MetricInfo("a", "A", "r", True)) == "↑"
    assert direction(MetricInfo("a", "A", "r", False)) == "↓"
    assert direction(MetricInfo("a", "A", "r", None, 1.0)) == "→ 1"
    assert direction(MetricInfo("a", "A", "r")) == "→ real"


def test_numbers() -> None:
    assert number(0.5, 3) == "0.500"
    assert number(-0.0001, 3) == "0.000"
    assert number(-0.012, 3) == "\N{MINUS SIGN}0.012"
    assert number(0.2, 1, signed=True) == "+0.2"
    assert number(None, 2) == number(float("nan"), 2) == number(float("inf"), 1) == "\N{EN DASH}"
    assert [three_digits([value]) for value in (0.02, 1.5, 31.2, 250.0)] == [3, 2, 1, 0]


def test_decimals_belong_to_the_metric_and_not_to_its_column(results: Any) -> None:
    """A perfect row (100 dB, an R2 of 1) takes no digits from the others, and .998 is not printed as 1.00."""
    assert metric_decimals(MetricInfo("psnr", "PSNR", "dB")) == 2
    assert metric_decimals(MetricInfo("ssim", "SSIM", "index")) == 4
    assert metric_decimals(MetricInfo("within_clip_r2", "R2", "share")) == 3
    infos = (MetricInfo("psnr", "PSNR", "dB", True), MetricInfo("ssim", "SSIM", "index", True))
    values = {"copy": (100.0, 1.0), "ours": (31.254, 0.998)}
    systems = tuple(
        SystemResult(
            name,
            name,
            "model",
            "",
            {info.key: MetricSummary(value, None, 3) for info, value in zip(infos, pair, strict=True)},
        )
        for name, pair in values.items()
    )
    text = results_as_markdown(replace(results, metrics=infos, systems=systems, clips=()))
    assert "| PSNR ↑ | dB | **100.00** | 31.25 |" in text
    assert "| SSIM ↑ | index | **1.0000** | 0.9980 |" in text


def test_best_follows_direction_ideal_or_the_real_clips_and_never_a_trivial_row(results: Any) -> None:
    assert best_systems(results, info(results, "mouth_opening_correlation")) == {"ours"}
    assert best_systems(results, info(results, "silent_lip_motion")) == {"ours"}  # the frozen face moves less
    assert best_systems(results, info(results, "jitter_ratio")) == {"ours"}  # nearest to 1, not the largest
    assert best_systems(results, info(results, "pose_diversity")) == set()  # nothing to compare with


def uneven() -> Results:
    """The second system has the easier three of five clips: it is worse on each of them, but better on average."""
    info = MetricInfo("psnr", "PSNR", "dB", True)
    scores = {"ours": (20.0, 21.0, 30.0, 31.0, 32.0), "other": (29.0, 30.0, 31.0)}
    rows = [
        ScoredClip(f"clip{5 - len(values) + index}", name, values={"psnr": value})
        for name, values in scores.items()
        for index, value in enumerate(values)
    ]
    systems = tuple(
        SystemResult(name, name, "model", "", {"psnr": MetricSummary(sum(values) / len(values), None, len(values))})
        for name, values in scores.items()
    )
    return Results("uneven", (info,), systems, tuple(rows), {})


def test_the_best_is_found_on_the_clips_that_all_systems_have() -> None:
    found = uneven()
    assert best_systems(found, found.metrics[0]) == {"ours"}
    text = results_as_markdown(found)
    assert "| **26.80** | 30.00 (n 3) |" in text
    assert r"other {\scriptsize (n 3)} & 30.00 \\" in results_as_latex(found)


def test_an_n_that_differs_by_metric_stands_with_its_score(results: Any) -> None:
    system = results.systems[1]
    key = results.metrics[0].key
    fewer = {**system.metrics, key: replace(system.metrics[key], n=2)}
    systems = tuple(replace(one, metrics=fewer) if one is system else one for one in results.systems)
    text = results_as_latex(replace(results, systems=systems))
    row = next(line for line in text.splitlines() if line.startswith(system.title))
    assert row.count("n 2") == 1
    assert row.startswith(rf"{system.title} & ")


def test_sets_of_different_clips_have_no_best() -> None:
    """FID is no mean over clips, so it cannot be computed again on the common ones."""
    found = uneven()
    rows = tuple(replace(row, values={}) for row in found.clips)
    assert best_systems(replace(found, clips=rows), found.metrics[0]) == set()


def test_a_tie_at_the_printed_precision_is_shared(results: Any) -> None:
    key = "within_clip_r2"
    systems = []
    for system in results.systems:
        if system.name == "ridge":
            near = replace(system.metrics[key], mean=0.11804)
            system = replace(system, metrics={**system.metrics, key: near})
        systems.append(system)
    assert best_systems(replace(results, systems=tuple(systems)), info(results, key)) == {"ours", "ridge"}


def test_markdown_table_is_rectangular_and_complete(results: Any) -> None:
    text = results_as_markdown(results)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(results.metrics)
    assert {line.count("|") for line in rows} == {len(results.systems) + 3}
    assert "**0.534** [0.513, 0.555]" in text
    assert results.protocol_hash in text
    assert "Only three people" in text


def test_latex_table_is_escaped_and_balanced(results: Any) -> None:
    text = results_as_latex(results)
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(body) == 1 + len(results.systems)
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {len(results.metrics)}
    assert text.count("{") == text.count("}")
    assert r"\textbf{0.534}" in text
    assert "²" not in text
    assert "\N{MINUS SIGN}" not in text
    assert text.encode("ascii")


def many_metrics(results: Any) -> Any:
    """The same results with twelve metrics."""
    extra = tuple(replace(metric, key=f"{metric.key}_2", group="Again") for metric in results.metrics)
    systems = tuple(
        replace(system, metrics={**system.metrics, **{f"{key}_2": value for key, value in system.metrics.items()}})
        for system in results.systems
    )
    return replace(results, metrics=results.metrics + extra, systems=systems)


def test_many_metrics_stand_one_below_the_other(results: Any) -> None:
    text = results_as_latex(many_metrics(results))
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(body) == 1 + 12
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {len(results.systems)}
    assert "tabular}{l" + "r" * len(results.systems) + "}" in text


def test_many_systems_of_many_metrics_stand_in_panels(results: Any) -> None:
    many = many_metrics(results)
    ours = many.systems[1]
    more = tuple(replace(ours, name=f"s{number}", title=f"System {number}") for number in range(8))
    text = results_as_latex(replace(many, systems=(*many.systems, *more)))
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == 2
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 3
    assert text.count(r"\resizebox") == 1  # letters of one size in all panels
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(body) == 2 * (1 + 13)
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {6}
    assert "[0.513" not in text  # intervals are in the other files
    assert text.count("{") == text.count("}")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
@pytest.mark.parametrize("many", [False, True])
def test_latex_compiles_whatever_a_system_is_called(results: Any, many: bool, tmp_path: Path) -> None:
    shown = many_metrics(results) if many else results
    names = (r"a_b & c\d", "50% {of} #1", "x^2 ~ <y>", "說話 é ±3", "$HOME")
    systems = tuple(replace(system, title=name) for system, name in zip(shown.systems, names, strict=True))
    table = results_as_latex(replace(shown, systems=systems))
    document = rf"\documentclass{{article}}\usepackage{{booktabs,graphicx}}\begin{{document}}{table}\end{{document}}"
    (tmp_path / "table.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "table.tex"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-2000:]
    assert "Overfull" not in result.stdout
