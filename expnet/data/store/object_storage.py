"""A track store behind a URL: ``s3://``, ``gs://``, or whatever else fsspec opens.

Nothing is asked of the place but that an object is there whole or not at all: it needs no locks, no renames and no
appending. (A bucket that is mounted as a folder is such a place, too: give it as ``local:///mnt/bucket/tracks``.)
The journal is a row of objects, a new one after every :data:`LINES_PER_OBJECT` lines. Shards are read from a cache on
this machine, where each is fetched once for all processes, and stays: its name is its sum.
"""

import fcntl
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
    refuse_strangers,
)
from expnet.errors import DataError, MissingAssetError

CACHE_VARIABLE = "EXPNET_SHARD_CACHE"
"""Environment variable: folder of the cached shards; by default ``expnet/shards`` in the user's cache."""
CACHE_LIMIT_VARIABLE = "EXPNET_SHARD_CACHE_GB"
"""Environment variable: gigabytes that the cache may take; by default as many as there are."""

LINES_PER_OBJECT = 200


class ObjectFiles(StoreFiles):
    """Objects behind a URL.

    Args:
        location: The URL.

    Raises:
        MissingAssetError: If the package that knows such URLs is not installed.
        DataError: If nobody knows such URLs.
    """

    def __init__(self, location: str) -> None:
        self.location = location.rstrip("/")
        try:
            self._place()
        except ImportError as error:
            raise MissingAssetError(f"{location} cannot be opened ({error}); pip install 'expnet[cloud]'") from error
        except ValueError as error:
            raise DataError(
                f"{location} cannot be opened ({error}); give a folder or a URL such as s3://..."
            ) from error

    @override
    def exists(self, name: str = "") -> bool:
        system, root = self._place()
        return bool(system.exists(f"{root}/{name}" if name else root))

    @override
    def sizes(self, folder: str) -> dict[str, int]:
        system, root = self._place()
        try:
            found = system.ls(f"{root}/{folder}", detail=True)
        except FileNotFoundError:
            return {}
        return {f"{folder}/{entry['name'].rpartition('/')[2]}": entry["size"] for entry in found if entry["size"]}

    def names(self) -> list[str]:
        """Names of all files and folders right at the place."""
        system, root = self._place()
        try:
            return [path.rstrip("/").rpartition("/")[2] for path in system.ls(root, detail=False)]
        except FileNotFoundError:
            return []

    @override
    def size(self, name: str) -> int:
        system, root = self._place()
        return int(system.size(f"{root}/{name}"))

    @override
    def read(self, names: Sequence[str]) -> list[bytes]:
        system, root = self._place()
        # All at once, where the file system can.
        return list(system.cat_ranges([f"{root}/{name}" for name in names], None, None, on_error="raise"))

    @override
    def write(self, name: str, contents: bytes, *, durable: bool = False) -> None:
        system, root = self._place()
        path = f"{root}/{name}"
        system.makedirs(path.rpartition("/")[0], exist_ok=True)
        system.pipe_file(path, contents)

    @override
    def remove(self, names: Iterable[str]) -> None:
        system, root = self._place()
        paths = [f"{root}/{name}" for name in names]
        if paths:
            system.rm(paths)

    @override
    def remove_folder(self, folder: str = "") -> None:
        system, root = self._place()
        path = f"{root}/{folder}".rstrip("/")
        if system.exists(path):
            system.rm(path, recursive=True)

    @override
    def local(self, name: str, info: ShardInfo | None) -> Path:
        if info is None:
            raise DataError(f"the manifest of {self.location} says nothing about {name}; make the store again")
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{info.sha256}.safetensors"
        with (folder / f".{info.sha256}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # one process fetches, the others wait for it
            if path.is_file() and path.stat().st_size == info.bytes:
                os.utime(path)  # the ones used last stay longest
            else:
                self._fetch(name, path, info)
        return path

    @override
    def open_journal(self) -> StoreJournal:
        return ObjectJournal(self)

    def _place(self) -> tuple[Any, str]:
        """File system and path; asked for each time, as a forked process must not use its parent's connections."""
        from fsspec.core import url_to_fs

        system, root = url_to_fs(self.location, use_listings_cache=False)
        return system, root

    def _fetch(self, name: str, path: Path, info: ShardInfo) -> None:
        system, root = self._place()
        _make_room(path.parent, info.bytes)
        partial = path.with_suffix(".part")
        try:
            system.get_file(f"{root}/{name}", str(partial))
            with partial.open("rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise DataError(f"{self.location}/{name} cannot be fetched to {path.parent} ({error})") from error
        if found != info.sha256:
            partial.unlink()
            raise DataError(f"{self.location}/{name} is damaged (its sha256 is not the manifest's); make it again")
        os.replace(partial, path)


class ObjectJournal(StoreJournal):
    """Lines in numbered objects; each writer has a row of its own, so that none can overwrite another's.

    Args:
        files: The store.
    """

    def __init__(self, files: ObjectFiles) -> None:
        self._files = files
        refuse_strangers(files.location, files.names())
        known = sorted(files.sizes(JOURNAL_FOLDER))
        self.entries = [entry for contents in files.read(known) for entry in parse_entries(contents)[0]]
        self._known = set(known)
        # Sorted by name is sorted by time: the number of the writer comes first.
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
                f"another process is writing {self._files.location}; "
                "wait for it or stop it, then run the command again: what both have made is kept"
            )

    @override
    def remove(self) -> None:
        self._files.remove_folder(JOURNAL_FOLDER)

    @override
    def close(self) -> None:
        """There is nothing to let go of."""


def cache_folder() -> Path:
    """Folder of the shards that were fetched."""
    given = os.environ.get(CACHE_VARIABLE)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return Path(given).expanduser() if given else cache / "expnet" / "shards"


def _make_room(folder: Path, needed: int) -> None:
    """Remove the shards used longest ago where the cache has a limit; who has one mapped keeps it."""
    limit = os.environ.get(CACHE_LIMIT_VARIABLE)
    if not limit:
        return
    try:
        room = float(limit) * 1e9 - needed
    except ValueError:
        raise DataError(f"{CACHE_LIMIT_VARIABLE} is {limit!r}; give a number of gigabytes") from None
    shards = sorted(((path.stat(), path) for path in folder.glob("*.safetensors")), key=lambda item: item[0].st_mtime)
    total = sum(status.st_size for status, _ in shards)
    for status, path in shards:
        if total <= room:
            return
        path.unlink(missing_ok=True)
        total -= status.st_size
