"""The house: what the wheel holds, and that the import rules really fire."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("expnet", "metrics", "callbacks", "configs", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")


def copy_tree(destination: Path) -> Path:
    """Copy what is packaged, so that nothing is built or broken in the checkout."""
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, destination / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, destination / name)
    return destination


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = copy_tree(tmp_path_factory.mktemp("source"))
    output = tmp_path_factory.mktemp("wheel")
    code = f"from setuptools.build_meta import build_wheel; build_wheel({str(output)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=tree, check=True, capture_output=True)
    return next(output.glob("*.whl"))


def test_the_wheel_has_one_top_level_name(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"expnet"}


def test_the_wheel_holds_every_module_and_asset(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    packed = {
        "expnet": "expnet",
        "metrics": "expnet/metrics",
        "callbacks": "expnet/callbacks",
        "configs": "expnet/configs",
    }
    for folder, target in packed.items():
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".yaml", ".safetensors", ".html", ".css"}:
                assert f"{target}/{path.relative_to(ROOT / folder)}" in names, path


def test_metrics_work_from_the_wheel_in_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})\n"
        "import expnet.metrics, expnet; print(expnet.metrics.__file__)"
    )
    (tmp_path / "empty").mkdir()
    result = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=tmp_path / "empty", check=True, capture_output=True, text=True
    )
    assert result.stdout.strip().startswith(str(tmp_path / "site"))


def lint_imports(tree: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "lint_imports.py"), str(tree)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_import_rules_hold(tmp_path: Path) -> None:
    result = lint_imports(copy_tree(tmp_path))
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("expnet/errors.py", "import expnet.face.camera"),
        ("metrics/__init__.py", "import expnet.errors"),
        ("expnet/animate/inputs.py", "import expnet.data.splits"),
        ("expnet/new_room.py", "# a module outside of every layer"),
    ],
)
def test_import_rules_fire_on_a_planted_violation(tmp_path: Path, module: str, line: str) -> None:
    tree = copy_tree(tmp_path)
    path = tree / module
    path.write_text((path.read_text() if path.exists() else "") + f"\n{line}\n")
    result = lint_imports(tree)
    assert result.returncode == 1, result.stdout
    assert "BROKEN" in result.stdout
