"""Writes a page of the API reference for every public package of expnet, from its docstrings, when a build starts.

The pages lie in docs/reference/api, which git ignores: a new module is documented without an entry anywhere.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

PACKAGES = {
    "animate": "Animating portraits",
    "metrics": "Metrics",
    "callbacks": "Callbacks",
    "training": "Training",
    "evaluation": "Evaluation",
    "models": "Networks",
    "data": "Data",
    "render": "Rendering",
    "face": "Faces",
    "audio": "Audio",
    "media": "Video files",
    "formats": "Formats of other programs",
    "export": "Exporting networks",
    "assets": "Weight files",
    "config": "Configuration",
    "io": "Files",
}
"""The public packages and the titles of their pages, in the order of the table of contents."""
SINGLE_MODULES = ("expnet.coefficients", "expnet.errors")


def module_names(package: str) -> list[str]:
    """Return the package and all modules and packages below it, by name."""
    module = importlib.import_module(package)
    below = pkgutil.walk_packages(module.__path__, f"{package}.")
    return [package, *sorted(item.name for item in below)]


def page(title: str, names: list[str]) -> str:
    """Return a page in reStructuredText with a section for each module."""
    lines = [title, "=" * len(title), ""]
    for name in names:
        is_package = hasattr(importlib.import_module(name), "__path__")
        # A package's names are documented where they are defined.
        members = "   :no-members:" if is_package else "   :members:"
        lines += [name, "-" * len(name), "", f".. automodule:: {name}", members, "   :show-inheritance:", ""]
    return "\n".join(lines)


def _write(app: Sphinx) -> None:
    folder = Path(app.srcdir) / "reference" / "api"
    folder.mkdir(parents=True, exist_ok=True)
    pages = {name: page(title, module_names(f"expnet.{name}")) for name, title in PACKAGES.items()}
    pages["core"] = page("Coefficients and errors", list(SINGLE_MODULES))
    contents = ["The Python API", "==============", "", ".. toctree::", ""]
    contents += [f"   {name}" for name in ("core", *PACKAGES)]
    pages["index"] = "\n".join([*contents, ""])
    for name, text in pages.items():
        path = folder / f"{name}.rst"
        if not path.exists() or path.read_text() != text:  # an unchanged page is not read again
            path.write_text(text)
    for path in folder.glob("*.rst"):
        if path.stem not in pages:
            path.unlink()


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.connect("builder-inited", _write)
    return {"parallel_read_safe": True, "version": "1"}
