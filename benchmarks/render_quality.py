"""How good the renderer's pictures are: each clip is driven from its own first frame by its own coefficients.

Usage: python benchmarks/render_quality.py STORE --output DIR [--frames 40] [--clips ID ...] [--refiner RUN]
    [--lpips FILE]

The store's clips need their source videos (expnet preprocess). With --refiner there is a row without it and one with
it; it must not have seen the people (benchmarks/refiner.py leaves them out). Rows beside ours: the first frame held
still, and that frame bent by a piecewise-affine warp of the 68 landmarks tracked in the real frames, which are the
answer itself: the baseline is told where every point goes, ours only the coefficients. Pictures are compared in the
clip's crop at 256 px, and tracked there again, the real frames too; so a score holds no error of the first tracking.

--frames are spread evenly over each clip. A clip's scores are kept in DIR/clips, its widest opened mouth in
DIR/pictures: the command goes on where it was stopped. A clip that could not be scored is a row with its reason. LPIPS
is left out where its weights are not here (expnet assets list).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from shared.render_table import examine_all, table


def main(argv: Sequence[str] | None = None) -> None:
    """Score the clips and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path, help="track store whose source videos are here")
    parser.add_argument("--output", type=Path, required=True, help="folder for scores, pictures and table.md")
    parser.add_argument("--frames", type=int, default=40, help="frames a clip, beside its first one")
    parser.add_argument("--clips", nargs="*", metavar="ID", help="only these clips")
    parser.add_argument("--refiner", type=Path, metavar="RUN", help="weights of a refiner that has not seen the people")
    parser.add_argument("--lpips", type=Path, help="AlexNet's weights, where they lie elsewhere")
    arguments = parser.parse_args(argv)
    if arguments.frames < 3:
        parser.error("--frames must be at least 3: a correlation needs them.")
    written = table(examine_all(arguments))
    (arguments.output / "table.md").write_text(written, encoding="utf-8")
    print("\n" + written)


if __name__ == "__main__":
    main()
