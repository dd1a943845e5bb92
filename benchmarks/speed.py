"""How fast everything is, beside what it has to be compared with, in one run.

    python benchmarks/speed.py [--clips FOLDER] [--rows NAME ...] [--quick] [--output DIR]

Prints a table as it comes, and writes DIR/speed.json and DIR/table.md. Both sides of a row are timed in turn; its ratio
is the median of the pairs, with the least and the most. Ratios are of processor time where one thread works, which
neighbours on the machine do not count into, and of wall time where several do or something is waited for. Networks run
on a GPU where one is at hand. Without --clips, videos are made by the package itself.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import torch

from expnet.io.atomic import write_atomically
from speed_rows.measure import Row
from speed_rows.setting import Setting


@dataclass(frozen=True)
class Part:
    """Rows that are measured together: the function of a module of ``speed_rows``, imported when it is wanted."""

    module: str
    function: str

    def __call__(self, setting: Setting) -> Iterable[Row]:
        """Measure them."""
        measure: Callable[[Setting], Iterable[Row]] = getattr(import_module(f"speed_rows.{self.module}"), self.function)
        return measure(setting)


PARTS = {
    "speech": Part("speech", "speech"),
    "hour": Part("speech", "hour"),
    "training": Part("training", "training"),
    "precision": Part("training", "precision"),
    "loading": Part("loading", "loading"),
    "store": Part("loading", "store"),
    "preprocess": Part("preprocessing", "preprocessing"),
    "render": Part("rendering", "rendering"),
    "animate": Part("commands", "animate"),
    "syncnet": Part("syncing", "syncing"),
    "pictures": Part("image_metrics", "image_metrics"),
    "evaluate": Part("evaluating", "evaluating"),
    "processes": Part("processes", "processes"),
    "startup": Part("commands", "startup"),
}
"""By the names that ``--rows`` takes."""
ON_GPU = ("precision",)
"""Parts that say something on a GPU, and run elsewhere only when they are named."""


HEADER = (
    "| what | against | ours | theirs | ratio | least ... most | other clock | aim | met |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)


def line(row: Row) -> str:
    """A row as a line of Markdown."""
    other = "" if row.other is None else f"{row.other.median:.3g}"
    bound = f"{'at most' if row.at_most else 'at least'} {row.aim:.3g}"
    cells = (
        row.what,
        row.against,
        f"{row.ours:.3g} {row.unit}",
        f"{row.theirs:.3g} {row.unit}",
        f"{row.ratio.median:.3g} ({row.clock})",
        f"{row.ratio.least:.3g} ... {row.ratio.most:.3g}",
        other,
        bound,
        "yes" if row.met else "**no**",
    )
    return f"| {' | '.join(cells)} |"


def write(rows: list[Row], output: Path) -> None:
    """Write speed.json and table.md, each whole or not at all."""
    output.mkdir(parents=True, exist_ok=True)
    about = {"torch": torch.__version__, "machine": platform.machine(), "cuda": torch.cuda.is_available()}
    content = {"about": about, "rows": [row.plain() for row in rows]}
    write_atomically(output / "speed.json", json.dumps(content, indent=1) + "\n")
    notes = [f"- {row.what}: {row.note}" for row in rows if row.note]
    write_atomically(output / "table.md", "\n".join([HEADER, *map(line, rows), "", *notes]) + "\n")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, help="folder of real videos (default: made by the package)")
    usual = [name for name in PARTS if name not in ON_GPU or torch.cuda.is_available()]
    parser.add_argument("--rows", nargs="+", choices=PARTS, default=usual, metavar="NAME", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="less of everything: to see that it runs")
    parser.add_argument("--output", type=Path, metavar="DIR", help="where speed.json and table.md go")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[Row] = []
    print(HEADER, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        setting = Setting(Path(folder), arguments.clips, arguments.quick)
        for name in arguments.rows:
            for row in PARTS[name](setting):
                rows.append(row)
                print(line(row), flush=True)
                if arguments.output:
                    write(rows, arguments.output)
    for row in rows:
        if row.note:
            print(f"- {row.what}: {row.note}")


if __name__ == "__main__":
    main()
