"""A track store behind a URL: ``s3://``, ``gs://``, or any other that fsspec can open.

The storage needs to guarantee only that an object is either complete or absent: locks, renames and appending are not
used. (A bucket mounted as a folder is such storage as well: give it as ``local:///mnt/bucket/tracks``.) The journal is
a sequence of objects of up to :data:`LINES_PER_OBJECT` lines. Shards are memory-mapped from a cache on this machine,
into which each is downloaded once for all processes; cached files are named by their sha256.
"""

import hashlib
import itertools
import json
import os
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from typing_extensions import override

from expnet.data.store.storage import (
    JOURNAL_FOLDER,
    ShardInfo,
    StoreFiles,
    StoreJournal,
    parse_entries,
    refuse_foreign_files,
)
from expnet.errors import DataError, MissingAssetError
from expnet.io.atomic import atomic_path
from expnet.io.file_lock import LOCKS_UNSUPPORTED, lock_file

CACHE_VARIABLE = "EXPNET_SHARD_CACHE"
"""Environment variable: folder of the shard cache; ``expnet/shards`` in the user's cache folder by default."""
CACHE_LIMIT_VARIABLE = "EXPNET_SHARD_CACHE_GB"
"""Environment variable: size limit of the shard cache in gigabytes; unlimited by default."""

LINES_PER_OBJECT = 200


class ObjectFiles(StoreFiles):
    """The files of a store as objects behind a URL.

    Args:
        location: The URL.

    Raises:
        MissingAssetError: If the package for this kind of URL is not installed.
        DataError: If fsspec does not know this kind of URL.
    """

    def __init__(self, location: str) -> None:
        self.location = location.rstrip("/")
        try:
            self._file_system()
        except ImportError as error:
            raise MissingAssetError(f"{location} cannot be opened ({error}); pip install 'expnet[cloud]'") from error
        except ValueError as error:
            raise DataError(
                f"{location} cannot be opened ({error}); give a folder or a URL such as s3://..."
            ) from error

    @override
    def exists(self, name: str = "") -> bool:
        system, root = self._file_system()
        return bool(system.exists(f"{root}/{name}" if name else root))

    @override
    def sizes(self, folder: str) -> dict[str, int]:
        system, root = self._file_system()
        try:
            found = system.ls(f"{root}/{folder}", detail=True)
        except FileNotFoundError:
            return {}
        return {f"{folder}/{entry['name'].rpartition('/')[2]}": entry["size"] for entry in found if entry["size"]}

    def names(self) -> list[str]:
        """Return the names of the files and folders directly at the location."""
        system, root = self._file_system()
        try:
            return [path.rstrip("/").rpartition("/")[2] for path in system.ls(root, detail=False)]
        except FileNotFoundError:
            return []

    @override
    def size(self, name: str) -> int:
        system, root = self._file_system()
        return int(system.size(f"{root}/{name}"))

    @override
    def read(self, names: Sequence[str]) -> list[bytes]:
        system, root = self._file_system()
        # One request for all, so that asynchronous file systems download them concurrently.
        return list(system.cat_ranges([f"{root}/{name}" for name in names], None, None, on_error="raise"))

    @override
    def write(self, name: str, contents: bytes, *, durable: bool = False) -> None:
        system, root = self._file_system()
        path = f"{root}/{name}"
        system.makedirs(path.rpartition("/")[0], exist_ok=True)
        system.pipe_file(path, contents)

    @override
    def remove(self, names: Iterable[str]) -> None:
        system, root = self._file_system()
        paths = [f"{root}/{name}" for name in names]
        if paths:
            system.rm(paths)

    @override
    def remove_folder(self, folder: str = "") -> None:
        system, root = self._file_system()
        path = f"{root}/{folder}".rstrip("/")
        if system.exists(path):
            system.rm(path, recursive=True)

    @override
    def local(self, name: str, info: ShardInfo | None) -> Path:
        if info is None:
            raise DataError(f"the manifest of {self.location} does not list {name}; make the store again")
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{info.sha256}.safetensors"
        with (folder / f".{info.sha256}.lock").open("w") as lock:
            # One process downloads while the others wait. Where there are no locks, each downloads for itself.
            try:
                lock_file(lock.fileno(), wait=True)
            except OSError as error:
                if error.errno not in LOCKS_UNSUPPORTED:
                    raise
            if path.is_file() and path.stat().st_size == info.bytes:
                os.utime(path)  # the least recently used shards are evicted first
            else:
                self._download(name, path, info)
        return path

    @override
    def open_journal(self) -> StoreJournal:
        return ObjectJournal(self)

    def _file_system(self) -> tuple[Any, str]:
        """File system and path, looked up anew each time: a forked process must not use its parent's connections."""
        from fsspec.core import url_to_fs

        system, root = url_to_fs(self.location, use_listings_cache=False)
        return system, root

    def _download(self, name: str, path: Path, info: ShardInfo) -> None:
        """Download a shard into the cache; the caller holds the shard's lock."""
        system, root = self._file_system()
        for partial in path.parent.glob(f".{info.sha256}.*.partial*"):  # left by a killed process
            partial.unlink(missing_ok=True)
        _make_room(path.parent, info.bytes)
        try:
            with atomic_path(path) as partial:
                system.get_file(f"{root}/{name}", str(partial))
                with partial.open("rb") as stream:
                    found = hashlib.file_digest(stream, "sha256").hexdigest()
                if found != info.sha256:
                    raise DataError(
                        f"{self.location}/{name} is damaged (its sha256 differs from the manifest's); "
                        "make the store again"
                    )
        except OSError as error:
            raise DataError(f"{self.location}/{name} cannot be downloaded to {path.parent} ({error})") from error


class ObjectJournal(StoreJournal):
    """Lines in numbered objects; every writer has its own sequence, so that none overwrites another's.

    Args:
        files: The files of the store.
    """

    def __init__(self, files: ObjectFiles) -> None:
        self._files = files
        refuse_foreign_files(files.location, files.names())
        known = sorted(files.sizes(JOURNAL_FOLDER))
        self.entries = [entry for contents in files.read(known) for entry in parse_entries(contents)[0]]
        self._known = set(known)
        # The number of the writer comes first in the name, so sorting by name sorts by time.
        number = 1 + max((int(name.rpartition("/")[2].partition("-")[0]) for name in known), default=0)
        self._names = (
            f"{JOURNAL_FOLDER}/{number:06d}-{secrets.token_hex(4)}-{count:06d}.jsonl" for count in itertools.count()
        )
        self._current: list[str] = []
        self._name = ""

    @override
    def append(self, entry: dict[str, Any], *, durable: bool = False) -> None:
        if len(self._current) % LINES_PER_OBJECT == 0:
            self._current, self._name = [], next(self._names)
            self._known.add(self._name)
        self._current.append(json.dumps(entry) + "\n")
        self._files.write(self._name, "".join(self._current).encode())

    @override
    def check(self) -> None:
        if set(self._files.sizes(JOURNAL_FOLDER)) - self._known:
            raise DataError(
                f"another process is writing {self._files.location}; wait for it or stop it, then run the command "
                "again: the clips of both are kept"
            )

    @override
    def remove(self) -> None:
        self._files.remove_folder(JOURNAL_FOLDER)

    @override
    def close(self) -> None:
        """Do nothing: there is no lock to release."""


def cache_folder() -> Path:
    """Return the folder of the shard cache."""
    given = os.environ.get(CACHE_VARIABLE)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return Path(given).expanduser() if given else cache / "expnet" / "shards"


def _make_room(folder: Path, needed: int) -> None:
    """Evict the least recently used shards if the cache has a limit; processes that have one mapped keep it."""
    limit = os.environ.get(CACHE_LIMIT_VARIABLE)
    if not limit:
        return
    try:
        room = float(limit) * 1e9 - needed
    except ValueError:
        raise DataError(f"{CACHE_LIMIT_VARIABLE} is {limit!r}; give a number of gigabytes") from None
    # Hidden files are downloads in progress.
    cached = (path for path in folder.glob("*.safetensors") if not path.name.startswith("."))
    shards = sorted(((path.stat(), path) for path in cached), key=lambda item: item[0].st_mtime)
    total = sum(status.st_size for status, _ in shards)
    for status, path in shards:
        if total <= room:
            return
        path.unlink(missing_ok=True)
        total -= status.st_size
