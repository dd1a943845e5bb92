"""The files of finished clips: a run that is killed goes on where it was, and any process can merge them.

``output/work/PROTOCOL/NAME.json`` holds one clip's rows; it appears whole or not at all, and last, so that a clip is
finished exactly when it is there. ``NAME.safetensors`` beside it holds the Inception features of the clip's pictures:
a clip has fewer pictures than features, so they are smaller than the sums over them would be, and no clip can ever be
counted twice, whatever was killed when.
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

from expnet.evaluation.report.results import ClipRow
from expnet.evaluation.videos.pairing import PairedClip, identity
from expnet.io.atomic import write_atomically

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class ClipOutcome:
    """Everything that is kept of one clip.

    Attributes:
        rows: one a system, the real clip's first.
        curves: correlation by lag, by metric key and system.
        openings: mouth opening over time, by system.
        silent: one flag a frame, from the real clip's sound where there is one.
        sources: what each file says about itself, by system.
        features: (N, F) Inception features of the pictures, by system.
    """

    rows: list[ClipRow] = field(default_factory=list)
    curves: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    openings: dict[str, list[float]] = field(default_factory=dict)
    silent: list[bool] = field(default_factory=list)
    sources: dict[str, dict[str, Any]] = field(default_factory=dict)
    features: dict[str, Tensor] = field(default_factory=dict)


class WorkFolder:
    """The finished clips of one protocol.

    Args:
        output: folder of the report.
        protocol: its hash; scores of another protocol lie in another folder.
    """

    def __init__(self, output: Path, protocol: str) -> None:
        self.path = output / "work" / protocol
        self.path.mkdir(parents=True, exist_ok=True)

    def write(self, clip: PairedClip, outcome: ClipOutcome) -> None:
        """Keep a finished clip."""
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
        """A finished clip without its features; None when it is not finished, or its files have changed since."""
        path = self._file(clip, ".json")
        if not path.is_file():
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            _log.warning("%s is damaged; its clip is scored again.", path)
            return None
        if content.pop("files") != _identities(clip):
            return None
        content.pop("clip_id")
        rows = [ClipRow(**row) for row in content.pop("rows")]
        return ClipOutcome(rows=rows, **content)

    def features(self, clip: PairedClip) -> Mapping[str, Tensor]:
        """Features of a finished clip by system; empty where there are none."""
        path = self._file(clip, ".safetensors")
        return load_file(path) if path.is_file() else {}

    def _file(self, clip: PairedClip, suffix: str) -> Path:
        # Names of clips hold slashes and may be longer than a file's name can be.
        readable = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in clip.clip_id)[-60:]
        return self.path / f"{readable}-{hashlib.sha256(clip.clip_id.encode()).hexdigest()[:12]}{suffix}"


def _identities(clip: PairedClip) -> dict[str, list[Any] | None]:
    """Files of a clip as they are now, as plain values."""
    found = {system: identity(path) for system, path in clip.paths.items()}
    return {system: None if known is None else list(known) for system, known in found.items()}
