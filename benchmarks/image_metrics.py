"""Image metrics beside the packages they agree with: time for 100 frames, and the difference of the results.

    python benchmarks/image_metrics.py [--frames N] [--side PIXELS] [--features N]

Both sides get the same frames and the same random weights in the same run. Times are processor time of one thread,
scaled to 100 frames. Packages that are not installed (pytorch-fid, torch-fidelity, pytorch-msssim) are left out. The
reference for CPBD is the pixel-by-pixel version of the tests; it and LPIPS on VGG see a tenth of the frames.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor

from shared.image_metric_pairs import comparisons, drifting_face


def main() -> None:
    """Print one line per metric."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=20, help="Frames to time (default 20).")
    parser.add_argument("--side", type=int, default=256, help="Side of the frames in pixels (default 256).")
    parser.add_argument("--features", type=int, default=512, help="Size of the matrix root (default 512; FID: 2048).")
    options = parser.parse_args()
    torch.set_num_threads(1)
    frames, noisy = drifting_face(options.frames, options.side)
    print(f"{options.frames} frames of {options.side} pixels; seconds of one thread for 100 frames")
    print(f"{'metric':<18}{'beside':<28}{'ours':>8}{'theirs':>8}{'ratio':>7}   largest difference")
    with torch.no_grad():
        for row in comparisons(frames, noisy, options.features):
            ours, our_time = timed(row.ours)
            theirs, their_time = timed(row.theirs)
            scale = 100 / row.frames
            difference = (ours.double() - theirs.double()).abs().max().item()
            relative = difference / theirs.abs().max().item()
            print(
                f"{row.name:<18}{row.other:<28}{our_time * scale:8.2f}{their_time * scale:8.2f}"
                f"{their_time / our_time:7.1f}   {difference:.1e} ({relative:.1e} of the largest)"
            )


def timed(work: Callable[[], Tensor]) -> tuple[Tensor, float]:
    """Result and processor time of a computation."""
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


if __name__ == "__main__":
    main()
