"""Checks of the ranges of configuration values."""

from __future__ import annotations

from typing import Any

from expnet.errors import ConfigError


def require(condition: bool, message: str) -> None:
    """Raise ConfigError with the message unless the condition holds."""
    if not condition:
        raise ConfigError(message)


def not_negative(section: str, config: Any) -> None:
    """Raise ConfigError if any number in a section is below 0."""
    for name, value in vars(config).items():
        require(not isinstance(value, int | float) or value >= 0, f"{section}.{name} must be 0 or more, not {value}.")


def at_least(section: str, config: Any, **limits: float) -> None:
    """Raise ConfigError if a value of a section is below its limit.

    Args:
        section: Name of the section for the message; empty for the top level.
        config: The section.
        **limits: The smallest allowed value, by key.
    """
    for name, limit in limits.items():
        value = getattr(config, name)
        key = f"{section}.{name}" if section else name
        require(value >= limit, f"{key} must be {limit} or more, not {value}.")


def whole_number(key: str, text: object) -> int:
    """Return the number of a value that may also be a word; raise ConfigError where it is neither.

    Args:
        key: The name of the key, for the message.
        text: The value, which is not one of the words.
    """
    try:
        return int(str(text))
    except ValueError as error:
        raise ConfigError(f"{key} must be auto or a whole number, not {text}.") from error
