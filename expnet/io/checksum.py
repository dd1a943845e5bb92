"""Checksums of files."""

from __future__ import annotations

import hashlib
from pathlib import Path

from expnet.errors import InputError


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal.

    Raises:
        InputError: It cannot be read.
    """
    try:
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
