"""The files of an evaluation's results: ``results.json``, which is read back to compare, and ``results.csv``."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from expnet.errors import DataError
from expnet.evaluation.report.results import (
    MetricInfo,
    MetricSummary,
    Preset,
    Results,
    ScoredClip,
    SystemResult,
)

SCHEMA = 1


def to_json(results: Results) -> dict[str, Any]:
    """Return results as plain values; NaN becomes null, because JSON has no NaN."""
    metrics = {info.key: {k: v for k, v in asdict(info).items() if k != "key"} for info in results.metrics}
    systems = {}
    for system in results.systems:
        rows = {}
        for key, summary in system.metrics.items():
            unit, direction = metrics[key]["unit"], metrics[key]["higher_is_better"]
            rows[key] = {**asdict(summary), "unit": unit, "higher_is_better": direction}
        systems[system.name] = {**asdict(system), "metrics": rows}
        del systems[system.name]["name"]
    content = {
        "schema": SCHEMA,
        "title": results.title,
        "protocol_hash": results.protocol_hash,
        "protocol": dict(results.protocol),
        "metrics": metrics,
        "systems": systems,
        "clips": [asdict(row) for row in results.clips],
        "notes": list(results.notes),
        "versions": dict(results.versions),
        "details": dict(results.details),
    }
    if results.preset is not None:
        content["preset"] = asdict(results.preset)
    values: dict[str, Any] = plain(content)
    return values


def from_json(content: Mapping[str, Any]) -> Results:
    """Turn the content of a ``results.json`` back into results; null becomes NaN."""
    metrics = tuple(MetricInfo(key=key, **info) for key, info in content["metrics"].items())
    systems = []
    for name, system in content["systems"].items():
        summaries = {key: _summary(summary) for key, summary in system["metrics"].items()}
        systems.append(SystemResult(name=name, **{**system, "metrics": summaries}))
    rows = []
    for row in content["clips"]:
        values = {key: math.nan if value is None else value for key, value in row["values"].items()}
        rows.append(ScoredClip(**{**row, "values": values}))
    return Results(
        title=content["title"],
        metrics=metrics,
        systems=tuple(systems),
        clips=tuple(rows),
        protocol=content["protocol"],
        versions=content["versions"],
        details=content["details"],
        notes=tuple(content["notes"]),
        preset=_preset(content.get("preset")),
    )


def _preset(content: Mapping[str, Any] | None) -> Preset | None:
    """Read the preset; files without one have no such entry."""
    if content is None:
        return None
    values: dict[str, Any] = {key: tuple(item) if isinstance(item, list) else item for key, item in content.items()}
    return Preset(**values)


def _summary(content: Mapping[str, Any]) -> MetricSummary:
    """Read one summary as ``to_json`` wrote it."""
    values = {key: value for key, value in content.items() if key not in ("unit", "higher_is_better")}
    values["mean"] = math.nan if values["mean"] is None else values["mean"]
    for key in ("ci95", "difference_ci95"):
        values[key] = None if values[key] is None else tuple(values[key])
    return MetricSummary(**values)


def to_csv(results: Results) -> str:
    """Return one line for each system and clip, with metrics as columns that are empty where undefined."""
    stream = io.StringIO()
    keys = [info.key for info in results.metrics]
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["clip_id", "speaker", "system", "frames", "status", "reason", *keys])
    for row in results.clips:
        values = [row.values.get(key, math.nan) for key in keys]
        cells = ["" if not math.isfinite(value) else repr(float(value)) for value in values]
        writer.writerow([row.clip_id, row.speaker, row.system, row.frames, row.status, row.reason, *cells])
    return stream.getvalue()


def read_results(path: str | Path) -> dict[str, Any]:
    """Read a ``results.json``, given its path or that of its folder.

    Raises:
        DataError: The file does not exist, is not JSON, or has another schema.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "results.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a result file ({error}); give a results.json.") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise DataError(f"{path} is not a result file of schema {SCHEMA}; evaluate again with this version.")
    return content


def check_same_protocol(files: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse to put results of different protocols into one table.

    Args:
        files: The contents of result files (``read_results``) by name.

    Raises:
        DataError: Two protocols differ; the message names the first entry in which they do.
    """
    names = list(files)
    for name in names[1:]:
        first, second = files[names[0]], files[name]
        if first["protocol_hash"] != second["protocol_hash"]:
            entry = first_difference(first["protocol"], second["protocol"])
            raise DataError(
                f"{names[0]} and {name} were scored under different protocols (they differ in {entry}), so their "
                "numbers cannot be compared in one table; evaluate one of them again under the protocol of the other."
            )


def first_difference(first: Mapping[str, Any], second: Mapping[str, Any], prefix: str = "") -> str:
    """Return the dotted name of the first entry in which two protocols differ."""
    for key in sorted({*first, *second}):
        one, other = first.get(key), second.get(key)
        if isinstance(one, Mapping) and isinstance(other, Mapping) and one != other:
            return first_difference(one, other, f"{prefix}{key}.")
        if one != other:
            return f"{prefix}{key}"
    return prefix.rstrip(".")


def plain(value: Any) -> Any:
    """Convert mappings, sequences and non-finite numbers to what JSON can hold."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, str) or value is None or isinstance(value, bool):
        return value
    if isinstance(value, Sequence):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
