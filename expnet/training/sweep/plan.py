"""What a sweep trains: the options of all runs, the space of those that differ, and the folder of each run."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from expnet.config import TASKS, Config, load_config, require, task_of
from expnet.config.grammar import flat, is_file_name, merge, read_layer, split_override, to_container
from expnet.config.sweep import SweepConfig
from expnet.config.typed_values import type_of
from expnet.training.child_runs import ChildRun
from expnet.training.sweep.objective import Objective, objective_of
from expnet.training.sweep.space import Axis, Choices, Range, Space, as_text, combinations, read_space, split_sweep

_KEYS = {item.name for item in fields(SweepConfig)}
_RESERVED_KEYS = {
    "ckpt": "leave it out: unfinished runs are resumed",
    "output": "set the folder of the sweep with output=FOLDER; each run gets its own folder in it",
}
"""Keys of a training that the sweep sets itself, and what to do instead."""
_LONGEST_NAME = 120


@dataclass(frozen=True)
class Trial(ChildRun):
    """One run of a sweep.

    Attributes:
        name: Name of its folder.
        values: What it tries: values by key, as they are written behind ``KEY=``.
        folder: Run folder.
        layers: Arguments of ``expnet train``.
    """

    name: str
    values: dict[str, str]
    folder: Path
    layers: tuple[str, ...]

    @property
    def stopped_on_bad_loss(self) -> bool:
        """Whether the loss of the run became NaN or exploded, which it would do again."""
        return any(self.folder.glob("failure/*.safetensors"))


@dataclass(frozen=True)
class Plan:
    """A sweep before it starts.

    Attributes:
        options: Configuration of the sweep.
        layers: Arguments of ``expnet train`` that all runs share.
        space: What to try.
        config: Configuration of the runs, with the first value of each key.
        objective: What the runs are compared by.
    """

    options: SweepConfig
    layers: tuple[str, ...]
    space: Space
    config: Config
    objective: Objective

    @property
    def folder(self) -> Path:
        """Folder of the sweep."""
        return Path(self.options.output)

    def trial(self, values: Mapping[str, str], name: str = "") -> Trial:
        """Return the run that tries some values; its name tells them unless another is given."""
        name = name or self._name(values)
        folder = self.folder / "runs" / name
        chosen = [f"{key}={value}" for key, value in values.items()]
        return Trial(name, dict(values), folder, (*self.layers, *chosen, f"output={folder}", "ckpt=last"))

    def grid(self) -> list[Trial]:
        """Return the runs of every combination.

        Raises:
            ConfigError: Two of them are the same under different spellings, or one is refused by the schema.
        """
        trials = [self.trial(values) for values in combinations(self.space)]
        seen: dict[str, Trial] = {}
        for trial in trials:
            content = repr(sorted(self._resolved(trial.values).items()))
            other = seen.setdefault(content, trial)
            require(other is trial, f"{_written(other.values)} and {_written(trial.values)} are the same values.")
        return trials

    def _resolved(self, values: Mapping[str, str]) -> dict[str, object]:
        """Return the values as the schema reads them, so that 1e-3 and 0.001 are one."""
        config = flat(to_container(load_config([*self.layers, *(f"{key}={text}" for key, text in values.items())])))
        return {key: config[key] for key in values}

    def _name(self, values: Mapping[str, str]) -> str:
        ends = [key.rpartition(".")[2] for key in values]
        short = {key: end if ends.count(end) == 1 else key for key, end in zip(values, ends, strict=True)}
        resolved = self._resolved(values)
        # Without = and commas, which mean something on a command line.
        exact = "_".join(f"{short[key]}-{as_text(value)}" for key, value in resolved.items())
        name = re.sub(r"[^\w.+-]+", "-", exact)
        if name == exact and len(name) <= _LONGEST_NAME:
            return name
        return f"{name[:_LONGEST_NAME]}-{hashlib.sha256(exact.encode()).hexdigest()[:8]}"


def _written(values: Mapping[str, str]) -> str:
    return " ".join(f"{key}={value}" for key, value in values.items())


def plan_file(layers: Sequence[str]) -> Plan:
    """Turn the arguments of ``expnet sweep`` into a plan.

    Args:
        layers: Sweep files, files of the training, keys of `SweepConfig`, and keys of the training.

    Raises:
        ConfigError: One sentence about the first thing that is wrong.
    """
    own: list[str] = []
    rest: list[str] = []
    for layer in layers:
        (own if _is_of_sweep(layer) else rest).append(layer)
    options = merge(SweepConfig, own)
    space = read_space(options.space)
    require(bool(space), "space is missing: list the values to try, as in configs/sweeps/expression.yaml.")
    return make_plan(options, [*options.train, *rest], space)


def plan_multirun(layers: Sequence[str]) -> Plan:
    """Turn the arguments of ``train.py --multirun`` into a plan; ``sweep.KEY=VALUE`` sets keys of `SweepConfig`.

    Raises:
        ConfigError: One sentence about the first thing that is wrong.
    """
    overrides = [layer for layer in layers if not is_file_name(layer)]
    own = [layer.removeprefix("sweep.") for layer in overrides if layer.startswith("sweep.")]
    own += [layer for layer in overrides if split_override(layer)[0] == "output"]
    rest = [layer for layer in overrides if not layer.startswith(("sweep.", "output="))]
    shared, space = split_sweep(rest)
    require(bool(space), "--multirun needs several values of a key, separated by commas, as optim.lr=1e-3,3e-4.")
    for key in (split_override(layer)[0] for layer in own):
        require(
            key.partition(".")[0] in _KEYS - {"train", "space"}, f"sweep.{key} is no key of a sweep with --multirun."
        )
    files = [layer for layer in layers if is_file_name(layer)]
    return make_plan(merge(SweepConfig, own), [*files, *shared], space)


def make_plan(options: SweepConfig, layers: Sequence[str], space: Space) -> Plan:
    """Check options, shared layers and space together, and return the plan.

    Raises:
        ConfigError: The schema of the training refuses a key or a value, or there is no store.
    """
    for layer in layers:
        key = "" if is_file_name(layer) else split_override(layer)[0]
        require(key not in _RESERVED_KEYS, f"{key} differs between the runs: {_RESERVED_KEYS.get(key)}.")
    monitor = [] if options.objective is None else [f"trainer.monitor={options.objective}"]
    shared = (*layers, *monitor)
    schema = TASKS[task_of(shared)]
    space = {key: _fitting(key, axis, type_of(schema, key)) for key, axis in space.items()}
    first = {key: _values_to_check(axis)[0] for key, axis in space.items()}
    for key, axis in space.items():
        require(key not in _RESERVED_KEYS, f"{key} cannot be tried: {_RESERVED_KEYS.get(key)}.")
        require(key != "task", "task cannot be tried: the scores of different networks do not compare.")
        for value in _values_to_check(axis):
            load_config([*shared, *(f"{name}={text}" for name, text in {**first, key: value}.items())])
    config = load_config([*shared, *(f"{key}={value}" for key, value in first.items())])
    require(bool(config.data.store), "data.store is missing: give the folder of a track store, as in data.store=STORE.")
    return Plan(options, shared, space, config, objective_of(config, options.direction))


def _fitting(key: str, axis: Axis, hint: object) -> Axis:
    """Return a range as the type of its key has it: whole numbers for a whole number, any numbers otherwise."""
    if isinstance(axis, Choices):
        return axis
    whole = "int" in str(hint) and "float" not in str(hint)
    require(not whole or axis.whole, f"space: {key} is a whole number, so low, high and step must be, too.")
    return Range(axis.low, axis.high, axis.step, axis.log, whole)


def _values_to_check(axis: Axis) -> tuple[str, ...]:
    return axis.values if isinstance(axis, Choices) else (number_text(axis, axis.low), number_text(axis, axis.high))


def number_text(axis: Range, value: float) -> str:
    """Return a number of a range as it is written behind ``KEY=``."""
    return str(int(value)) if axis.whole else repr(float(value))


def _is_of_sweep(layer: str) -> bool:
    """Return whether a file or an override is one of the sweep itself, not of its trainings."""
    if not is_file_name(layer):
        return split_override(layer)[0].partition(".")[0] in _KEYS
    return bool(set(map(str, read_layer(layer))) & (_KEYS - {"output"}))
