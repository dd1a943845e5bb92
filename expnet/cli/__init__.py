"""The command line: one module for each command; :mod:`expnet.cli.command_line` puts them together."""

from expnet.cli.command_line import guarded, main

__all__ = ["guarded", "main"]
