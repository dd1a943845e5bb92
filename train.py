"""Train a network: ``python train.py configs/expression.yaml data.store=STORE``; ``--help`` lists every key."""

import sys

from expnet.cli import guarded
from expnet.training.main import main

if __name__ == "__main__":
    sys.exit(guarded(lambda: main(sys.argv[1:])))
