"""Values from files and from the command line, read by the schema's types: text stays text, letter for letter.

YAML alone would take ``0123`` for 83, ``12:30`` for 750, ``1e3`` for 1000.0 and `` #`` for a comment, also where the
schema has a text.
"""

from __future__ import annotations

import re
import types
from dataclasses import is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

_TEXT = "tag:yaml.org,2002:str"
_NULL = "tag:yaml.org,2002:null"
_INT = "tag:yaml.org,2002:int"
_FLOAT = "tag:yaml.org,2002:float"
_MERGE = "tag:yaml.org,2002:merge"
_LIST_ITEM = re.compile(r"""\s*(?P<item>"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^,]*?)\s*(?:,|$)""")


class _Loader(yaml.SafeLoader):
    """YAML with decimal numbers only, numbers such as 1e-3, no dates, and an error for a key that occurs twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = set()
        for key_node, _ in node.value:
            if key_node.value in keys:
                raise yaml.constructor.ConstructorError(
                    "while constructing a mapping", node.start_mark, f"found duplicate key {key_node.value}"
                )
            if key_node.tag != _MERGE and isinstance(key_node, yaml.ScalarNode):
                keys.add(key_node.value)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in (_INT, _FLOAT, "tag:yaml.org,2002:timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_INT, re.compile(r"^[-+]?[0-9][0-9_]*$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    _FLOAT,
    re.compile(
        r"^(?:[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    list("-+0123456789."),
)
_Loader.add_constructor(_INT, lambda loader, node: int(loader.construct_scalar(node).replace("_", "")))


def read_yaml(text: str, hint: Any) -> Any:
    """Read a YAML document as the plain values of a type: a schema, or the type of one of its fields.

    Raises:
        yaml.YAMLError: The text is not YAML, or a key occurs twice.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _keep_text(node, hint)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def read_override(text: str, hint: Any) -> Any:
    """Read the value of ``key=value`` as a type.

    Text is taken as it stands. ``null`` (or nothing) is null where the key may be null. ``[a, b]`` is a list where the
    key may be a list; its items are taken as they stand too, and quotes keep a comma in an item. All other values are
    YAML.

    Raises:
        yaml.YAMLError: The text of a number, a truth value or a section is not YAML.
    """
    hint, nullable = _without_null(hint)
    if nullable and text in ("null", ""):
        return None
    if hint is Any or _is_list_of_text(hint):
        stripped = text.strip()
        if stripped.startswith("[") and stripped.endswith("]"):
            return _split(stripped[1:-1])
    return text if _is_text(hint) else read_yaml(text, hint)


def type_of(schema: type, key: str) -> Any:
    """Return the type of the field that a dotted key names; None if the schema has no such key."""
    hint: Any = schema
    for part in key.split("."):
        hint = _type_of_item(_without_null(hint)[0], part)
    return hint


def _type_of_item(hint: Any, key: str) -> Any:
    if isinstance(hint, type) and is_dataclass(hint):
        return get_type_hints(hint).get(key)
    return get_args(hint)[1] if get_origin(hint) is dict else None


def _without_null(hint: Any) -> tuple[Any, bool]:
    """Split ``X | None`` into X and whether the value may be null."""
    if get_origin(hint) not in (Union, types.UnionType):
        return hint, hint is Any
    rest = tuple(choice for choice in get_args(hint) if choice is not type(None))
    return (rest[0] if len(rest) == 1 else hint), len(rest) < len(get_args(hint))


def _is_text(hint: Any) -> bool:
    literal = get_origin(hint) is Literal and all(isinstance(choice, str) for choice in get_args(hint))
    return hint is str or hint is Any or literal


def _is_list_of_text(hint: Any) -> bool:
    return get_origin(hint) is list and _is_text(get_args(hint)[0])


def _split(items: str) -> list[str]:
    """Split the inside of a list at its commas, except at those in quotes."""
    found = [match["item"] for match in _LIST_ITEM.finditer(items)]
    while found and not found[-1]:  # after a last comma, and where the pattern meets the end a second time
        found.pop()
    return [yaml.safe_load(item) if item[:1] in ("'", '"') else item for item in found]


def _keep_text(node: yaml.Node, hint: Any) -> None:
    """Mark the texts of a YAML document as text, in place, wherever the schema has a text."""
    hint, _ = _without_null(hint)
    if isinstance(node, yaml.ScalarNode):
        if _is_text(hint) and node.tag != _NULL:
            node.tag = _TEXT
    elif isinstance(node, yaml.SequenceNode):
        item = get_args(hint)[0] if get_origin(hint) is list else hint if hint is Any else None
        for child in node.value:
            _keep_text(child, item)
    elif isinstance(node, yaml.MappingNode):
        for key, child in node.value:
            _keep_text(child, _type_of_item(hint, str(key.value)))
