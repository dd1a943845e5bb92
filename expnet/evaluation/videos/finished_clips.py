"""The stored scores of finished clips, so that a killed run can continue and any process can write the report.

``output/work/PROTOCOL/NAME.json`` holds the rows of one clip. It is written atomically and last, so a clip is finished
exactly when this file exists. ``NAME.safetensors`` beside it holds the Inception features of the clip's frames. They
are stored instead of their moments because a clip has fewer frames than features, which makes them smaller, and because
no clip can then be counted twice however often a run was killed.
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

from expnet.evaluation.report.results import ScoredClip
from expnet.evaluation.videos.pairing import PairedClip, identity
from expnet.io.atomic import write_atomically

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class ClipOutcome:
    """Everything that is stored of one clip.

    Attributes:
        rows: One row for each system, that of the real clip first.
        curves: The correlation by lag, by metric key and system.
        openings: The mouth opening over time, by system.
        silent: One flag for each frame, from the real clip's audio where there is one.
        sources: What the video files say about themselves, by system.
        features: The Inception features (N, F) of the frames, by system.
    """

    rows: list[ScoredClip] = field(default_factory=list)
    curves: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    openings: dict[str, list[float]] = field(default_factory=dict)
    silent: list[bool] = field(default_factory=list)
    sources: dict[str, dict[str, Any]] = field(default_factory=dict)
    features: dict[str, Tensor] = field(default_factory=dict)


class FinishedClips:
    """The finished clips of one protocol.

    Args:
        output: The folder of the report.
        protocol: The hash of the protocol; every protocol has its own folder of finished clips.
    """

    def __init__(self, output: Path, protocol: str) -> None:
        self.path = output / "work" / protocol
        self.path.mkdir(parents=True, exist_ok=True)

    def write(self, clip: PairedClip, outcome: ClipOutcome) -> None:
        """Store a finished clip."""
        if outcome.features:
            tensors = {name: tensor.contiguous() for name, tensor in outcome.features.items()}
            write_atomically(self._file(clip, ".safetensors"), save(tensors))
        content = {name: value for name, value in vars(outcome).items() if name != "features"}
        content |= {
            "clip_id": clip.clip_id,
            "files": _identities(clip),
            "rows": [asdict(row) for row in outcome.rows],
        }
        write_atomically(self._file(clip, ".json"), json.dumps(content) + "\n")

    def read(self, clip: PairedClip) -> ClipOutcome | None:
        """Return a finished clip without its features, or None if it is not finished or its files have changed."""
        path = self._file(clip, ".json")
        if not path.is_file():
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            _log.warning("%s is damaged; its clip will be scored again.", path)
            return None
        if content.pop("files") != _identities(clip):
            return None
        content.pop("clip_id")
        rows = [ScoredClip(**row) for row in content.pop("rows")]
        return ClipOutcome(rows=rows, **content)

    def features(self, clip: PairedClip) -> Mapping[str, Tensor]:
        """Return the features of a finished clip by system; empty if it has none."""
        path = self._file(clip, ".safetensors")
        return load_file(path) if path.is_file() else {}

    def _file(self, clip: PairedClip, suffix: str) -> Path:
        # Clip names contain slashes and may be longer than a file name can be.
        readable = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in clip.clip_id)[-60:]
        return self.path / f"{readable}-{hashlib.sha256(clip.clip_id.encode()).hexdigest()[:12]}{suffix}"


def _identities(clip: PairedClip) -> dict[str, list[Any] | None]:
    """Return the identity of each file of a clip as it is now, as plain values."""
    found = {system: identity(path) for system, path in clip.paths.items()}
    return {system: None if known is None else list(known) for system, known in found.items()}
