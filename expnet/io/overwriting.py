"""Refusing, before any work is done, to write an output over one of its own inputs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from expnet.errors import InputError


def refuse_overwriting(output: str | os.PathLike[str], inputs: Iterable[object]) -> None:
    """Raise an error if an output is one of the inputs.

    Args:
        output: File or folder to write. It need not exist.
        inputs: What the output is made from. Only paths count, so optional inputs, arrays and the names of built-in
            choices can be passed as they are.

    Raises:
        InputError: The output and an input are the same file or folder.
    """
    for one in inputs:
        if isinstance(one, (str, os.PathLike)) and is_same_file(output, one):
            raise InputError(
                f"{Path(output)} is also the input {Path(one)}, which would be replaced; give another output."
            )


def is_same_file(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Return whether two paths lead to one existing file or folder.

    The file system decides, so links, ``..`` and, where they do not matter, upper and lower case are seen through.
    """
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):  # one of them does not exist or is not a path of this machine: nothing is replaced
        return False
