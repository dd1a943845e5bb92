"""How good are the rendered frames? Each clip is driven from its own first frame by its own coefficients.

Usage: python benchmarks/render_quality.py STORE --output DIR [--frames 40] [--clips ID ...] [--refiner RUN]
    [--lpips FILE]

The source videos of the store's clips must be available (expnet preprocess). With --refiner there is a row without and
a row with the refiner, which must not have been trained on these speakers (benchmarks/refiner.py leaves them out). The
baselines are the still first frame, and that frame warped piecewise-affinely by the 68 landmarks tracked in the real
frames. This warp is given the true position of every point, while the renderer is given only the coefficients. Frames
are compared in the clip's crop at 256 px and tracked there again, including the real frames, so that errors of the
first tracking do not enter the scores. Every frame is tracked until its points settle, as a still image is, and the
first five frames of a clip, in which the tracker of the video has not settled, are left out.

The row "real, tracked again" is the tracker's own noise: the real frames tracked in a slightly different crop. Its
errors are what no renderer can fall below, and where a mouth hardly moves its correlation is low, too.

A second table has the error of the opening in bins of the real one's, and how often lips that touch are seen to.
A third one shows what lies between the lips at equal openings, real and rendered: brightness of the upper, middle
and lower third over the cheeks', the share of bright pixels, how red they are, and the length of the gradient.
DIR/inner_mouth.png shows mouths from every bin, real above rendered. A line below it has the flicker between the lips:
how much the brightness changes from one frame to the next and back while the opening hardly changes.

--frames are evenly spaced in each clip. The scores of a clip are kept in DIR/clips, and the frame with its mouth open
widest in DIR/pictures, so that an interrupted command resumes. A clip that could not be scored is a row with its
reason. LPIPS is left out if its weights are not available (expnet assets list).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from shared.render_table import examine_all, table


def main(argv: Sequence[str] | None = None) -> None:
    """Score the clips and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path, help="Track store whose source videos are available.")
    parser.add_argument("--output", type=Path, required=True, help="Folder for scores, pictures and table.md.")
    parser.add_argument("--frames", type=int, default=40, help="Frames per clip, in addition to its first one.")
    parser.add_argument("--clips", nargs="*", metavar="ID", help="Score only these clips.")
    parser.add_argument("--refiner", type=Path, metavar="RUN", help="Refiner that was not trained on these speakers.")
    parser.add_argument("--lpips", type=Path, help="Weights of AlexNet, if they are not where expnet looks.")
    arguments = parser.parse_args(argv)
    if arguments.frames < 3:
        parser.error("--frames must be at least 3: a correlation needs them.")
    written = table(examine_all(arguments))
    (arguments.output / "table.md").write_text(written, encoding="utf-8")
    print("\n" + written)


if __name__ == "__main__":
    main()
