"""What each part contributes: paired differences to the reference, with intervals, p values and agreement of seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from expnet.evaluation.report.decimals import metric_decimals, three_digits
from expnet.evaluation.report.latex_table import escape_latex, latex_heading, shrunk
from expnet.evaluation.report.results import MetricInfo, Results, ScoredClip
from expnet.evaluation.report.tables import MINUS, NONE, direction, number
from expnet.evaluation.statistics.significance import holm, sign_flip_p_value
from expnet.evaluation.statistics.summary import LAG, Resampling, ends, paired_difference
from expnet.evaluation.store.variants import Variant
from expnet.io.atomic import write_atomically
from expnet.io.markdown import markdown_table

SHOWN = ("mouth_opening_correlation", "within_clip_r2", "landmark_distance_mouth", "jitter_ratio")
"""The columns of differences.md and differences.tex; ablation.json has all metrics."""
LEVEL = 0.05
RowTable = Mapping[tuple[str, str], ScoredClip]
"""Rows by system and clip."""


@dataclass(frozen=True)
class Difference:
    """The score of a variant minus that of the reference.

    Attributes:
        variant: The name of the variant.
        metric: The key of the metric.
        mean: The mean over clips of the mean over seeds.
        ci95: The bootstrap interval over people, None for one person.
        n: The number of clips that both scored.
        people: The number of people in these clips.
        p: The p value of a sign-flip test over people.
        p_holm: The same, corrected for all variants of this metric.
        seeds: The difference of each pair of trainings with the same seed.
    """

    variant: str
    metric: str
    mean: float
    ci95: tuple[float, float] | None
    n: int
    people: int
    p: float
    p_holm: float
    seeds: tuple[float, ...]

    @property
    def agreeing(self) -> int:
        """The number of seeds whose difference has the sign of the mean."""
        return sum(math.copysign(1, value) == math.copysign(1, self.mean) for value in self.seeds)

    @property
    def significant(self) -> bool:
        """Whether the corrected p is below .05 and the difference has the same sign with every seed."""
        return self.p_holm < LEVEL and self.agreeing == len(self.seeds)


def paired_differences(
    variants: Sequence[Variant], infos: Sequence[MetricInfo], rows: Sequence[ScoredClip], drawing: Resampling
) -> list[Difference]:
    """Compare every variant with the first one.

    Args:
        variants: The variants, the reference first.
        infos: The metrics. The lag is left out, because it is not a mean over clips.
        rows: The rows of the variants and of their trainings.
        drawing: What the bootstrap resamples.
    """
    table = {(row.system, row.clip_id): row for row in rows}
    found: list[Difference] = []
    for info in infos:
        if info.key == LAG:
            continue
        raw = [_difference(variant, variants[0], info.key, table, drawing) for variant in variants[1:]]
        adjusted = holm([difference.p for difference in raw])
        found += [replace(one, p_holm=p) for one, p in zip(raw, adjusted, strict=True) if one.n]
    return found


def _difference(variant: Variant, reference: Variant, key: str, table: RowTable, drawing: Resampling) -> Difference:
    """Compare two variants by one metric; the p value is not corrected yet."""
    interval = paired_difference(variant.name, reference.name, key, table, drawing)
    seeds = [
        paired_difference(one, other, key, table, drawing).mean
        for one, other in zip(variant.trainings, reference.trainings, strict=True)
    ]
    pairs = [
        (row, table[reference.name, clip])
        for (name, clip), row in table.items()
        if name == variant.name and math.isfinite(row.values.get(key, math.nan))
    ]
    pairs = [(one, other) for one, other in pairs if math.isfinite(other.values.get(key, math.nan))]
    p = sign_flip_p_value(
        [one.values[key] - other.values[key] for one, other in pairs],
        weights=[one.weights.get(key, 1.0) for one, _ in pairs],
        groups=[one.speaker for one, _ in pairs],
    )
    people = len({one.speaker for one, _ in pairs})
    return Difference(
        variant.name, key, interval.mean, ends(interval), interval.count, people, p, math.nan, tuple(seeds)
    )


@dataclass(frozen=True)
class _Table:
    """The differences in the form that Markdown and LaTeX share."""

    differences: Sequence[Difference]
    variants: Sequence[Variant]
    results: Results

    @property
    def infos(self) -> list[MetricInfo]:
        """The metrics of the columns."""
        return [info for info in self.results.metrics if info.key in SHOWN]

    def rows(self, bold: str) -> list[tuple[str, list[str]]]:
        """Return title and cells of each row: the scores of the reference, then the differences to them."""
        known = {(one.variant, one.metric): one for one in self.differences}
        digits = {info.key: self._decimals(info) for info in self.infos}
        reference = self.results.system(self.variants[0].name)
        metrics = {} if reference is None else reference.metrics
        own = [number(metrics[key].mean if key in metrics else None, places) for key, places in digits.items()]
        found = [(self.variants[0].title, own)]
        for variant in self.variants[1:]:
            cells = [_cell(known.get((variant.name, key)), places, bold) for key, places in digits.items()]
            found.append((variant.title, cells))
        return found

    def _decimals(self, info: MetricInfo) -> int:
        """Return digits that suffice for the scores and for their differences, which are smaller."""
        differences = [one.mean for one in self.differences if one.metric == info.key]
        return max(metric_decimals(info), three_digits(differences))

    def legend(self) -> str:
        """Explain the cells."""
        clips = max((one.n for one in self.differences), default=0)
        people = max((one.people for one in self.differences), default=0)
        reference = self.variants[0]
        return (
            f"First row: {reference.title}. Below: difference to it on the same clips (up to {clips}, of {people} "
            "people), 95 % interval by bootstrap over people, p of a sign-flip test over people with Holm's correction "
            f"over the rows, and how many of {len(reference.runs)} seeds agree with the sign. **Bold**: p below .05, "
            "and every seed agrees."
        )


def write_differences(
    differences: Sequence[Difference], variants: Sequence[Variant], results: Results, folder: Path
) -> None:
    """Write differences.md and differences.tex."""
    table = _Table(differences, variants, results)
    write_atomically(folder / "differences.md", _markdown(table))
    write_atomically(folder / "differences.tex", _latex(table))


def _markdown(table: _Table) -> str:
    header = ["", *(f"{info.title} {direction(info)} ({info.unit})" for info in table.infos)]
    rows = [[title, *cells] for title, cells in table.rows("**{}**")]
    notes = [f"- {note}" for note in table.results.notes]
    return "\n".join([markdown_table(header, rows, align="lr"), "", table.legend(), *notes]) + "\n"


def _cell(difference: Difference | None, digits: int, bold: str) -> str:
    """Write one difference; ``bold`` is the pattern for one that is significant."""
    if difference is None:
        return NONE
    value = number(difference.mean, digits, signed=True)
    bounds = ", ".join(number(end, digits, signed=True) for end in difference.ci95 or ())
    value = bold.format(value) if difference.significant else value
    interval = f" [{bounds}]" if bounds else ""
    return f"{value}{interval}, p {number(difference.p_holm, 3)}, {difference.agreeing}/{len(difference.seeds)}"


def _latex(table: _Table) -> str:
    """Write the table for a paper; it needs ``booktabs`` and ``graphicx``."""
    heads = [latex_heading(info) for info in table.infos]
    rows = [
        " & ".join([escape_latex(title), *(cell.replace(MINUS, "$-$").replace(NONE, "--") for cell in cells)]) + r" \\"
        for title, cells in table.rows(r"\textbf{{{}}}")
    ]
    tabular = [
        r"\begin{tabular}{l" + "r" * len(table.infos) + "}",
        r"\toprule",
        " & ".join(["", *heads]) + r" \\",
        r"\midrule",
        rows[0],
        r"\midrule",
        *rows[1:],
        r"\bottomrule",
        r"\end{tabular}",
    ]
    lines = [
        r"% \usepackage{booktabs,graphicx}",
        f"% protocol {table.results.protocol_hash}",
        r"\begin{table}[t]",
        r"\centering",
        *shrunk([tabular]),
        rf"\caption{{{escape_latex(table.legend().replace('**', ''))}}}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"
