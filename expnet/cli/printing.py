"""Printing file names on terminals and in pipes of any encoding."""

from __future__ import annotations

import codecs
import io
from typing import TextIO

_ANY_NAME = "expnet.any_name"


def print_any_name(stream: TextIO | None) -> None:
    r"""Let a stream print any file name, where its encoding would raise an error after the work was done.

    Bytes of a name that are not text are written as they are, so that scripts find the file; characters that the
    encoding lacks as ``\xe9``. A stream for which the user chose to replace or ignore them stays as it is.
    """
    if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
        stream.reconfigure(errors=_ANY_NAME)


def _write_bytes_or_escapes(error: UnicodeError) -> tuple[str | bytes, int]:
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeError:
        return codecs.lookup_error("backslashreplace")(error)


codecs.register_error(_ANY_NAME, _write_bytes_or_escapes)
