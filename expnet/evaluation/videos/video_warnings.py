"""Warnings about numbers of a video benchmark that should not be trusted."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from expnet.config.benchmark import GROUND_TRUTH, VideoBenchmarkConfig
from expnet.evaluation.report.results import MetricInfo, ScoredClip, SystemResult
from expnet.evaluation.statistics.summary import SAME_LENGTH
from expnet.evaluation.videos.reader import REFERENCE_AUDIO
from expnet.media.colour import UNSPECIFIED
from expnet.metrics.functional.sync import MAX_SHIFT

_COMPARED = {
    "codec": ("codec",),
    "size": ("width", "height"),
    "frame rate": ("fps",),
    "colour range": ("range",),
    "colour matrix": ("matrix",),
    "colour primaries": ("primaries",),
}
"""What is compared between files, by name."""
Sources = Sequence[Mapping[str, Mapping[str, Any]]]
"""What each video file says about itself, by system, one mapping for each clip."""


def video_warnings(config: VideoBenchmarkConfig, rows: Sequence[ScoredClip], sources: Sources) -> list[str]:
    """Return everything that a reader of the table must know, most important first."""
    notes = []
    if config.reference_set is not None:
        notes.append(
            "The real clips are a set that is not paired: metrics that compare a clip with its real one are left out, "
            "and the values of the real set are those of other clips, perhaps of other people."
        )
    elif config.reference is None:
        notes.append(
            "There is no reference folder, so nothing shows what real clips would score, and metrics that compare with "
            "real clips are left out."
        )
    if config.dubbed:
        notes.append(
            "Dubbed: the systems speak other words than the real clips, which are scored with their own audio. Metrics "
            "that compare the mouth with the real one are left out."
        )
    systems = list(dict.fromkeys(row.system for row in rows))
    notes += _incomplete_systems(systems, rows)
    notes += _file_differences(systems, sources)
    notes += _borrowed_audio(systems, sources)
    notes += _offsets_at_the_edge(systems, rows)
    return notes


def lag_warnings(systems: Sequence[SystemResult], infos: Sequence[MetricInfo]) -> list[str]:
    """Return warnings about audio-mouth lags at the edge of the search range."""
    edge = next((int(info.protocol["max_lag"]) for info in infos if info.key == "audio_mouth_lag"), None)
    means = {
        system.name: system.metrics["audio_mouth_lag"].mean for system in systems if "audio_mouth_lag" in system.metrics
    }
    lags = [f"{_named(name)} ({mean:g})" for name, mean in means.items() if edge is not None and abs(mean) >= edge]
    if not lags:
        return []
    return [
        f"The audio-mouth lag lies at the edge of its search range (±{edge} frames) for {', '.join(lags)}: the mouth "
        "does not follow the audio, or its lag is larger than the range."
    ]


def _incomplete_systems(systems: Sequence[str], rows: Sequence[ScoredClip]) -> list[str]:
    """Warn about systems that lack clips or whose videos are shorter than the real ones."""
    notes = []
    scored = {(row.system, row.clip_id): row.frames for row in rows if row.status == "ok"}
    for system in systems:
        clips = {row.clip_id for row in rows if row.system == system}
        frames = {clip: length for (name, clip), length in scored.items() if name == system}
        if len(frames) < len(clips):
            notes.append(
                f"{_named(system)} has scores of {len(frames)} of {len(clips)} clips, so its means are over other "
                "clips than those of the other systems; Δ, paired differences and bold compare the clips that both "
                "have."
            )
        real = {clip: scored[GROUND_TRUTH, clip] for clip in frames if (GROUND_TRUTH, clip) in scored}
        short = [frames[clip] / length for clip, length in real.items() if frames[clip] < length - SAME_LENGTH]
        if short:
            notes.append(
                f"{_named(system)} is shorter than the real clip in {len(short)} of {len(real)} clips (down to "
                f"{100 * min(short):.0f} % of its frames). Only the common part is scored, Δ compares it with the same "
                "part of the real clip, and paired differences leave out clips of different lengths."
            )
    return notes


def _file_differences(systems: Sequence[str], sources: Sources) -> list[str]:
    """Warn about files that are unlike those of the first row: that changes FID, LPIPS and others."""
    notes = []
    first = systems[0]
    for system in systems[1:]:
        pairs = [(clip[first], clip[system]) for clip in sources if first in clip and system in clip]
        differences = []
        for what, keys in _COMPARED.items():
            values = [tuple(tuple(side[key] for key in keys) for side in pair) for pair in pairs]
            differing = Counter((one, other) for one, other in values if not _alike(one, other))
            if differing:
                (one, other), _ = differing.most_common(1)[0]
                counted = f"{differing.total()} of {len(pairs)} clips"
                differences.append(f"{what} {_text(other)} against {_text(one)} ({counted})")
        if differences:
            notes.append(
                f"{_named(system)} and {_named(first)} differ in {'; '.join(differences)}: part of what the image "
                "metrics, FID and SyncNet measure there is the encoding, not the face."
            )
    return notes


def _borrowed_audio(systems: Sequence[str], sources: Sources) -> list[str]:
    """Warn about videos that were scored with the audio of the reference."""
    notes = []
    for system in systems:
        borrowed = sum(clip[system]["sound"] == REFERENCE_AUDIO for clip in sources if system in clip)
        if borrowed:
            notes.append(
                f"{borrowed} of the videos of {system} have no audio of their own and were scored with that of the "
                "reference, so a shift between audio and video that the system makes cannot be seen in them."
            )
    return notes


def _offsets_at_the_edge(systems: Sequence[str], rows: Sequence[ScoredClip]) -> list[str]:
    """Warn about SyncNet offsets at the edge of the search range, in one line for all systems."""
    found = []
    for system in systems:
        offsets = [row.values.get("sync_offset", math.nan) for row in rows if row.system == system]
        known = [offset for offset in offsets if math.isfinite(offset)]
        edge = sum(abs(offset) >= MAX_SHIFT for offset in known)
        if edge:
            found.append(f"{edge} of {len(known)} clips of {_named(system)}")
    if not found:
        return []
    return [
        f"SyncNet's offset lies at the edge of its search range (±{MAX_SHIFT} frames) in {', '.join(found)}: lips and "
        "audio are unrelated there, or further apart."
    ]


def _alike(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Return whether two values are equal, but for the rounding of a frame rate and what a file does not say."""
    if UNSPECIFIED in (*one, *other):
        return True
    if isinstance(one[0], float):
        return math.isclose(one[0], other[0], rel_tol=1e-3)
    return one == other


def _text(value: tuple[Any, ...]) -> str:
    return "x".join(f"{part:g}" if isinstance(part, float) else str(part) for part in value)


def _named(system: str) -> str:
    return "the reference" if system == GROUND_TRUTH else system
