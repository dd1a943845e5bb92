"""The manifest of a track store: a parquet file with one row per clip, including dropped clips and the reasons."""

import gc
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from expnet.data.store.open_files import open_files
from expnet.data.store.storage import MANIFEST_NAME, ShardInfo, StoreFiles
from expnet.errors import DataError

STORE_VERSION = 1
OK = "ok"
DROPPED = "dropped"

_ARROW_TYPES: dict[Any, pa.DataType] = {str: pa.string(), int: pa.int64(), float: pa.float64()}
_METADATA_KEY = b"expnet_store"


class UnusableClipError(Exception):
    """A clip cannot be used. The message is the reason: its kind, a colon, and the details."""


@dataclass(slots=True)
class ManifestRow:
    """One clip of a track store, as listed in the manifest.

    Rows are not to be changed. They are not frozen because that would triple the time to open a store of 100,000 clips.

    Args:
        clip_id: Unique name.
        status: ``ok`` or ``dropped``.
        drop_reason: Why a dropped clip could not be used.
        speaker: Name of the speaker.
        corpus: Name of the corpus.
        split: Split assigned by the corpus, or empty.
        emotion: Lower-case name of the emotion, or empty.
        level: Intensity of the emotion.
        language: Language code, or empty.
        frames: Number of frames at ``fps``.
        fps: Frames per second.
        face_model: Name of the face model of the coefficients.
        source: Path of the video.
        source_start: Start of the clip in the source, in seconds.
        source_part: Part of the source that was processed, ``start-end`` in seconds; empty for the whole source.
        frame_height: Height of the source frames in pixels.
        frame_width: Width of the source frames in pixels.
        sha256: Checksum of the source file.
        interpolated: Number of frames whose face was interpolated.
        fit_error: Root mean square distance between fitted and tracked points, in face units.
        eye_open: Eye aspect ratio of the clip's open eyes.
        sync_offset: Estimated number of frames by which the source's audio is early; negative if it is late.
        sync_confidence: Probability that ``sync_offset`` is correct to within one frame; 0 if not estimated.
        sync_shift: Number of frames by which the clip's audio was delayed to correct the offset, usually 0.
        tracker: Name and checksum of the models that tracked the face; empty where it is not known or none did.
        shard: Name of the shard file.
        shard_clip: Index of the clip in its shard.
        first_frame: Index of the clip's first frame in its shard.
    """

    clip_id: str
    status: str = OK
    drop_reason: str = ""
    speaker: str = ""
    corpus: str = ""
    split: str = ""
    emotion: str = ""
    level: int = 0
    language: str = ""
    frames: int = 0
    fps: float = 25.0
    face_model: str = ""
    source: str = ""
    source_start: float = 0.0
    frame_height: int = 0
    frame_width: int = 0
    sha256: str = ""
    interpolated: int = 0
    fit_error: float = 0.0
    eye_open: float = 0.0
    shard: str = ""
    shard_clip: int = 0
    first_frame: int = 0
    source_part: str = ""
    sync_offset: int = 0
    sync_confidence: float = 0.0
    sync_shift: int = 0
    tracker: str = ""

    def __reduce__(self) -> tuple[type["ManifestRow"], tuple[Any, ...]]:
        """Pickle by position: what a dataclass with slots does by itself takes many times as long."""
        return ManifestRow, _column_values(self)

    @property
    def origin(self) -> tuple[str, str]:
        """Source and part. Clips with the same origin are made together, and finished or lost together."""
        return self.source, self.source_part

    @property
    def seconds(self) -> float:
        """Duration of the clip."""
        return self.frames / self.fps


COLUMNS = tuple(field.name for field in fields(ManifestRow))
_column_values = attrgetter(*COLUMNS)
# Columns that stores of earlier releases lack, with the values that stand in for them.
_LATER_COLUMNS = {"source_part": "", "sync_offset": 0, "sync_confidence": 0.0, "sync_shift": 0, "tracker": ""}
_SCHEMA = pa.schema([(field.name, _ARROW_TYPES[field.type]) for field in fields(ManifestRow)])


def write_manifest(
    store: str | os.PathLike[str] | StoreFiles, rows: Iterable[ManifestRow], shards: dict[str, ShardInfo]
) -> None:
    """Write the manifest of a store atomically, with the rows ordered by clip name."""
    ordered = sorted(rows, key=lambda row: row.clip_id)
    columns = {name: [getattr(row, name) for row in ordered] for name in COLUMNS}
    described = {name: [shard.bytes, shard.sha256] for name, shard in sorted(shards.items())}
    metadata = {_METADATA_KEY: json.dumps({"version": STORE_VERSION, "shards": described})}
    table = pa.table(columns, schema=_SCHEMA.with_metadata(metadata))
    stream = pa.BufferOutputStream()
    pq.write_table(table, stream, compression="zstd")
    open_files(store).write(MANIFEST_NAME, stream.getvalue().to_pybytes(), durable=True)


def read_manifest(store: str | os.PathLike[str] | StoreFiles) -> tuple[list[ManifestRow], dict[str, ShardInfo]]:
    """Read the rows and the shard list of a finished store.

    Raises:
        DataError: If there is no finished store at this location, or a newer version of expnet wrote it.
    """
    files = open_files(store)
    path = f"{files.location}/{MANIFEST_NAME}"
    try:
        (contents,) = files.read([MANIFEST_NAME])
    except OSError as error:
        if not files.exists():
            raise DataError(
                f"there is no track store at {files.location}; make one with expnet preprocess or expnet synthesize"
            ) from error
        raise DataError(
            f"{files.location} has no finished track store ({MANIFEST_NAME} is missing); "
            "run the command that makes it again, and it resumes where it was stopped"
        ) from error
    try:
        # Without Arrow's threads: a thread that starts while the process exits would abort it.
        table = pq.ParquetFile(pa.BufferReader(contents)).read(use_threads=False)
        description = json.loads((table.schema.metadata or {})[_METADATA_KEY])
        columns: list[list[Any]] = [
            _values(table.column(name))
            if name in table.column_names or name not in _LATER_COLUMNS
            else [_LATER_COLUMNS[name]] * table.num_rows
            for name in COLUMNS
        ]
    except (pa.ArrowException, KeyError, ValueError, OSError) as error:
        raise DataError(f"{path} is not the manifest of a track store ({error}); make the store again") from error
    if description["version"] != STORE_VERSION:
        raise DataError(
            f"{path} has version {description['version']}, and this expnet reads version {STORE_VERSION}; "
            "make the store again or install the expnet that made it"
        )
    return _make_rows(columns), {name: ShardInfo(*values) for name, values in description["shards"].items()}


def _values(column: pa.ChunkedArray) -> list[Any]:
    """Return a column's values. Equal strings share one object, which saves a third of the memory of the rows."""
    if not pa.types.is_string(column.type):
        return list(column.to_pylist())
    encoded = pc.dictionary_encode(column.combine_chunks())
    words = encoded.dictionary.to_pylist()
    return [words[index] for index in encoded.indices.to_pylist()]


def _make_rows(columns: list[list[Any]]) -> list[ManifestRow]:
    """Turn columns into rows, with the garbage collector paused: it would traverse all rows again and again."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        return [ManifestRow(*values) for values in zip(*columns, strict=True)]
    finally:
        if collecting:
            gc.enable()
