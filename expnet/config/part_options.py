"""Options of parts: the dataclass that annotates the argument ``options`` of a class or function.

An options class may extend one of expnet's, such as `expnet.models.temporal.TemporalOptions`. The fields that it
inherits are then filled with the configured sizes, and only those that it adds can be set as options.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from expnet.config.parts import Part
from expnet.errors import ConfigError


def options_type(target: Any) -> type | None:
    """Return the dataclass of a part's options; None if it takes none.

    Raises:
        ConfigError: Its argument ``options`` is annotated with something else.
    """
    called = getattr(target, "__init__") if isinstance(target, type) else target  # noqa: B009
    try:
        parameters = inspect.signature(called).parameters
    except (TypeError, ValueError):  # written in C, such as a type of Python itself
        return None
    if "options" not in parameters:
        return None
    hint = get_type_hints(called).get("options")
    if isinstance(hint, type) and is_dataclass(hint):
        return hint
    where = f"{target.__module__}.{target.__qualname__}"
    raise ConfigError(f"{where}: the argument 'options' must be annotated with a dataclass, not {hint}.")


def own_names(schema: type) -> list[str]:
    """Return the fields of an options class that can be set: those that it does not inherit from expnet."""
    inherited = {
        item.name
        for base in schema.__mro__
        if base.__module__.partition(".")[0] == "expnet" and is_dataclass(base)
        for item in fields(base)
    }
    return [item.name for item in fields(schema) if item.name not in inherited]


def read_options(part: Part, given: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return every option of a part that can be set, with its type: as given, or else its default.

    Args:
        part: The part.
        given: Values by name, text or as YAML reads them.
        key: The section that holds them, for messages.

    Raises:
        ConfigError: An option is unknown (the message names the nearest known one), of another type, or missing.
    """
    schema = options_type(part.target)
    known = [] if schema is None else own_names(schema)
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            listed = f"expected some of {', '.join(known)}" if known else "it has none"
            hint = f"; did you mean '{near[0]}'?" if near else "."
            raise ConfigError(f"{key}.{name} is not an option of {part.origin}, {listed}{hint}")
    if schema is None:
        return {}
    try:
        merged = OmegaConf.merge(OmegaConf.structured(schema), dict(given))
        missing = [name for name in known if OmegaConf.is_missing(merged, name)]
        plain: Any = OmegaConf.to_container(merged, resolve=True)
        if len(known) == len(fields(schema)) and not missing:
            OmegaConf.to_object(merged)  # its own checks, where nothing else is needed for them
    except ConfigError:
        raise
    except (OmegaConfBaseException, TypeError, ValueError) as error:
        name = getattr(error, "full_key", None) or ""
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise ConfigError(f"{key}{'.' if name else ''}{name}: {reason}.") from error
    if missing:
        raise ConfigError(f"{key}.{missing[0]} must be given: {part.origin} has no default for it.")
    return {name: plain[name] for name in known}


def make_options(part: Part, own: Mapping[str, Any], shared: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the argument ``options`` for a call of the part, as keyword arguments; empty if it takes none.

    Args:
        part: The part.
        own: Options as `read_options` returned them.
        shared: Values of the fields that its options class inherits from expnet.
    """
    schema = options_type(part.target)
    if schema is None:
        return {}
    inherited = {item.name for item in fields(schema)} - set(own_names(schema))
    filled = {name: value for name, value in (shared or {}).items() if name in inherited}
    return {"options": OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema), filled, dict(own)))}
