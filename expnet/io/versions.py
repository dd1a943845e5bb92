"""What produced a file: versions of expnet, Python and packages, and the state of the code."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import expnet

NUMERIC_PACKAGES = ("torch", "torchmetrics", "numpy", "scipy")
"""Packages that the numbers of an evaluation depend on."""


def package_versions(packages: Sequence[str] = NUMERIC_PACKAGES) -> dict[str, str]:
    """Return the versions of expnet, Python and the given packages; an absent package is "not installed"."""
    found = {"expnet": expnet.__version__, "python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def git_state() -> str | None:
    """Return the commit of the checkout that this code runs from, with ``+changes`` where it was edited, or None."""
    root = Path(expnet.__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    try:
        commit, status = (
            subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True).stdout  # noqa: S603, S607
            for arguments in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.strip() + ("+changes" if status.strip() else "")
