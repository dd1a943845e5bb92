"""The result of an evaluation, and its files ``results.json`` and ``results.csv``.

Every number carries its unit, its direction, how many clips entered it and a 95 % interval; the protocol and its hash
say which numbers may stand in one table. Nothing is dropped in silence: a clip that could not be scored is a row with
a reason.
"""

import csv
import hashlib
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from expnet.errors import DataError

SCHEMA = 1
KINDS = ("reference", "model", "baseline", "trivial")
"""reference: the real clips; trivial: needs no audio or knows the answer's mean, shown but never called best."""


@dataclass(frozen=True)
class MetricInfo:
    """What a metric's column means.

    Attributes:
        key: full-word key in the files.
        title: heading for people.
        unit: of the values.
        higher_is_better: None when the aim is ``ideal`` or the real clips' own value.
        ideal: value of a perfect system where there is one.
        group: heading under which columns stand together.
        explanation: what the number sees, and when not to trust it.
        protocol: how it was computed, plain values.
    """

    key: str
    title: str
    unit: str
    higher_is_better: bool | None = None
    ideal: float | None = None
    group: str = ""
    explanation: str = ""
    protocol: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class MetricSummary:
    """One metric of one system over all clips.

    Attributes:
        mean: weighted mean over clips.
        ci95: percentile-bootstrap interval; None with fewer than two independent clips or people.
        n: clips that entered the mean.
        unscored: clips of this system in which the metric was undefined (no pause, nothing moves, ...).
        distance_to_ground_truth: mean minus the ground-truth row's mean.
        difference_to_first: paired difference to the first model on the clips both scored, None for that model.
        difference_ci95: its interval.
    """

    mean: float
    ci95: tuple[float, float] | None
    n: int
    unscored: int = 0
    distance_to_ground_truth: float | None = None
    difference_to_first: float | None = None
    difference_ci95: tuple[float, float] | None = None


@dataclass(frozen=True)
class SystemResult:
    """A row of the table.

    Attributes:
        name: key in the files.
        title: for people.
        kind: one of ``KINDS``.
        description: what it is, in one sentence.
        metrics: summaries by metric key.
    """

    name: str
    title: str
    kind: str
    description: str = ""
    metrics: Mapping[str, MetricSummary] = field(default_factory=dict)


@dataclass(frozen=True)
class ClipRow:
    """One system on one clip.

    Attributes:
        clip_id: of the store or the file name.
        system: name of the system.
        speaker: of the clip.
        frames: scored length.
        status: ``ok`` or ``failed``.
        reason: why it failed, or which metrics could not be computed.
        values: by metric key; NaN where undefined.
        weights: by metric key, only where they are not 1.
    """

    clip_id: str
    system: str
    speaker: str = ""
    frames: int = 0
    status: str = "ok"
    reason: str = ""
    values: Mapping[str, float] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Results:
    """Everything that an evaluation found.

    Attributes:
        title: of the page.
        metrics: the columns, in order.
        systems: the rows, in order, ground truth first.
        clips: one row a system and clip.
        protocol: what must be equal for two results to be comparable.
        versions: packages and Python.
        details: what does not change the numbers' meaning (command, times, paths the user gave).
        notes: warnings where a number means little.
    """

    title: str
    metrics: tuple[MetricInfo, ...]
    systems: tuple[SystemResult, ...]
    clips: tuple[ClipRow, ...]
    protocol: Mapping[str, Any]
    versions: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def protocol_hash(self) -> str:
        """Sixteen hexadecimal digits that name the protocol."""
        return protocol_hash(self.protocol)

    def system(self, name: str) -> SystemResult | None:
        """The system of that name."""
        return next((system for system in self.systems if system.name == name), None)


def first_model(results: Results) -> SystemResult | None:
    """The system that the page is about, and that the others are compared with."""
    return next((system for system in results.systems if system.kind == "model"), None)


def protocol_hash(protocol: Mapping[str, Any]) -> str:
    """SHA-256 of the protocol as sorted JSON, first sixteen hexadecimal digits."""
    text = json.dumps(protocol, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def to_json(results: Results) -> dict[str, Any]:
    """Return results as plain values; NaN becomes null, because JSON has none."""
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
    values: dict[str, Any] = plain(content)
    return values


def from_json(content: Mapping[str, Any]) -> Results:
    """Turn what ``read_results`` returns back into results; null becomes NaN."""
    metrics = tuple(MetricInfo(key=key, **info) for key, info in content["metrics"].items())
    systems = []
    for name, system in content["systems"].items():
        summaries = {key: _summary(summary) for key, summary in system["metrics"].items()}
        systems.append(SystemResult(name=name, **{**system, "metrics": summaries}))
    rows = []
    for row in content["clips"]:
        values = {key: math.nan if value is None else value for key, value in row["values"].items()}
        rows.append(ClipRow(**{**row, "values": values}))
    return Results(
        title=content["title"],
        metrics=metrics,
        systems=tuple(systems),
        clips=tuple(rows),
        protocol=content["protocol"],
        versions=content["versions"],
        details=content["details"],
        notes=tuple(content["notes"]),
    )


def _summary(content: Mapping[str, Any]) -> MetricSummary:
    """One summary as ``to_json`` wrote it."""
    values = {key: value for key, value in content.items() if key not in ("unit", "higher_is_better")}
    values["mean"] = math.nan if values["mean"] is None else values["mean"]
    for key in ("ci95", "difference_ci95"):
        values[key] = None if values[key] is None else tuple(values[key])
    return MetricSummary(**values)


def to_csv(results: Results) -> str:
    """Return one line a system and clip, metrics as columns, empty where undefined."""
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
    """Read a ``results.json``.

    Raises:
        DataError: it is not there, not JSON, or of another schema.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "results.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not a result file that can be read ({error}); give a results.json.") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise DataError(f"{path} is not a result file of schema {SCHEMA}; evaluate again with this version.")
    return content


def check_same_protocol(files: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse to let results of different protocols into one table.

    Args:
        files: contents of result files (``read_results``) by name.

    Raises:
        DataError: two protocols differ; the message names the first entry that does.
    """
    names = list(files)
    for name in names[1:]:
        first, second = files[names[0]], files[name]
        if first["protocol_hash"] != second["protocol_hash"]:
            entry = _first_difference(first["protocol"], second["protocol"])
            raise DataError(
                f"{names[0]} and {name} were scored under different protocols (they differ in {entry}), so their "
                "numbers do not belong in one table; evaluate one of them again under the other's protocol."
            )


def _first_difference(first: Mapping[str, Any], second: Mapping[str, Any], prefix: str = "") -> str:
    """Dotted name of the first entry in which two protocols differ."""
    for key in sorted({*first, *second}):
        one, other = first.get(key), second.get(key)
        if isinstance(one, Mapping) and isinstance(other, Mapping) and one != other:
            return _first_difference(one, other, f"{prefix}{key}.")
        if one != other:
            return f"{prefix}{key}"
    return prefix.rstrip(".")


def plain(value: Any) -> Any:
    """Turn mappings, sequences and non-finite numbers into what JSON holds."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, str) or value is None or isinstance(value, bool):
        return value
    if isinstance(value, Sequence):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
