"""The storage interface of a track store, and what its implementations share.

The writer and the reader of a store know names only, such as ``shards/00000.safetensors``. A :class:`StoreFiles` knows
where they are: in a folder (:mod:`expnet.data.store.folder_storage`) or behind a URL
(:mod:`expnet.data.store.object_storage`); :func:`expnet.data.store.open_files.open_files` chooses.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expnet.errors import DataError

MANIFEST_NAME = "manifest.parquet"
JOURNAL_NAME = "journal.jsonl"
SHARD_FOLDER = "shards"
INCOMING_FOLDER = "incoming"
JOURNAL_FOLDER = "journal"
LOCK_NAME = ".lock"
_KNOWN_NAMES = (MANIFEST_NAME, JOURNAL_NAME, JOURNAL_FOLDER, SHARD_FOLDER, INCOMING_FOLDER, LOCK_NAME)
_PARTIAL_MANIFEST = ".manifest."


@dataclass(frozen=True)
class ShardInfo:
    """Size in bytes and sha256 of a finished shard file."""

    bytes: int
    sha256: str


class StoreJournal(ABC):
    """The record of a writer's progress: lines of JSON, each of them complete or absent."""

    entries: list[dict[str, Any]]
    """Entries of earlier writers."""

    @abstractmethod
    def append(self, entry: dict[str, Any], *, durable: bool = False) -> None:
        """Append an entry. After this returns, a kill cannot lose it; ``durable`` also flushes it to disk."""

    @abstractmethod
    def remove(self) -> None:
        """Delete the journal because the store is finished or abandoned."""

    @abstractmethod
    def close(self) -> None:
        """Release the store to other writers."""

    def check(self) -> None:  # noqa: B027 - storage with locks has nothing to check
        """Check that this is still the only writer.

        Raises:
            DataError: If another writer has started in the meantime.
        """


class StoreFiles(ABC):
    """The files of a store, by name. Cheap to open and to send to other processes."""

    location: str
    """Path or URL, as shown in messages."""

    @property
    def name(self) -> str:
        """Last component of the location."""
        return self.location.rstrip("/").rpartition("/")[2]

    @abstractmethod
    def exists(self, name: str = "") -> bool:
        """Return whether the file exists or, without a name, whether the location itself does."""

    @abstractmethod
    def sizes(self, folder: str) -> dict[str, int]:
        """Return the size in bytes of every file in a folder, by ``folder/name``; empty if there is no such folder."""

    @abstractmethod
    def size(self, name: str) -> int:
        """Return the size of a file in bytes.

        Raises:
            OSError: If the file does not exist.
        """

    @abstractmethod
    def read(self, names: Sequence[str]) -> list[bytes]:
        """Return the contents of files.

        Raises:
            OSError: If one of them cannot be read.
        """

    @abstractmethod
    def write(self, name: str, contents: bytes, *, durable: bool = False) -> None:
        """Write a file that readers see complete or not at all; ``durable`` also flushes it to disk."""

    @abstractmethod
    def remove(self, names: Iterable[str]) -> None:
        """Delete those of the files that exist."""

    @abstractmethod
    def remove_folder(self, folder: str = "") -> None:
        """Delete a folder with its contents or, without a name, everything at this location."""

    @abstractmethod
    def local(self, name: str, info: ShardInfo | None) -> Path:
        """Return the path of a file on this machine for memory mapping, after downloading it if necessary.

        Raises:
            DataError: If the download fails.
        """

    @abstractmethod
    def open_journal(self) -> StoreJournal:
        """Become the writer of this store, new or unfinished.

        Raises:
            DataError: If the location holds something else, cannot be written to, or already has a writer.
        """


def parse_entries(contents: bytes) -> tuple[list[dict[str, Any]], int]:
    """Return the entries of a journal and the length in bytes of its complete lines."""
    entries, complete = [], 0
    for line in contents.splitlines(keepends=True):
        try:
            entry = json.loads(line)
        except ValueError:
            break
        if not line.endswith(b"\n"):
            break
        entries.append(entry)
        complete += len(line)
    return entries, complete


def refuse_foreign_files(location: str, names: Iterable[str]) -> None:
    """Check that all files at a location may belong to a track store.

    Raises:
        DataError: If one of them does not.
    """
    foreign = sorted(
        name for name in names if name not in _KNOWN_NAMES and not name.startswith((_PARTIAL_MANIFEST, LOCK_NAME))
    )
    if foreign:
        raise DataError(
            f"{location} is not a track store (it holds {foreign[0]}); choose a new directory for the store"
        )
