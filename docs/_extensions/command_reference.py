"""The directives ``commands`` and ``metrics-table``: what the command line and the metrics say about themselves."""

from __future__ import annotations

import argparse
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


def subparsers(parser: argparse.ArgumentParser) -> dict[str, tuple[argparse.ArgumentParser, str]]:
    """Return the commands of a parser with their one-line descriptions."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            texts = {choice.dest: choice.help or "" for choice in action._choices_actions}
            return {name: (sub, texts.get(name, "")) for name, sub in action.choices.items()}
    return {}


def cell(text: str) -> str:
    """Return text that may stand in a cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def describe(name: str, parser: argparse.ArgumentParser, text: str) -> list[str]:
    """Return the section of one command, and of the commands below it."""
    lines = [f"## {name}", "", (parser.description or text).rstrip(".") + ".", ""]
    options = [action for action in parser._actions if action.dest not in ("help", "action") and action.help]
    if options:
        lines += ["| option | meaning |", "| --- | --- |"]
    for action in options:
        values = action.metavar if action.metavar is not None else action.dest.upper()
        if action.choices:
            values = "{" + ",".join(map(str, action.choices)) + "}"
        values = " ".join(values) if isinstance(values, tuple) else str(values)
        shown = ", ".join(action.option_strings) or values
        if action.option_strings and action.nargs != 0:
            shown += f" {values}"
        help_text = (action.help or "").replace("%(default)s", str(action.default))
        lines.append(f"| `{cell(shown)}` | {cell(help_text)}{' Required.' if action.required else ''} |")
    lines.append("")
    for below, (sub, sub_text) in subparsers(parser).items():
        lines += describe(f"{name} {below}", sub, sub_text)
    return lines


class Commands(SphinxDirective):
    """Describe every command of ``expnet``, from its own parser."""

    def run(self) -> list[nodes.Node]:
        """Return a section for each command."""
        from expnet.cli import command_line

        self.env.note_dependency(command_line.__file__)
        lines: list[str] = []
        for name, (parser, text) in subparsers(command_line._parser()).items():
            if name in ("train", "sweep", "evaluate", "ablate"):
                lines += [f"## expnet {name}", "", f"{text[:1].upper()}{text[1:]}.", ""]
                lines += [
                    "It takes configuration files and `key=value` overrides: see [configuration](configuration.md)."
                ]
                lines.append("")
            else:
                lines += describe(f"expnet {name}", parser, text)
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("commands", Commands)
    return {"parallel_read_safe": True, "version": "1"}
