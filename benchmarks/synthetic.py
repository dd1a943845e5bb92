"""Does the built-in corpus move like real talking faces? Statistics within clips, side by side.

    python benchmarks/synthetic.py --real FOLDER [--clips 60]

FOLDER is a track store of real clips, or holds one .npz a clip with ``points`` (T, 478, 3), MediaPipe's points in
pixels, and ``found`` (T,). Every real clip is fitted with the built-in face model; the features are in units of the
outer-eye-corner distance, angles in radians, shifts in face units, coefficients in standard deviations. Printed are
medians over clips and, for real clips, the 10th and 90th percentile: the aim is to lie among them, not on the median.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from expnet.coefficients import FaceCoefficients
from expnet.data.facial_features import FEATURES, feature_space
from expnet.data.synthetic import Recipe, synthesize_clip
from expnet.face.fitting import fit_clip
from expnet.face.morphable import builtin_face_model

Row = dict[str, np.ndarray]


def real_clips(folder: Path, longest: int = 300) -> Iterator[FaceCoefficients]:
    """Coefficients of the real clips that were tracked nearly throughout."""
    if (folder / "manifest.parquet").is_file():
        from expnet.data.store import TrackStore

        store = TrackStore(folder)
        for row in store.rows:
            if row.status == "ok":
                yield store.read(row.clip_id).coefficients
        return
    for path in sorted(folder.glob("*.npz")):
        data = np.load(path)
        found = data["found"][:longest]
        if found.mean() > 0.98 and len(found) >= 50:
            yield fit_clip(builtin_face_model(), data["points"][:longest][found])


def statistics(clip: FaceCoefficients) -> Row:
    """(mean, standard deviation, standard deviation of the change per frame) of everything in a clip."""
    space = feature_space(builtin_face_model())
    tracks = space.measured(clip.identity.astype(float), clip.expression.astype(float))
    tracks |= dict(zip(("pitch", "yaw", "roll"), clip.rotation.T, strict=True))
    tracks |= dict(zip(("shift_x", "shift_y", "shift_z"), clip.translation.T, strict=True))
    row = {name: np.array([track.mean(), track.std(), np.diff(track).std()]) for name, track in tracks.items()}
    each = clip.expression
    row["coefficients"] = np.array(
        [
            np.sqrt((each.mean(0) ** 2).mean()),
            np.sqrt((each.std(0) ** 2).mean()),
            np.sqrt((np.diff(each, axis=0) ** 2).mean()),
        ]
    )
    gap = tracks["lip_gap"] - tracks["lip_gap"].mean()
    lags = [np.mean(gap[lag:] * gap[:-lag]) / max(gap.var(), 1e-9) for lag in (1, 2, 3, 5, 8)]
    row["gap_autocorrelation"] = np.array(lags)
    row["gap_percentiles"] = np.percentile(tracks["lip_gap"], [1, 10, 50, 90, 99])
    return row


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=60)
    options = parser.parse_args()
    torch.set_num_threads(1)
    recipe = Recipe(speakers=options.clips)
    synthesize_clip(recipe, 0)
    start, cpu = time.perf_counter(), time.process_time()
    made = [synthesize_clip(recipe, index) for index in range(options.clips)]
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    ours = [statistics(track.coefficients) for track in made]
    real = [statistics(clip) for clip in real_clips(options.real)]
    print(
        f"{len(made)} clips made at {len(made) / seconds:.1f} clips/s, {len(made) / cpu:.1f} clips/cpu-s; "
        f"{len(real)} real clips\n"
    )
    print(f"{'':20s} {'deviation within clip':>44s} {'change per frame':>44s} {'clip mean, spread':>20s}")
    for name in (*FEATURES, "pitch", "yaw", "roll", "shift_x", "shift_y", "shift_z", "coefficients"):
        cells = []
        for column in (1, 2):
            low, middle, high = np.percentile([row[name][column] for row in real], [10, 50, 90])
            value = np.median([row[name][column] for row in ours])
            mark = " " if low <= value <= high else "*"
            cells.append(f"{value:9.4f}{mark} real {middle:7.4f} [{low:7.4f} {high:7.4f}]")
        means = [np.std([row[name][0] for row in rows]) for rows in (ours, real)]
        print(f"{name:20s} {cells[0]:>44s} {cells[1]:>44s} {means[0]:9.4f} {means[1]:9.4f}")
    for name in ("gap_autocorrelation", "gap_percentiles"):
        for title, rows in (("made", ours), ("real", real)):
            print(f"{name} {title}: {np.median([row[name] for row in rows], axis=0).round(3)}")


if __name__ == "__main__":
    main()
