"""The output folder of an evaluation."""

import os
from pathlib import Path

from expnet.errors import InputError
from expnet.io.machine_faults import is_machine_fault, machine_error


def prepare_output(name: str) -> Path:
    """Make the output folder, before anything is computed.

    Raises:
        InputError: The folder cannot be made or written to.
        MachineError: The disk is full.
    """
    output = Path(name).expanduser()
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if is_machine_fault(error):
            raise machine_error(error) from error
        raise InputError(
            f"The results cannot be written to {output}: {error.strerror}; give another output=DIR."
        ) from error
    if not os.access(output, os.W_OK):
        raise InputError(f"The results cannot be written to {output}: it is read-only; give another output=DIR.")
    return output
