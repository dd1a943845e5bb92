"""Do drawn heads move like real ones, on people that the network has never seen? Folds by person, real clips beside.

Usage: python benchmarks/pose.py STORE [STORE ...] [--folds 3] [--steps 400] [--sadtalker-steps 200] [KEY=VALUE ...]
       python benchmarks/pose.py STORE --weights RUN          (one network as it is: for people it has not heard)

The people of all stores are divided into folds; a fold's heads are drawn by networks that were trained on everybody
else. Ratios are sums over clips of the drawn over sums of the real, intervals draw people. KEY=VALUE changes the
training of our network, as for train.py. Rows: real clips; ours in the style of the average training speaker, and in a
style measured in the clip; SadTalker's network and scheme, trained on the same clips.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from expnet.audio.alignment import FRAME_RATE, mel_for_frames
from expnet.config import load_config
from expnet.data.manifest import read_manifest, write_manifest
from expnet.data.store import TrackStore
from expnet.face.camera import to_camera
from expnet.face.morphable import builtin_face_model
from expnet.losses import kl_loss
from expnet.metrics import BeatAlignment
from expnet.metrics.functional import angular_speed, audio_beats, pose_diversity, pose_sample_diversity
from expnet.metrics.functional.statistics import bootstrap_interval
from expnet.models.bundle import load_model
from expnet.models.pose_cvae import PoseCVAE
from expnet.models.pose_motion import ROTATION_LIMIT
from expnet.tasks.pose import pad_to_windows
from expnet.training import train

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
DRAWS = 4
SHORTEST = 66
"""Frames of a clip that is scored: two windows."""
LONG = 180 * FRAME_RATE
"""Frames of the test of drift: three minutes."""
WINDOW = 32


@dataclass
class Heard:
    """A clip that is scored: pose (T, 6) absolute, mel (80, N), beats (K,) in seconds."""

    name: str
    speaker: str
    pose: Tensor
    valid: Tensor
    mel: Tensor
    beats: Tensor

    @property
    def frames(self) -> int:
        """T."""
        return len(self.pose)


def fold_of(speaker: str, folds: int) -> int:
    """The fold of a person, by name alone."""
    return int(hashlib.sha256(speaker.encode()).hexdigest(), 16) % folds


def fold_view(store: Path, folder: Path, fold: int, folds: int) -> Path:
    """Make a store that shares the shards of another, with a fold's people as its test split."""
    rows, shards = read_manifest(store)
    folder.mkdir(parents=True)
    (folder / "shards").symlink_to((store / "shards").resolve())
    splits = ["test" if fold_of(row.speaker, folds) == fold else "train" for row in rows]
    write_manifest(folder, [dataclasses.replace(row, split=s) for row, s in zip(rows, splits, strict=True)], shards)
    return folder


def read_clips(stores: list[Path], split: str | None) -> Iterator[Heard]:
    """The clips of a split (all with None) that are long enough, no more than three of a person."""
    taken: dict[str, int] = defaultdict(int)
    for path in stores:
        store = TrackStore(path)
        for row in store.rows:
            if row.frames < SHORTEST or (split and row.split != split) or taken[row.speaker] >= 3:
                continue
            taken[row.speaker] += 1
            track = store.read(row.clip_id)
            pose = torch.from_numpy(track.coefficients.pose)
            mel = mel_for_frames(track.audio, 0, track.frames)
            beats = audio_beats(torch.from_numpy(track.audio))
            yield Heard(row.clip_id, row.speaker, pose, torch.from_numpy(track.valid), mel, beats)


def smoothed(pose: Tensor) -> Tensor:
    """Average (T, C) over three frames, which takes the trembling of a tracker out and leaves nods in."""
    return 0.25 * pose[:-2] + 0.5 * pose[1:-1] + 0.25 * pose[2:]


def energy_between(pose: Tensor, low: float, high: float) -> float:
    """Energy of the angles (T, 3) between two frequencies in Hz, over the first 64 frames."""
    part = pose[:64] - pose[:64].mean(dim=0)
    power = torch.fft.rfft(part * torch.hann_window(64)[:, None], dim=0).abs().square().sum(dim=1)
    pace = torch.fft.rfftfreq(64, 1 / FRAME_RATE)
    return float(power[(pace >= low) & (pace < high)].sum())


def motion_scores(pose: Tensor, clip: Heard) -> dict[str, float]:
    """Measure a head motion, absolute (T, 6)."""
    rotation, calm = pose[:, :3], smoothed(pose[:, :3])
    face = builtin_face_model()
    neutral = face.landmarks(torch.zeros(face.identity_size), torch.zeros(face.expression_size))  # (68, 3)
    points = to_camera(neutral.expand(len(pose), -1, -1), pose[:, :3], pose[:, 3:])  # (T, 68, 3)
    aligned = BeatAlignment().score(points[None], clip.beats[None], clip.valid[None])[0] if len(clip.beats) else None
    return {
        "diversity": float(pose_diversity(rotation)),
        "speed": float(angular_speed(rotation)),
        "smooth_speed": float(angular_speed(calm)),
        "slow_energy": energy_between(rotation, 0.2, 1.5),
        "nod_energy": energy_between(rotation, 1.5, 5.0),
        "beat_alignment": float("nan") if aligned is None else float(aligned),
        "largest_angle": float(rotation.abs().max()),
    }


def join_ratio(pose: Tensor, order: int) -> float:
    """Mean size of a difference of (T, 6) across the joins of windows, over that inside them."""
    size = pose.diff(n=order, dim=0).norm(dim=-1)
    at_join = torch.zeros(len(size), dtype=torch.bool)
    for join in range(WINDOW, len(pose) - 2, WINDOW):
        at_join[join - order + 1 : join + 1] = True
    return float(size[at_join].mean() / size[~at_join].mean())


class Drawer:
    """Draw heads for clips with one network, in one of the ways that are compared."""

    def __init__(self, model: Any, style: str = "average") -> None:
        self.model, self.style = model, style

    def styled(self, clip: Heard) -> Tensor | None:
        """The style to draw in: None for the average speaker's."""
        if self.style == "average":
            return None
        return self.model.style_of(clip.pose - clip.pose[:1], clip.valid)

    def draw(self, clip: Heard, seed: int, mel: Tensor | None = None, frames: int | None = None) -> Tensor:
        """A head motion (T, 6), absolute."""
        heard, first = (clip.mel if mel is None else mel)[None], clip.pose[:1]
        generator = torch.Generator().manual_seed(seed)
        return first + self.model.sample(heard, frames or clip.frames, first, self.styled(clip), generator)[0]


def score_clip(drawer: Drawer, clip: Heard, other: Heard) -> dict[str, float]:
    """Score the heads drawn for one clip; ``other`` lends its sound where the sound is swapped."""
    draws = [drawer.draw(clip, seed) for seed in range(DRAWS)]
    scores = [motion_scores(draw, clip) for draw in draws]
    row = {key: sum(s[key] for s in scores) / DRAWS for key in scores[0]}
    frames = min(clip.frames, other.frames)
    swapped = drawer.draw(clip, 0, mel=other.mel, frames=frames)[:, :3]
    relative = torch.stack(draws) - clip.pose[:1]
    row["between_draws"] = float(pose_sample_diversity(relative[..., :3]))
    real = (clip.pose - clip.pose[:1])[None, :, :3]
    row["draw_to_real"] = sum(float(pose_sample_diversity(torch.cat([real, d[None, :, :3]]))) for d in relative) / DRAWS
    row["swap_latent"] = float((draws[0] - draws[1])[:frames, :3].norm(dim=-1).mean())
    row["swap_sound"] = float((draws[0][:frames, :3] - swapped).norm(dim=-1).mean())
    return row


def score_long(drawer: Drawer, clips: list[Heard]) -> dict[str, float]:
    """Draw three minutes for each of up to eight clips, whose sound is repeated, and look at joins and drift."""
    long, joins = [], defaultdict(list)
    for clip in clips[:8]:
        columns = clip.mel[:, 16:-16]
        mel = torch.cat([columns] * (-(-LONG // clip.frames) + 1), dim=1)
        pose = drawer.draw(clip, 0, mel=mel, frames=LONG) - clip.pose[:1]
        scaled = pose / pose.std(dim=0)
        for order, name in ((1, "velocity"), (2, "acceleration")):
            joins[name].append(join_ratio(scaled, order))
        long.append(pose[:, :3])
    begin, _, end = torch.stack(long).unflatten(1, (3, LONG // 3)).unbind(dim=1)  # (8, 1500, 3)
    spread = begin.std(dim=1).mean()
    return {
        **{f"join_{name}": sum(values) / len(values) for name, values in joins.items()},
        "drift_of_mean": float((end.mean(dim=1) - begin.mean(dim=1)).abs().mean() / spread),
        "drift_of_spread": float(end.std(dim=1).mean() / spread),
        "long_largest_angle": max(float(pose.abs().max()) for pose in long),
    }


@torch.no_grad()
def posterior_scores(model: Any, clips: list[Heard]) -> dict[str, float]:
    """KL in nats a window, and what is left of the motion's variance when it is decoded from its own latent, or not."""
    totals: dict[str, float] = defaultdict(float)
    for clip in clips:
        mel, pose, valid = pad_to_windows(clip.mel[None], (clip.pose - clip.pose[:1])[None], clip.valid[None], WINDOW)
        windows = model(mel, pose, clip.pose[:1], None, valid, from_prior=True)
        real = windows.valid[..., None]
        scale = model.pose_std
        still = windows.target - windows.target[windows.valid].mean(dim=0)
        for name, value in (("left", windows.predicted), ("left_blind", windows.from_prior)):
            totals[name] += float((((value - windows.target) / scale).square() * real).sum())
        totals["energy"] += float(((still / scale).square() * real).sum())
        totals["kl"] += float(kl_loss(windows.mean, windows.log_variance))
    return {
        "kl": totals["kl"] / len(clips),
        "reconstruction": totals["left"] / totals["energy"],
        "blind_reconstruction": totals["left_blind"] / totals["energy"],
    }


def run(config: str, stores: list[Path], output: Path, overrides: list[str]) -> Any:
    """Train a head-pose network and load it."""
    listed = f"[{','.join(map(str, stores))}]"
    quiet = ["data.validation_fraction=0", "trainer.validate_every=1000000"]
    train(load_config([str(CONFIGS / config), f"data.store={listed}", f"output={output}", *quiet, *overrides]))
    return load_model(output, "pose")


def drawers_of(ours: Any, sadtalker: Any | None) -> dict[str, Drawer]:
    """The rows of the table."""
    rows = {"ours, average style": Drawer(ours)}
    if isinstance(ours, PoseCVAE):
        rows["ours, style of the clip"] = Drawer(ours, style="clip")
    if sadtalker is not None:
        rows["SadTalker's scheme"] = Drawer(sadtalker)
    return rows


def score_fold(drawers: dict[str, Drawer], clips: list[Heard]) -> dict[str, dict[str, Any]]:
    """Score every row on a fold's people."""
    result: dict[str, dict[str, Any]] = {}
    named = [{"clip": clip.name, "speaker": clip.speaker} for clip in clips]
    result["real"] = {"clips": [{**n, **motion_scores(c.pose, c)} for n, c in zip(named, clips, strict=True)]}
    for name, drawer in drawers.items():
        scored = [score_clip(drawer, clip, clips[(i + 1) % len(clips)]) for i, clip in enumerate(clips)]
        long = {**score_long(drawer, clips), **posterior_scores(drawer.model, clips)}
        result[name] = {"clips": [{**n, **s} for n, s in zip(named, scored, strict=True)], "fold": [long]}
    return result


RATIOS = ("diversity", "speed", "smooth_speed", "slow_energy", "nod_energy", "beat_alignment")


def tables(results: dict[str, dict[str, Any]]) -> str:
    """Ratios to the real clips with intervals over people, then the plain numbers."""
    real = results["real"]["clips"]
    people = [row["speaker"] for row in real]
    lines = [f"{len(real)} clips of {len(set(people))} people", "", f"| drawn over real | {' | '.join(RATIOS)} |"]
    lines.append("| --- " * (len(RATIOS) + 1) + "|")
    for name, result in results.items():
        cells = []
        for key in RATIOS:
            if name == "real":
                cells.append(f"{sum(r[key] for r in real if r[key] == r[key]) / len(real):.4g}")
                continue
            weights = [row[key] for row in real]
            values = [row[key] / weight if weight else 0 for row, weight in zip(result["clips"], weights, strict=True)]
            interval = bootstrap_interval(values, weights=weights, groups=people)
            cells.append(f"{interval.mean:.2f} [{interval.low:.2f}, {interval.high:.2f}]")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    keys = ("between_draws", "draw_to_real", "swap_latent", "swap_sound", "largest_angle")
    folds = next(iter(result["fold"][0] for name, result in results.items() if name != "real"))
    lines += ["", f"| mean | {' | '.join((*keys, *folds))} |", "| --- " * (1 + len(keys) + len(folds)) + "|"]
    for name, result in results.items():
        if name == "real":
            continue
        means = [sum(row[key] for row in result["clips"]) / len(real) for key in keys]
        means += [sum(fold[key] for fold in result["fold"]) / len(result["fold"]) for key in folds]
        lines.append(f"| {name} | {' | '.join(f'{value:.3g}' for value in means)} |")
    return "\n".join([*lines, "", f"Angles in degrees, swaps and largest angles in radians (limit {ROTATION_LIMIT})."])


def main() -> None:
    """Run the folds and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stores", type=Path, nargs="+", help="track stores; KEY=VALUE changes our training")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--only", type=int, nargs="*", help="folds to run, all by default")
    parser.add_argument("--steps", type=int, default=400, help="of our network")
    parser.add_argument("--sadtalker-steps", type=int, default=200, help="of SadTalker's; 0 leaves it out")
    parser.add_argument("--weights", type=Path, help="score this network on all clips and train nothing")
    parser.add_argument("--output", type=Path, help="file for all rows as JSON")
    arguments = parser.parse_args()
    overrides = [str(given) for given in arguments.stores if "=" in str(given)]
    stores = [given for given in arguments.stores if "=" not in str(given)]
    torch.set_num_threads(1)
    results: dict[str, dict[str, Any]] = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory() as work:
        for fold in [0] if arguments.weights else arguments.only or range(arguments.folds):
            start = time.perf_counter()
            if arguments.weights:
                clips, drawers = list(read_clips(stores, None)), drawers_of(load_model(arguments.weights, "pose"), None)
            else:
                views = [fold_view(s, Path(work) / f"{fold}.{i}", fold, arguments.folds) for i, s in enumerate(stores)]
                steps = [f"trainer.max_steps={arguments.steps}", *overrides]
                ours = run("pose.yaml", views, Path(work) / f"ours{fold}", steps)
                old = None
                if arguments.sadtalker_steps:
                    steps = [f"trainer.max_steps={arguments.sadtalker_steps}"]
                    old = run("sadtalker_pose.yaml", views, Path(work) / f"sadtalker{fold}", steps)
                clips, drawers = list(read_clips(views, "test")), drawers_of(ours, old)
            for name, scored in score_fold(drawers, clips).items():
                for part, rows in scored.items():
                    results[name][part] += rows
            print(f"fold {fold}: {time.perf_counter() - start:.0f} s\n{tables(results)}\n", flush=True)
    if arguments.output:
        arguments.output.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
