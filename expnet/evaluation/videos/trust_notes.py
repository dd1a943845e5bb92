"""Sentences about where the numbers of a benchmark of videos mean little."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from expnet.config.benchmark import GROUND_TRUTH, VideoBenchmarkConfig
from expnet.evaluation.report.results import ClipRow, MetricInfo, SystemResult
from expnet.evaluation.videos.reader import REFERENCE_SOUND
from expnet.metrics.functional.sync import MAX_SHIFT

Sources = Sequence[Mapping[str, Mapping[str, Any]]]
"""What each file says about itself, by system, a mapping a clip."""


def video_warnings(config: VideoBenchmarkConfig, rows: Sequence[ClipRow], sources: Sources) -> list[str]:
    """Everything that a reader of the table must know, most important first."""
    notes = []
    if config.reference is None:
        notes.append(
            "There is no reference folder: nothing says what real clips would score, and metrics that compare with "
            "them are left out."
        )
    systems = list(dict.fromkeys(row.system for row in rows))
    notes += _unlike_files(systems, sources)
    notes += _sounds(systems, sources)
    notes += _offsets(systems, rows)
    return notes


def lag_warnings(systems: Sequence[SystemResult], infos: Sequence[MetricInfo]) -> list[str]:
    """Audio-mouth lags that lie where the search ends."""
    edge = next((int(info.protocol["max_lag"]) for info in infos if info.key == "audio_mouth_lag"), None)
    lags = {system.name: system.metrics["audio_mouth_lag"] for system in systems if "audio_mouth_lag" in system.metrics}
    return [
        f"The audio-mouth lag of {_named(name)} lies at the edge of its search ({lag.mean:g} frames): the mouth does "
        "not follow the sound at all, or by more than that."
        for name, lag in lags.items()
        if edge is not None and abs(lag.mean) >= edge
    ]


def _unlike_files(systems: Sequence[str], sources: Sources) -> list[str]:
    """Codec, size or frame rate that differ from the first row's: they move FID, CPBD, LPIPS and SyncNet."""
    notes = []
    first = systems[0]
    for system in systems[1:]:
        pairs = [(clip[first], clip[system]) for clip in sources if first in clip and system in clip]
        unlike = []
        for what, keys in (("codec", ("codec",)), ("size", ("width", "height")), ("frame rate", ("fps",))):
            values = [tuple(tuple(side[key] for key in keys) for side in pair) for pair in pairs]
            differing = Counter((one, other) for one, other in values if not _alike(one, other))
            if differing:
                (one, other), _ = differing.most_common(1)[0]
                unlike.append(f"{what} {_text(other)} against {_text(one)} ({differing.total()} of {len(pairs)} clips)")
        if unlike:
            notes.append(
                f"{_named(system)} and {_named(first)} differ in {'; '.join(unlike)}: part of what the picture "
                "metrics, FID and SyncNet see there is the file, not the face."
            )
    return notes


def _sounds(systems: Sequence[str], sources: Sources) -> list[str]:
    """Systems whose videos were scored with somebody else's sound."""
    notes = []
    for system in systems:
        lent = sum(clip[system]["sound"] == REFERENCE_SOUND for clip in sources if system in clip)
        if lent:
            notes.append(
                f"Without sound of their own are {lent} of the videos of {system}; they were scored with the "
                "reference's, so a shift between sound and picture that the system makes cannot be seen in them."
            )
    return notes


def _offsets(systems: Sequence[str], rows: Sequence[ClipRow]) -> list[str]:
    """Offsets that lie where the search ends."""
    notes = []
    for system in systems:
        offsets = [row.values.get("sync_offset", math.nan) for row in rows if row.system == system]
        known = [offset for offset in offsets if math.isfinite(offset)]
        edge = sum(abs(offset) >= MAX_SHIFT for offset in known)
        if edge:
            notes.append(
                f"SyncNet's offset lies at the edge of its search (±{MAX_SHIFT} frames) in {edge} of {len(known)} "
                f"clips of {_named(system)}: lips and sound do not belong together there, or are further apart."
            )
    return notes


def _alike(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Equal, but for the rounding of a frame rate."""
    if isinstance(one[0], float):
        return math.isclose(one[0], other[0], rel_tol=1e-3)
    return one == other


def _text(value: tuple[Any, ...]) -> str:
    return "x".join(f"{part:g}" if isinstance(part, float) else str(part) for part in value)


def _named(system: str) -> str:
    return "the reference" if system == GROUND_TRUTH else system
