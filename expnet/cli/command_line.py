"""The command line ``expnet COMMAND``; each command is a module of this package.

A command's code is imported when that command runs, so ``expnet --help`` is fast.
Exit codes: 0 done, 1 failed, 2 wrong usage or input; 130, 143 and 129 stopped by Ctrl-C, SIGTERM and SIGHUP.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence

from expnet import __version__
from expnet.cli.animate import add_animate_command
from expnet.cli.assets import add_assets_command
from expnet.cli.compare import add_compare_command
from expnet.cli.configured import CONFIGURED, add_configured_commands, run_configured
from expnet.cli.convert import add_convert_command
from expnet.cli.corpora import add_corpora_command
from expnet.cli.doctor import add_doctor_command
from expnet.cli.export import add_export_command
from expnet.cli.features import add_features_command
from expnet.cli.leaderboard import add_leaderboard_command
from expnet.cli.preprocess import add_preprocess_command
from expnet.cli.printing import print_any_name
from expnet.cli.replay import add_replay_command
from expnet.cli.styles import add_styles_command
from expnet.cli.synchronise import add_synchronise_command
from expnet.cli.synthesize import add_synthesize_command
from expnet.cli.ui import add_ui_command
from expnet.errors import ExpnetError, InputError
from expnet.io.machine_faults import is_machine_fault, machine_error
from expnet.io.stop_signals import StopSignal, unwinding_on_signals

# In the order of expnet --help.
_COMMANDS = (
    add_animate_command,
    add_styles_command,
    add_ui_command,
    add_preprocess_command,
    add_synchronise_command,
    add_synthesize_command,
    add_features_command,
    add_compare_command,
    add_leaderboard_command,
    add_corpora_command,
    add_assets_command,
    add_export_command,
    add_convert_command,
    add_replay_command,
    add_doctor_command,
    add_configured_commands,
)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="expnet",
        description="Audio-driven single-image talking faces: train, benchmark, animate.",
        epilog="expnet train, sweep, evaluate and ablate take configuration files and key=value overrides, as train.py "
        "and evaluate.py do: expnet train configs/expression.yaml data.store=tracks. Add --help for all keys.",
    )
    parser.add_argument("--version", action="version", version=f"expnet {__version__}")
    parser.add_argument("--verbose", action="store_true", help="log the progress of the command")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add_command in _COMMANDS:
        add_command(commands)
    return parser


def guarded(run: Callable[[], int | None]) -> int:
    """Run a command; turn an error of the user or a fault of the machine into one sentence and its exit code."""
    for stream in (sys.stdout, sys.stderr):
        print_any_name(stream)
    try:
        with unwinding_on_signals():
            code = run() or 0
            if sys.stdout is not None:
                sys.stdout.flush()  # here, where a full disk becomes a sentence, and not at the interpreter's end
            return code
    except ExpnetError as error:
        return _failed(error)
    except PermissionError as error:
        if error.filename is None:
            raise
        return _failed(InputError(f"{error.filename}: {error.strerror}; give a path that you may read and write."))
    except Exception as error:
        if not is_machine_fault(error):
            raise
        return _failed(machine_error(error))
    except KeyboardInterrupt:
        print("expnet: stopped.", file=sys.stderr)
        return 130
    except StopSignal as signal:
        print("expnet: stopped.", file=sys.stderr)
        return signal.exit_code


def _failed(error: ExpnetError) -> int:
    print(f"expnet: {error}", file=sys.stderr)
    return error.exit_code


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of ``expnet``.

    Args:
        argv: Arguments without the program's name; by default those of the process.

    Returns:
        The exit code.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] in CONFIGURED:
        return guarded(lambda: run_configured(arguments[0], arguments[1:]))
    parsed = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO if parsed.verbose else logging.WARNING, format="%(levelname)s %(message)s")
    # The networks are small: two threads are faster than many, and leave the other cores free.
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    return guarded(lambda: parsed.run(parsed))
