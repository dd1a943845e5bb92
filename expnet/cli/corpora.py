"""``expnet corpora``: the published test lists, their names, and lists of pairs for cross-driven clips."""

from __future__ import annotations

import argparse

from expnet.cli.arguments import Commands


def add_corpora_command(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add ``expnet corpora`` with its actions."""
    text = "test lists that others scored, and pairs of clips for cross-driven videos"
    parser = commands.add_parser("corpora", help=text, description=text)
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|show|pairs")
    listed = actions.add_parser("list", help="corpora with a reader, and published test lists with their sources")
    listed.set_defaults(run=run_list)
    show = actions.add_parser("show", help="print the names of a test list, one a line")
    show.add_argument("name", metavar="FILE", help="a list as others publish theirs: .json, .csv, or one name a line")
    show.set_defaults(run=run_show)
    pairs = actions.add_parser("pairs", help="draw which clip is driven by whose audio, as csv for pairs=FILE")
    pairs.add_argument("folder", metavar="DIR", help="folder of videos")
    pairs.add_argument("--output", required=True, metavar="FILE", help="csv file to write")
    pairs.add_argument("--seed", type=int, default=0, help="seed of the permutation (default: %(default)s)")
    pairs.set_defaults(run=run_pairs)


def run_list(_: argparse.Namespace) -> None:
    """Print the corpora and the test lists."""
    from expnet.config.parts import part_names
    from expnet.data.corpora.test_lists import TEST_LISTS

    print(f"Layouts that expnet preprocess --corpus reads: {', '.join(part_names('corpora'))}.")
    print("Published test lists, none of which is in the package; clips=FILE scores the clips that one names.")
    for entry in TEST_LISTS.values():
        count = f"{entry.clips} clips" if entry.clips else "number of clips not stated"
        print(f"\n{entry.name}\n  corpus    {entry.corpus}, {count}")
        print(f"  used by   {entry.used_by}\n  source    {entry.source}")
        if entry.note:
            print(f"  note      {entry.note}")


def run_show(arguments: argparse.Namespace) -> None:
    """Print the names of a list."""
    from expnet.data.corpora.test_lists import read_test_list

    print("\n".join(read_test_list(arguments.name)))


def run_pairs(arguments: argparse.Namespace) -> None:
    """Write a list of pairs and print its path."""
    from expnet.evaluation.videos.cross_pairs import write_pairs

    print(write_pairs(arguments.folder, arguments.output, seed=arguments.seed))
