"""``expnet doctor``: check this environment."""

from __future__ import annotations

import argparse

from expnet.cli.arguments import Commands, add_command
from expnet.errors import InputError


def add_doctor_command(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add ``expnet doctor``."""
    add_command(
        commands, "doctor", run_doctor, "check this environment: versions, codecs, tracker, speech synthesis, weights"
    )


def run_doctor(_: argparse.Namespace) -> None:
    """Print the report."""
    from expnet.doctor.examine import examine

    report, healthy = examine()
    print(report)
    if not healthy:
        raise InputError("This environment cannot run everything; each line marked 'missing' says how to fix it.")
