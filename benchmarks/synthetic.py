"""Does the synthetic corpus move like real talking faces, and in time with the audio?

    python benchmarks/synthetic.py --real STORE [--clips 60]

STORE is a track store of real clips. The first table has statistics within clips: features in units of the
outer-eye-corner distance, angles in radians, translations in face units, and coefficients in standard deviations;
medians over clips and, for real clips, the 10th and 90th percentiles. The synthetic clips should lie between these
percentiles (a * marks those that do not), not at the median.

Second, a ridge regression from mel spectrogram to mouth opening is trained on synthetic clips only and tested on the
real clips at shifts of -3 to 3 frames. The correlation shows how closely synthetic speech resembles real speech, and
the best shift whether lips and audio are in sync. A real clip with another best shift than the rest has its audio out
of sync.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from expnet.audio.alignment import MEL_CONTEXT, MEL_PER_FRAME, mel_for_frames
from expnet.coefficients import FaceCoefficients
from expnet.data.store.track import Track
from expnet.data.store.track_store import TrackStore
from expnet.data.synthetic.corpus import Recipe, synthesize_clip
from expnet.face.facial_features import FEATURES, feature_space
from expnet.face.measures import mouth_opening
from expnet.face.morphable import builtin_face_model

Row = dict[str, np.ndarray]


def statistics(clip: FaceCoefficients) -> Row:
    """Mean, standard deviation, and standard deviation of the change per frame of every quantity in a clip."""
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


def mel_around(track: Track) -> np.ndarray:
    """Pairs of mel bands relative to the clip's loud parts, at 11 places within 190 ms of each frame: (T, 440)."""
    mel = mel_for_frames(track.audio, 0, track.frames).numpy().reshape(40, 2, -1).mean(axis=1)
    mel = np.maximum(mel - np.percentile(mel, 95), -4.5)
    centre = np.round(MEL_CONTEXT + MEL_PER_FRAME * (np.arange(track.frames) + 0.5)).astype(int)
    places = [mel[:, np.clip(centre + offset, 0, mel.shape[1] - 1)].T for offset in range(-15, 16, 3)]
    return np.concatenate(places, axis=1)


def opening(track: Track) -> np.ndarray:
    """Mouth opening of a track, (T,)."""
    return mouth_opening(torch.from_numpy(track.landmarks)).numpy()


def transfer(made: list[Track], real: list[Track]) -> None:
    """Print the correlation on real clips of a regression trained on synthetic clips, by shift."""
    mel = np.concatenate([mel_around(track) for track in made])
    wanted = np.concatenate([opening(track) - opening(track).mean() for track in made])
    mean, scale = mel.mean(axis=0), mel.std(axis=0) + 1e-3
    mel = (mel - mean) / scale
    weights = np.linalg.solve(mel.T @ mel + 3000.0 * np.eye(mel.shape[1]), mel.T @ wanted)
    shifts = range(-3, 4)
    table = []
    for track in real:
        guess, truth = ((mel_around(track) - mean) / scale) @ weights, opening(track)
        table.append([np.corrcoef(np.roll(guess, shift)[4:-4], truth[4:-4])[0, 1] for shift in shifts])
    scores = np.array(table)
    print("\nridge trained on synthetic clips, mean correlation of the mouth opening on real clips by shift in frames")
    print("   ".join(f"{shift:+d}: {score:.3f}" for shift, score in zip(shifts, scores.mean(axis=0), strict=True)))
    best = scores.argmax(axis=1) - 3
    print("clips by best shift:", {shift: int((best == shift).sum()) for shift in shifts})
    within = scores[np.abs(best) <= 1]
    print(f"mean over the {len(within)} clips in sync (best shift within one frame): {within[:, 3].mean():.3f}")


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
    store = TrackStore(options.real)
    tracked = [track for row in store.rows if (track := store.read(row.clip_id)).frames >= 50]
    real = [statistics(track.coefficients) for track in tracked]
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
    transfer(made, tracked)


if __name__ == "__main__":
    main()
