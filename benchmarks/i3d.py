"""I3D beside the implementation that its layer names come from, with the same random weights.

    git clone https://github.com/piergiaj/pytorch-i3d
    python benchmarks/i3d.py --source pytorch-i3d

Prints the largest difference of the features and the time of a video. The exit code is 1 if features differ by more
than 1e-4.
"""

import argparse
import importlib.util
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from expnet.cli import guarded
from expnet.models.i3d import I3D, SIDE

TOLERANCE = 1e-4
LENGTHS = (16, 17, 32)


def random_network() -> I3D:
    """Return I3D with random weights, whose every statistic and slope is random as well."""
    torch.manual_seed(0)
    network = I3D().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.normal_(module.running_mean, 0, 0.1)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 2)  # type: ignore[arg-type]
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
    return network


def original(source: Path) -> Any:
    """Return the original network of a checkout."""
    specification = importlib.util.spec_from_file_location("pytorch_i3d", source / "pytorch_i3d.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module.InceptionI3d().eval()


@torch.no_grad()
def main(argv: Sequence[str] | None = None) -> int:
    """Compare both networks on noise of several lengths."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help="A checkout of pytorch-i3d.")
    arguments = parser.parse_args(argv)
    ours, theirs = random_network(), original(arguments.source)
    theirs.load_state_dict(ours.state_dict())
    worst = 0.0
    for frames in LENGTHS:
        video = torch.rand(1, 3, frames, SIDE, SIDE, generator=torch.Generator().manual_seed(frames)) * 2 - 1
        started = time.perf_counter()
        features = ours(video)
        seconds = time.perf_counter() - started
        difference = float((features - theirs(video).mean(2)).abs().max())
        worst = max(worst, difference)
        print(f"{frames} frames: difference {difference:.1e}, deviation {float(features.std()):.2f}, {seconds:.2f} s")
    return int(worst > TOLERANCE)


if __name__ == "__main__":
    sys.exit(guarded(main))
