"""The walks of docs/guides/architecture.md are chains of imports, and the import order on that page is setup.cfg's."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "guides" / "architecture.md"


def walks() -> list[list[tuple[int, str]]]:
    """Depth and path of every file of the three walks."""
    text = PAGE.read_text().partition("## Three walks")[2]
    blocks = re.findall(r"```text\n(.*?)```", text, flags=re.DOTALL)
    return [
        [(len(line) - len(line.lstrip()), line.split()[0]) for line in block.splitlines() if line.strip()]
        for block in blocks
    ]


def module(path: str) -> str:
    """Dotted name of a file of the package."""
    name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return name if name.startswith("expnet") else f"expnet.{name}"


def broken(walk: list[tuple[int, str]]) -> list[str]:
    """Files that do not exist, or that the file above them does not import."""
    found, above = [], []
    for depth, path in walk:
        above = [(level, parent) for level, parent in above if level < depth]
        if not (ROOT / path).is_file():
            found.append(f"{path} does not exist")
        elif above:
            source = (ROOT / above[-1][1]).read_text()
            package, _, name = module(path).rpartition(".")
            if not (module(path) in source or re.search(rf"from {package} import .*\b{name}\b", source)) and not (
                path.startswith("metrics/") and "from expnet.metrics import" in source
            ):
                found.append(f"{above[-1][1]} does not import {path}")
        above.append((depth, path))
    return found


def test_each_walk_is_a_chain_of_imports() -> None:
    assert len(walks()) == 3
    assert [fault for walk in walks() for fault in broken(walk)] == []


def test_a_planted_step_upwards_is_found() -> None:
    assert broken([(0, "expnet/models/temporal.py"), (2, "expnet/training/main.py")])
    assert broken([(0, "expnet/models/temporal.py"), (2, "expnet/models/gone.py")])


def test_the_import_order_is_that_of_the_import_rules() -> None:
    rules = configparser.ConfigParser(interpolation=None)
    rules.read(ROOT / "setup.cfg")
    layers = rules["importlinter:contract:layers"]["layers"].split("\n")
    text = PAGE.read_text().partition("## Import order")[2]
    (block,) = re.findall(r"```text\n(.*?)```", text.partition("## Three walks")[0], flags=re.DOTALL)
    assert block.split("\n")[:-1] == [layer for layer in layers if layer]
