"""Warnings about numbers of a table that should not be trusted."""

from __future__ import annotations

import math
from collections.abc import Sequence

from expnet.config.benchmark import GROUND_TRUTH
from expnet.evaluation.report.results import ScoredClip, SystemResult
from expnet.evaluation.statistics.summary import LAG, TableOptions

_WELL_FITTED = 1.5
"""The distance in pixels at 256 between fitted and tracked landmarks of well-fitted real clips; .15 is usual."""
_FEW_PEOPLE = 8


def table_warnings(
    systems: Sequence[SystemResult], rows: Sequence[ScoredClip], protocol: TableOptions, *, corpora: Sequence[str]
) -> list[str]:
    """Return warnings about numbers that mean little.

    Args:
        systems: The systems with their summaries.
        rows: The scores of the clips.
        protocol: How lags and landmarks were measured, and what the bootstrap resampled.
        corpora: The corpora of the clips, where they are known.
    """
    notes = [*_few_people(rows, protocol), *_synthetic_clips(corpora)]
    failed = {row.clip_id for row in rows if row.status != "ok"}
    if failed:
        notes.append(f"Clips that could not be scored in every system: {len(failed)}; the reasons are listed below.")
    return [*notes, *_lags_at_the_edge(systems, protocol), *_badly_fitted_store(systems, protocol)]


def _few_people(rows: Sequence[ScoredClip], protocol: TableOptions) -> list[str]:
    people = {row.speaker for row in rows}
    if len(people) >= _FEW_PEOPLE:
        return []
    one = len(people) == 1
    return [
        f"Only {len(people)} {'person' if one else 'people'} in the test: the intervals are too narrow"
        + (" (here they are over clips, because there is one person)" if one and protocol.interval == "speaker" else "")
        + ", and other people may change the order of the systems."
    ]


def _synthetic_clips(corpora: Sequence[str]) -> list[str]:
    if not corpora or any(corpus != "synthetic" for corpus in corpora):
        return []
    return [
        "These clips are synthetic: rules turn synthetic speech into motion. High scores show that the rules were "
        "learned and say nothing about real people. Score a store of real videos before you quote a number."
    ]


def _lags_at_the_edge(systems: Sequence[SystemResult], protocol: TableOptions) -> list[str]:
    notes = []
    for system in systems:
        summary = system.metrics.get(LAG)
        if summary is None or system.kind not in ("model", "baseline") or not math.isfinite(summary.mean):
            continue
        if abs(summary.mean) >= protocol.max_lag:
            notes.append(
                f"The mouth-opening lag of {system.title} lies at the edge of the search range ({summary.mean:g} "
                "frames): it is probably noise, or the audio of the clips is shifted by more than that."
            )
    return notes


def _badly_fitted_store(systems: Sequence[SystemResult], protocol: TableOptions) -> list[str]:
    truth = next((system for system in systems if system.name == GROUND_TRUTH), None)
    fit = truth.metrics.get("landmark_distance") if truth is not None else None
    if fit is None or protocol.landmarks not in ("centred", "pixels_256") or fit.mean <= _WELL_FITTED:
        return []
    return [
        f"The landmarks of the real clips' own coefficients lie {fit.mean:.1f} px off the tracked ones: the store was "
        "probably made with another build of the face model. Preprocess it again before you trust this table."
    ]
