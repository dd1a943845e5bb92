"""``expnet compare``: join result files of one protocol into one table."""

from __future__ import annotations

import argparse

from expnet.cli.arguments import Commands, add_command


def add_compare_command(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add ``expnet compare``."""
    parser = add_command(commands, "compare", run_compare, "join several result files of one protocol into one table")
    parser.add_argument("results", nargs="+", metavar="RESULTS", help="results.json files, or the folders they are in")
    parser.add_argument("--output", required=True, metavar="DIR", help="folder for the table and its page")


def run_compare(arguments: argparse.Namespace) -> None:
    """Write the table, and print its path."""
    from expnet.evaluation.report.compare import compare

    print(compare(arguments.results, arguments.output))
