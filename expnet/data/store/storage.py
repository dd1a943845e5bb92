"""Where the files of a track store lie: in a folder, or behind a URL such as ``s3://bucket/tracks``.

The writer and the reader of a store know names only, such as ``shards/00000.safetensors``; a :class:`StoreFiles` knows
the place. Here are the folder and its journal; :mod:`expnet.data.store.object_storage` has the place behind a URL.
"""

import fcntl
import json
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from typing_extensions import override

from expnet.errors import DataError

MANIFEST_NAME = "manifest.parquet"
JOURNAL_NAME = "journal.jsonl"
SHARD_FOLDER = "shards"
INCOMING_FOLDER = "incoming"
JOURNAL_FOLDER = "journal"
_LOCK_NAME = ".lock"
_KNOWN = (MANIFEST_NAME, JOURNAL_NAME, JOURNAL_FOLDER, SHARD_FOLDER, INCOMING_FOLDER, _LOCK_NAME)
_FOLDER_SCHEME = "file://"


@dataclass(frozen=True)
class ShardInfo:
    """Size in bytes and sha256 of a finished shard file."""

    bytes: int
    sha256: str


class StoreJournal(ABC):
    """What the writer of a store notes down: lines of JSON, each whole or not there."""

    entries: list[dict[str, Any]]
    """What earlier writers have noted."""

    @abstractmethod
    def append(self, entry: dict[str, Any], *, durable: bool = False) -> None:
        """Note an entry: when this returns, a kill does not lose it; ``durable`` also waits until the disk has it."""

    @abstractmethod
    def remove(self) -> None:
        """Remove all that was noted, as the store is finished or given up."""

    @abstractmethod
    def close(self) -> None:
        """Let another writer have the store."""

    def check(self) -> None:  # noqa: B027 - a place with locks has nothing to check
        """Look whether this is still the only writer.

        Raises:
            DataError: If another one has begun in the meantime.
        """


class StoreFiles(ABC):
    """The files of a store, by name; cheap to open, and can be sent to other processes."""

    location: str
    """Path or URL, as messages have it."""

    @property
    def name(self) -> str:
        """Last part of the location."""
        return self.location.rstrip("/").rpartition("/")[2]

    @abstractmethod
    def exists(self, name: str = "") -> bool:
        """Whether there is such a file; without a name, whether there is such a place."""

    @abstractmethod
    def sizes(self, folder: str) -> dict[str, int]:
        """Bytes of all files in a folder, by their names with the folder; empty where there is no such folder."""

    @abstractmethod
    def size(self, name: str) -> int:
        """Bytes of a file.

        Raises:
            OSError: If there is none.
        """

    @abstractmethod
    def read(self, names: Sequence[str]) -> list[bytes]:
        """Contents of files.

        Raises:
            OSError: If one cannot be read.
        """

    @abstractmethod
    def write(self, name: str, contents: bytes, *, durable: bool = False) -> None:
        """Write a file so that it is there whole or not at all; ``durable`` also waits until the disk has it."""

    @abstractmethod
    def remove(self, names: Iterable[str]) -> None:
        """Remove files, as far as they are there."""

    @abstractmethod
    def remove_folder(self, folder: str = "") -> None:
        """Remove a folder with all that is in it; without a name, the whole place."""

    @abstractmethod
    def local(self, name: str, info: ShardInfo | None) -> Path:
        """Path of a file on this machine, to be memory-mapped.

        Raises:
            DataError: If the file had to be fetched, and could not be.
        """

    @abstractmethod
    def open_journal(self) -> StoreJournal:
        """Begin to write, or go on.

        Raises:
            DataError: If the place holds something else, cannot be written, or has another writer.
        """


def open_files(location: "str | os.PathLike[str] | StoreFiles") -> StoreFiles:
    """Files at a path or ``file://`` URL, or behind any other URL that fsspec opens."""
    if isinstance(location, StoreFiles):
        return location
    place = os.fspath(location)
    if "://" in place and not place.startswith(_FOLDER_SCHEME):
        from expnet.data.store.object_storage import ObjectFiles

        return ObjectFiles(place)
    return FolderFiles(place.removeprefix(_FOLDER_SCHEME))


class FolderFiles(StoreFiles):
    """Files in a folder of this machine or of a file system that many share; written beside and renamed."""

    def __init__(self, location: str) -> None:
        self.location = str(Path(location))
        self._root = Path(location)

    @override
    def exists(self, name: str = "") -> bool:
        return (self._root / name).exists()

    @override
    def sizes(self, folder: str) -> dict[str, int]:
        path = self._root / folder
        if not path.is_dir():
            return {}
        with os.scandir(path) as entries:
            return {f"{folder}/{entry.name}": entry.stat().st_size for entry in entries}

    @override
    def size(self, name: str) -> int:
        return (self._root / name).stat().st_size

    @override
    def read(self, names: Sequence[str]) -> list[bytes]:
        return [(self._root / name).read_bytes() for name in names]

    @override
    def write(self, name: str, contents: bytes, *, durable: bool = False) -> None:
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # The process is in the name: a clip may be worked on once more while its first worker still writes.
        partial = path.with_name(f".{path.name}.{os.getpid()}.part")
        with partial.open("wb") as stream:
            stream.write(contents)
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        os.replace(partial, path)

    @override
    def remove(self, names: Iterable[str]) -> None:
        for name in names:
            (self._root / name).unlink(missing_ok=True)

    @override
    def remove_folder(self, folder: str = "") -> None:
        shutil.rmtree(self._root / folder, ignore_errors=True)

    @override
    def local(self, name: str, info: ShardInfo | None) -> Path:
        return self._root / name

    @override
    def open_journal(self) -> StoreJournal:
        return FolderJournal(self._root)


class FolderJournal(StoreJournal):
    """A file of lines and a lock.

    Args:
        root: The store's folder; created where there is none.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = self._claim()
        for part in root.glob(f".{MANIFEST_NAME}.*.part"):  # of a writer that was killed
            part.unlink()
        path = root / JOURNAL_NAME
        self.entries, whole = parse_entries(path.read_bytes() if path.is_file() else b"")
        self._stream: TextIO = path.open("a", encoding="utf-8")
        self._stream.truncate(whole)  # a line that was being written when the process died

    @override
    def append(self, entry: dict[str, Any], *, durable: bool = False) -> None:
        self._stream.write(json.dumps(entry) + "\n")
        self._stream.flush()
        if durable:
            os.fsync(self._stream.fileno())

    @override
    def remove(self) -> None:
        self._stream.close()
        (self._root / JOURNAL_NAME).unlink(missing_ok=True)

    @override
    def close(self) -> None:
        self._stream.close()
        if not self._lock.closed:
            # Removed while it is still held, so that a finished store has no trace of it.
            (self._root / _LOCK_NAME).unlink(missing_ok=True)
            self._lock.close()

    def _claim(self) -> TextIO:
        """Create the folder and hold its lock."""
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            refuse_strangers(str(self._root), (path.name for path in self._root.iterdir()))
            lock = (self._root / _LOCK_NAME).open("w")
        except OSError as error:
            raise DataError(
                f"a track store cannot be written at {self._root} ({error.strerror}); choose another directory"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The holder removes the file when it is done: a lock on a removed file protects nothing.
            if os.fstat(lock.fileno()).st_ino != (self._root / _LOCK_NAME).stat().st_ino:
                raise BlockingIOError
        except OSError as error:
            lock.close()
            raise DataError(f"another process is writing {self._root}; wait for it or stop it first") from error
        return lock


def parse_entries(contents: bytes) -> tuple[list[dict[str, Any]], int]:
    """Entries of a journal, and the number of bytes up to the end of the last whole one."""
    entries, whole = [], 0
    for line in contents.splitlines(keepends=True):
        try:
            entry = json.loads(line)
        except ValueError:
            break
        if not line.endswith(b"\n"):
            break
        entries.append(entry)
        whole += len(line)
    return entries, whole


def refuse_strangers(location: str, names: Iterable[str]) -> None:
    """Look whether all files at a place may be those of a track store.

    Raises:
        DataError: If not.
    """
    strangers = sorted(name for name in names if name not in _KNOWN and not name.startswith(f".{MANIFEST_NAME}."))
    if strangers:
        raise DataError(f"{location} is no track store (it holds {strangers[0]}); choose a new directory for the store")
