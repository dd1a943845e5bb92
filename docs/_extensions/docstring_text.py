"""Makes the project's docstrings safe for reStructuredText: bars of absolute values and lone asterisks are text.

The docstrings are written to be read in an editor. They hold formulas such as ``|p - q|`` without markup, which
reStructuredText would take for substitutions.
"""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

_SECTION = re.compile(r"\s*(Args|Attributes|Returns|Raises|Yields):\s*$")
_CODE = re.compile(r"(``.+?``|:\w+:`[^`]+`|`[^`]+`)")


def escaped(line: str) -> str:
    """Return a line of a docstring with the markup outside of code escaped."""
    parts = _CODE.split(line)
    plain = [re.sub(r"(?<!\\)([|*]|_(?=\W|$))", r"\\\1", part) for part in parts[::2]]
    # A plural stands right behind a name, as in `Track`s, and would keep the closing quotes from being seen.
    plain[1:] = [re.sub(r"^(?=\w)", r"\\ ", part) for part in plain[1:]]
    parts[::2] = plain
    return "".join(parts)


def prepared(lines: list[str]) -> list[str]:
    """Return a docstring as reStructuredText: prose escaped, diagrams and code as they are.

    A block that is indented deeper than the paragraph before it, after a blank line, is a diagram or code, with or
    without the ``::`` that reStructuredText asks for. Sections such as ``Args:`` have no blank line before their block.
    """
    found: list[str] = []
    literal: int | None = None
    last = 0
    for line in lines:
        depth = len(line) - len(line.lstrip())
        if not line.strip():
            found.append(line)
            continue
        if literal is not None and depth <= literal:
            literal = None
        if literal is None and line.lstrip().startswith(".. "):  # a directive such as ``.. math::``, with what follows
            found.append(line)
            literal, last = depth, depth
            continue
        if literal is None and depth > last and found and not found[-1].strip() and not _is_item(found):
            literal = last
            if not _last_text(found).rstrip().endswith("::"):
                found += [" " * last + "::", ""]
        code = literal is not None or line.lstrip().startswith((">>>", "..."))
        found.append(line if code else escaped(line))
        last = depth if literal is None else last
    return found


def _last_text(lines: list[str]) -> str:
    return next((line for line in reversed(lines) if line.strip()), "")


def _is_item(lines: list[str]) -> bool:
    """Whether the last text may go on after a blank line: an item of a list, or of a section such as ``Args:``."""
    return _last_text(lines).lstrip().startswith(("- ", "* ")) or any(_SECTION.match(line) for line in lines)


def _escape(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = prepared(lines)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension. It comes before napoleon, whose own asterisks are markup."""
    app.connect("autodoc-process-docstring", _escape, priority=400)
    return {"parallel_read_safe": True, "version": "1"}
