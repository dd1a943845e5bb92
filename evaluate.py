"""Score networks on unseen speakers, or folders of videos; see configs/evaluate.yaml and configs/benchmark.yaml."""

import sys

from expnet.cli import guarded
from expnet.evaluation.main import main

if __name__ == "__main__":
    sys.exit(guarded(main))
