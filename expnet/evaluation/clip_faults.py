"""How a clip that cannot be scored is told from a fault of this program."""

from expnet.errors import ExpnetError

CLIP_FAULTS = (ExpnetError, ArithmeticError, LookupError, OSError, RuntimeError, ValueError)
"""What a single bad clip may raise. Any other exception is a fault of this program and stops it."""


def one_line(error: Exception) -> str:
    """Write an error as one line, with its type unless the message explains itself."""
    text = " ".join(str(error).split())
    return text if isinstance(error, ExpnetError) else f"{type(error).__name__}: {text}"
