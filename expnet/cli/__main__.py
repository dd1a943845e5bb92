"""Makes ``python -m expnet.cli`` the same as ``expnet``."""

import sys

from expnet.cli.command_line import main

if __name__ == "__main__":
    sys.exit(main())
