"""A track store in a folder, on this machine or on a shared file system."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TextIO

from typing_extensions import override

from expnet.data.store.storage import (
    JOURNAL_NAME,
    LOCK_NAME,
    ShardInfo,
    StoreFiles,
    StoreJournal,
    parse_entries,
    refuse_foreign_files,
)
from expnet.errors import DataError
from expnet.io.atomic import atomic_path


class FolderFiles(StoreFiles):
    """The files of a store in a folder."""

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
        with atomic_path(path) as partial, partial.open("wb") as stream:
            stream.write(contents)
            if durable:
                stream.flush()
                os.fsync(stream.fileno())

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
    """A file of lines, protected by a lock file.

    Args:
        root: Folder of the store; created if it does not exist.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = self._claim()
        for partial in root.glob(".manifest.*.part*"):  # left by a killed writer
            partial.unlink()
        path = root / JOURNAL_NAME
        self.entries, complete = parse_entries(path.read_bytes() if path.is_file() else b"")
        self._stream: TextIO = path.open("a", encoding="utf-8")
        self._stream.truncate(complete)  # cut off a line that a killed writer did not finish

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
            # Deleted while the lock is still held, so that a finished store keeps no trace of it.
            (self._root / LOCK_NAME).unlink(missing_ok=True)
            self._lock.close()

    def _claim(self) -> TextIO:
        """Create the folder and take its lock."""
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            refuse_foreign_files(str(self._root), (path.name for path in self._root.iterdir()))
            lock = (self._root / LOCK_NAME).open("w")
        except OSError as error:
            raise DataError(
                f"a track store cannot be written at {self._root} ({error.strerror}); choose another directory"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The holder deletes the lock file when it is done, and a lock on a deleted file protects nothing.
            if os.fstat(lock.fileno()).st_ino != (self._root / LOCK_NAME).stat().st_ino:
                raise BlockingIOError
        except OSError as error:
            lock.close()
            raise DataError(f"another process is writing {self._root}; wait for it or stop it first") from error
        return lock
