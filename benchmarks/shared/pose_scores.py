"""Scores of sampled head motion and of real head motion: extent, speed, timing, and what the motion depends on."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from expnet.audio.alignment import FRAME_RATE, MEL_CONTEXT, SAMPLES_PER_FRAME, mel_for_frames
from expnet.data.store.track import Track
from expnet.data.store.track_store import TrackStore
from expnet.face.camera import to_camera
from expnet.face.morphable import builtin_face_model
from expnet.metrics import BeatAlignment
from expnet.metrics.functional import angular_speed, pearson, pose_diversity, pose_sample_diversity
from expnet.metrics.functional.beats import audio_beats
from expnet.models.pose_cvae import PoseCVAE
from expnet.models.pose_motion import POSE, ROTATION_LIMIT
from expnet.models.pose_style import distances
from expnet.models.sadtalker import SadTalkerPose
from expnet.training.losses import kl_loss
from expnet.training.tasks.pose_task import pad_to_windows

DRAWS = 4
SHORTEST = 66
"""Shortest scored segment in frames, two windows; spectra are taken over 64 of them."""
SHOWN = 40
"""Fewest frames in which a style can be measured."""
MOST_CLIPS = 3
"""Largest number of scored clips per speaker."""
LONG = 180 * FRAME_RATE
"""Frames of the drift test, three minutes."""
LONG_DRAWS = 2
WINDOW = 32
ENERGY_LAGS = range(-5, 6)
"""Lags in frames between head motion and audio energy, in both directions."""

Scores = dict[str, float]


@dataclass(eq=False)
class Segment:
    """A segment of a clip that is scored.

    Attributes:
        name: Name of the clip.
        speaker: Speaker of the clip.
        pose: (T, 6) Absolute poses.
        valid: (T,) bool, frames that were tracked.
        mel: (80, N) Mel spectrogram.
        beats: (K,) Beats of the audio, in seconds.
        shown: Poses (S, 6) in which a style may be measured, none of them scored, and which of them are valid (S,).
            None where the speaker has no frames beyond the scored ones.
    """

    name: str
    speaker: str
    pose: Tensor
    valid: Tensor
    mel: Tensor
    beats: Tensor
    shown: tuple[Tensor, Tensor] | None

    @property
    def frames(self) -> int:
        """Number of frames T."""
        return len(self.pose)

    def energy(self) -> Tensor:
        """Log energy (T,) of the audio at each frame, the mean over the mel bands."""
        columns = MEL_CONTEXT + (3.2 * (torch.arange(self.frames) + 0.5)).long()
        return smoothed(self.mel[:, columns].mean(dim=0)[:, None])[:, 0]


def read_clips(stores: Sequence[Path], people: set[str]) -> Iterator[Segment]:
    """Yield the clips of some speakers, long ones first, with the poses in which a style may be measured.

    Those poses come from another clip of the same speaker where there is one. Otherwise the clip is split: its end is
    scored and its beginning shown. A clip that is too short for that is scored whole and nothing is shown.
    """
    for speaker in sorted(people):
        opened = [TrackStore(store) for store in stores]
        rows = [(row, store) for store in opened for row in store.rows if row.speaker == speaker]
        rows.sort(key=lambda pair: (-pair[0].frames, pair[0].clip_id))
        scored = [pair for pair in rows if pair[0].frames >= SHORTEST][:MOST_CLIPS]
        for row, store in scored:
            track = store.read(row.clip_id)
            others = [poses_of(s.read(other.clip_id)) for other, s in rows if other.clip_id != row.clip_id][:1]
            if others and measurable(others[0][1]):
                yield read_segment(row.clip_id, speaker, track, 0, others[0])
                continue
            pose, valid = poses_of(track)
            start = max(0, min(track.frames // 2, track.frames - SHORTEST))
            if measurable(valid[:start]):
                yield read_segment(row.clip_id, speaker, track, start, (pose[:start], valid[:start]))
            else:
                yield read_segment(row.clip_id, speaker, track, 0, None)


def measurable(valid: Tensor) -> bool:
    """Whether a style can be measured in frames, of which those marked in ``valid`` (S,) were tracked."""
    return len(valid) >= SHOWN and bool(distances(valid.new_zeros(1, len(valid), POSE).float(), valid[None])[1])


def poses_of(track: Track) -> tuple[Tensor, Tensor]:
    """Poses (T, 6) of a track, and which of them were tracked (T,)."""
    return torch.from_numpy(track.coefficients.pose), torch.from_numpy(track.valid)


def read_segment(name: str, speaker: str, track: Track, start: int, shown: tuple[Tensor, Tensor] | None) -> Segment:
    """The segment of a clip from frame ``start`` on."""
    pose, valid = poses_of(track)
    mel = mel_for_frames(track.audio, start, track.frames - start)
    samples = torch.from_numpy(track.audio[start * SAMPLES_PER_FRAME : track.frames * SAMPLES_PER_FRAME])
    return Segment(name, speaker, pose[start:], valid[start:], mel, audio_beats(samples), shown)


def smoothed(x: Tensor) -> Tensor:
    """Average (T, C) over three frames, which removes tracker jitter and preserves nods."""
    padded = torch.cat([x[:1], x, x[-1:]])
    return 0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:]


def energy_between(pose: Tensor, low: float, high: float) -> float:
    """Energy of the angles (T, 3) between two frequencies in Hz, over the first 64 frames."""
    part = pose[:64] - pose[:64].mean(dim=0)
    power = torch.fft.rfft(part * torch.hann_window(64)[:, None], dim=0).abs().square().sum(dim=1)
    pace = torch.fft.rfftfreq(64, 1 / FRAME_RATE)
    return float(power[(pace >= low) & (pace < high)].sum())


def pace_of(rotation: Tensor) -> Tensor:
    """Angular speed (T - 1,) of a rotation (T, 3), smoothed to remove tracker jitter."""
    return smoothed(smoothed(rotation)).diff(dim=0).norm(dim=-1)


def follows(pace: Tensor, energy: Tensor) -> float:
    """Correlation of angular speed (T - 1,) with audio energy (T',), averaged over `ENERGY_LAGS`.

    The mean is used because the maximum over many lags is positive for any two curves.
    """
    energy = (energy[1:] + energy[:-1]) / 2
    length = min(len(pace), len(energy)) - max(ENERGY_LAGS)
    middle = slice(max(ENERGY_LAGS), length)
    found = [pearson(pace[middle], energy.roll(lag)[: len(pace)][middle]) for lag in ENERGY_LAGS]
    return float(torch.stack(found).mean())


def beat_score(pose: Tensor, valid: Tensor, beats: Tensor) -> float:
    """Beat alignment of poses (T, 6) with beats (K,); NaN where the audio has no beats."""
    if not len(beats):
        return float("nan")
    face = builtin_face_model()
    neutral = face.landmarks(torch.zeros(face.identity_size), torch.zeros(face.expression_size))  # (68, 3)
    points = to_camera(neutral.expand(len(pose), -1, -1), pose[:, :3], pose[:, 3:])  # (T, 68, 3)
    return float(BeatAlignment().score(points[None], beats[None], valid[None])[0])


def motion_scores(pose: Tensor, clip: Segment, other: Segment) -> Scores:
    """Measure an absolute head motion (T, 6); ``other`` provides audio that the motion was not made from."""
    rotation, valid = pose[:, :3], clip.valid
    pace = pace_of(rotation)
    free = clip.pose[0, :3].abs() <= ROTATION_LIMIT
    return {
        "diversity": float(pose_diversity(rotation, valid=valid)),
        "speed": float(angular_speed(rotation, valid=valid)),
        "smooth_speed": float(angular_speed(smoothed(rotation), valid=valid)),
        "slow_energy": energy_between(rotation, 0.2, 1.5),
        "nod_energy": energy_between(rotation, 1.5, 5.0),
        "beat_alignment": beat_score(pose, valid, clip.beats),
        "beat_alignment_other": beat_score(pose, valid, other.beats),
        "follows_sound": follows(pace, clip.energy()),
        "follows_other": follows(pace, other.energy()),
        "out_of_range": float(((rotation.abs() > ROTATION_LIMIT) & free).any(dim=1).float().mean()),
    }


class Drawer:
    """Samples head motion for clips with one network.

    Args:
        model: The network.
        measured: Use the style measured in the clip's shown poses instead of the average speaker's style.
    """

    def __init__(self, model: PoseCVAE | SadTalkerPose, *, measured: bool = False) -> None:
        self.model, self.measured = model, measured

    def styled(self, clip: Segment) -> Tensor | None:
        """Style to sample in; None for the average speaker's style."""
        if not self.measured:
            return None
        assert isinstance(self.model, PoseCVAE)
        assert clip.shown is not None
        pose, valid = clip.shown
        return self.model.style_of(pose, valid)

    def draw(self, clip: Segment, seed: int, mel: Tensor | None = None, frames: int | None = None) -> Tensor:
        """Sample an absolute head motion (T, 6), seeded per clip so that no single seed decides all scores."""
        audio, first = (clip.mel if mel is None else mel)[None], clip.pose[:1]
        generator = torch.Generator().manual_seed(zlib.crc32(clip.name.encode()) + seed)
        return first + self.model.sample(audio, frames or clip.frames, first, self.styled(clip), generator)[0]


def score_draws(drawer: Drawer, clip: Segment, other: Segment) -> Scores:
    """Score sampled motion for one clip; ``other`` provides the audio where the audio is swapped."""
    draws = [drawer.draw(clip, seed) for seed in range(DRAWS)]
    scored = [motion_scores(draw, clip, other) for draw in draws]
    row = {key: sum(scores[key] for scores in scored) / DRAWS for key in scored[0]}
    frames = min(clip.frames, other.frames)
    swapped = drawer.draw(clip, 0, mel=other.mel, frames=frames)
    first, again, swapped = (draw[:frames, :3] for draw in (draws[0], draws[1], swapped))
    row["swap_latent"] = float((first - again).norm(dim=-1).mean().rad2deg())
    row["swap_sound"] = float((first - swapped).norm(dim=-1).mean().rad2deg())
    row["pace_other_latent"] = float(pearson(pace_of(first), pace_of(again)))
    row["pace_other_sound"] = float(pearson(pace_of(first), pace_of(swapped)))
    rotations = torch.stack(draws)[..., :3]
    row["between_draws"] = float(pose_sample_diversity(rotations, valid=clip.valid))
    real = [pose_sample_diversity(torch.stack([clip.pose[:, :3], draw]), valid=clip.valid) for draw in rotations]
    row["draw_to_real"] = float(torch.stack(real).mean())
    return row


def join_ratio(pose: Tensor, order: int) -> float:
    """Mean size of the ``order``-th difference of (T, 6) at the joins of windows, relative to the inside of windows."""
    size = pose.diff(n=order, dim=0).norm(dim=-1)
    at_join = torch.zeros(len(size), dtype=torch.bool)
    for join in range(WINDOW, len(pose) - 2, WINDOW):
        at_join[join - order + 1 : join + 1] = True
    return float(size[at_join].mean() / size[~at_join].mean())


def score_long(drawer: Drawer, clip: Segment) -> Scores:
    """Sample three minutes for a clip whose audio is repeated, and score joins, drift and range."""
    columns = clip.mel[:, MEL_CONTEXT:-MEL_CONTEXT]
    mel = torch.cat([columns] * (-(-LONG // clip.frames) + 1), dim=1)
    drawn = [long_scores(drawer.draw(clip, seed, mel=mel, frames=LONG), clip) for seed in range(LONG_DRAWS)]
    row = {key: sum(scores[key] for scores in drawn) / LONG_DRAWS for key in drawn[0]}
    return row | {"long_largest_angle": max(scores["long_largest_angle"] for scores in drawn)}


def long_scores(pose: Tensor, clip: Segment) -> Scores:
    """Measure three minutes of absolute head motion (4500, 6) sampled for a clip."""
    scaled = pose / pose.std(dim=0)
    minutes = pose[:, :3].unflatten(0, (3, LONG // 3))  # (3, 1500, 3)
    mean, spread = minutes.mean(dim=1), minutes.std(dim=1).mean(dim=-1)  # (3, 3), (3,)
    free = clip.pose[0, :3].abs() <= ROTATION_LIMIT
    return {
        "join_velocity": join_ratio(scaled, 1),
        "join_acceleration": join_ratio(scaled, 2),
        "shift_to_second": float((mean[1] - mean[0]).abs().mean()),
        "shift_to_third": float((mean[2] - mean[0]).abs().mean()),
        "spread_first": float(spread[0]),
        "spread_second": float(spread[1]),
        "spread_third": float(spread[2]),
        "long_largest_angle": float(pose[:, :3][:, free].abs().max()),
    }


@torch.no_grad()
def score_posterior(model: PoseCVAE | SadTalkerPose, clip: Segment) -> Scores:
    """KL divergence in nats per window, and reconstruction errors from the motion's own latent and from random ones."""
    relative = clip.pose - clip.pose[:1]
    mel, pose, valid = pad_to_windows(clip.mel[None], relative[None], clip.valid[None], WINDOW)
    windows = model(mel, pose, clip.pose[:1], None, valid, from_prior=True)
    assert windows.from_prior is not None
    seen, scale = windows.valid, model.pose_std
    still = windows.target - windows.target[seen].mean(dim=0)
    own, blind, energy = (
        float((error / scale)[seen].square().sum())
        for error in (windows.predicted - windows.target, windows.from_prior - windows.target, still)
    )
    real = seen.any(dim=1)
    return {
        "kl": float(kl_loss(windows.mean[real], windows.log_variance[real])),
        "reconstruction": own,
        "blind_reconstruction": blind,
        "motion": energy,
    }
