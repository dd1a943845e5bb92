"""Writing a track store so that a kill at any moment loses no finished work.

While a store is being made, every clip is a small file in ``incoming/`` and every finished source a line in
``journal.jsonl``; a clip counts once its line is written. ``finish`` packs the clips into shards, in the order of their
names, and writes the manifest last. All files are written atomically, in a folder as well as behind a URL.
"""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any, Self

from safetensors.numpy import load

from expnet.data.store.manifest import DROPPED, OK, ManifestRow, read_manifest, write_manifest
from expnet.data.store.open_files import open_files
from expnet.data.store.shards import encode_arrays, join_arrays, track_to_arrays
from expnet.data.store.storage import INCOMING_FOLDER, MANIFEST_NAME, SHARD_FOLDER, ShardInfo
from expnet.data.store.track import Track, open_eye_ratio
from expnet.errors import DataError

# About 140 MB per shard: 44 minutes of tracks.
SHARD_FRAMES = 65_536


def write_clip(store: str | os.PathLike[str], track: Track, *, sha256: str = "") -> ManifestRow:
    """Write the arrays of one clip into an unfinished store; safe to call from many processes at once.

    The clip counts only after its row was passed to :meth:`TrackStoreWriter.commit`.

    Returns:
        The clip's row. Until the clip is packed, ``shard`` is its file in ``incoming/``.
    """
    track.validate()
    name = f"{INCOMING_FOLDER}/{track.clip_id}.safetensors"
    open_files(store).write(name, encode_arrays(track_to_arrays(track)))
    return ManifestRow(
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
    """Creates a track store, resumes an interrupted one, or adds clips to a finished one.

    Args:
        path: Directory of the store, created if it does not exist, or a URL such as ``s3://bucket/tracks``.
        shard_frames: Most frames of a shard with several clips.

    Raises:
        DataError: If the directory holds something else, cannot be written to, or has another writer.
    """

    def __init__(self, path: str | os.PathLike[str], *, shard_frames: int = SHARD_FRAMES) -> None:
        self.files = open_files(path)
        self.shard_frames = shard_frames
        self._rows: dict[str, ManifestRow] = {}
        self._shards: dict[str, ShardInfo] = {}
        self._made_place = not self.files.exists()
        self._journal = self.files.open_journal()
        self._begun_here = not self._journal.entries and not self.files.exists(MANIFEST_NAME)
        try:
            if self.files.exists(MANIFEST_NAME):
                rows, self._shards = read_manifest(self.files)
                self._rows = {row.clip_id: row for row in rows}
            self._take_up(self._journal.entries)
        except BaseException:
            self._journal.close()
            raise
        self._face_models, self._trackers = _origins(self._rows.values())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __contains__(self, clip_id: object) -> bool:
        return clip_id in self._rows

    @property
    def rows(self) -> list[ManifestRow]:
        """Rows of all committed clips, including the dropped ones."""
        return list(self._rows.values())

    @property
    def finished_sources(self) -> set[tuple[str, str]]:
        """Sources and parts that need not be processed again."""
        return {row.origin for row in self._rows.values()}

    def add(self, track: Track, *, sha256: str = "") -> ManifestRow:
        """Add and commit a clip: after this returns, a kill cannot lose it."""
        row = write_clip(self.files.location, track, sha256=sha256)
        self.commit([row])
        return row

    def add_dropped(self, clip_id: str, source: str, reason: str, **columns: Any) -> ManifestRow:
        """Record a clip that could not be used, with the reason; ``columns`` are further columns of its row."""
        row = ManifestRow(clip_id=clip_id, source=source, status=DROPPED, drop_reason=reason, **columns)
        self.commit([row])
        return row

    def commit(self, rows: Iterable[ManifestRow], *, replaces: str = "") -> None:
        """Commit clips together: if the process dies, either all of them count or none. Pass whole sources.

        Args:
            rows: The clips.
            replaces: Name of a dropped clip that these take the place of; it may not exist.

        Raises:
            DataError: If the face model or the tracker of a clip differs from the store's.
        """
        rows = list(rows)
        models, trackers = (
            new | old for new, old in zip(_origins(rows), (self._face_models, self._trackers), strict=True)
        )
        for kind, names in (("face models", models), ("trackers", trackers)):
            if len(names) > 1:
                raise DataError(
                    f"{self.files.location} would mix the {kind} {', '.join(sorted(names))}; use a store for each"
                )
        self._face_models, self._trackers = models, trackers
        sizes = {row.shard: self.files.size(row.shard) for row in rows if row.shard}
        entry = {"clips": [asdict(row) for row in rows], "bytes": sizes}
        self._journal.append({**entry, "replaces": replaces} if replaces in self._rows else entry)
        self._forget_dropped(replaces)
        self._rows.update({row.clip_id: row for row in rows})

    def finish(self) -> None:
        """Pack the clips into shards and write the manifest.

        Raises:
            DataError: If another process has started to write the store in the meantime.
        """
        self._journal.check()
        batch: list[ManifestRow] = []
        for row in sorted(self._rows.values(), key=lambda row: row.clip_id):
            if row.status != OK or row.shard in self._shards:
                continue
            if batch and sum(clip.frames for clip in batch) + row.frames > self.shard_frames:
                self._pack(batch)
                batch = []
            batch.append(row)
        if batch:
            self._pack(batch)
        write_manifest(self.files, self._rows.values(), self._shards)
        self._journal.remove()
        self.files.remove_folder(INCOMING_FOLDER)
        # Shards that a kill left incomplete.
        self.files.remove(set(self.files.sizes(SHARD_FOLDER)) - {f"{SHARD_FOLDER}/{name}" for name in self._shards})
        self.close()

    def discard(self) -> None:
        """Delete a store that this writer created; one that existed before stays as it is."""
        self.close()
        if not self._begun_here:
            return
        self._journal.remove()
        self.files.remove_folder(INCOMING_FOLDER)
        if self._made_place:
            self.files.remove_folder()

    def close(self) -> None:
        """Stop without finishing; the next writer continues from here."""
        self._journal.close()

    def _pack(self, rows: list[ManifestRow]) -> None:
        """Join clips into a new shard, which is in the journal before the clips' own files are deleted."""
        name = f"{len(self._shards):05d}.safetensors"
        incoming = [row.shard for row in rows]
        contents = encode_arrays(join_arrays([load(clip) for clip in self.files.read(incoming)]))
        self.files.write(f"{SHARD_FOLDER}/{name}", contents, durable=True)
        info = ShardInfo(len(contents), hashlib.sha256(contents).hexdigest())
        packed, first = [], 0
        for index, row in enumerate(rows):
            packed.append(replace(row, shard=name, shard_clip=index, first_frame=first))
            first += row.frames
        entry = {"shard": name, "info": asdict(info), "clips": [asdict(row) for row in packed]}
        self._journal.append(entry, durable=True)
        self._shards[name] = info
        self._rows.update({row.clip_id: row for row in packed})
        self.files.remove(incoming)

    def _forget_dropped(self, clip_id: str) -> None:
        if clip_id in self._rows and self._rows[clip_id].status == DROPPED:
            del self._rows[clip_id]

    def _take_up(self, entries: list[dict[str, Any]]) -> None:
        """Restore what earlier writers finished, without clips whose file is incomplete."""
        sizes: dict[str, int] = {}
        for entry in entries:
            if "shard" in entry:
                self._shards[entry["shard"]] = ShardInfo(**entry["info"])
            sizes.update(entry.get("bytes", {}))
            self._forget_dropped(entry.get("replaces", ""))
            self._rows.update({clip["clip_id"]: ManifestRow(**clip) for clip in entry["clips"]})
        if entries:
            self._forget_damaged(sizes)

    def _forget_damaged(self, incoming: dict[str, int]) -> None:
        """Forget clips whose file is missing or truncated, together with the other clips of the same source."""
        present = {**self.files.sizes(INCOMING_FOLDER), **self.files.sizes(SHARD_FOLDER)}
        expected = {f"{SHARD_FOLDER}/{name}": info.bytes for name, info in self._shards.items()} | incoming
        whole = {name for name, size in expected.items() if present.get(name) == size}
        self._shards = {name: info for name, info in self._shards.items() if f"{SHARD_FOLDER}/{name}" in whole}

        def damaged(row: ManifestRow) -> bool:
            return bool(row.shard) and row.shard not in self._shards and row.shard not in whole

        lost = {row.origin for row in self._rows.values() if damaged(row)} - {("", "")}
        self._rows = {name: row for name, row in self._rows.items() if not damaged(row) and row.origin not in lost}


def _origins(rows: Iterable[ManifestRow]) -> tuple[set[str], set[str]]:
    """Return the face models and the known trackers of usable clips."""
    usable = [row for row in rows if row.status == OK]
    return {row.face_model for row in usable}, {row.tracker for row in usable if row.tracker}
