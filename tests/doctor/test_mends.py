"""What the doctor recommends exists: its commands, and its packages on every Python that expnet runs on."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import expnet.doctor
from expnet.errors import ExpnetError

PYTHONS = ("3.11", "3.12", "3.13", "3.14")


@pytest.mark.parametrize(
    "mend",
    [
        "pip install --no-such-option numpy",
        "pip install numpy and scipy?",
        "expnet assets fetch",
        "expnet assets fetch no-such-file",
        "expnet animate --no-such-option",
        "do something",
    ],
)
def test_what_does_not_exist_is_noticed(try_mend: Callable[[str], None], mend: str) -> None:
    with pytest.raises((AssertionError, SystemExit, ExpnetError, ValueError)):
        try_mend(mend)


def recommended() -> set[str]:
    """Return the requirements that the doctor's source names after ``pip install``."""
    texts = [
        node.value
        for path in Path(expnet.doctor.__file__).parent.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    installs = [match for text in texts for match in re.findall(r"pip install ([^&#]+)", text)]
    words = {word.strip("'") for install in installs for word in install.split()}
    return {word for word in words if not word.startswith("-") and not word.startswith("expnet")}


@pytest.mark.parametrize("python", PYTHONS)
def test_every_recommended_package_has_a_release_for_this_python(python: str, tmp_path: Path) -> None:
    wanted = recommended()
    assert {"ai-edge-litert", "numpy>=2", "torch", "torchvision", "av"} <= wanted
    listed = tmp_path / "wanted.in"
    listed.write_text("\n".join(sorted(wanted)))
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-deps", "--no-header", "--no-build"]
    done = subprocess.run(
        [*command, "--python-version", python, "--no-python-downloads", str(listed)],
        capture_output=True,
        text=True,
        check=False,
    )
    if "No module named uv" in done.stderr or "error sending request" in done.stderr:
        pytest.skip("the registry cannot be asked")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) >= len(wanted)
