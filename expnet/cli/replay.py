"""``expnet replay``: run the training step again on which a run stopped."""

from __future__ import annotations

import argparse

from expnet.cli.arguments import Commands, add_command


def add_replay_command(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add ``expnet replay``."""
    parser = add_command(
        commands, "replay", run_replay, "rerun the training step on which a run stopped, and say where it fails first"
    )
    parser.add_argument("step", metavar="FILE", help="RUN/failure/step_NUMBER.safetensors")
    parser.add_argument("--accelerator", default="auto", metavar="NAME", help="auto, cpu or gpu (default: %(default)s)")


def run_replay(arguments: argparse.Namespace) -> None:
    """Rerun the step, and print both results."""
    from expnet.training.replay import replay
    from expnet.training.saved_step import SavedStep

    step = SavedStep.load(arguments.step)
    about = step.about
    print(f"{about['reason']} at step {about['step']} on {', '.join(step.batch.clip_ids)}")
    print(f"then:  loss {about['loss']:g}, gradient norm {about['gradient_norm']:g}, on {about['device']}")
    print(f"again: {replay(step, accelerator=arguments.accelerator).describe()}")
