"""The manifest of a track store: one row a clip, the dropped ones with their reason, in one parquet file."""

import gc
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from expnet.errors import DataError

MANIFEST_NAME = "manifest.parquet"
STORE_VERSION = 1
OK = "ok"
DROPPED = "dropped"

_ARROW_TYPES: dict[Any, pa.DataType] = {str: pa.string(), int: pa.int64(), float: pa.float64()}
_METADATA_KEY = b"expnet_store"


@dataclass(slots=True)
class ClipRow:
    """One clip of a track store, as the manifest has it.

    Not frozen, as that would triple the time in which a store of 100,000 clips opens; nobody changes a row.

    Args:
        clip_id: Unique name.
        status: ``ok`` or ``dropped``.
        drop_reason: Why a dropped clip could not be used.
        speaker: Who speaks.
        corpus: Name of the corpus.
        split: The split that the corpus gives, or empty.
        emotion: Lower-case name, or empty.
        level: Intensity of the emotion.
        language: Language code, or empty.
        frames: Number of frames at ``fps``.
        fps: Frames a second.
        face_model: Name of the face model of the coefficients.
        source: Path of the video.
        source_start: Seconds into the source where the clip starts.
        frame_height: Of the source frame, pixels.
        frame_width: Of the source frame, pixels.
        sha256: Of the source file.
        interpolated: Number of frames whose face was interpolated.
        fit_error: Root mean square distance of fitted from tracked points, face units.
        eye_open: Eye aspect ratio of the clip's open eyes.
        shard: Name of the shard file.
        shard_clip: The clip's number in its shard.
        first_frame: Where the clip's frames start in its shard.
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

    @property
    def seconds(self) -> float:
        """Length of the clip."""
        return self.frames / self.fps


COLUMNS = tuple(field.name for field in fields(ClipRow))
_SCHEMA = pa.schema([(field.name, _ARROW_TYPES[field.type]) for field in fields(ClipRow)])


@dataclass(frozen=True)
class ShardInfo:
    """Size in bytes and sha256 of a finished shard file."""

    bytes: int
    sha256: str


def write_manifest(store: Path, rows: Iterable[ClipRow], shards: dict[str, ShardInfo]) -> None:
    """Write the manifest of a store beside and rename it into place, rows ordered by clip name."""
    ordered = sorted(rows, key=lambda row: row.clip_id)
    columns = {name: [getattr(row, name) for row in ordered] for name in COLUMNS}
    described = {name: [shard.bytes, shard.sha256] for name, shard in sorted(shards.items())}
    metadata = {_METADATA_KEY: json.dumps({"version": STORE_VERSION, "shards": described})}
    table = pa.table(columns, schema=_SCHEMA.with_metadata(metadata))
    partial = store / f".{MANIFEST_NAME}.part"
    with partial.open("wb") as stream:
        pq.write_table(table, stream, compression="zstd")
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(partial, store / MANIFEST_NAME)


def read_manifest(store: Path) -> tuple[list[ClipRow], dict[str, ShardInfo]]:
    """Read the rows and the shards of a finished store.

    Raises:
        DataError: If there is no finished store at this place, or it was written by a newer version.
    """
    path = store / MANIFEST_NAME
    if not path.is_file():
        if not store.is_dir():
            raise DataError(f"there is no track store at {store}; make one with expnet preprocess or expnet synthesize")
        raise DataError(
            f"{store} holds no finished track store ({MANIFEST_NAME} is missing); "
            "run the command that makes it again, and it goes on where it was stopped"
        )
    try:
        table = pq.read_table(path)
        description = json.loads((table.schema.metadata or {})[_METADATA_KEY])
        columns: list[list[Any]] = [table.column(name).to_pylist() for name in COLUMNS]
    except (pa.ArrowException, KeyError, ValueError, OSError) as error:
        raise DataError(f"{path} is not the manifest of a track store ({error}); make the store again") from error
    if description["version"] != STORE_VERSION:
        raise DataError(
            f"{path} has version {description['version']}, and this expnet reads version {STORE_VERSION}; "
            "make the store again or install the expnet that made it"
        )
    return _make_rows(columns), {name: ShardInfo(*values) for name, values in description["shards"].items()}


def _make_rows(columns: list[list[Any]]) -> list[ClipRow]:
    """Turn columns into rows; the cycle collector, which would walk through all of them again and again, waits."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        return [ClipRow(*values) for values in zip(*columns, strict=True)]
    finally:
        if collecting:
            gc.enable()
