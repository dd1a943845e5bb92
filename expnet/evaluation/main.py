"""Evaluation: networks on a track store, or anybody's videos, scored into results.json, tables and a page.

    python evaluate.py configs/evaluate.yaml  data.store=STORE expression=RUN pose=RUN output=DIR
    python evaluate.py configs/benchmark.yaml reference=DIR systems.NAME=DIR ... output=DIR

The first is ``expnet.evaluation.store.evaluate``, the second ``expnet.evaluation.videos``; this file only tells them
apart.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expnet.config.benchmark import VideoBenchmarkConfig
from expnet.config.evaluate import EvaluateConfig
from expnet.config.grammar import describe, merge, parse_arguments, read_layer, to_yaml
from expnet.evaluation.store.evaluate import evaluate
from expnet.evaluation.videos.evaluate import evaluate_videos

_VIDEO_KEYS = {"reference", "systems"}
_HELP = """usage: evaluate.py [FILE.yaml ...] [key=value ...] [--print-config]

Score networks beside the trivial baselines, on speakers that they did not train on:
  python evaluate.py configs/evaluate.yaml data.store=STORE expression=RUN pose=RUN output=DIR
Score anybody's videos, folders paired by the names of the files:
  python evaluate.py configs/benchmark.yaml reference=DIR systems.NAME=DIR [systems.OTHER=DIR ...] output=DIR

"""


@dataclass(frozen=True)
class Mode:
    """One of the two evaluations.

    Attributes:
        schema: its configuration.
        run: scores and writes; returns the page, or None where another process writes it.
    """

    schema: type[Any]
    run: Callable[[Any], Path | None]


NETWORKS = Mode(EvaluateConfig, evaluate)
VIDEOS = Mode(VideoBenchmarkConfig, evaluate_videos)


def choose_mode(layers: Sequence[str]) -> Mode:
    """Videos where a file or an override says ``reference`` or ``systems``, else networks."""
    return VIDEOS if any(_VIDEO_KEYS & set(map(str, read_layer(layer))) for layer in layers) else NETWORKS


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of ``evaluate.py`` and ``expnet evaluate``.

    Args:
        argv: configuration files and key=value overrides; those of the process by default.

    Returns:
        0; errors are raised as ExpnetError, for the caller to print.
    """
    arguments = parse_arguments(sys.argv[1:] if argv is None else argv)
    mode = choose_mode(arguments.layers)
    if arguments.help:
        print(_HELP + describe(mode.schema))  # noqa: T201
        return 0
    config = merge(mode.schema, arguments.layers)
    if arguments.print_config:
        print(to_yaml(config), end="")  # noqa: T201
        return 0
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    page = mode.run(config)
    if page is not None:
        print((page.parent / "table.md").read_text(encoding="utf-8"))  # noqa: T201
        print(page)  # noqa: T201
    return 0
