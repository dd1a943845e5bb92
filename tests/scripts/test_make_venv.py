"""scripts/make_venv.sh: which Python `make install` takes, and what it says where there is none."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OLD = "#!/bin/sh\nexit 1\n"  # a Python that does not fit: it fails the question for its version


def python(folder: Path, minor: int) -> str:
    """Return a stand-in for Python 3.minor, whose environments hold itself and a uv."""
    script = folder / f"stand-in-3.{minor}"
    script.write_text(
        f"""#!/bin/sh
case "$*" in
  *'sys.exit(not'*) [ {minor} -ge 11 ] && [ {minor} -le 14 ] ;;
  *'print(sys.version_info'*) echo {minor} ;;
  "-m venv --clear "*) mkdir -p "$4/bin" && cp "{script}" "$4/bin/python" && cp "{script}" "$4/bin/uv" ;;
  *) exit 1 ;;
esac
"""
    )
    script.chmod(0o755)
    return str(script)


def make_venv(tmp_path: Path, path: dict[str, str], **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the script where the PATH has nothing but a shell's tools and the given Pythons."""
    folder = tmp_path / "path"
    folder.mkdir(exist_ok=True)
    for tool in ("sh", "mkdir", "cp", "touch", "chmod", "rm", "mktemp"):
        if not (folder / tool).exists():
            (folder / tool).symlink_to(str(shutil.which(tool)))
    for name, target in path.items():
        (folder / name).symlink_to(target)
    command = [str(folder / "sh"), str(ROOT / "scripts" / "make_venv.sh"), str(tmp_path / "env")]
    environment = {"PATH": str(folder), "TMPDIR": str(tmp_path)} | variables
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def chosen(tmp_path: Path) -> int:
    command = [tmp_path / "env" / "bin" / "python", "-c", "print(sys.version_info[1])"]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize(
    ("path", "minor"),
    [
        ({"python3": 13, "python3.11": 11}, 13),  # the machine's own Python
        ({"python3": 14}, 14),
        ({"python3": 9, "python3.12": 12, "python3.11": 11}, 12),
        ({"python3": 15, "python3.14": 14}, 14),
        ({"python3.14": 14, "python3.13": 13}, 13),
    ],
)
def test_the_first_python_that_fits_is_taken(tmp_path: Path, path: dict[str, int], minor: int) -> None:
    result = make_venv(tmp_path, {name: python(tmp_path, version) for name, version in path.items()})
    assert result.returncode == 0, result.stderr
    assert chosen(tmp_path) == minor


def test_a_named_python_is_taken_or_refused(tmp_path: Path) -> None:
    result = make_venv(tmp_path, {"python3": python(tmp_path, 13)}, PYTHON=python(tmp_path, 11))
    assert result.returncode == 0, result.stderr
    assert chosen(tmp_path) == 11
    result = make_venv(tmp_path, {}, PYTHON=python(tmp_path, 10))
    assert result.returncode == 2
    assert "is no Python 3.11 to 3.14" in result.stderr
    result = make_venv(tmp_path, {}, PYTHON=python(tmp_path, 13))
    assert result.returncode == 2
    assert "has Python 3.11, not the 3.13 of PYTHON=" in result.stderr
    assert "remove" in result.stderr


def test_an_environment_is_kept_and_a_broken_one_made_anew(tmp_path: Path) -> None:
    assert make_venv(tmp_path, {"python3": python(tmp_path, 12)}).returncode == 0
    (tmp_path / "env" / "kept").touch()
    assert make_venv(tmp_path, {"python3.13": python(tmp_path, 13)}).returncode == 0
    assert (tmp_path / "env" / "kept").exists()
    assert chosen(tmp_path) == 12
    (tmp_path / "env" / "bin" / "python").unlink()  # as after an upgrade of the system
    (tmp_path / "path" / "python3").unlink()
    assert make_venv(tmp_path, {}).returncode == 0
    assert chosen(tmp_path) == 13


@pytest.mark.parametrize("uv", [True, False])
def test_without_a_python_uv_is_asked_and_its_failure_says_what_to_do(tmp_path: Path, uv: bool) -> None:
    old = tmp_path / "old"
    old.write_text(OLD)
    old.chmod(0o755)
    path = {"python3": str(old)}
    asked = tmp_path / "asked"
    if uv:
        (tmp_path / "uv").write_text(f'#!/bin/sh\necho "$*" > {asked}\necho "error: no route to host" >&2\nexit 2\n')
        (tmp_path / "uv").chmod(0o755)
        path["uv"] = str(tmp_path / "uv")
    result = make_venv(tmp_path, path)
    assert result.returncode == 2
    assert asked.exists() == uv
    assert not uv or "--managed-python" in asked.read_text()
    assert "none is on the PATH, and uv could not download one" in result.stderr.splitlines()[-1]
    assert "apt install python3" in result.stderr
    assert not list(tmp_path.glob("tmp.*"))


def test_a_python_without_venv_is_named(tmp_path: Path) -> None:
    """Debian's python3 makes environments only with the package python3-venv."""
    script = Path(python(tmp_path, 13))
    script.write_text(script.read_text().replace('"-m venv --clear "*)', '"-m venv --clear "*) exit 1 ;;\n  never)'))
    result = make_venv(tmp_path, {"python3": str(script)})
    assert result.returncode == 2
    assert "apt install python3-venv" in result.stderr
