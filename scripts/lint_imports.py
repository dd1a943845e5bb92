"""Check the import rules of setup.cfg, section importlinter.

Usage: python scripts/lint_imports.py [ROOT]

The linter reads packages from folders, but metrics/, callbacks/ and configs/ lie beside expnet/ in a checkout. The tree
is therefore first copied to the layout of the wheel.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from pathlib import Path

from importlinter.cli import lint_imports


def main(root: Path) -> int:
    """Lint the checkout at ``root`` and return the exit code of import-linter."""
    with tempfile.TemporaryDirectory() as temporary:
        package = Path(temporary) / "expnet"
        skip = shutil.ignore_patterns("__pycache__")
        shutil.copytree(root / "expnet", package, ignore=skip)
        for name in ("metrics", "callbacks", "configs"):
            shutil.copytree(root / name, package / name, ignore=skip)
        with contextlib.chdir(temporary):  # the linter looks for packages in the current folder first
            return lint_imports(config_filename=str(root.resolve() / "setup.cfg"), no_cache=True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parents[1])))
