"""Put trained networks into the package, with notes on how they were made.

Usage: python scripts/pack_weights.py RUN NAME [--notes "what it was trained on"]

NAME is the file under expnet/models/weights: expression, expression-whisper, expression-streaming,
expression-synthetic, motion or pose. Only the weights, the model's options and the notes are kept; paths and names of
the training machine are not.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from expnet.models.packaged_weights import NAMES, packaged_path
from expnet.models.saved_model import load_model, save_model


def pack(run: Path, name: str, notes: str) -> None:
    """Write a run's weights to the file of that name in the package.

    Args:
        run: Run folder.
        name: Name of the file, which begins with the task.
        notes: What the network was trained on.
    """
    model = load_model(run, name.split("-")[0])
    path = save_model(packaged_path(name), model, {"trained_on": notes})
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


def main() -> None:
    """Load a run's model and save it in the package."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="Run folder.")
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--notes", default="", help="Data, speakers and minutes.")
    arguments = parser.parse_args()
    pack(arguments.run, arguments.name, arguments.notes)


if __name__ == "__main__":
    main()
