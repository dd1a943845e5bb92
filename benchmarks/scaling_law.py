"""How does the error on people left out fall with parameters and with minutes of data? A grid of small trainings.

    python benchmarks/scaling_law.py STORE ... --output DIR [--features FOLDER ...] [--sizes 24x1 96x2 ...]
        [--shares 1 0.5 ...] [--seeds N] [--steps N] [--scored N] [--override KEY=VALUE ...]

Every point is one training of the expression network: a size, WIDTHxLAYERS, and a share of the training clips. One
fifth of the people is left out of all of them and scored; a tenth of the others chooses the best checkpoint. The error
is 1 - within-clip R2, the share of the facial motion that is not explained, averaged over frames. Finished points are
kept in DIR/points.csv: a command that is started again goes on, and one with other sizes or shares adds to them.

The tables end with exponents: error ~ minutes ** exponent, by least squares in logarithms, for each size, and the same
for parameters. They describe the range that was measured. Beyond it they are extrapolated, and too good: an error has a
floor, the motion that does not follow from speech.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

from expnet.data.even_spacing import evenly_spaced
from expnet.data.store.track_store import TrackStore
from expnet.face.morphable import builtin_face_model
from expnet.models.saved_model import load_model, read_header
from shared.folds import check_features, check_names, divide, fold_view, read_split
from shared.left_out_networks import CONFIGS, train_network
from shared.motion_scoring import MotionScorer
from shared.scaling_points import Point, read_points, report, write_points

FOLDS = 5
FRAMES_A_MINUTE = 1500


def sizes_and_shares(options: argparse.Namespace) -> Iterator[tuple[int, str, float]]:
    """Yield seed, size and share of every point, one curve after another, so that a table is useful early."""
    for seed in range(options.seeds):
        for share in options.shares:
            for size in options.sizes:
                yield seed, size, share


def measure(options: argparse.Namespace, stores: list[Path], run: Path, seed: int, size: str, share: float) -> Point:
    """Train one network on a share of the training clips, and score it on the people left out."""
    width, layers = map(int, size.split("x"))
    clips = sum(row.split == "train" for store in stores for row in TrackStore(store).rows)
    given = {
        "model.width": width,
        "model.layers": layers,
        "model.audio_channels": max(16, 2 * width // 3),
        "data.limit_clips": max(1, round(share * clips)),
        "data.augment_on": "device",
        "trainer.max_steps": options.steps,
        "trainer.validate_every": max(1, options.steps // 5),
        "trainer.accelerator": "cpu",
        "trainer.threads": 1,
        "seed": seed,
    }
    layers_of_run = [str(CONFIGS / "expression.yaml"), *(f"{key}={value}" for key, value in given.items())]
    system = train_network(size, stores, [*layers_of_run, *options.overrides], run, features=options.features)
    trained = read_header(run / "model.safetensors")["notes"]["data"]["splits"]["train"]
    model = load_model(run, "expression")
    scorer, r2, mouth, frames = MotionScorer(builtin_face_model()), 0.0, 0.0, 0
    for clip in evenly_spaced(read_split(stores, "test", options.features), options.scored):
        scores = scorer.score(clip, system.predict(clip).expression).values
        r2 += scores["within_clip_r2"] * clip.frames
        mouth += scores["mouth_opening_correlation"] * clip.frames
        frames += clip.frames
    return Point(
        size=size,
        share=share,
        seed=seed,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        minutes=trained["frames"] / FRAMES_A_MINUTE,
        speakers=trained["speakers"],
        error=1 - r2 / frames,
        mouth=mouth / frames,
    )


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stores", type=Path, nargs="+", metavar="STORE")
    parser.add_argument("--features", type=Path, nargs="*", default=[], metavar="FOLDER", help="One for each store.")
    parser.add_argument("--output", type=Path, required=True, help="Folder of points.csv.")
    parser.add_argument("--sizes", nargs="+", default=["24x1", "48x2", "96x2", "192x3"], metavar="WIDTHxLAYERS")
    parser.add_argument("--shares", nargs="+", type=float, default=[1.0, 0.25, 0.0625], help="Of the training clips.")
    parser.add_argument("--scored", type=int, help="Most clips of the people left out to score, evenly spaced.")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--override", dest="overrides", nargs="*", default=[], metavar="KEY=VALUE")
    return parser.parse_args()


def main() -> None:
    """Train what is missing, and print the tables."""
    options = parse()
    check_names(options.stores)
    check_features(options.stores, options.features)
    people = divide({row.speaker for store in options.stores for row in TrackStore(store).rows}, FOLDS)[0]
    points = read_points(options.output)
    with tempfile.TemporaryDirectory() as work:
        stores = [fold_view(store, Path(work, f"{n}"), people) for n, store in enumerate(options.stores)]
        for seed, size, share in sizes_and_shares(options):
            if any((point.seed, point.size, point.share) == (seed, size, share) for point in points):
                continue
            points.append(measure(options, stores, Path(work, "run"), seed, size, share))
            write_points(options.output, points)
            print(points[-1], flush=True)
    print(report(points))


if __name__ == "__main__":
    main()
