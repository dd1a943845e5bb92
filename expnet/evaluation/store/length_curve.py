"""The length curve: every attention bias at every length, and what length costs it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from expnet.config.evaluate import ProtocolConfig
from expnet.evaluation.report import write_report
from expnet.evaluation.report.results import MetricInfo, Results, ScoredClip
from expnet.evaluation.scores import Scores
from expnet.evaluation.statistics.significance import sign_flip_p_value
from expnet.evaluation.statistics.summary import ends, paired_difference, summarise
from expnet.evaluation.store.clips import Clip, Selection
from expnet.evaluation.store.joined_clips import JoinedClips, join_clips, predict_at_length
from expnet.evaluation.store.length_curve_tables import Point, curve_as_markdown, draw_curve
from expnet.evaluation.store.scoring import Scorer
from expnet.evaluation.store.variants import Variant, mean_over_seeds
from expnet.io.atomic import write_atomically
from expnet.models.expression_regressor import ExpressionRegressor

BIAS = "model.attention_bias"
DRAWN = "mouth_opening_correlation"
"""The metric of the figure and of curve.md."""
RULE = (
    "clips of the scored side joined end to end, in the store's order, and shown so many frames at once; "
    "levels taken off clip by clip, first frame not shown; every clip scored whole, at every length alike"
)


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
        The curve, or None if no length fits into the clips or a network has no attention.
    """
    compared = attention_variants(variants)
    clips = [selection.read(entry) for entry in selection.scored]
    joined = join_clips(clips)
    fitting = sorted(length for length in lengths if length <= joined.frames)
    missing = [str(length) for length in sorted(lengths) if length not in fitting]
    notes = [f"The clips have {joined.frames} frames in all; not measured at {', '.join(missing)}."] if missing else []
    if not fitting:
        return None
    infos = [_metric_at(info, length) for info in _infos(scorer) for length in fitting]
    rows = []
    for variant in compared:
        for name, network in zip(variant.trainings, variant.networks(), strict=True):
            if not isinstance(network, ExpressionRegressor):
                return None
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
    write_atomically(folder / "lengths" / "curve.md", curve_as_markdown(points, fitting, results))
    draw_curve(points, fitting, folder / "lengths")
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
) -> list[ScoredClip]:
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
        ScoredClip(clip.clip_id, name, clip.track.speaker, clip.frames, values=own.values, weights=own.weights)
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


def _value(row: ScoredClip, length: int) -> float:
    return row.values.get(f"{DRAWN}_at_{length}", math.nan)


def _only(row: ScoredClip, length: int) -> ScoredClip:
    return replace(row, values={DRAWN: _value(row, length)}, weights={})


def _bias(variant: Variant, variants: Sequence[Variant]) -> str:
    """Return the attention bias of a variant; that of the reference is known from what the others changed."""
    if BIAS in variant.changes:
        return str(variant.changes[BIAS][0])
    return next((str(other.changes[BIAS][1]) for other in variants if BIAS in other.changes), variant.title)
