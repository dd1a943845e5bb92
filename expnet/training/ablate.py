"""Ablations in one command: train every variant with several seeds, score them on the same clips, write the tables.

    expnet ablate data.store=STORE output=DIR                                the seven of `VARIANTS`
    expnet ablate configs/ablations/*.yaml data.store=STORE output=DIR       these files; mine.yaml works as well

Each training is a process of its own and a run folder of its own, which ``expnet train`` would take as it is. A killed
command goes on where it was: finished runs are kept, an unfinished one is resumed.
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
from expnet.training.ablation_runs import Training, check_runs, commands, differing, train_all

USAGE = """usage: expnet ablate [FILE.yaml ...] [KEY=VALUE ...] [--print-commands] [--print-config] [--help]

Trains each FILE with several seeds, scores all on the same clips, and writes tables with paired differences. FILES are
variants of the expression network, as in configs/ablations; without any:
{variants}.
The first one, or the one that is called full, is what the others are compared with. Keys that are not listed here go
to every training, as data.store=STORE or trainer.max_steps=400 (expnet train --help lists them).
--print-commands writes the commands of the trainings that are not done, for a cluster to run, and starts none.
"""
VARIANTS = ("full", "no_alibi", "sinusoidal", "no_landmarks", "no_transformer", "no_first_frame", "no_velocity")
"""Files of configs/ablations that are compared when none is given."""
REFERENCE = "full"
_OURS = {"seed": "seeds=NUMBER", "ckpt": "nothing: unfinished runs go on by themselves"}
"""Keys of a training that are decided here, and what to give instead."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """Everything that is to be trained.

    Attributes:
        options: of the ablation.
        configs: of the variants by name, the reference first; seed and folder are those of the first run.
        trainings: in the order in which they are trained: all variants with one seed, then with the next.
    """

    options: AblationConfig
    configs: dict[str, ExpressionConfig]
    trainings: tuple[Training, ...]

    def changes(self, variant: str) -> dict[str, tuple[Any, Any]]:
        """What a variant does otherwise: by key, its value and the reference's."""
        reference = next(iter(self.configs.values()))
        return differing(self.configs[variant], reference)

    def folders(self, variant: str) -> list[Path]:
        """The runs of a variant, by seed."""
        return [training.folder for training in self.trainings if training.variant == variant]


def main(argv: Sequence[str]) -> int:
    """Run ``expnet ablate``.

    Args:
        argv: the arguments without the command's name.

    Returns:
        0; mistakes raise `ExpnetError`.
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
    """Turn files and overrides into trainings.

    Args:
        layers: variants' files, keys of `AblationConfig`, and keys of a training.

    Raises:
        ConfigError: a wrong key or value, no store, a variant that is no expression network or changes nothing.
    """
    files = [layer for layer in layers if is_file_name(layer)] or [
        f"configs/ablations/{name}.yaml" for name in VARIANTS
    ]
    mine = {item.name for item in fields(AblationConfig)}
    overrides = [layer for layer in layers if not is_file_name(layer)]
    options = merge(AblationConfig, [layer for layer in overrides if _section(layer) in mine])
    shared = [layer for layer in overrides if _section(layer) not in mine]
    for key in map(_section, shared):
        require(key not in _OURS, f"{key} is decided for each training here; give {_OURS.get(key)}.")
    names = [Path(file).stem for file in files]
    require(len(set(names)) == len(names), f"Two variants have one name, that of their file: {', '.join(names)}.")
    variants = sorted(zip(names, files, strict=True), key=lambda item: item[0] != REFERENCE)
    configs, trainings = {}, []
    for seed in range(options.seeds):
        for name, file in variants:
            folder = Path(options.output) / "runs" / name / f"seed-{seed}"
            # The file comes after what all share: an override must not undo the one thing that a variant changes.
            run = (*shared, file, f"seed={seed}", f"output={folder}", "ckpt=last")
            trainings.append(Training(name, seed, folder, run))
            if seed == 0:
                configs[name] = _expression_config(name, run)
    plan = Plan(options, configs, tuple(trainings))
    for name in names:
        same = name != variants[0][0] and not plan.changes(name)
        require(not same, f"The variant {name} is the same as {variants[0][0]} under these settings.")
    return plan


def _section(layer: str) -> str:
    """First word of an override's key."""
    return split_override(layer)[0].partition(".")[0]


def _expression_config(name: str, layers: Sequence[str]) -> ExpressionConfig:
    """Configuration of a variant's run."""
    config = load_config(layers)
    if not isinstance(config, ExpressionConfig):
        raise ConfigError(f"The variant {name} is not of the expression network, whose parts are compared here.")
    require(bool(config.data.store), "data.store is missing: give the folder of a track store, as data.store=STORE.")
    return config


def score(plan: Plan) -> list[Path]:
    """Score all runs and write the report; return its pages.

    The table and its page lie in the output folder, with ``differences.md``, ``differences.tex`` and
    ``ablation.json``; the length curve in ``lengths``.
    """
    from expnet.evaluation.store.ablation_report import report_ablation
    from expnet.evaluation.store.variants import Variant

    variants = [Variant(name, plan.changes(name), tuple(plan.folders(name))) for name in plan.configs]
    return report_ablation(variants, next(iter(plan.configs.values())), plan.options)
