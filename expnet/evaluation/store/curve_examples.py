"""Curves of the mouth opening in the best, the median and the worst clip, for the page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from expnet.evaluation.report.line_chart import Series
from expnet.evaluation.report.page import CurveExample
from expnet.evaluation.report.results import ScoredClip
from expnet.evaluation.store.clips import Selection
from expnet.evaluation.store.prediction import System
from expnet.evaluation.store.scoring import Scorer


def curve_examples(
    selection: Selection, systems: Sequence[System], scorer: Scorer, rows: Sequence[ScoredClip]
) -> tuple[CurveExample, ...]:
    """Show the mouth opening in the best, the median and the worst clip of the model, ranked by correlation.

    If there is no model, the first baseline takes its place.
    """
    key = "mouth_opening_correlation"
    shown = next((s for kind in ("model", "baseline") for s in systems if s.kind == kind), None)
    if shown is None:
        return ()
    ranked = sorted(
        (
            (row.values[key], row.clip_id)
            for row in rows
            if row.system == shown.name and np.isfinite(row.values.get(key, np.nan))
        ),
        reverse=True,
    )
    if not ranked:
        return ()
    beside = next((s for s in systems if s.kind == "baseline" and s is not shown), None)
    scored = {(row.system, row.clip_id) for row in rows if row.status == "ok"}
    places = {0: "Best", len(ranked) // 2: "Median", len(ranked) - 1: "Worst"}
    entries = {selection.name(entry): entry for entry in selection.scored}
    examples = []
    for place, title in sorted(places.items()):
        value, clip_id = ranked[place]
        clip = selection.read(entries[clip_id])
        series = [Series("real", scorer.opening(clip, clip.expression).tolist(), "real")]
        for system, style in ((beside, "baseline"), (shown, "model")):
            if system is not None and (system.name, clip_id) in scored:
                opening = scorer.opening(clip, system.predict(clip).expression)
                series.append(Series(system.title, opening.tolist(), style))
        note = f"{clip.track.speaker}, r {value:.2f}"
        silent = tuple(bool(flag) for flag in clip.silent)
        examples.append(CurveExample(title, clip_id, note, tuple(series), silent))
    return tuple(examples)
