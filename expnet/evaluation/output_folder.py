"""What both evaluations share: the folder they write to, versions, and how a bad clip is told from a bad program."""

import os
from pathlib import Path

from expnet.errors import ExpnetError, InputError

CLIP_FAULTS = (ExpnetError, ArithmeticError, LookupError, OSError, RuntimeError, ValueError)
"""What one bad clip may raise; anything else is a fault of this program and stops it."""


def prepare_output(name: str) -> Path:
    """Make the output folder before anything is computed.

    Raises:
        InputError: it cannot be made or written to.
    """
    output = Path(name).expanduser()
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"The results cannot be written to {output}: {error.strerror}; give another output=DIR."
        ) from error
    if not os.access(output, os.W_OK):
        raise InputError(f"The results cannot be written to {output}: it is read-only; give another output=DIR.")
    return output


def one_line(error: Exception) -> str:
    """An error as one line, with its type where its words alone would not do."""
    text = " ".join(str(error).split())
    return text if isinstance(error, ExpnetError) else f"{type(error).__name__}: {text}"
