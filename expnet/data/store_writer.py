"""Write a track store so that a kill at any moment loses nothing that was finished.

While a store is being made, every clip is a small file in ``incoming/`` and every finished source a line in
``journal.jsonl``; a clip counts once its line is there. ``finish`` packs the clips, in the order of their names, into
shards, and writes the manifest last. All files are written beside and renamed.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self, TextIO

from expnet.data.manifest import DROPPED, MANIFEST_NAME, OK, ClipRow, ShardInfo, read_manifest, write_manifest
from expnet.data.shards import Shard, join_arrays, track_to_arrays, write_arrays
from expnet.data.tracks import Track, open_eye_ratio
from expnet.errors import DataError

SHARD_FOLDER = "shards"
INCOMING_FOLDER = "incoming"
JOURNAL_NAME = "journal.jsonl"
_LOCK_NAME = ".lock"

# About 140 MB a shard: 44 minutes of tracks.
SHARD_FRAMES = 65_536


def write_clip(store: str | os.PathLike[str], track: Track, *, sha256: str = "") -> ClipRow:
    """Write one clip's arrays into a store that is being made; safe in many processes at once.

    The clip counts only after its row was given to :meth:`TrackStoreWriter.commit`.

    Returns:
        The clip's row; until the clip is packed, ``shard`` names its file in ``incoming/``.
    """
    track.validate()
    folder = Path(store) / INCOMING_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{track.clip_id}.safetensors"
    write_arrays(folder / name, track_to_arrays(track))
    return ClipRow(
        clip_id=track.clip_id,
        speaker=track.speaker,
        corpus=track.corpus,
        split=track.split,
        emotion=track.emotion,
        level=track.level,
        language=track.language,
        frames=track.frames,
        fps=track.coefficients.fps,
        face_model=track.coefficients.face_model,
        source=track.source,
        source_start=track.source_start,
        frame_height=track.frame_size[0],
        frame_width=track.frame_size[1],
        sha256=sha256,
        interpolated=int((~track.valid).sum()),
        fit_error=track.fit_error,
        eye_open=open_eye_ratio(track.landmarks, track.valid),
        shard=name,
    )


class TrackStoreWriter:
    """Make a track store, or go on with one that was stopped, or add clips to a finished one.

    Args:
        path: The store's directory; created where there is none.
        shard_frames: Frames after which a new shard is begun.

    Raises:
        DataError: If the directory holds something else, cannot be written, or another process is writing it.
    """

    def __init__(self, path: str | os.PathLike[str], *, shard_frames: int = SHARD_FRAMES) -> None:
        self.path = Path(path)
        self.shard_frames = shard_frames
        self._rows: dict[str, ClipRow] = {}
        self._shards: dict[str, ShardInfo] = {}
        self._made_directory = not self.path.exists()
        self._lock = self._claim()
        self._begun_here = not any((self.path / name).exists() for name in (MANIFEST_NAME, JOURNAL_NAME))
        if (self.path / MANIFEST_NAME).is_file():
            rows, self._shards = read_manifest(self.path)
            self._rows = {row.clip_id: row for row in rows}
        self._read_journal()
        self._face_models = {row.face_model for row in self._rows.values() if row.status == OK}
        self._journal: TextIO = (self.path / JOURNAL_NAME).open("a", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __contains__(self, clip_id: object) -> bool:
        return clip_id in self._rows

    @property
    def rows(self) -> list[ClipRow]:
        """Rows of all clips that count, the dropped ones too."""
        return list(self._rows.values())

    @property
    def finished_sources(self) -> set[str]:
        """Sources that need not be looked at again."""
        return {row.source for row in self._rows.values()}

    def add(self, track: Track, *, sha256: str = "") -> ClipRow:
        """Add a clip; when this returns, a kill does not lose it."""
        row = write_clip(self.path, track, sha256=sha256)
        self.commit([row])
        return row

    def add_dropped(self, clip_id: str, source: str, reason: str, **columns: Any) -> ClipRow:
        """Add a clip that could not be used, with the reason; ``columns`` are further columns of its row."""
        row = ClipRow(clip_id=clip_id, source=source, status=DROPPED, drop_reason=reason, **columns)
        self.commit([row])
        return row

    def commit(self, rows: Iterable[ClipRow]) -> None:
        """Make clips count, all of them or, should the process die, none: give all clips of a source at once.

        Raises:
            DataError: If a clip's face model is another than the store's.
        """
        rows = list(rows)
        models = {row.face_model for row in rows if row.status == OK} | self._face_models
        if len(models) > 1:
            raise DataError(f"{self.path} would mix the face models {', '.join(sorted(models))}; use a store for each")
        self._face_models = models
        sizes = {row.shard: (self.path / INCOMING_FOLDER / row.shard).stat().st_size for row in rows if row.shard}
        self._append({"clips": [asdict(row) for row in rows], "bytes": sizes})
        self._rows.update({row.clip_id: row for row in rows})

    def finish(self) -> None:
        """Pack the clips into shards and write the manifest."""
        (self.path / SHARD_FOLDER).mkdir(exist_ok=True)
        batch: list[ClipRow] = []
        for row in sorted(self._rows.values(), key=lambda row: row.clip_id):
            if row.status != OK or row.shard in self._shards:
                continue
            if batch and sum(clip.frames for clip in batch) + row.frames > self.shard_frames:
                self._pack(batch)
                batch = []
            batch.append(row)
        if batch:
            self._pack(batch)
        write_manifest(self.path, self._rows.values(), self._shards)
        self._journal.close()
        (self.path / JOURNAL_NAME).unlink(missing_ok=True)
        shutil.rmtree(self.path / INCOMING_FOLDER, ignore_errors=True)
        for path in (self.path / SHARD_FOLDER).iterdir():
            if path.name not in self._shards:  # a shard that a kill left unfinished
                path.unlink()
        self.close()

    def discard(self) -> None:
        """Remove a store that was begun with this writer; one that was there before stays as it is."""
        self.close()
        if not self._begun_here:
            return
        (self.path / JOURNAL_NAME).unlink(missing_ok=True)
        shutil.rmtree(self.path / INCOMING_FOLDER, ignore_errors=True)
        if self._made_directory:
            shutil.rmtree(self.path, ignore_errors=True)

    def close(self) -> None:
        """Stop without finishing; the next writer goes on from here."""
        self._journal.close()
        if not self._lock.closed:
            # Removed while it is still held, so that a finished store has no trace of it.
            (self.path / _LOCK_NAME).unlink(missing_ok=True)
            self._lock.close()

    def _pack(self, rows: list[ClipRow]) -> None:
        """Join clips into a new shard; the journal has it before the clips' own files go."""
        name = f"{len(self._shards):05d}.safetensors"
        incoming = [self.path / INCOMING_FOLDER / row.shard for row in rows]
        arrays = join_arrays([Shard(path).whole() for path in incoming])
        info = write_arrays(self.path / SHARD_FOLDER / name, arrays, durable=True)
        packed, first = [], 0
        for index, row in enumerate(rows):
            packed.append(replace(row, shard=name, shard_clip=index, first_frame=first))
            first += row.frames
        self._append({"shard": name, "info": asdict(info), "clips": [asdict(row) for row in packed]}, durable=True)
        self._shards[name] = info
        self._rows.update({row.clip_id: row for row in packed})
        for path in incoming:
            path.unlink()

    def _append(self, line: dict[str, Any], *, durable: bool = False) -> None:
        self._journal.write(json.dumps(line) + "\n")
        self._journal.flush()
        if durable:
            os.fsync(self._journal.fileno())

    def _read_journal(self) -> None:
        """Take up what an earlier process finished; forget clips whose file is not whole."""
        path = self.path / JOURNAL_NAME
        lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
        whole, sizes = 0, dict[str, int]()
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                break
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            if "shard" in entry:
                self._shards[entry["shard"]] = ShardInfo(**entry["info"])
            sizes.update(entry.get("bytes", {}))
            self._rows.update({clip["clip_id"]: ClipRow(**clip) for clip in entry["clips"]})
        if lines:
            os.truncate(path, whole)  # a line that was being written when the process died
        self._forget_damaged(sizes)

    def _forget_damaged(self, sizes: dict[str, int]) -> None:
        """Forget clips whose file is missing or cut, and with them the other clips of the same source."""
        paths = {row.shard: self.path / INCOMING_FOLDER / row.shard for row in self._rows.values() if row.shard}
        paths.update({name: self.path / SHARD_FOLDER / name for name in self._shards})
        expected = {**sizes, **{name: info.bytes for name, info in self._shards.items()}}
        damaged = {
            name for name, path in paths.items() if not path.is_file() or path.stat().st_size != expected.get(name)
        }
        lost = {row.source for row in self._rows.values() if row.shard in damaged} - {""}
        self._shards = {name: info for name, info in self._shards.items() if name not in damaged}
        self._rows = {
            name: row for name, row in self._rows.items() if row.shard not in damaged and row.source not in lost
        }

    def _claim(self) -> TextIO:
        """Create the directory and hold its lock."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            known = {MANIFEST_NAME, JOURNAL_NAME, _LOCK_NAME, SHARD_FOLDER, INCOMING_FOLDER, f".{MANIFEST_NAME}.part"}
            strangers = sorted(path.name for path in self.path.iterdir() if path.name not in known)
            if strangers:
                raise DataError(
                    f"{self.path} is no track store (it holds {strangers[0]}); choose a new directory for the store"
                )
            lock = (self.path / _LOCK_NAME).open("w")
        except OSError as error:
            raise DataError(
                f"a track store cannot be written at {self.path} ({error.strerror}); choose another directory"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The holder removes the file when it is done: a lock on a removed file protects nothing.
            if os.fstat(lock.fileno()).st_ino != (self.path / _LOCK_NAME).stat().st_ino:
                raise BlockingIOError
        except OSError as error:
            lock.close()
            raise DataError(f"another process is writing {self.path}; wait for it or stop it first") from error
        return lock
