"""The values that a sweep tries: lists and ranges by key, read from a file or from the command line."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from expnet.config.grammar import split_override
from expnet.errors import ConfigError

_OPENING, _CLOSING = "[{(", "]})"
_RANGE_KEYS = {"low", "high", "step", "log"}
_WHOLE = re.compile(r"[-+]?[0-9]+")


@dataclass(frozen=True)
class Choices:
    """Values to choose from, as they are written behind ``KEY=``."""

    values: tuple[str, ...]


@dataclass(frozen=True)
class Range:
    """Numbers between two limits, both included.

    Attributes:
        low: The smallest value.
        high: The largest value.
        step: Distance of the values; None for any number, or for every whole one.
        log: Whether values are drawn evenly in their logarithm.
        whole: Whether the values are whole numbers.
    """

    low: float
    high: float
    step: float | None = None
    log: bool = False
    whole: bool = False


Axis = Choices | Range
Space = dict[str, Axis]


def split_choices(text: str) -> list[str]:
    """Split the value of an override at its commas, except at those in brackets and in quotes.

    >>> split_choices("1e-3,3e-4")
    ['1e-3', '3e-4']
    >>> split_choices("[expression, pose],[pose]")
    ['[expression, pose]', '[pose]']
    """
    parts, depth, quote, start = [], 0, "", 0
    for place, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter in _OPENING:
            depth += 1
        elif letter in _CLOSING:
            depth -= 1
        elif letter == "," and depth <= 0:
            parts.append(text[start:place])
            start = place + 1
    parts.append(text[start:])
    return [_unquoted(part.strip()) for part in parts] if len(parts) > 1 else [text]


def _unquoted(text: str) -> str:
    """Remove quotes around a whole value, which kept its comma from separating two."""
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1] if quoted else text


def split_sweep(overrides: Sequence[str]) -> tuple[list[str], Space]:
    """Split the overrides of a command line into those of every run and those with several values.

    Raises:
        ConfigError: A value is empty or occurs twice.
    """
    shared, space = [], Space()
    for override in overrides:
        key, text = split_override(override)
        values = split_choices(text)
        if len(values) == 1:
            shared.append(override)
            continue
        if "" in values:
            raise ConfigError(f"'{override}': a value is missing beside a comma; write {key}=A,B.")
        space[key] = Choices(_different(key, values))
    return shared, space


def read_space(space: Mapping[str, Any]) -> Space:
    """Read the ``space`` of a sweep file.

    Raises:
        ConfigError: An entry is neither a list of values nor a range, or its limits make no sense.
    """
    found: Space = {}
    for key, given in space.items():
        if isinstance(given, Mapping) and not _RANGE_KEYS & set(given):
            # optim: {lr: [...]} means the same as optim.lr: [...].
            found |= read_space({f"{key}.{name}": value for name, value in given.items()})
        elif isinstance(given, Mapping):
            found[key] = _read_range(key, given)
        elif isinstance(given, list | tuple) and given:
            found[key] = Choices(_different(key, [as_text(value) for value in given]))
        else:
            raise ConfigError(
                f"space: {key} must be a list of values, as [1, 2], or a range, as {{low: 1, high: 2}}, not {given}."
            )
    return found


def as_text(value: Any) -> str:
    """Return a value from a YAML file as it is written behind ``KEY=``."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(as_text, value))}]"
    return str(value)


def _different(key: str, values: Sequence[str]) -> tuple[str, ...]:
    twice = [value for value in values if values.count(value) > 1]
    if twice:
        raise ConfigError(f"{key} is to be {twice[0]} twice; give every value once.")
    return tuple(values)


def _read_range(key: str, given: Mapping[str, Any]) -> Range:
    unknown = sorted(set(given) - _RANGE_KEYS)
    if unknown or not {"low", "high"} <= set(given):
        wrong = f"has no {unknown[0]}" if unknown else "needs low and high"
        raise ConfigError(f"space: the range of {key} {wrong}; write {{low: 1, high: 2}}, with step or log.")
    numbers = {}
    for name in _RANGE_KEYS - {"log"} & set(given):
        try:
            numbers[name] = float(given[name])
        except (TypeError, ValueError) as error:
            raise ConfigError(f"space: {name} of {key} must be a number, not {given[name]}.") from error
    whole = all(_WHOLE.fullmatch(str(given[name])) for name in numbers)
    log = str(given.get("log", "false")).lower()
    low, high, step = numbers["low"], numbers["high"], numbers.get("step")
    for is_wrong, reason in (
        (log not in ("true", "false"), f"log of {key} must be true or false, not {given.get('log')}"),
        (not low < high, f"low of {key} must be below high, not {low:g} and {high:g}"),
        (log == "true" and low <= 0, f"low of {key} must be above 0 for log, not {low:g}"),
        (log == "true" and step is not None, f"{key} can have step or log, not both"),
        (step is not None and step <= 0, f"step of {key} must be above 0, not {step}"),
    ):
        if is_wrong:
            raise ConfigError(f"space: {reason}.")
    return Range(low, high, step, log == "true", whole)


def combinations(space: Mapping[str, Axis]) -> Iterator[dict[str, str]]:
    """Yield every combination of the values of a space without ranges; the last key changes fastest.

    Raises:
        ConfigError: The space has a range.
    """
    lists = []
    for key, axis in space.items():
        if isinstance(axis, Range):
            raise ConfigError(f"A grid needs a list of values for {key}, not a range: give a list, or sampler=tpe.")
        lists.append([(key, value) for value in axis.values])
    for combination in itertools.product(*lists):
        yield dict(combination)
