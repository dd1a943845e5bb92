"""Fixtures of the tests of sweeps, whose helper module lies in this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
