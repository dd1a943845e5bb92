"""Does every metric respond as it should? Clips compared with copies that are degraded in known ways.

    python benchmarks/degradations.py CLIPS [key=value ...] --output DIR [--limit N] [--seconds S] [--side PIXELS]
        [--copies NAME ...]

The copies of a folder's clips are encoded at three qualities, have their audio shifted by -4 to +4 frames, a frozen
face, 10 % noise, or half the size. They are scored with ``evaluate.py``, which receives the further key=value
arguments, and the command prints the response of each metric beside the expected one. The exit code is 1 if a rule is
violated.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from expnet.cli import guarded
from expnet.config.benchmark import GROUND_TRUTH
from expnet.evaluation.main import main as evaluate
from expnet.evaluation.report.tables import NONE
from expnet.io.markdown import markdown_table
from shared.degradation_rules import copy_name, rules
from shared.degraded_copies import DEGRADATIONS, make_copies


def tell(results: dict[str, Any]) -> Iterator[str]:
    """The table of all metrics, then one line per rule."""
    systems = results["systems"]

    def value(system: str, metric: str) -> float:
        mean = systems.get(system, {"metrics": {}})["metrics"].get(metric, {}).get("mean")
        return math.nan if mean is None else float(mean)

    rows = []
    for metric in results["metrics"]:
        cells = (value(system, metric) for system in systems)
        rows.append([metric, *(NONE if math.isnan(cell) else f"{cell:.4g}" for cell in cells)])
    yield markdown_table(["metric", *map(copy_name, systems)], rows, align="lr")
    yield ""
    for rule in rules(systems):
        holds, own, other = rule.check(value)
        yield f"{_verdict(holds):10s} {rule}" + ("" if holds is None else f"   ({own:.4g}, {other:.4g})")


def broken(results: dict[str, Any]) -> int:
    """Number of violated rules."""
    return sum(line.startswith(_verdict(False)) for line in tell(results))


def _verdict(holds: bool | None) -> str:
    return {True: "ok", False: "BROKEN", None: "not scored"}[holds]


def main(argv: Sequence[str] | None = None) -> int:
    """Make the copies, score them, and print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, help="Folder of videos of talking faces with audio.")
    parser.add_argument("--output", type=Path, required=True, help="Folder for the copies and the report.")
    parser.add_argument("--limit", type=int, default=0, help="Number of clips, evenly spaced; 0 for all.")
    parser.add_argument("--seconds", type=float, default=6.0, help="Seconds of each clip (default: %(default)s).")
    parser.add_argument("--side", type=int, default=256, help="Longest side in pixels (default: %(default)s).")
    parser.add_argument(
        "--copies", nargs="+", choices=tuple(DEGRADATIONS), default=tuple(DEGRADATIONS), help="Copies; all by default."
    )
    parser.add_argument("overrides", nargs="*", help="key=value arguments of evaluate.py.")
    arguments = parser.parse_intermixed_args(argv)
    copies = arguments.output / "videos"
    size = {"limit": arguments.limit, "seconds": arguments.seconds, "side": arguments.side}
    make_copies(arguments.clips, copies, made=arguments.copies, **size)
    report = arguments.output / "report"
    evaluate(
        [
            f"reference={copies / GROUND_TRUTH}",
            *(f"systems.{name}={copies / name}" for name in arguments.copies),
            f"output={report}",
            "title=Clips against degraded copies of themselves",
            *arguments.overrides,
        ]
    )
    results = json.loads((report / "results.json").read_text(encoding="utf-8"))
    for line in tell(results):
        print(line)
    return 1 if broken(results) else 0


if __name__ == "__main__":
    sys.exit(guarded(main))
