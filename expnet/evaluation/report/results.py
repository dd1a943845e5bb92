"""The results of an evaluation.

Every number carries its unit, its direction, the number of clips behind it and a 95 % interval. The protocol and its
hash say which numbers may stand in one table. Nothing is dropped silently: a clip that could not be scored is a row
with a reason.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

KINDS = ("reference", "model", "baseline", "trivial")
"""``reference``: the real clips. ``trivial``: uses no audio or knows the clip's mean; shown, but never called best."""

UNDEFINED = "not defined in these clips"
"""Why a metric has no value where it could be computed but gave none: no pause, nothing moves, ..."""


@dataclass(frozen=True)
class MetricInfo:
    """What a metric's column means.

    Attributes:
        key: The key in the files, in full words.
        title: The heading for people.
        unit: The unit of the values.
        higher_is_better: None when the aim is ``ideal`` or the value of the real clips.
        ideal: The value of a perfect system, where there is one.
        group: The heading under which columns stand together.
        explanation: What the metric sees, and when not to trust it.
        protocol: How it was computed, as plain values.
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
        mean: The weighted mean over clips.
        ci95: The percentile bootstrap interval; None with fewer than two independent clips or people.
        n: The number of clips in the mean.
        unscored: The number of clips in which the metric was undefined (no pause, nothing moves, ...).
        distance_to_ground_truth: The mean minus that of the real clips, over the clips and frames that both have.
        difference_to_first: The paired difference to the first model on the clips that both scored; None for that
            model.
        difference_ci95: The interval of this difference.
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
    """One system of the table.

    Attributes:
        name: The key in the files.
        title: The heading for people.
        kind: One of ``KINDS``.
        description: What the system is, in one sentence.
        metrics: The summaries by metric key.
    """

    name: str
    title: str
    kind: str
    description: str = ""
    metrics: Mapping[str, MetricSummary] = field(default_factory=dict)


@dataclass(frozen=True)
class ScoredClip:
    """The scores of one system on one clip.

    Attributes:
        clip_id: The name of the clip in the store, or of its file.
        system: The name of the system.
        speaker: The speaker of the clip.
        frames: The number of frames that were scored.
        status: ``ok`` or ``failed``.
        reason: Why the clip failed, or which metrics could not be computed.
        values: The scores by metric key, NaN where undefined.
        weights: The weights by metric key, only where they are not 1.
        unscored: Why metrics have no value here, by metric key.
    """

    clip_id: str
    system: str
    speaker: str = ""
    frames: int = 0
    status: str = "ok"
    reason: str = ""
    values: Mapping[str, float] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    unscored: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Preset:
    """The published protocol that results follow.

    Attributes:
        name: Its name.
        title: Its name for people.
        hash: Eight hexadecimal digits of the options that were used.
        sources: Where it was published.
        fixes: What it fixes.
        differs: What it cannot reproduce.
        changes: Options of the user that depart from it, as ``key=value``.
    """

    name: str
    title: str
    hash: str
    sources: tuple[str, ...] = ()
    fixes: tuple[str, ...] = ()
    differs: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """Name, hash and changes, for the foot of a table."""
        changed = f", changed: {' '.join(self.changes)}" if self.changes else ""
        return f"Preset {self.name} ({self.hash}{changed})."


@dataclass(frozen=True)
class Results:
    """Everything that an evaluation found.

    Attributes:
        title: The title of the page.
        metrics: The metrics, in the order of the table.
        systems: The systems in order, ground truth first.
        clips: One row for each system and clip.
        protocol: What must be equal for two results to be comparable.
        versions: The versions of Python and packages.
        details: What does not change the meaning of the numbers (command, times, paths that the user gave).
        notes: Warnings about numbers that mean little.
        preset: The published protocol that was followed, if any.
    """

    title: str
    metrics: tuple[MetricInfo, ...]
    systems: tuple[SystemResult, ...]
    clips: tuple[ScoredClip, ...]
    protocol: Mapping[str, Any]
    versions: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    preset: Preset | None = None

    @property
    def protocol_hash(self) -> str:
        """Sixteen hexadecimal digits that identify the protocol."""
        return protocol_hash(self.protocol)

    def system(self, name: str) -> SystemResult | None:
        """Return the system with this name, None if there is none."""
        return next((system for system in self.systems if system.name == name), None)


def first_model(results: Results) -> SystemResult | None:
    """Return the system that the page is about and that others are compared with."""
    return next((system for system in results.systems if system.kind == "model"), None)


def protocol_hash(protocol: Mapping[str, Any]) -> str:
    """Return the first sixteen hexadecimal digits of the SHA-256 of the protocol as sorted JSON."""
    text = json.dumps(protocol, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
