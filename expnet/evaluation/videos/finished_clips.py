"""The stored scores of finished videos, so that a killed run can continue and any process can write the report.

``output/work/PROTOCOL/CLIP.SYSTEM.json`` holds the row of one system's video of one clip. It depends on that video and
on the real one alone, so another system can be added to a benchmark without scoring the others again. It is written
atomically and last, so a video is finished exactly when this file exists. ``CLIP.SYSTEM.safetensors`` beside it holds
the Inception features of the video's frames. They are stored instead of their moments because a clip has fewer frames
than features, which makes them smaller, and because no clip can then be counted twice however often a run was killed.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save
from torch import Tensor

from expnet.config.benchmark import GROUND_TRUTH
from expnet.evaluation.report.results import ScoredClip
from expnet.evaluation.videos.pairing import PairedClip, identity
from expnet.io.atomic import write_atomically

_log = logging.getLogger(__name__)
_FEATURES = "features"
"""The name of the features in their file."""
_IN_TENSOR_FILE = ("features", "vectors")


@dataclass(eq=False)
class RealPart:
    """The real clip scored over as many frames as a shorter video has.

    Attributes:
        row: The scores that need no other video.
        curves: The correlation by lag, by metric key.
    """

    row: ScoredClip
    curves: dict[str, list[float]] = field(default_factory=dict)


@dataclass(eq=False)
class VideoOutcome:
    """Everything that is stored of one video.

    Attributes:
        row: The scores of the video.
        curves: The correlation by lag, by metric key.
        opening: The mouth opening over time; empty where no face was found.
        silent: One flag for each frame; empty without audio.
        source: What the video file says about itself; empty if it could not be read.
        real: The real clip's common part, where this video is shorter.
        again: Whether the next run shall try again, because the fault may not be the video's.
        features: The Inception features (N, F) of the frames.
        vectors: Other vectors (N, F) whose distribution is compared, by metric key.
    """

    row: ScoredClip
    curves: dict[str, list[float]] = field(default_factory=dict)
    opening: list[float] = field(default_factory=list)
    silent: list[bool] = field(default_factory=list)
    source: dict[str, Any] = field(default_factory=dict)
    real: RealPart | None = None
    again: bool = False
    features: Tensor | None = None
    vectors: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(eq=False)
class ClipOutcome:
    """What is stored of all videos of one clip.

    Attributes:
        videos: What is stored of each video by system, that of the real clip first.
    """

    videos: dict[str, VideoOutcome] = field(default_factory=dict)

    @property
    def rows(self) -> list[ScoredClip]:
        """One row for each system."""
        return [video.row for video in self.videos.values()]

    @property
    def openings(self) -> dict[str, list[float]]:
        """The mouth opening over time, by system."""
        return {system: video.opening for system, video in self.videos.items() if video.opening}

    @property
    def silent(self) -> list[bool]:
        """One flag for each frame, from the real clip's audio where there is one."""
        return next((video.silent for video in self.videos.values() if video.silent), [])

    @property
    def sources(self) -> dict[str, dict[str, Any]]:
        """What the video files that could be read say about themselves, by system."""
        return {system: video.source for system, video in self.videos.items() if video.source}


class FinishedClips:
    """The finished videos of one protocol.

    Args:
        output: The folder of the report.
        protocol: The hash of the protocol; every protocol has its own folder of finished videos.
    """

    def __init__(self, output: Path, protocol: str) -> None:
        self.path = output / "work" / protocol
        self.path.mkdir(parents=True, exist_ok=True)

    def write(self, clip: PairedClip, system: str, outcome: VideoOutcome) -> None:
        """Store a finished video."""
        features = self._file(clip, system, ".safetensors")
        stored = dict(outcome.vectors) if outcome.features is None else {**outcome.vectors, _FEATURES: outcome.features}
        if stored:
            write_atomically(features, save({name: value.contiguous() for name, value in stored.items()}))
        else:
            features.unlink(missing_ok=True)
        content = {name: value for name, value in vars(outcome).items() if name not in _IN_TENSOR_FILE}
        content |= {
            "clip_id": clip.clip_id,
            "files": _identities(clip, system),
            "row": asdict(outcome.row),
            "real": None if outcome.real is None else asdict(outcome.real),
        }
        write_atomically(self._file(clip, system, ".json"), json.dumps(content) + "\n")

    def read_video(self, clip: PairedClip, system: str) -> VideoOutcome | None:
        """Return a finished video without its features, or None if it is not finished or its files have changed."""
        path = self._file(clip, system, ".json")
        if not path.is_file():
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            _log.warning("%s is damaged; its video will be scored again.", path)
            return None
        if content.pop("files") != _identities(clip, system):
            return None
        content.pop("clip_id")
        row, real = ScoredClip(**content.pop("row")), content.pop("real")
        part = None if real is None else RealPart(ScoredClip(**real["row"]), real["curves"])
        return VideoOutcome(row=row, real=part, **content)

    def read(self, clip: PairedClip) -> ClipOutcome | None:
        """Return a finished clip without its features, or None if a video of it is not finished."""
        videos = {system: self.read_video(clip, system) for system in clip.paths}
        finished = {system: video for system, video in videos.items() if video is not None}
        return ClipOutcome(finished) if len(finished) == len(videos) else None

    def unfinished(self, clip: PairedClip) -> list[str]:
        """Return the systems whose videos of a clip have to be scored; all of them if the real one is among them."""
        videos = {system: self.read_video(clip, system) for system in clip.paths}
        left = [system for system, video in videos.items() if video is None or video.again]
        return list(clip.paths) if GROUND_TRUTH in left else left

    def features(self, clip: PairedClip, name: str = _FEATURES) -> Mapping[str, Tensor]:
        """Return the features of a finished clip by system; empty if it has none.

        Args:
            clip: The clip.
            name: The metric key of other vectors than the Inception features.
        """
        found: dict[str, Tensor] = {}
        for system in clip.paths:
            path = self._file(clip, system, ".safetensors")
            stored = load_file(path) if path.is_file() else {}
            if name in stored:
                found[system] = stored[name]
        return found

    def _file(self, clip: PairedClip, system: str, suffix: str) -> Path:
        return self.path / f"{_file_name(clip.clip_id)}.{_file_name(system)}{suffix}"


def _file_name(name: str) -> str:
    """Return a file name for a clip or system, whose names may contain slashes and be longer than a file name."""
    readable = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in name)[-60:]
    return f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def _identities(clip: PairedClip, system: str) -> dict[str, list[Any] | None]:
    """Return the identities of a video, the real one and what was given, as they are now, as plain values."""
    paths = {"video": clip.paths[system], "reference": clip.reference}
    given = {"audio": clip.inputs.audio, "portrait": clip.inputs.portrait}
    paths |= {role: path for role, path in given.items() if path is not None}
    found = {role: identity(path) for role, path in paths.items()}
    return {role: None if known is None else list(known) for role, known in found.items()}
