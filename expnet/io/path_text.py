"""Paths as text that any file and any screen can hold, although names on Linux need not be UTF-8."""

from __future__ import annotations

import os
import re
from pathlib import Path


def path_text(path: str | os.PathLike[str]) -> str:
    """Return a path, or a text with paths in it, as valid Unicode: bytes that are not UTF-8 become ``%E9``."""
    # Python reads such a byte as a lone surrogate, U+DC80 to U+DCFF.
    return re.sub("[\\udc80-\\udcff]", lambda found: f"%{ord(found[0]) - 0xDC00:02X}", os.fspath(path))


def text_path(text: str) -> Path:
    """Return the path that became a text; an existing file of exactly this name comes first."""
    path = Path(text)
    if os.path.lexists(path):
        return path
    return Path(re.sub("%([89A-F][0-9A-F])", lambda found: chr(0xDC00 + int(found[1], 16)), text))
