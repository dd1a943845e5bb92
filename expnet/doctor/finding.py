"""A line of the report of ``expnet doctor``, and what its checks share."""

import re
from dataclasses import dataclass
from importlib import import_module, metadata, util


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        name: What was checked.
        status: What was found.
        fix: Shell command that fixes the fault, with a comment behind "  # " at most; empty if there is none.
        optional: Whether expnet works without it; such a fault does not make the environment unhealthy.
    """

    name: str
    status: str
    fix: str = ""
    optional: bool = False

    def line(self) -> str:
        """Return the finding as one line of text."""
        mark = "ok" if not self.fix else "optional" if self.optional else "missing"
        return f"  {mark:9s}{self.name:20s}{self.status}" + (f"  ->  {self.fix}" if self.fix else "")


def version_of(package: str) -> str | None:
    """Return the installed version of a package, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def version_numbers(version: str) -> tuple[int, ...]:
    """Return the first three numbers of a version, for comparisons: (2, 15, 0) for ``2.15.0+cu126``."""
    found = [int(number) for number in re.findall(r"\d+", version.partition("+")[0])[:3]]
    return (*found, *[0] * (3 - len(found)))


def import_error(package: str) -> str | None:
    """Return in one line why an installed package cannot be imported; None if it can, or is not installed."""
    if util.find_spec(package) is None:
        return None
    try:
        import_module(package)
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        return (str(error).splitlines() or [type(error).__name__])[0]
    return None
