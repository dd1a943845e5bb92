"""How a clip that cannot be scored is told from a fault of this program and from one of the machine."""

from expnet.errors import ExpnetError
from expnet.io.machine_faults import is_machine_fault, machine_error

CLIP_FAULTS = (ExpnetError, ArithmeticError, LookupError, MemoryError, OSError, RuntimeError, ValueError)
"""What a single bad clip, or the machine, may raise. Any other exception is a fault of this program and stops it."""


def clip_fault(error: Exception) -> str:
    """Return the reason why a clip cannot be scored: one line, with the error's type unless it explains itself.

    Raises:
        MachineError: The machine is at fault (a full disk, too many open files, no memory), so the clip may be scored
            once that is mended, and must not become a row without scores.
    """
    origin: BaseException | None = error
    while origin is not None:  # readers wrap what the operating system said in a sentence about the file
        if is_machine_fault(origin):
            raise machine_error(origin) from error
        origin = origin.__cause__
    text = " ".join(str(error).split())
    return text if isinstance(error, ExpnetError) else f"{type(error).__name__}: {text}"
