"""Several result files of one protocol in one table: ``expnet compare A/results.json B/results.json --output DIR``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from expnet.config.benchmark import GROUND_TRUTH
from expnet.errors import InputError
from expnet.evaluation.report import write_report
from expnet.evaluation.report.results import (
    MetricInfo,
    MetricSummary,
    Results,
    ScoredClip,
    SystemResult,
)
from expnet.evaluation.report.results_files import check_same_protocol, from_json, read_results
from expnet.evaluation.statistics.summary import ends, paired_difference
from expnet.io.overwriting import refuse_overwriting
from expnet.metrics.functional import bootstrap_interval
from expnet.metrics.functional.statistics import RESAMPLES

_REAL_CLIPS_DIFFER = (
    "The real clips do not have the same scores in every file as in the first one. Other clips or other versions were "
    "used, so systems of different files can only be compared roughly"
)
_SAME = 1e-6
"""Relative difference below which two numbers are considered equal."""


@dataclass(frozen=True)
class _Drawing:
    """What the files' own bootstrap resampled, and how often."""

    interval: str
    resamples: int


def compare(paths: Sequence[str | Path], output: str | Path) -> Path:
    """Write one report of several result files.

    Args:
        paths: The ``results.json`` files, or the folders that contain them. The first model of the first file is the
            one that the others are compared with.
        output: The folder of the report.

    Returns:
        The path of its page.

    Raises:
        InputError: There are fewer than two files, one is given twice, or the report would replace one.
        DataError: A file cannot be read, or the protocols of the files differ.
    """
    files = [_file(path) for path in paths]
    if len(files) < 2 or len(set(files)) < len(files):
        raise InputError("expnet compare needs two or more different result files.")
    refuse_overwriting(Path(output) / "results.json", files)
    contents = dict(zip(_names(files), map(read_results, files), strict=True))
    check_same_protocol(contents)
    merged = merge({name: from_json(content) for name, content in contents.items()})
    details = {f"result file {name}": str(file) for name, file in zip(contents, files, strict=True)}
    return write_report(replace(merged, details=details), output)


def merge(parts: Mapping[str, Results]) -> Results:
    """Merge results of one protocol: the systems and metrics of all, with paired differences computed again.

    A system that several files hold with the same numbers (the real clips, a baseline) appears once. Where the numbers
    differ, each gets the name of its file behind its own.

    Args:
        parts: The results by the name of their file.
    """
    systems: dict[str, SystemResult] = {}
    rows: dict[tuple[str, str], ScoredClip] = {}
    metrics: dict[str, MetricInfo] = {}
    notes: list[str] = []
    for file, part in parts.items():
        metrics |= {info.key: info for info in part.metrics if info.key not in metrics}
        notes += [f"{file}: {note}" for note in part.notes]
        for system in part.systems:
            name, title = system.name, system.title
            if name in systems and not _same(systems[name], system):
                if name == GROUND_TRUTH:
                    notes.append(f"{_REAL_CLIPS_DIFFER} ({file}).")
                    continue
                name, title = f"{name} ({file})", f"{title} ({file})"
            systems.setdefault(name, replace(system, name=name, title=title))
            for row in part.clips:
                if row.system == system.name:
                    rows.setdefault((name, row.clip_id), replace(row, system=name))
    protocol = next(iter(parts.values())).protocol
    return Results(
        title=" and ".join(parts),
        metrics=tuple(metrics.values()),
        systems=_with_differences(tuple(systems.values()), rows, drawing_of(protocol)),
        clips=tuple(rows.values()),
        protocol=protocol,
        versions=_versions(parts),
        notes=(*notes, *_notes_on_clips(parts)),
    )


def _with_differences(
    systems: Sequence[SystemResult], rows: Mapping[tuple[str, str], ScoredClip], drawing: _Drawing
) -> tuple[SystemResult, ...]:
    """Compute the paired differences to the first model again, across files."""
    first = next((system for system in systems if system.kind == "model"), None)
    found = []
    for system in systems:
        summaries: dict[str, MetricSummary] = {}
        for key, summary in system.metrics.items():
            summaries[key] = replace(summary, difference_to_first=None, difference_ci95=None)
            if first is None or system is first:
                continue
            if is_mean(system, key, rows) and is_mean(first, key, rows):
                difference = paired_difference(system.name, first.name, key, rows, drawing)
                if difference.count:
                    summaries[key] = replace(
                        summary, difference_to_first=difference.mean, difference_ci95=ends(difference)
                    )
        found.append(replace(system, metrics=summaries))
    return tuple(found)


def is_mean(system: SystemResult, key: str, rows: Mapping[tuple[str, str], ScoredClip]) -> bool:
    """Return whether a score is the mean over clips. FID and lags are not, and have no paired difference."""
    own = [row for row in rows.values() if row.system == system.name and key in row.values]
    if key not in system.metrics or not own:
        return False
    mean = bootstrap_interval(
        [row.values[key] for row in own], weights=[row.weights.get(key, 1.0) for row in own], resamples=1
    ).mean
    return math.isclose(mean, system.metrics[key].mean, rel_tol=_SAME, abs_tol=1e-12)


def _same(first: SystemResult, second: SystemResult) -> bool:
    """Return whether two systems have the same scores."""
    if first.kind != second.kind or first.metrics.keys() != second.metrics.keys():
        return False
    pairs = [(first.metrics[key].mean, second.metrics[key].mean) for key in first.metrics]
    return all(math.isclose(a, b, rel_tol=_SAME) or (math.isnan(a) and math.isnan(b)) for a, b in pairs)


def drawing_of(protocol: Mapping[str, Any]) -> _Drawing:
    """Return what the bootstrap of a protocol resampled."""
    intervals = protocol.get("intervals", {})
    return _Drawing(intervals.get("bootstrap over", "speaker"), intervals.get("draws", RESAMPLES))


def _versions(parts: Mapping[str, Results]) -> dict[str, str]:
    """Return the versions that all files share, and those that differ under the name of each file."""
    merged: dict[str, str] = {}
    for key in dict.fromkeys(key for part in parts.values() for key in part.versions):
        by_file = {file: part.versions.get(key, "not stated") for file, part in parts.items()}
        if len(set(by_file.values())) == 1:
            merged[key] = next(iter(by_file.values()))
        else:
            merged |= {f"{key} ({file})": value for file, value in by_file.items()}
    return merged


def _notes_on_clips(parts: Mapping[str, Results]) -> list[str]:
    """Note where the files scored different clips."""
    clips = {file: {row.clip_id for row in part.clips if row.status == "ok"} for file, part in parts.items()}
    common = set.intersection(*clips.values())
    if all(own == common for own in clips.values()):
        return []
    counts = ", ".join(f"{file} {len(own)}" for file, own in clips.items())
    return [
        f"The files scored different clips ({counts}; {len(common)} in common). Means are over the clips of each file, "
        "paired differences over the common ones."
    ]


def _file(path: str | Path) -> Path:
    path = Path(path).expanduser()
    return (path / "results.json" if path.is_dir() else path).resolve()


def _names(files: Sequence[Path]) -> list[str]:
    """Shorten the paths of the files to as few of their last parts as tell them apart."""
    parts = [file.parent.parts if file.name == "results.json" else (*file.parent.parts, file.stem) for file in files]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [str(file) for file in files]
