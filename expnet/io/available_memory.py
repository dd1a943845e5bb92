"""How much memory this process may still take: of the machine, and of its container."""

from __future__ import annotations

from pathlib import Path

_MACHINE = Path("/proc/meminfo")
_CONTAINER = Path("/sys/fs/cgroup")


def available_memory(machine: Path = _MACHINE, container: Path = _CONTAINER) -> int | None:
    """Return the bytes that are free, the smaller of the machine's and the container's; None where neither says.

    Args:
        machine: Linux's table of the machine's memory.
        container: The folder of the control group (version 2) of a container.
    """
    known = [found for found in (_of_machine(machine), _of_container(container)) if found is not None]
    return max(min(known), 0) if known else None


def _of_machine(path: Path) -> int | None:
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError:  # not Linux
        return None
    kilobytes = next((line.split()[1] for line in lines if line.startswith("MemAvailable:")), None)
    return None if kilobytes is None else int(kilobytes) * 1024


def _of_container(folder: Path) -> int | None:
    try:
        limit = (folder / "memory.max").read_text(encoding="ascii").strip()
        used = (folder / "memory.current").read_text(encoding="ascii").strip()
    except OSError:  # in no container, or in one without a limit
        return None
    return None if limit == "max" else int(limit) - int(used)
