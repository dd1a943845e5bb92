"""``expnet train``, ``sweep``, ``evaluate`` and ``ablate``, which parse files and overrides themselves."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from expnet.cli.arguments import Commands

_HELP = {
    "train": "train a network",
    "evaluate": "score models or videos",
    "sweep": "train a network with different options, chosen by a grid or by Optuna, and compare the runs",
    "ablate": "train variants over several seeds and compare them",
}
CONFIGURED = tuple(_HELP)
"""Commands that get their arguments unparsed."""


def add_configured_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """List the commands for ``expnet --help``."""
    for name, text in _HELP.items():
        commands.add_parser(name, help=text, add_help=False)


def run_configured(command: str, arguments: Sequence[str]) -> int | None:
    """Run one of the commands with its configuration files and overrides."""
    if command == "train":
        from expnet.training.main import main as run
    elif command == "ablate":
        from expnet.training.ablate import main as run
    elif command == "sweep":
        from expnet.training.sweep.main import main as run
    else:
        from expnet.evaluation.main import main as run
    return run(list(arguments))
