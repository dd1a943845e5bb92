"""Score networks beside the trivial baselines on unseen speakers; see configs/evaluate.yaml for the command."""

import sys

from expnet.cli import guarded
from expnet.evaluation.main import main

if __name__ == "__main__":
    sys.exit(guarded(main))
