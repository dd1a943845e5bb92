"""Keys of a configuration that choose parts: a name with its options, and sections with parts under labels."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeVar

from expnet.config.built_in_parts import BUILT_IN
from expnet.config.part_options import make_options, read_options
from expnet.config.parts import find_part
from expnet.errors import ConfigError

PART = "part"
OPTIONS = "options"
Section = TypeVar("Section", bound="PartConfig")


def part_field(kind: str, default: str, *, options: str) -> Any:
    """Return a field of a schema that chooses a part by name.

    Args:
        kind: One of `expnet.config.built_in_parts.KINDS`.
        default: The name by default.
        options: Name of the field beside it that holds the part's options.
    """
    return field(default=default, metadata={PART: kind, OPTIONS: options})


def check_parts(section: str, config: Any) -> None:
    """Check the parts that a section names and complete their options, in place. expnet's own are not imported.

    Raises:
        ConfigError: There is no such part, or an option is wrong.
    """
    for item in fields(config):
        if PART not in item.metadata:
            continue
        kind, name, key = item.metadata[PART], getattr(config, item.name), f"{section}.{item.name}"
        options, given = f"{section}.{item.metadata[OPTIONS]}", getattr(config, item.metadata[OPTIONS])
        if name in BUILT_IN[kind]:
            if given:
                raise ConfigError(
                    f"{options} belongs to a part of your own, but {key} is {name}: set keys of {section}."
                )
            continue
        setattr(config, item.metadata[OPTIONS], read_options(find_part(kind, name, key), given, options))


@dataclass
class PartConfig:
    """A part under a label of the user's choice."""

    part: str = ""
    """Name that an installed package registers, or module:Class; empty for the label itself."""
    options: dict[str, Any] = field(default_factory=dict)
    """Options of the part, as its package documents them."""
    origin: str = ""
    """Package and version that the part came from; written by expnet."""


@dataclass
class LossTermConfig(PartConfig):
    """A term of the loss that is not expnet's."""

    weight: float = 1.0
    """Weight of the term."""


@dataclass
class ScoreConfig(PartConfig):
    """A metric of validation clips that is not expnet's."""

    of: Literal["landmarks", "coefficients"] = "landmarks"
    """What it compares: the 68 landmarks of the face, or the coefficients that the network predicts."""


def checked_sections(kind: str, key: str, sections: dict[str, Any], schema: type[Section]) -> dict[str, Section]:
    """Return the parts of a section by label, with complete options and their origin.

    Args:
        kind: One of `expnet.config.built_in_parts.KINDS`.
        key: The section, for messages.
        sections: A schema, or its plain values, for each label.
        schema: The schema of one part.

    Raises:
        ConfigError: There is no such part, or an option is wrong.
    """
    found = {}
    for label, given in sections.items():
        section = given if isinstance(given, schema) else schema(**given)
        name = section.part or label
        try:
            part = find_part(kind, name, f"{key}.{label}.part" if section.part else f"{key}.{label}")
        except ConfigError as error:
            known = f" It was {section.origin} when it was trained." if section.origin else ""
            raise ConfigError(f"{error}{known}") from error
        options = read_options(part, section.options, f"{key}.{label}.options")
        found[label] = dataclasses.replace(section, options=options, origin=part.origin)
    return found


def build_section(kind: str, label: str, section: PartConfig) -> Any:
    """Make the part of a section that `checked_sections` returned."""
    part = find_part(kind, section.part or label)
    return part.target(**make_options(part, section.options))
