"""What ``expnet doctor`` finds: one line a thing that was looked at."""

import re
from dataclasses import dataclass
from importlib import import_module, metadata, util


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        name: what was looked at.
        status: what was found.
        mend: what to do when something is missing; empty when all is well.
        optional: a missing optional thing does not make the environment unhealthy.
    """

    name: str
    status: str
    mend: str = ""
    optional: bool = False

    def line(self) -> str:
        """The finding as one line of text."""
        mark = "ok" if not self.mend else "optional" if self.optional else "missing"
        return f"  {mark:9s}{self.name:20s}{self.status}" + (f"  ->  {self.mend}" if self.mend else "")


def version_of(package: str) -> str | None:
    """The installed version of a package, None where there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def numbers(version: str) -> tuple[int, ...]:
    """The first three numbers of a version, for comparing: ``2.15.0+cu126`` is (2, 15, 0)."""
    found = [int(number) for number in re.findall(r"\d+", version.partition("+")[0])[:3]]
    return (*found, *[0] * (3 - len(found)))


def import_error(package: str) -> str | None:
    """Why an installed package cannot be imported, in one line; None where it can or is not here."""
    if util.find_spec(package) is None:
        return None
    try:
        import_module(package)
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        return (str(error).splitlines() or [type(error).__name__])[0]
    return None
