"""Convert StyleGAN-V's I3D, a TorchScript archive, to a safetensors file of weights alone.

    python scripts/convert_i3d.py i3d_torchscript.pt i3d.safetensors

The archive's code is not run: its tensors are read as data. ``load_i3d`` reads the archive in the same way, so the
conversion is needed only where files with code may not be kept.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import save

from expnet.assets.catalogue import ASSETS
from expnet.cli import guarded
from expnet.io.atomic import write_atomically
from expnet.io.checksum import sha256
from expnet.models.i3d import load_i3d


def main(argv: Sequence[str] | None = None) -> int:
    """Check the archive, convert it and say what was written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, help="i3d_torchscript.pt, or rgb_imagenet.pt of pytorch-i3d.")
    parser.add_argument("output", type=Path, help="The safetensors file to write.")
    arguments = parser.parse_args(argv)
    network = load_i3d(arguments.archive)
    checksum = sha256(arguments.archive)
    known = checksum == ASSETS["i3d"].sha256
    note = {"source": arguments.archive.name, "sha256": checksum}
    write_atomically(arguments.output, save(network.state_dict(), metadata=note))
    print(f"{arguments.output}: {sum(value.numel() for value in network.parameters())} parameters of I3D")
    print(f"sha256 of the source {checksum}, " + ("as published" if known else "not the published file"))
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
