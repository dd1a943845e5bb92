"""Lets ``python -m expnet.cli`` stand for ``expnet``."""

import sys

from expnet.cli.command_line import main

if __name__ == "__main__":
    sys.exit(main())
