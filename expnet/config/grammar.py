"""The grammar of every configurable command: ``command file.yaml ... section.key=value ... [--print-config] [--help]``.

Files and overrides are merged from left to right over a dataclass schema with OmegaConf. The schema's types decide how
values are read: text stays text, letter for letter (`expnet.config.typed_values`). Mistakes that OmegaConf accepts
silently are refused here: a key without ``=``, leading dashes, ``+=``, single items of a list, NaN. A leading ``~`` in
a text value is expanded.
"""

from __future__ import annotations

import ast
import inspect
import math
import textwrap
from collections.abc import Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar, get_origin, get_type_hints

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from expnet.config.part_sections import PART
from expnet.config.parts import part_names
from expnet.config.typed_values import read_override, read_yaml, type_of
from expnet.errors import ConfigError

Schema = TypeVar("Schema")


@dataclass(frozen=True)
class Arguments:
    """A parsed command line.

    Attributes:
        layers: Configuration files and key=value overrides, in the order in which they were given.
        print_config: Whether ``--print-config`` was given.
        help: Whether ``--help`` or ``-h`` was given.
    """

    layers: tuple[str, ...] = field(default=())
    print_config: bool = False
    help: bool = False


def is_file_name(argument: str) -> bool:
    """Return whether an argument names a configuration file; every other argument must be key=value."""
    return argument.endswith((".yaml", ".yml")) and "=" not in argument


def parse_arguments(arguments: Sequence[str]) -> Arguments:
    """Parse a command line of files, key=value overrides and the two options.

    Raises:
        ConfigError: An argument is none of these; the message says what to write instead.
    """
    layers, options = [], set()
    for argument in arguments:
        if argument in ("--print-config", "--help", "-h"):
            options.add(argument)
        elif is_file_name(argument):
            layers.append(argument)
        else:
            split_override(argument)
            layers.append(argument)
    return Arguments(tuple(layers), "--print-config" in options, bool(options & {"--help", "-h"}))


def split_override(argument: str) -> tuple[str, str]:
    """Return the key and the value of ``key=value``; raise ConfigError for anything else."""
    key, equals, value = argument.partition("=")
    if argument.startswith("-"):
        bare = argument.lstrip("-").replace("-", "_") if not equals else f"{key.lstrip('-').replace('-', '_')}={value}"
        raise ConfigError(
            f"'{argument}' is not an option: keys are set without dashes, as {bare if equals else bare + '=VALUE'}; "
            "the options are --print-config and --help."
        )
    if not equals:
        raise ConfigError(
            f"'{argument}' is neither a configuration file, which ends in .yaml, nor an override; "
            f"write {argument}=VALUE to set a key."
        )
    if key.endswith(("+", "~", ":", "!")):
        raise ConfigError(f"'{argument}': a key is set with a plain '=', and a list is given whole: {key[:-1]}=[1, 2].")
    if not key or key != key.strip() or not all(part.isidentifier() for part in key.split(".")):
        if any(part.isdigit() for part in key.split(".")):
            whole = ".".join(key.split(".")[:-1])
            raise ConfigError(
                f"'{argument}': an item of a list cannot be set alone; give the list whole: {whole}=[...]."
            )
        raise ConfigError(f"'{argument}': '{key}' is not a key; a key is words joined by dots, as optim.lr.")
    return key, value


def find_file(name: str) -> Path:
    """Return the path of a configuration file: the path as given, or else a file that comes with the package."""
    path = Path(name).expanduser()
    if path.is_file():
        return path
    relative = Path(*path.parts[1:]) if path.parts[:1] == ("configs",) else path
    shipped = resources.files("expnet.configs")
    packaged = Path(str(shipped)) / relative
    if not path.is_absolute() and packaged.is_file():
        return packaged
    folder = Path(str(shipped))
    known = sorted(file.name for file in folder.glob("*.yaml"))
    known += sorted(file.relative_to(folder).as_posix() for file in folder.glob("presets/*.yaml"))
    raise ConfigError(f"There is no configuration file {name}; those that come with expnet are {', '.join(known)}.")


def read_layer(layer: str, schema: type | None = None) -> DictConfig:
    """Read one file or override as a configuration of its own.

    Args:
        layer: File name or ``key=value``.
        schema: The schema whose types decide how the values are read. None, where only the keys and ``task`` matter,
            leaves the value of an override as text.
    """
    if not is_file_name(layer):
        key, text = split_override(layer)
        try:
            value = text if schema is None else read_override(text, type_of(schema, key))
            first, *rest = key.split(".")
            for part in reversed(rest):
                value = {part: value}
            return OmegaConf.create({first: value})
        except (OmegaConfBaseException, yaml.YAMLError) as error:
            raise ConfigError(f"'{layer}': the value is not valid YAML ({first_line(error)}).") from error
    path = find_file(layer)
    try:
        content = OmegaConf.create(read_yaml(path.read_text(encoding="utf-8"), schema) or {})
    except (OSError, UnicodeDecodeError, OmegaConfBaseException, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} is not a readable configuration file ({' '.join(str(error).split())}).") from error
    if not isinstance(content, DictConfig):
        raise ConfigError(f"{path} must hold 'key: value' lines at its top level, not a list.")
    return content


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, without its full stop."""
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__


def merge(schema: type[Schema], layers: Sequence[str]) -> Schema:
    """Merge files and overrides over a schema's defaults, left to right.

    Args:
        schema: A dataclass. Its ``__post_init__`` checks ranges and rules that span several keys.
        layers: File names and ``key=value`` strings.

    Returns:
        An instance of the schema.

    Raises:
        ConfigError: An unknown key (the message names the nearest known one), a wrong type, NaN, or an unreadable file.
    """
    config = OmegaConf.structured(schema)
    for layer in layers:
        content = read_layer(layer, schema)
        try:
            config = OmegaConf.merge(config, content)
        except (OmegaConfBaseException, TypeError, ValueError) as error:
            raise ConfigError(explain(error, layer)) from error
    try:
        OmegaConf.resolve(config)
    except OmegaConfBaseException as error:
        raise ConfigError(f"The configuration cannot be resolved: {first_line(error)}.") from error
    _tidy(config, "")
    try:
        return OmegaConf.to_object(config)  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise ConfigError(explain(error, "the configuration")) from error


def explain(error: Exception, layer: str) -> str:
    """Turn OmegaConf's message into one sentence that names the key."""
    full_key = getattr(error, "full_key", None) or ""
    message = first_line(error)
    if message.startswith("Merge error") and "=" in layer:
        key = split_override(layer)[0]
        return f"'{layer}': {key} is a section; set the keys in it, as {key}.NAME=VALUE (--help lists them)."
    if full_key and full_key not in message:
        message = f"{full_key}: {message}"
    if "not in" in message and "Did you mean" not in message:
        message += "; --help lists all keys"
    where = "" if "=" in layer and not is_file_name(layer) else f"{layer}: "
    what = f"'{layer}': " if not where else ""
    return f"{where}{what}{message}{'' if message.endswith(('?', '.')) else '.'}"


def _tidy(config: DictConfig, prefix: str) -> None:
    """Refuse NaN and infinity, and expand ``~``, in place."""
    for key in map(str, config):
        value = config[key]
        if isinstance(value, DictConfig):
            _tidy(value, f"{prefix}{key}.")
        elif isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{prefix}{key} must be a finite number, not {value}.")
        elif isinstance(value, str) and (value == "~" or value.startswith("~/")):
            config[key] = str(Path(value).expanduser())


def to_container(config: Any) -> dict[str, Any]:
    """Return a configuration as plain dicts, lists and scalars, which a weights-only checkpoint can hold."""
    return OmegaConf.to_container(OmegaConf.structured(config), resolve=True)  # type: ignore[return-value]


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested plain values by dotted key."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def to_yaml(config: Any) -> str:
    """Return a configuration as YAML, in the order of its schema."""
    return yaml.safe_dump(to_container(config), sort_keys=False, allow_unicode=True)


def attribute_docs(schema: type) -> dict[str, str]:
    """Return the docstring under each field of a dataclass, which ``--help`` prints, by field name."""
    docs: dict[str, str] = {}
    for owner in reversed(schema.__mro__[:-1]):
        tree = ast.parse(textwrap.dedent(inspect.getsource(owner)))
        body = tree.body[0].body  # type: ignore[attr-defined]
        for statement, after in pairwise(body):
            if isinstance(statement, ast.AnnAssign) and isinstance(after, ast.Expr):
                docs[statement.target.id] = inspect.cleandoc(ast.literal_eval(after.value))  # type: ignore[union-attr]
    return docs


def describe(schema: type, prefix: str = "") -> str:
    """Return one paragraph for each key: ``name: type = default`` and its documentation."""
    docs, hints = attribute_docs(schema), get_type_hints(schema)
    lines: list[str] = []
    for item in fields(schema):
        hint = hints[item.name]
        if isinstance(hint, type) and is_dataclass(hint):
            lines += ["", f"{prefix}{item.name}: {docs.get(item.name, '')}", describe(hint, f"{prefix}{item.name}.")]
            continue
        kind = item.metadata.get(PART)
        choices = _type_name(hint) if kind is None else "|".join((*part_names(kind), "MODULE:CLASS"))
        lines.append(f"  {prefix}{item.name}: {choices} = {_default(item)}")
        lines += textwrap.wrap(docs.get(item.name, ""), 106, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(lines)


def _type_name(hint: Any) -> str:
    if hint is Any:
        return "text or list"
    if isinstance(hint, type):
        return {"str": "text", "int": "whole number", "float": "number", "bool": "true|false"}.get(
            hint.__name__, hint.__name__
        )
    choices = getattr(hint, "__args__", ())
    if get_origin(hint) is dict:
        return "keys with values"
    if choices and all(isinstance(choice, str) for choice in choices):
        return "|".join(choices)
    return " or ".join("null" if choice is type(None) else _type_name(choice) for choice in choices) or str(hint)


def _default(item: Field[Any]) -> str:
    value = item.default
    if value is MISSING and item.default_factory is not MISSING:
        value = item.default_factory()
    if value is None:
        return "null"
    if value == {}:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value) or "(must be given)"
