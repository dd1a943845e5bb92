"""The length curve: every attention bias at every length, and what length costs it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from expnet.config.evaluate import ProtocolConfig
from expnet.evaluation.report import write_report
from expnet.evaluation.report.results import ClipRow, MetricInfo, Results
from expnet.evaluation.report.tables import NONE, number
from expnet.evaluation.scores import Scores
from expnet.evaluation.statistics.significance import sign_flip_p_value
from expnet.evaluation.statistics.summary import ends, paired_difference, summarise
from expnet.evaluation.store.clips import Clip, Selection
from expnet.evaluation.store.joined_clips import JoinedClips, join, predict_at_length
from expnet.evaluation.store.scoring import Scorer
from expnet.evaluation.store.variants import Variant, mean_over_seeds
from expnet.io.atomic import write_atomically
from expnet.io.markdown import markdown_table
from expnet.models.expression_regressor import ExpressionRegressor

BIAS = "model.attention_bias"
DRAWN = "mouth_opening_correlation"
"""The metric of the figure and of curve.md."""
RULE = (
    "clips of the scored side joined end to end, in the store's order, and shown so many frames at once; "
    "levels taken off clip by clip, first frame not shown; every clip scored whole, at every length alike"
)


@dataclass(frozen=True)
class Point:
    """One attention bias at one length.

    Attributes:
        variant: The name of the variant.
        bias: Its attention bias.
        frames: The length.
        mean: The mean mouth-opening correlation.
        ci95: Its interval over people.
        change: The paired difference to the shortest length, None for that length.
        change_ci95: The interval of the change.
        p: The p value of a sign-flip test of the change over people, not corrected.
        difference: The paired difference to the reference at this length, None for the reference.
        difference_ci95: The interval of the difference.
    """

    variant: str
    bias: str
    frames: int
    mean: float
    ci95: tuple[float, float] | None
    change: float | None = None
    change_ci95: tuple[float, float] | None = None
    p: float | None = None
    difference: float | None = None
    difference_ci95: tuple[float, float] | None = None


@dataclass(frozen=True)
class LengthCurve:
    """The result of a length curve.

    Attributes:
        page: The page of the report.
        points: The points of all biases and lengths.
    """

    page: Path
    points: tuple[Point, ...]


def attention_variants(variants: Sequence[Variant]) -> list[Variant]:
    """Return the reference and the variants that differ from it only in the attention bias."""
    return [variant for variant in variants if not set(variant.changes) - {BIAS}]


def report_lengths(
    variants: Sequence[Variant],
    lengths: Sequence[int],
    selection: Selection,
    scorer: Scorer,
    ablation: Results,
    protocol: ProtocolConfig,
    folder: Path,
) -> LengthCurve | None:
    """Score every attention bias at every length and write the folder ``lengths``.

    Args:
        variants: The variants of the ablation, the reference first.
        lengths: The numbers of frames that the network sees at once.
        selection: The clips.
        scorer: The scorer of the ablation.
        ablation: The results of the ablation, whose protocol and versions are taken over.
        protocol: What the bootstrap resamples.
        folder: The output folder of the ablation.

    Returns:
        The curve, or None if no length fits into the clips.
    """
    compared = attention_variants(variants)
    clips = [selection.read(entry) for entry in selection.scored]
    joined = join(clips)
    fitting = sorted(length for length in lengths if length <= joined.frames)
    missing = [str(length) for length in sorted(lengths) if length not in fitting]
    notes = [f"The clips have {joined.frames} frames in all; not measured at {', '.join(missing)}."] if missing else []
    if not fitting:
        return None
    infos = [_metric_at(info, length) for info in _infos(scorer) for length in fitting]
    rows = []
    for variant in compared:
        for name, network in zip(variant.trainings, variant.networks(), strict=True):
            rows += _score(name, network, clips, joined, fitting, scorer)
    rows = mean_over_seeds(compared, rows)
    systems = summarise(compared, infos, rows, {}, protocol)
    results = replace(
        ablation,
        title=ablation.title.replace("Ablation", "Length curve", 1),
        metrics=tuple(infos),
        systems=systems,
        clips=tuple(rows),
        protocol={**ablation.protocol, "lengths": {"rule": RULE, "frames": fitting}},
        notes=(f"Protocol: {RULE}.", *notes, *ablation.notes),
    )
    page = write_report(results, folder / "lengths")
    points = _points(compared, fitting, results, protocol)
    write_atomically(folder / "lengths" / "curve.md", _markdown(points, fitting, results))
    _draw(points, fitting, folder / "lengths")
    return LengthCurve(page, tuple(points))


def _infos(scorer: Scorer) -> list[MetricInfo]:
    """Return the metrics that do not depend on a constant offset, because there is no first frame to start from."""
    names = (scorer.correlation.name, scorer.r2.name, scorer.jitter.name)
    return [info for info in scorer.infos() if info.key in names]


def _metric_at(info: MetricInfo, length: int) -> MetricInfo:
    return replace(info, key=f"{info.key}_at_{length}", title=f"{info.title}, {length} frames", group=info.title)


def _score(
    name: str,
    network: ExpressionRegressor,
    clips: Sequence[Clip],
    joined: JoinedClips,
    lengths: Sequence[int],
    scorer: Scorer,
) -> list[ClipRow]:
    """Score one training: one row for each clip, with every metric at every length."""
    scores = [Scores() for _ in clips]
    for length in lengths:
        for clip, change, all_scores in zip(clips, predict_at_length(network, joined, length), scores, strict=True):
            own, expression = Scores(), clip.expression[:1] + change
            predicted, target = scorer.frontal(clip, expression), scorer.frontal(clip, clip.expression)
            own.add(scorer.correlation, predicted, target, clip.valid)
            own.add(scorer.r2, expression, clip.expression, clip.valid)
            own.add(scorer.jitter, predicted, target, clip.valid)
            for key, value in own.values.items():
                all_scores.put(f"{key}_at_{length}", value, own.weights.get(key, 1.0))
    return [
        ClipRow(clip.clip_id, name, clip.track.speaker, clip.frames, values=own.values, weights=own.weights)
        for clip, own in zip(clips, scores, strict=True)
    ]


def _points(
    variants: Sequence[Variant], lengths: Sequence[int], results: Results, protocol: ProtocolConfig
) -> list[Point]:
    """Return the points of the curve, with the paired difference of every length to the shortest."""
    found = []
    biases = {variant.name: _bias(variant, variants) for variant in variants}
    for system in results.systems:
        own = [row for row in results.clips if row.system == system.name]
        for length in lengths:
            summary = system.metrics[f"{DRAWN}_at_{length}"]
            point = Point(
                system.name,
                biases[system.name],
                length,
                summary.mean,
                summary.ci95,
                difference=summary.difference_to_first,
                difference_ci95=summary.difference_ci95,
            )
            if length != lengths[0]:
                # The two lengths pose as two systems with one metric, which is what the paired test compares.
                here = {("here", row.clip_id): _only(row, length) for row in own}
                there = {("there", row.clip_id): _only(row, lengths[0]) for row in own}
                change = paired_difference("here", "there", DRAWN, {**here, **there}, protocol)
                p = sign_flip_p_value(
                    [_value(row, length) - _value(row, lengths[0]) for row in own], groups=[row.speaker for row in own]
                )
                point = replace(point, change=change.mean, change_ci95=ends(change), p=p)
            found.append(point)
    return found


def _value(row: ClipRow, length: int) -> float:
    return row.values.get(f"{DRAWN}_at_{length}", math.nan)


def _only(row: ClipRow, length: int) -> ClipRow:
    return replace(row, values={DRAWN: _value(row, length)}, weights={})


def _bias(variant: Variant, variants: Sequence[Variant]) -> str:
    """Return the attention bias of a variant; that of the reference is known from what the others changed."""
    if BIAS in variant.changes:
        return str(variant.changes[BIAS][0])
    return next((str(other.changes[BIAS][1]) for other in variants if BIAS in other.changes), variant.title)


def _markdown(points: Sequence[Point], lengths: Sequence[int], results: Results) -> str:
    """Write the curve and the differences between biases, one row for each bias and one column for each length."""
    header = ["attention bias", *(f"{length} frames" for length in lengths)]
    curve, differences = [], []
    for name in dict.fromkeys(point.variant for point in points):
        own = [point for point in points if point.variant == name]
        curve.append([own[0].bias, *map(_cell, own)])
        if own[0].difference is not None:
            differences.append([own[0].bias, *(_change(point.difference, point.difference_ci95) for point in own)])
    clips = {row.clip_id for row in results.clips}
    people = {row.speaker for row in results.clips}
    lines = [
        f"Mouth-opening correlation, 95 % interval by bootstrap over people ({len(clips)} clips, {len(people)} "
        f"people). In round brackets: paired change against {lengths[0]} frames, its interval, p of a sign-flip test.",
        "",
        markdown_table(header, curve, align="lr"),
    ]
    if differences:
        heading = f"Paired difference to {points[0].bias} at the same length:"
        lines += ["", heading, "", markdown_table(header, differences, align="lr")]
    return "\n".join([*lines, "", *(f"- {note}" for note in results.notes)]) + "\n"


def _cell(point: Point) -> str:
    """Write a point of the curve and its change since the shortest length."""
    if not math.isfinite(point.mean):
        return NONE
    text = number(point.mean, 3) + _bounds(point.ci95, signed=False)
    if point.change is None:
        return text
    return f"{text} ({_change(point.change, point.change_ci95)}, p {number(point.p, 3)})"


def _change(value: float | None, ci95: tuple[float, float] | None) -> str:
    return number(value, 3, signed=True) + _bounds(ci95, signed=True)


def _bounds(ci95: tuple[float, float] | None, *, signed: bool) -> str:
    return "" if ci95 is None else f" [{', '.join(number(end, 3, signed=signed) for end in ci95)}]"


def _draw(points: Sequence[Point], lengths: Sequence[int], folder: Path) -> None:
    """Write curve.svg and curve.pdf: one line for each bias, with its interval over people."""
    figure = Figure(figsize=(7.0, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for place, name in enumerate(dict.fromkeys(point.variant for point in points)):
        own = [point for point in points if point.variant == name]
        # Shifted slightly, so that the whiskers at one length do not hide one another.
        x = [point.frames * 1.02**place for point in own]
        y = [point.mean for point in own]
        spread = [[0.0, 0.0] if p.ci95 is None else [p.mean - p.ci95[0], p.ci95[1] - p.mean] for p in own]
        below, above = zip(*spread, strict=True)
        axes.errorbar(x, y, yerr=(below, above), marker="o", markersize=4, capsize=2, linewidth=1.4, label=own[0].bias)
    axes.set_xscale("log")
    axes.set_xticks(lengths, [str(length) for length in lengths])
    axes.minorticks_off()
    axes.set_xlabel("frames that the network sees at once (25 a second)")
    axes.set_ylabel("mouth-opening correlation")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(title="attention bias", frameon=False, loc="outside right center")
    for suffix in ("svg", "pdf"):
        figure.savefig(folder / f"curve.{suffix}")
