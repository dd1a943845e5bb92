"""Reading a track store: a manifest and memory-mapped shards, in a folder or behind a URL.

Opening reads only the manifest. A shard is mapped (and, behind a URL, downloaded) when one of its clips is first read.
A store object can be used in forked and spawned DataLoader workers alike.
"""

import hashlib
import os
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expnet.coefficients import FaceCoefficients
from expnet.data.store.manifest import OK, ManifestRow, read_manifest
from expnet.data.store.open_files import open_files
from expnet.data.store.shards import Shard
from expnet.data.store.storage import SHARD_FOLDER
from expnet.data.store.track import Track
from expnet.data.store.writer import TrackStoreWriter
from expnet.errors import DataError

__all__ = ["ManifestRow", "TrackStore", "TrackStoreWriter"]


class TrackStore:
    """A finished track store.

    Args:
        path: Directory of the store, or its URL, such as ``s3://bucket/tracks``.

    Raises:
        DataError: If there is no finished store at this location.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.files = open_files(path)
        everything, self._shard_infos = read_manifest(self.files)
        self.rows: list[ManifestRow] = [row for row in everything if row.status == OK]
        """Usable clips, ordered by name."""
        self.dropped: list[ManifestRow] = [row for row in everything if row.status != OK]
        """Clips that could not be used, with their reasons."""
        self._shards: dict[str, Shard] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the memory maps out: a spawned worker opens its own."""
        return {**self.__dict__, "_shards": {}}

    @cached_property
    def _by_id(self) -> dict[str, ManifestRow]:
        return {row.clip_id: row for row in self.rows}

    @property
    def name(self) -> str:
        """Last component of the store's location."""
        return self.files.name

    @property
    def face_model(self) -> str:
        """Name of the face model of all coefficients; empty if the store has no clips."""
        return self.rows[0].face_model if self.rows else ""

    @property
    def tracker(self) -> str:
        """Name and checksum of the models that tracked the faces; empty where it is not known or none did."""
        return next((row.tracker for row in self.rows if row.tracker), "")

    def row(self, clip_id: str) -> ManifestRow:
        """Return the manifest row of a usable clip.

        Raises:
            DataError: If the clip is not in the store or was dropped; the message says which.
        """
        row = self._by_id.get(clip_id)
        if row is None:
            reasons = [row.drop_reason for row in self.dropped if row.clip_id == clip_id]
            why = f"was dropped: {reasons[0]}" if reasons else "is not in it"
            raise DataError(f"clip {clip_id!r} cannot be read from {self.files.location}: it {why}")
        return row

    def read(self, clip_id: str) -> Track:
        """Read a whole clip."""
        return self.read_window(clip_id, 0, self.row(clip_id).frames)

    def read_window(self, clip_id: str, first_frame: int, frames: int) -> Track:
        """Read ``frames`` frames starting at ``first_frame``, touching only their bytes.

        Raises:
            DataError: If there is no such clip, or its shard is damaged.
            IndexError: If the window is not inside the clip.
        """
        row = self.row(clip_id)
        if not (first_frame >= 0 and frames > 0 and first_frame + frames <= row.frames):
            raise IndexError(
                f"frames {first_frame} to {first_frame + frames} are outside of the {row.frames} frames of {clip_id}"
            )
        shard, first = self.shard(row), row.first_frame + first_frame
        identity, crop = shard.clip("identity", row.shard_clip), shard.clip("crop", row.shard_clip)
        track = Track(
            clip_id=row.clip_id,
            speaker=row.speaker,
            coefficients=FaceCoefficients(
                expression=shard.frames("expression", first, frames),
                rotation=shard.frames("rotation", first, frames),
                translation=shard.frames("translation", first, frames),
                identity=identity if identity.size else None,
                crop=None if np.isnan(crop).any() else crop,
                fps=row.fps,
                face_model=row.face_model,
            ),
            landmarks=shard.frames("landmarks", first, frames),
            valid=shard.frames("valid", first, frames),
            audio=shard.audio(first, frames),
            corpus=row.corpus,
            split=row.split,
            emotion=row.emotion,
            level=row.level,
            language=row.language,
            source=row.source,
            source_start=row.source_start + first_frame / row.fps,
            frame_size=(row.frame_height, row.frame_width),
            fit_error=row.fit_error,
        )
        return track.with_phonemes(shard.phonemes(row.shard_clip), first_frame)

    def read_audio(self, row: ManifestRow, first_frame: int, frames: int) -> NDArray[np.float32]:
        """Return the audio of a range of frames, limited to the clip, (640 n,)."""
        begin = min(max(first_frame, 0), row.frames)
        end = min(max(first_frame + frames, begin), row.frames)
        return self.shard(row).audio(row.first_frame + begin, end - begin)

    def shard(self, row: ManifestRow) -> Shard:
        """Return the memory-mapped shard of a clip."""
        if row.shard not in self._shards:
            info = self._shard_infos.get(row.shard)
            self._shards[row.shard] = Shard(self.files.local(f"{SHARD_FOLDER}/{row.shard}", info), info)
        return self._shards[row.shard]

    def fingerprint(self) -> str:
        """Return a sha256 of the shards' checksums: it changes when any number in the store does."""
        sums = "".join(f"{name}{info.sha256}" for name, info in sorted(self._shard_infos.items()))
        return hashlib.sha256(sums.encode()).hexdigest()

    def verify(self) -> None:
        """Read every byte and compare it with the checksums in the manifest.

        Raises:
            DataError: If a shard is missing or damaged.
        """
        for name, info in self._shard_infos.items():
            place = f"{self.files.location}/{SHARD_FOLDER}/{name}"
            try:
                (contents,) = self.files.read([f"{SHARD_FOLDER}/{name}"])
            except OSError as error:
                raise DataError(f"{place} cannot be read ({error}); make the store again") from error
            if hashlib.sha256(contents).hexdigest() != info.sha256:
                raise DataError(
                    f"{place} is damaged (its sha256 differs from the manifest's); copy or make the store again"
                )
