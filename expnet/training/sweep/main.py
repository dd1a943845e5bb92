"""``expnet sweep`` and ``train.py --multirun`` from top to bottom: arguments -> plan -> runs -> table and page.

A sweep may be stopped and started again at any time: finished runs are not repeated, and a run that was stopped resumes
from its last checkpoint.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from expnet.config.grammar import Arguments, describe, parse_arguments, to_yaml
from expnet.config.sweep import SweepConfig
from expnet.errors import ExpnetError
from expnet.io.stop_signals import unwinding_on_signals
from expnet.training.child_runs import locked_folder

if TYPE_CHECKING:
    from expnet.training.sweep.jobs import Jobs
    from expnet.training.sweep.plan import Plan
    from expnet.training.sweep.proposals import Proposals

USAGE = """usage: expnet sweep FILE.yaml [KEY=VALUE ...] [--print-config] [--help]
       python train.py FILE.yaml ... KEY=VALUE ... --multirun KEY=A,B ... [sweep.KEY=VALUE ...]

Trains a network with every combination of the values of FILE's space, or with those that Optuna proposes, and compares
the runs by one score. Keys that are not listed here are passed to every training, such as data.store=STORE (expnet
train --help lists them). With --multirun a key with several values, separated by commas, is one of the space.
"""
MULTIRUN = "--multirun"


def main(argv: Sequence[str]) -> int:
    """Run ``expnet sweep``.

    Args:
        argv: Command-line arguments without the command's name.

    Returns:
        0. Errors raise `ExpnetError`.
    """
    from expnet.training.sweep.plan import plan_file

    arguments = parse_arguments(argv)
    if arguments.help:
        sys.stdout.write(f"{USAGE}\n{describe(SweepConfig)}\n")
        return 0
    return run_plan(plan_file(arguments.layers), arguments)


def multirun(argv: Sequence[str]) -> int:
    """Run ``train.py --multirun``.

    Args:
        argv: Command-line arguments without the program's name, ``--multirun`` among them.

    Returns:
        0. Errors raise `ExpnetError`.
    """
    from expnet.training.sweep.plan import plan_multirun

    arguments = parse_arguments([argument for argument in argv if argument != MULTIRUN])
    if arguments.help:
        sys.stdout.write(f"{USAGE}\n{describe(SweepConfig, 'sweep.')}\n")
        return 0
    return run_plan(plan_multirun(arguments.layers), arguments)


def run_plan(plan: Plan, arguments: Arguments) -> int:
    """Run a sweep, and write its table and page.

    Raises:
        ExpnetError: A run refused its input, too many have failed, or none has a score.
    """
    from expnet.training.sweep.proposals import GridProposals
    from expnet.training.sweep.report import report_sweep
    from expnet.training.sweep.run_sweep import SweepLoop

    grid = GridProposals(plan) if plan.options.sampler == "grid" else None
    if arguments.print_config:
        sys.stdout.write(to_yaml(plan.options))
        return 0
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("expnet").setLevel(logging.INFO)
    with locked_folder(plan.folder, "expnet sweep") as lock, unwinding_on_signals():
        loop = SweepLoop(plan, grid or _optuna_proposals(plan), _jobs(plan, lock))
        try:
            loop.run()
        finally:
            report = report_sweep(plan, loop.records)
    sys.stdout.write(report.text)
    failed = [record.name for record in loop.records if record.state == "failed" and not record.final]
    if report.best is None:
        raise ExpnetError(f"No run of {plan.folder} has a score; the logs are in the run folders.")
    if failed:
        raise ExpnetError(
            f"{len(failed)} runs have failed ({', '.join(failed)}); repeat the command to try them again."
        )
    return 0


def _optuna_proposals(plan: Plan) -> Proposals:
    from expnet.training.sweep.optuna_proposals import OptunaProposals

    return OptunaProposals(plan)


def _jobs(plan: Plan, lock: int) -> Jobs:
    if plan.options.executor == "slurm":
        from expnet.training.sweep.slurm_jobs import SlurmJobs

        return SlurmJobs(plan)
    from expnet.training.sweep.jobs import LocalJobs

    return LocalJobs(lock, plan.options.jobs, plan.config.trainer)
