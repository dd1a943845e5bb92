"""From audio to 64 coefficients and a head pose, compared with SadTalker's expression network as published."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from numpy.typing import NDArray

from expnet.audio.alignment import mel_for_frames
from expnet.models.expression_regressor import ExpressionRegressor
from expnet.models.mel_source import mel_slices
from expnet.models.sadtalker import SADTALKER_EXPRESSION
from speed_rows.measure import Row, Spread, compare, speed_row
from speed_rows.setting import Setting

SECONDS, HOUR = 60.0, 3600.0
ENCODED_WITHIN = 1.5
"""Seconds within which a minute of speech becomes coefficients through the speech encoder."""
CLOCK_NOTE = "the other clock: seconds of audio per second of one core"
SAMPLED_AIM = 50.0
"""Times real time at which sampled motion is drawn, speech encoder included."""
CHUNK = 10
"""Frames that SadTalker's ``Audio2Exp.test`` processes in one call."""


def speech(setting: Setting) -> Iterator[Row]:
    """Sixty seconds compared with SadTalker and with real time, on two threads."""
    samples = setting.speech(SECONDS)
    portrait = setting.animator.portrait(setting.portrait)
    published = ExpressionRegressor(**SADTALKER_EXPRESSION).eval()
    torch.set_num_threads(2)
    pairs = compare(
        lambda: setting.animator.motion(portrait, samples),
        lambda: in_chunks(published, samples),
        repeats=setting.repeats,
    )
    torch.set_num_threads(1)
    name, what = "speech", "60 s of speech -> 64 coefficients and pose, 2 threads"
    yield speed_row(name, what, "SadTalker's expression network, chunks of 10 windows", pairs, 20.0, clock="wall")
    times = Spread.of([SECONDS / seconds.wall for seconds in pairs.ours])
    spent = Spread.of([SECONDS / seconds.processor for seconds in pairs.ours])
    ours = pairs.seconds("wall")[0]
    yield Row(name, what, "real time", ours, SECONDS, "s", times, 500.0, "wall", spent, note=CLOCK_NOTE)
    yield from through_encoder(setting)
    yield from sampled(setting)


def through_encoder(setting: Setting) -> Iterator[Row]:
    """The same through the speech encoder, compared with 1.5 s and with the network on the mel alone."""
    hearing = setting.hearing_animator
    if hearing is None:
        return
    samples, portrait = setting.speech(SECONDS), setting.animator.portrait(setting.portrait)
    torch.set_num_threads(2)
    pairs = compare(
        lambda: hearing.motion(portrait, samples),
        lambda: setting.animator.motion(portrait, samples),
        repeats=setting.repeats,
    )
    torch.set_num_threads(1)
    ours, theirs = pairs.seconds("wall")
    shares = Spread.of([seconds.wall / ENCODED_WITHIN for seconds in pairs.ours])
    spent = Spread.of([seconds.processor / ENCODED_WITHIN for seconds in pairs.ours])
    what = "60 s of speech -> 64 coefficients and pose through the speech encoder, 2 threads"
    note = f"the network on the mel alone took {theirs:.2g} s in the same run"
    bound = f"{ENCODED_WITHIN:g} s"
    yield Row("speech", what, bound, ours, ENCODED_WITHIN, "s", shares, 1.0, "wall", spent, at_most=True, note=note)


def sampled(setting: Setting) -> Iterator[Row]:
    """Sampled motion, speech encoder included, compared with real time and with regressed motion."""
    sampling, hearing = setting.sampling_animator, setting.hearing_animator
    if sampling is None or hearing is None:
        return
    samples, portrait = setting.speech(SECONDS), setting.animator.portrait(setting.portrait)
    torch.set_num_threads(2)
    pairs = compare(
        lambda: sampling.motion(portrait, samples),
        lambda: hearing.motion(portrait, samples),
        repeats=setting.repeats,
    )
    torch.set_num_threads(1)
    ours, theirs = pairs.seconds("wall")
    times = Spread.of([SECONDS / seconds.wall for seconds in pairs.ours])
    spent = Spread.of([SECONDS / seconds.processor for seconds in pairs.ours])
    what = "60 s of speech -> sampled expression, pose and lids through the speech encoder, 2 threads"
    note = f"regressed motion through the encoder took {theirs:.2g} s in the same run; {CLOCK_NOTE}"
    yield Row("speech", what, "real time", ours, SECONDS, "s", times, SAMPLED_AIM, "wall", spent, note=note)


@torch.inference_mode()
def in_chunks(published: ExpressionRegressor, samples: NDArray) -> torch.Tensor:
    """SadTalker's scheme: ten windows of 80 x 16 at a time; expression (T, 64) only, without its pose network."""
    frames = len(samples) // 640
    mel = mel_slices(mel_for_frames(samples, 0, frames)[None])
    first = torch.zeros(1, 64)
    parts = []
    for start in range(0, frames, CHUNK):
        count = min(CHUNK, frames - start)
        parts.append(published(mel(start, count), count, first, blink=torch.zeros(1, count))[0])
    return torch.cat(parts)


def hour(setting: Setting) -> Iterator[Row]:
    """An hour compared with sixty seconds: seconds of work per second of audio, and the additional memory."""
    portrait = setting.animator.portrait(setting.portrait)
    length = 600.0 if setting.quick else HOUR
    short, long = setting.speech(SECONDS), setting.speech(length)
    setting.animator.motion(portrait, short)
    before = peak_megabytes()
    pairs = compare(
        lambda: setting.animator.motion(portrait, long),
        lambda: [setting.animator.motion(portrait, short) for _ in range(round(length / SECONDS))],
        repeats=1 if setting.quick else 3,
        warm=False,
    )
    what = f"{length / 60:g} minutes of speech -> coefficients and pose"
    against = f"{SECONDS:g} s, {length / SECONDS:g} times"
    yield speed_row("hour", f"{what}: linear time", against, pairs, 0.9, clock="processor")
    added = peak_megabytes() - before
    share = added / before
    yield Row(
        "hour",
        f"{what}: memory",
        "the process after 60 s",
        before + added,
        before,
        "MB",
        Spread.of([1.0 + share]),
        1.25,
        "peak",
        at_most=True,
        note="the coefficients themselves are 26 MB an hour",
    )


def peak_megabytes() -> float:
    """Peak memory of this process in megabytes, since the peak was last reset."""
    with open("/proc/self/status", encoding="utf-8") as lines:
        return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024
