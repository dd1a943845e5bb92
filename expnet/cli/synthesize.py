"""``expnet synthesize``: make the built-in corpus of synthetic speech and faces."""

from __future__ import annotations

import argparse

from expnet.cli.arguments import Commands, add_command, positive


def add_synthesize_command(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add ``expnet synthesize``."""
    parser = add_command(
        commands,
        "synthesize",
        run_synthesize,
        "make the built-in corpus: synthetic speech, with faces and head motion by rule",
    )
    parser.add_argument("--output", required=True, metavar="STORE", help="the track store to write")
    parser.add_argument("--clips", type=positive, required=True, metavar="N", help="number of clips")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same store (default: 0)")
    parser.add_argument("--languages", default="en,de,fr,es,it,ru", help="comma-separated (default: %(default)s)")
    parser.add_argument(
        "--speakers", type=positive, metavar="N", help="number of speakers (default: depends on the number of clips)"
    )
    parser.add_argument("--workers", type=positive, default=1, metavar="N", help="processes (default: 1)")


def run_synthesize(arguments: argparse.Namespace) -> None:
    """Make the corpus."""
    from expnet.data.synthetic.corpus import synthesize

    synthesize(
        arguments.output,
        clips=arguments.clips,
        seed=arguments.seed,
        languages=tuple(arguments.languages.split(",")),
        speakers=arguments.speakers,
        workers=arguments.workers,
    )
    print(arguments.output)
