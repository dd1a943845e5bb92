"""The result table in Markdown and LaTeX, and how its numbers are formatted everywhere."""

import math
from collections.abc import Sequence
from itertools import groupby

from expnet.config.benchmark import GROUND_TRUTH
from expnet.evaluation.report.best_systems import best_systems
from expnet.evaluation.report.decimals import metric_decimals
from expnet.evaluation.report.results import MetricInfo, MetricSummary, Results, SystemResult
from expnet.evaluation.report.unscored import unscored_lines
from expnet.io.markdown import markdown_table

MINUS = "\N{MINUS SIGN}"
NONE = "\N{EN DASH}"
"""Stands where there is no value."""
_MOST_COLUMNS = 8
"""Metrics that fit side by side on a printed page."""
_MOST_SYSTEMS = 6
"""Systems that fit side by side on a printed page, with intervals."""
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


def direction(info: MetricInfo) -> str:
    """Return the arrow of a column: up, down, or the value to aim at."""
    if info.higher_is_better is not None:
        return "↑" if info.higher_is_better else "↓"
    return f"→ {info.ideal:g}" if info.ideal is not None else "→ real"


def number(value: float | None, digits: int, *, signed: bool = False) -> str:
    """Format a value with a typographic minus sign; a dash if there is none."""
    if value is None or not math.isfinite(value):
        return NONE
    text = f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"
    if float(text) == 0:  # never "-0.000"
        text = f"{0:.{digits}f}"
    return text.replace("-", MINUS)


def interval(summary: MetricSummary, digits: int) -> str:
    """Format a 95 % interval in brackets; empty if there is none."""
    if summary.ci95 is None:
        return ""
    return f"[{number(summary.ci95[0], digits)}, {number(summary.ci95[1], digits)}]"


def results_as_markdown(results: Results) -> str:
    """Return the table in Markdown, with metrics as rows, so that it stays readable however many there are."""
    names = [system.title for system in results.systems]
    rows = []
    for info in results.metrics:
        best = best_systems(results, info)
        cells = [_markdown_cell(results, system, info, system.name in best) for system in results.systems]
        rows.append([f"{info.title} {direction(info)}", info.unit, *cells])
    counts = ", ".join(f"{key} {value}" for key, value in _sizes(results).items())
    lines = [
        markdown_table(["metric", "unit", *names], rows, align="llr"),
        "",
        f"Mean over clips, 95 % interval by bootstrap ({counts}). Protocol `{results.protocol_hash}`. "
        "**Bold**: best of the models and baselines on the clips that all of them have; "
        "systems that do not use the audio are never called best.",
    ]
    if results.preset is not None:
        lines[-1] += f" {results.preset.line}"
        lines += [f"- Not as {results.preset.title}: {text}" for text in results.preset.differs]
    lines += [f"- {line}" for line in unscored_lines(results)]
    lines += [f"- {note}" for note in results.notes]
    return "\n".join(lines) + "\n"


def results_as_latex(results: Results) -> str:
    """Return the table for a paper; it needs ``booktabs`` and ``graphicx``.

    Systems are rows, as in most papers. Many metrics of few systems stand one below the other; those of many systems
    are divided into panels of one group or more, without intervals, which would make them unreadable.
    """
    few = len(results.metrics) <= _MOST_COLUMNS
    panels = not few and len(results.systems) > _MOST_SYSTEMS
    if few or panels:
        parts = [_systems_as_rows(results, infos, intervals=not panels) for infos in _panels(results.metrics)]
    else:
        parts = [_tabular(len(results.systems), _metrics_as_rows(results))]
    shown = "" if panels else " with 95\\,\\% bootstrap intervals"
    caption = f"Mean over clips{shown}. Protocol \\texttt{{{results.protocol_hash}}}."
    if results.preset is not None:
        caption += " " + escape_latex(results.preset.line)
    lines = [
        r"% \usepackage{booktabs,graphicx}",
        f"% protocol {results.protocol_hash}; " + ", ".join(f"{k} {v}" for k, v in _sizes(results).items()),
        r"\begin{table}[t]",
        r"\centering",
        *_joined(parts),
        rf"\caption{{{caption}}}",
        r"\end{table}",
        "",
    ]
    return "\n".join(lines)


def _panels(infos: Sequence[MetricInfo]) -> list[list[MetricInfo]]:
    """Divide metrics into panels of whole groups, as many in each as fit side by side."""
    panels: list[list[MetricInfo]] = []
    for _, members in groupby(infos, key=lambda info: info.group):
        group = list(members)
        for part in (group[start : start + _MOST_COLUMNS] for start in range(0, len(group), _MOST_COLUMNS)):
            if panels and len(panels[-1]) + len(part) <= _MOST_COLUMNS:
                panels[-1] += part
            else:
                panels.append(part)
    return panels


def _tabular(columns: int, body: Sequence[str]) -> list[str]:
    """Return a tabular that is shrunk to the width of the text where it is wider; none is enlarged."""
    width = r"\ifdim\width>\linewidth\linewidth\else\width\fi"
    return [
        rf"\resizebox{{{width}}}{{!}}{{%",
        r"\begin{tabular}{l" + "r" * columns + "}",
        r"\toprule",
        *body,
        r"\bottomrule",
        r"\end{tabular}}",
    ]


def _joined(parts: Sequence[Sequence[str]]) -> list[str]:
    """Return panels one below the other."""
    lines = list(parts[0])
    for part in parts[1:]:
        lines += [r"\par\medskip", *part]
    return lines


def _systems_as_rows(results: Results, infos: Sequence[MetricInfo], *, intervals: bool) -> list[str]:
    headings = [rf"\shortstack{{{escape_latex(info.title)}\\{latex_unit(info)}}}" for info in infos]
    lines = ["System & " + " & ".join(headings) + r" \\", r"\midrule"]
    best = {info.key: best_systems(results, info) for info in infos}
    for system in results.systems:
        cells = [
            _latex_cell(results, system, info, system.name in best[info.key], intervals=intervals) for info in infos
        ]
        lines.append(f"{escape_latex(system.title)} & " + " & ".join(cells) + r" \\")
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
        cells = [_latex_cell(results, system, info, system.name in best) for system in results.systems]
        lines.append(f"{escape_latex(info.title)} {latex_unit(info)} & " + " & ".join(cells) + r" \\")
    return lines


def _sizes(results: Results) -> dict[str, int]:
    """Return how much was scored."""
    # Real clips that are not paired are other clips than those of the systems, which are counted.
    shown = next((system for system in results.systems if system.kind != "reference"), None)
    shown = shown or (results.systems[0] if results.systems else None)
    rows = [row for row in results.clips if shown is not None and row.system == shown.name]
    failed = len({row.clip_id for row in results.clips if row.status != "ok"})
    return {"clips": len(rows), "people": len({row.speaker for row in rows}), "clips with a failure": failed}


def differing_count(results: Results, key: str, summary: MetricSummary) -> str:
    """Return ``n 5`` for a score of fewer clips than others of its column have, else an empty text."""
    systems = [system for system in results.systems if key in system.metrics]
    if results.protocol.get("real clips"):  # a set that is not paired has a number of clips of its own
        systems = [system for system in systems if system.kind != "reference"]
    most = max((system.metrics[key].n for system in systems), default=summary.n)
    if not any(system.metrics[key] is summary for system in systems):
        return f"n {summary.n}"
    return f"n {summary.n}" if summary.n < most else ""


def _markdown_cell(results: Results, system: SystemResult, info: MetricInfo, best: bool) -> str:
    summary = system.metrics.get(info.key)
    if summary is None or not math.isfinite(summary.mean):
        return NONE
    digits, count = metric_decimals(info), differing_count(results, info.key, summary)
    value = number(summary.mean, digits)
    parts = [f"**{value}**" if best else value, interval(summary, digits), f"({count})" if count else ""]
    return " ".join(part for part in parts if part)


def latex_unit(info: MetricInfo) -> str:
    """Return unit and direction of a metric in LaTeX."""
    arrows = {"↑": r"$\uparrow$", "↓": r"$\downarrow$"}
    arrow = direction(info)
    arrow = arrows.get(arrow, "$" + arrow.replace("→", r"\rightarrow").replace("real", r"\mathrm{real}") + "$")
    return f"({escape_latex(info.unit)}) {arrow}"


def _latex_cell(results: Results, system: SystemResult, info: MetricInfo, best: bool, *, intervals: bool = True) -> str:
    summary = system.metrics.get(info.key)
    if summary is None or not math.isfinite(summary.mean):
        return "--"
    digits = metric_decimals(info)
    value = number(summary.mean, digits).replace(MINUS, "$-$")
    bounds = interval(summary, digits).replace(MINUS, "$-$") if intervals else ""
    small = " ".join(part for part in (bounds, differing_count(results, info.key, summary)) if part)
    value = rf"\textbf{{{value}}}" if best else value
    return f"{value} {{\\scriptsize {small}}}" if small else value


def escape_latex(text: str) -> str:
    """Escape LaTeX commands, and characters that its engines cannot set: a system may be named after any folder."""
    return "".join(_ESCAPES.get(character, character if ord(character) < _LATIN_END else "?") for character in text)
