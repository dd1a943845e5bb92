"""Ablations in one command: train every variant with several seeds, score them on the same clips, write the tables.

    expnet ablate data.store=STORE output=DIR                                the seven variants of `VARIANTS`
    expnet ablate configs/ablations/*.yaml data.store=STORE output=DIR       the given files, or files of your own

Each training is a process with a run folder of its own, which ``expnet train`` could resume. A command that was killed
continues when it is repeated: finished runs are kept and an unfinished run is resumed.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from expnet.config import ExpressionConfig, load_config, require
from expnet.config.ablate import AblationConfig
from expnet.config.grammar import describe, is_file_name, merge, parse_arguments, split_override, to_yaml
from expnet.errors import ConfigError
from expnet.training.ablation_runs import Training, commands, train_all
from expnet.training.child_runs import check_runs, differing_keys

USAGE = """usage: expnet ablate [FILE.yaml ...] [KEY=VALUE ...] [--print-commands] [--print-config] [--help]

Trains each FILE with several seeds, scores all runs on the same clips, and writes tables with paired differences. The
files are variants of the expression network, as in configs/ablations. Without files the variants are
{variants}.
The other variants are compared with the one named full, or else with the first one. Keys that are not listed here are
passed to every training, such as data.store=STORE or trainer.max_steps=400 (expnet train --help lists them).
--print-commands prints the commands of the unfinished trainings, to be run on a cluster, and starts none of them.
"""
VARIANTS = ("full", "no_alibi", "sinusoidal", "no_landmarks", "no_transformer", "no_first_frame", "no_velocity")
"""Files of configs/ablations that are compared when none is given."""
REFERENCE = "full"
"""Name of the variant that the others are compared with, if it is among them."""
_RESERVED_KEYS = {"seed": "set seeds=NUMBER instead", "ckpt": "leave it out: unfinished runs are resumed"}
"""Keys of a training that the ablation sets itself, and what to do instead of setting them."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """All trainings of an ablation.

    Attributes:
        options: Configuration of the ablation.
        configs: Configuration of each variant's first run by variant name, the reference first.
        trainings: The trainings in their order: all variants with one seed, then all with the next seed.
    """

    options: AblationConfig
    configs: dict[str, ExpressionConfig]
    trainings: tuple[Training, ...]

    def changes(self, variant: str) -> dict[str, tuple[Any, Any]]:
        """Return the keys in which a variant differs from the reference, with its value and the reference's."""
        reference = next(iter(self.configs.values()))
        return differing_keys(self.configs[variant], reference)

    def folders(self, variant: str) -> list[Path]:
        """Return the run folders of a variant, by seed."""
        return [training.folder for training in self.trainings if training.variant == variant]


def main(argv: Sequence[str]) -> int:
    """Run ``expnet ablate``.

    Args:
        argv: Command-line arguments without the command's name.

    Returns:
        0. Errors raise `ExpnetError`.
    """
    commands_only = "--print-commands" in argv
    arguments = parse_arguments([argument for argument in argv if argument != "--print-commands"])
    if arguments.help:
        sys.stdout.write(f"{USAGE.format(variants=', '.join(VARIANTS))}\n{describe(AblationConfig)}\n")
        return 0
    plan = make_plan(arguments.layers)
    if arguments.print_config:
        sys.stdout.write(to_yaml(plan.options))
        return 0
    check_runs(plan.trainings)
    if commands_only:
        sys.stdout.writelines(f"{line}\n" for line in commands(plan.trainings))
        return 0
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("expnet").setLevel(logging.INFO)
    train_all(plan.trainings, output=Path(plan.options.output), jobs=plan.options.jobs)
    pages = score(plan)
    sys.stdout.write((Path(plan.options.output) / "differences.md").read_text(encoding="utf-8") + "\n")
    sys.stdout.writelines(f"{page}\n" for page in pages)
    return 0


def make_plan(layers: Sequence[str]) -> Plan:
    """Turn variant files and overrides into trainings.

    Args:
        layers: Files of variants, keys of `AblationConfig`, and keys of a training.

    Raises:
        ConfigError: A wrong key or value, no store, a variant of another network, or a variant that changes nothing.
    """
    files = [layer for layer in layers if is_file_name(layer)]
    files = files or [f"configs/ablations/{name}.yaml" for name in VARIANTS]
    ablation_keys = {item.name for item in fields(AblationConfig)}
    overrides = [layer for layer in layers if not is_file_name(layer)]
    options = merge(AblationConfig, [layer for layer in overrides if _section(layer) in ablation_keys])
    shared = [layer for layer in overrides if _section(layer) not in ablation_keys]
    for key in map(_section, shared):
        require(key not in _RESERVED_KEYS, f"{key} differs between the trainings: {_RESERVED_KEYS.get(key)}.")
    names = [Path(file).stem for file in files]
    require(len(set(names)) == len(names), f"Two files of variants have the same name: {', '.join(names)}.")
    variants = sorted(zip(names, files, strict=True), key=lambda item: item[0] != REFERENCE)
    configs, trainings = {}, []
    for seed in range(options.seeds):
        for name, file in variants:
            folder = Path(options.output) / "runs" / name / f"seed-{seed}"
            # The file comes after the shared overrides, which must not undo the one thing that a variant changes.
            run = (*shared, file, f"seed={seed}", f"output={folder}", "ckpt=last")
            trainings.append(Training(name, seed, folder, run))
            if seed == 0:
                configs[name] = _expression_config(name, run)
    plan = Plan(options, configs, tuple(trainings))
    for name in names:
        unchanged = name != variants[0][0] and not plan.changes(name)
        require(not unchanged, f"The variant {name} is the same as {variants[0][0]} under these settings.")
    return plan


def _section(layer: str) -> str:
    """Return the first part of an override's key."""
    return split_override(layer)[0].partition(".")[0]


def _expression_config(name: str, layers: Sequence[str]) -> ExpressionConfig:
    """Return the configuration of a variant's run."""
    config = load_config(layers)
    if not isinstance(config, ExpressionConfig):
        raise ConfigError(f"The variant {name} is not a variant of the expression network, which an ablation compares.")
    require(bool(config.data.store), "data.store is missing: give the folder of a track store, as in data.store=STORE.")
    return config


def score(plan: Plan) -> list[Path]:
    """Score all runs, write the report, and return the paths of its pages.

    The output folder receives the table and its page, ``differences.md``, ``differences.tex`` and ``ablation.json``;
    the length curve goes to ``lengths``.
    """
    from expnet.evaluation.store.ablation_report import report_ablation
    from expnet.evaluation.store.variants import Variant

    variants = [Variant(name, plan.changes(name), tuple(plan.folders(name))) for name in plan.configs]
    return report_ablation(variants, next(iter(plan.configs.values())), plan.options)
