"""The result table in LaTeX, as papers print it: ``table.tex``."""

import math
import textwrap
from collections.abc import Sequence
from itertools import pairwise

from expnet.config.benchmark import GROUND_TRUTH
from expnet.evaluation.report.best_systems import best_systems
from expnet.evaluation.report.decimals import metric_decimals
from expnet.evaluation.report.results import MetricInfo, Results, SystemResult
from expnet.evaluation.report.tables import MINUS, NONE, differing_count, direction, interval, number, table_sizes

_MOST_METRICS = 8
"""Metrics that stand side by side with their intervals."""
_MOST_COLUMNS = 6
"""Metrics side by side in a panel, in letters that can still be read."""
_MOST_SYSTEMS = 6
"""Systems that fit side by side on a printed page, with intervals."""
_HEADING_WIDTH = 14
"""Characters of a line of a heading, about as wide as an interval."""
_LATIN_END = 0x180
_ESCAPES = {
    **{character: "\\" + character for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "²": "$^2$",
    "±": r"$\pm$",
    NONE: "--",
    MINUS: "$-$",
}


def results_as_latex(results: Results) -> str:
    """Return the table for a paper; it needs ``booktabs`` and ``graphicx``.

    Systems are rows, as in most papers. Many metrics of few systems stand one below the other; those of many systems
    are divided into panels of one size of letters, without intervals, which would make them unreadable.
    """
    few = len(results.metrics) <= _MOST_METRICS
    panels = not few and len(results.systems) > _MOST_SYSTEMS
    if few:
        tables = [_systems_as_rows(results, results.metrics, intervals=True)]
    elif panels:
        tables = [_systems_as_rows(results, infos, intervals=False) for infos in _panels(results.metrics)]
    else:
        tables = [_tabular(len(results.systems), _metrics_as_rows(results))]
    lines = [
        r"% \usepackage{booktabs,graphicx}; in a layout of two columns, take table* for both of them",
        f"% protocol {results.protocol_hash}; " + ", ".join(f"{k} {v}" for k, v in table_sizes(results).items()),
        r"\begin{table}[t]",
        r"\centering",
        *shrunk(tables),
        rf"\caption{{{_caption(results, intervals=not panels)}}}",
        r"\end{table}",
        "",
    ]
    return "\n".join(lines)


def escape_latex(text: str) -> str:
    """Escape LaTeX commands, and characters that its engines cannot set: a system may be named after any folder."""
    return "".join(_ESCAPES.get(character, character if ord(character) < _LATIN_END else "?") for character in text)


def latex_heading(info: MetricInfo) -> str:
    """Return title, unit and direction of a metric as narrow lines that end where its numbers end."""
    *units, last = _broken(f"({info.unit})")
    lines = r"\\".join([*_broken(info.title), *units, f"{last} {_arrow(info)}"])
    return rf"\shortstack[r]{{{lines}}}"


def _broken(text: str) -> list[str]:
    """Escape a text and break it into lines between its words."""
    lines = textwrap.wrap(text, _HEADING_WIDTH, break_long_words=False, break_on_hyphens=False)
    return [escape_latex(line) for line in lines] or [""]


def _arrow(info: MetricInfo) -> str:
    arrows = {"↑": r"$\uparrow$", "↓": r"$\downarrow$"}
    arrow = direction(info)
    return arrows.get(arrow, "$" + arrow.replace("→", r"\rightarrow").replace("real", r"\mathrm{real}") + "$")


def _caption(results: Results, *, intervals: bool) -> str:
    """Say what the numbers are, of how many clips and people, and under which protocol."""
    clips, people = (table_sizes(results)[name] for name in ("clips", "people"))
    counted = f"{clips} clip{'' if clips == 1 else 's'} of {people} {'person' if people == 1 else 'people'}"
    shown = " with 95\\,\\% bootstrap intervals" if intervals else ""
    parts = [f"Mean over {counted}{shown}; bold: the best on the clips that all systems have."]
    parts.append(rf"Protocol \texttt{{{results.protocol_hash}}}.")
    if results.preset is not None:
        parts.append(escape_latex(results.preset.line))
    return " ".join(parts)


def _panels(infos: Sequence[MetricInfo]) -> list[Sequence[MetricInfo]]:
    """Divide metrics evenly among as few panels as hold them."""
    count = math.ceil(len(infos) / _MOST_COLUMNS)
    ends = [round(place * len(infos) / count) for place in range(count + 1)]
    return [infos[start:end] for start, end in pairwise(ends)]


def _tabular(columns: int, body: Sequence[str]) -> list[str]:
    return [
        r"\begin{tabular}{l" + "r" * columns + "}",
        r"\toprule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
    ]


def shrunk(tables: Sequence[Sequence[str]]) -> list[str]:
    """Stack tables, and shrink them together to the width of the text where one is wider; none is enlarged."""
    lines = [r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"]
    if len(tables) == 1:
        return [*lines, *tables[0], "}"]
    lines.append(r"\begin{tabular}{@{}l@{}}")
    for place, table in enumerate(tables):
        end = r"\\ \noalign{\medskip}" if place < len(tables) - 1 else ""
        lines += [*table[:-1], table[-1] + end]
    return [*lines, r"\end{tabular}}"]


def _systems_as_rows(results: Results, infos: Sequence[MetricInfo], *, intervals: bool) -> list[str]:
    lines = ["System & " + " & ".join(map(latex_heading, infos)) + r" \\", r"\midrule"]
    best = {info.key: best_systems(results, info) for info in infos}
    for system in results.systems:
        common = _common_count(results, system)
        cells = [
            _cell(results, system, info, system.name in best[info.key], intervals=intervals, counted=not common)
            for info in infos
        ]
        name = escape_latex(system.title) + (rf" {{\scriptsize ({common})}}" if common else "")
        lines.append(f"{name} & " + " & ".join(map(_stacked, cells)) + r" \\")
        if system.name == GROUND_TRUTH:
            lines.append(r"\midrule")
    return _tabular(len(infos), lines)


def _metrics_as_rows(results: Results) -> list[str]:
    lines = ["Metric & " + " & ".join(escape_latex(system.title) for system in results.systems) + r" \\"]
    group = None
    for info in results.metrics:
        if info.group != group:
            group = info.group
            lines.append(r"\midrule")
        best = best_systems(results, info)
        cells = [_cell(results, system, info, system.name in best) for system in results.systems]
        line = " & ".join(f"{value} {{\\scriptsize {small}}}" if small else value for value, small in cells)
        lines.append(f"{escape_latex(info.title)} ({escape_latex(info.unit)}) {_arrow(info)} & {line}" + r" \\")
    return lines


def _common_count(results: Results, system: SystemResult) -> str:
    """Return ``n 5`` where all scores of a system are of so many clips, fewer than others have; else an empty text."""
    counts = {
        differing_count(results, key, summary)
        for key, summary in system.metrics.items()
        if math.isfinite(summary.mean) and any(info.key == key for info in results.metrics)
    }
    return counts.pop() if len(counts) == 1 else ""


def _cell(
    results: Results,
    system: SystemResult,
    info: MetricInfo,
    best: bool,
    *,
    intervals: bool = True,
    counted: bool = True,
) -> tuple[str, str]:
    """Return a score, and what stands beside or below it in small letters: its interval and its n."""
    summary = system.metrics.get(info.key)
    if summary is None or not math.isfinite(summary.mean):
        return "--", ""
    digits = metric_decimals(info)
    value = number(summary.mean, digits).replace(MINUS, "$-$")
    bounds = interval(summary, digits).replace(MINUS, "$-$") if intervals else ""
    count = differing_count(results, info.key, summary) if counted else ""
    return rf"\textbf{{{value}}}" if best else value, " ".join(part for part in (bounds, count) if part)


def _stacked(cell: tuple[str, str]) -> str:
    """Put the interval of a score below it, which keeps the columns narrow."""
    value, small = cell
    if not small:
        return value
    return rf"\begin{{tabular}}[t]{{@{{}}r@{{}}}}{value}\\[-2pt]{{\scriptsize {small}}}\end{{tabular}}"
