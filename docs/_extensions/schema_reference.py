"""The directive ``configuration``: a table of every key of a configuration schema, from the dataclass itself.

Usage in a Markdown page, the argument being the dataclass::

    ```{configuration} expnet.config.ExpressionConfig
    ```
"""

from __future__ import annotations

import importlib
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, ClassVar, get_type_hints

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from expnet.config.built_in_parts import BUILT_IN
from expnet.config.grammar import attribute_docs
from expnet.config.part_sections import PART


def type_name(hint: Any) -> str:
    """Return a type as a user writes a value of it."""
    if hint is Any:
        return "text or list"
    if isinstance(hint, type):
        names = {"str": "text", "int": "whole number", "float": "number", "bool": "true or false"}
        return names.get(hint.__name__, hint.__name__)
    choices = getattr(hint, "__args__", ())
    origin = getattr(hint, "__origin__", None)
    if origin is list:
        return f"list of {type_name(choices[0])}"
    if origin is dict:
        return "keys with values"
    if choices and all(isinstance(choice, str) for choice in choices):
        return ", ".join(f"`{choice}`" for choice in choices)
    return " or ".join("null" if choice is type(None) else type_name(choice) for choice in choices) or str(hint)


def default_of(item: Field[Any]) -> Any:
    """Return the default of a field, of whichever kind."""
    return item.default if item.default_factory is MISSING else item.default_factory()


def written(value: Any) -> str:
    """Return a value as it stands in a configuration file."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return "must be given" if value is MISSING else str(value) if value not in ("", {}) else "empty"


def rows(schema: type, prefix: str = "", values: Any = None) -> list[tuple[str, str, str, str]]:
    """Return key, type, default and documentation of every key of a schema, sections included."""
    docs, hints = attribute_docs(schema), get_type_hints(schema)
    found = []
    for item in fields(schema):
        hint = hints[item.name]
        if isinstance(hint, type) and is_dataclass(hint):
            section = default_of(item)
            found += rows(type(section), f"{prefix}{item.name}.", section)
            continue
        default = default_of(item) if values is None else getattr(values, item.name)
        kind = item.metadata.get(PART)
        choices = (
            type_name(hint) if kind is None else ", ".join(f"`{name}`" for name in (*BUILT_IN[kind], "MODULE:CLASS"))
        )
        found.append((f"{prefix}{item.name}", choices, written(default), docs.get(item.name, "")))
    return found


class ConfigurationTable(SphinxDirective):
    """Write the table of a schema's keys."""

    required_arguments = 1
    option_spec: ClassVar[dict[str, Any]] = {}

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        module, name = self.arguments[0].rsplit(".", 1)
        source = importlib.import_module(module)
        self.env.note_dependency(source.__file__)
        lines = ["| key | value | default | meaning |", "| --- | --- | --- | --- |"]
        for key, kind, default, text in rows(getattr(source, name)):
            meaning = " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
            lines.append(f"| `{key}` | {kind} | `{default}` | {meaning} |")
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("configuration", ConfigurationTable)
    return {"parallel_read_safe": True, "version": "1"}
