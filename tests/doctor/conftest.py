"""Every mend that a test of the doctor meets is tried: the command exists, with these options and names."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable
from functools import cache

import pytest
from packaging.requirements import Requirement

from expnet.assets.registry import members
from expnet.cli import command_line
from expnet.doctor.finding import Finding

_ADVICE = ("update the NVIDIA driver",)
"""Mends that are no commands."""


@cache
def pip_options(action: str) -> str:
    """Return what pip says on an action."""
    command = [sys.executable, "-m", "pip", action, "--help"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _pip(action: str, *words: str) -> None:
    for word in words:
        if word.startswith("-"):
            assert f"{word} " in pip_options(action)
        else:
            Requirement(word)


def _expnet(*words: str) -> None:
    parsed = command_line._parser().parse_args(words)
    for name in getattr(parsed, "names", []):
        assert members(name)


def try_mend(mend: str) -> None:
    """Check that each command of a mend exists, and takes its options and arguments.

    Raises:
        AssertionError, SystemExit, ExpnetError: It does not.
    """
    if not mend or mend in _ADVICE:
        return
    for command in mend.partition("  # ")[0].split(" && "):
        program, *words = shlex.split(command)
        if program == "export":
            assert words == ["NUMBA_CACHE_DIR=$HOME/.cache/numba"]
        else:
            assert program in ("pip", "expnet", "rm"), mend
            {"pip": _pip, "expnet": _expnet, "rm": lambda *_: None}[program](*words)


@pytest.fixture(name="try_mend")
def _try_mend() -> Callable[[str], None]:
    return try_mend


@pytest.fixture(autouse=True)
def every_mend_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try the mend of each line that the doctor prints."""
    line = Finding.line

    def tried(finding: Finding) -> str:
        try_mend(finding.fix)
        return line(finding)

    monkeypatch.setattr(Finding, "line", tried)
