"""A track store in a folder, on this machine or on a shared file system."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from typing_extensions import override

from expnet.data.store.storage import (
    INCOMING_FOLDER,
    JOURNAL_NAME,
    LOCK_NAME,
    SHARD_FOLDER,
    ShardInfo,
    StoreFiles,
    StoreJournal,
    parse_entries,
    refuse_foreign_files,
)
from expnet.errors import DataError
from expnet.io.atomic import atomic_path, remove_partial_files
from expnet.io.file_lock import FileLock, LockedError
from expnet.io.machine_faults import is_machine_fault


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Add the file to an error of the operating system, which names none when writing fails."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


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
        with _naming(path), atomic_path(path) as partial, partial.open("wb") as stream:
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
        try:
            self._remove_partial_files()
            path = root / JOURNAL_NAME
            self.entries, complete = parse_entries(path.read_bytes() if path.is_file() else b"")
            # Unbuffered: what could not be written must not be written by a later call.
            self._stream = path.open("ab", buffering=0)
            self._stream.truncate(complete)  # cut off a line that a killed writer did not finish
        except BaseException:
            self._lock.release()
            raise

    @override
    def append(self, entry: dict[str, Any], *, durable: bool = False) -> None:
        left = memoryview((json.dumps(entry) + "\n").encode())
        end = os.fstat(self._stream.fileno()).st_size
        try:
            with _naming(self._root / JOURNAL_NAME):
                while left:
                    left = left[self._stream.write(left) :]
                if durable:
                    os.fsync(self._stream.fileno())
        except BaseException:
            self._stream.truncate(end)
            raise

    @override
    def remove(self) -> None:
        self._stream.close()
        (self._root / JOURNAL_NAME).unlink(missing_ok=True)

    @override
    def close(self) -> None:
        self._stream.close()
        if self._lock.held:
            self._remove_partial_files()
            self._lock.release()

    def _remove_partial_files(self) -> None:
        """Delete what killed processes left half-written; only the one writer of a store may."""
        for folder in (self._root, self._root / SHARD_FOLDER, self._root / INCOMING_FOLDER):
            remove_partial_files(folder)

    def _claim(self) -> FileLock:
        """Create the folder and take its lock."""
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            refuse_foreign_files(str(self._root), (path.name for path in self._root.iterdir()))
            return FileLock(self._root / LOCK_NAME)
        except LockedError as error:
            raise DataError(
                f"another process{error.holder} is writing {self._root}; wait for it or stop it first{error.advice}"
            ) from error
        except OSError as error:
            if is_machine_fault(error):
                raise
            raise DataError(
                f"a track store cannot be written at {self._root} ({error.strerror}); choose another directory"
            ) from error
