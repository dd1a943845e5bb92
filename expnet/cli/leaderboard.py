"""``expnet leaderboard``: a page that grows by result files of one protocol, and by numbers that others published."""

from __future__ import annotations

import argparse
from pathlib import Path

from expnet.cli.arguments import Commands


def add_leaderboard_command(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add ``expnet leaderboard`` with its actions."""
    text = "a page of many systems that grows by result files, and by numbers that others published"
    parser = commands.add_parser("leaderboard", help=text, description=text)
    actions = parser.add_subparsers(dest="action", required=True, metavar="add|import|remove|write")
    add = actions.add_parser("add", help="add result files of the leaderboard's protocol, and write its page")
    add.add_argument("results", nargs="+", metavar="RESULTS", help="results.json files, or the folders they are in")
    add.add_argument("--name", default="", help="name of the result file in the leaderboard (default: its folder's)")
    add.set_defaults(run=run_add)
    published = actions.add_parser("import", help="add numbers that others published, marked as not re-scored")
    published.add_argument("file", metavar="FILE.csv", help="columns system, metric, value, source and, if any, note")
    published.set_defaults(run=run_import)
    removed = actions.add_parser("remove", help="remove a result file or a file of published numbers")
    removed.add_argument("name", metavar="NAME", help="its name, without suffix")
    removed.set_defaults(run=run_remove)
    write = actions.add_parser("write", help="write the page again")
    write.set_defaults(run=run_write)
    for action in (add, published, removed, write):
        action.add_argument("--board", default="leaderboard", metavar="DIR", help="its folder (default: %(default)s)")
        action.add_argument("--title", default="Leaderboard", help="title of its page (default: %(default)s)")


def run_add(arguments: argparse.Namespace) -> None:
    """Add result files."""
    from expnet.errors import InputError
    from expnet.evaluation.leaderboard.board import add_results

    if arguments.name and len(arguments.results) > 1:
        raise InputError("--name names one result file; add several one after the other.")
    for path in arguments.results:
        add_results(Path(arguments.board), path, arguments.name)
    run_write(arguments)


def run_import(arguments: argparse.Namespace) -> None:
    """Add published numbers."""
    from expnet.evaluation.leaderboard.board import import_published

    count = import_published(Path(arguments.board), arguments.file)
    print(f"{count} published number{'' if count == 1 else 's'}")
    run_write(arguments)


def run_remove(arguments: argparse.Namespace) -> None:
    """Remove a file."""
    from expnet.evaluation.leaderboard.board import remove

    remove(Path(arguments.board), arguments.name)
    run_write(arguments)


def run_write(arguments: argparse.Namespace) -> None:
    """Write the page and print its path."""
    from expnet.evaluation.leaderboard.board import read_board
    from expnet.evaluation.leaderboard.page import write_board

    folder = Path(arguments.board)
    print(write_board(read_board(folder), folder, arguments.title))
