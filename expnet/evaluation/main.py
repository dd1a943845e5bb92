"""Evaluation: networks on a track store, or anybody's videos, scored into results.json, tables and a page.

    python evaluate.py configs/evaluate.yaml  data.store=STORE expression=RUN pose=RUN output=DIR
    python evaluate.py configs/benchmark.yaml reference=DIR systems.NAME=DIR ... output=DIR

The first runs `expnet.evaluation.store.evaluate_networks`, the second `expnet.evaluation.videos.evaluate_videos`. This
module chooses between them: a configuration that has ``reference`` or ``systems`` is about videos.
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
from expnet.config.parts import allow_named
from expnet.evaluation.store.evaluate_networks import evaluate_networks
from expnet.evaluation.videos.evaluate_videos import evaluate_videos

_VIDEO_KEYS = {"reference", "systems"}
_HELP = """usage: evaluate.py [FILE.yaml ...] [key=value ...] [--print-config]

Score networks beside trivial baselines, on speakers that they were not trained on:
  python evaluate.py configs/evaluate.yaml data.store=STORE expression=RUN pose=RUN output=DIR
Score anybody's videos, in folders whose files are paired by name:
  python evaluate.py configs/benchmark.yaml reference=DIR systems.NAME=DIR [systems.OTHER=DIR ...] output=DIR

"""


@dataclass(frozen=True)
class Evaluation:
    """One of the two evaluations.

    Attributes:
        schema: The schema of its configuration.
        run: Scores and writes the report; returns the path of the page, or None where another process writes it.
    """

    schema: type[Any]
    run: Callable[[Any], Path | None]


NETWORKS = Evaluation(EvaluateConfig, evaluate_networks)
VIDEOS = Evaluation(VideoBenchmarkConfig, evaluate_videos)


def choose_evaluation(layers: Sequence[str]) -> Evaluation:
    """Choose the videos if a file or an override sets ``reference`` or ``systems``, else the networks."""
    return VIDEOS if any(_VIDEO_KEYS & set(map(str, read_layer(layer))) for layer in layers) else NETWORKS


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``evaluate.py`` or ``expnet evaluate``.

    Args:
        argv: Configuration files and key=value overrides; those of the process by default.

    Returns:
        0.

    Raises:
        ExpnetError: Something failed; the caller prints the message.
    """
    arguments = parse_arguments(sys.argv[1:] if argv is None else argv)
    evaluation = choose_evaluation(arguments.layers)
    if arguments.help:
        print(_HELP + describe(evaluation.schema))  # noqa: T201
        return 0
    config = merge(evaluation.schema, arguments.layers)
    if isinstance(config, EvaluateConfig):
        allow_named(config.pictures.renderer)
    if arguments.print_config:
        print(to_yaml(config), end="")  # noqa: T201
        return 0
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    page = evaluation.run(config)
    if page is not None:
        print((page.parent / "table.md").read_text(encoding="utf-8"))  # noqa: T201
        print(page)  # noqa: T201
    return 0
