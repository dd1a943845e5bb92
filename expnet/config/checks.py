"""Ranges of configuration values."""

from __future__ import annotations

from typing import Any

from expnet.errors import ConfigError


def require(condition: bool, message: str) -> None:
    """Raise ConfigError with the message unless the condition holds."""
    if not condition:
        raise ConfigError(message)


def not_negative(section: str, config: Any) -> None:
    """Complain about a number of a section that is below 0."""
    for name, value in vars(config).items():
        require(not isinstance(value, int | float) or value >= 0, f"{section}.{name} must be 0 or more, not {value}.")
