"""THEval's metrics: its scripts' own loops, cases by hand, and librosa's loudness.

``benchmarks/theval.py`` runs the scripts themselves beside these functions.
"""

import itertools
import statistics

import librosa
import numpy as np
import pytest
import torch

from expnet.metrics import ThevalBrowDynamics, ThevalLipSync, ThevalSilentLipStability
from expnet.metrics.functional.theval import (
    BROWS,
    EYES,
    LIPS,
    LOWER_LIP,
    UPPER_LIP,
    brow_dynamics,
    frame_loudness,
    lip_dynamics,
    lip_sync_difference,
    pauses,
    silent_lip_stability,
    speech_frames,
)

FRAMES = 30


@pytest.fixture
def mesh() -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.rand(2, FRAMES, 478, 2, generator=generator, dtype=torch.float64)


@pytest.fixture
def valid() -> torch.Tensor:
    found = torch.ones(2, FRAMES, dtype=torch.bool)
    found[0, 7:9] = False
    return found


def lost(mesh: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    return mesh.masked_fill(~valid[..., None, None], torch.nan)


def test_lip_dynamics_is_the_loop_of_the_script(mesh: torch.Tensor, valid: torch.Tensor) -> None:
    for clip in range(2):
        vectors = []
        for frame in np.flatnonzero(valid[clip].numpy()):
            points = [mesh[clip, frame, i].numpy() * 256 for i in sorted(LIPS)]
            vectors.append([np.linalg.norm(a - b) for a, b in itertools.combinations(points, 2)])
        expected = np.mean(np.std(np.array(vectors), axis=0))
        assert lip_dynamics(lost(mesh, valid), valid=valid)[clip].item() == pytest.approx(expected, rel=1e-12)


def test_lips_that_grow_and_shrink_by_hand(mesh: torch.Tensor) -> None:
    lips = mesh[:1, :1].repeat(1, 4, 1, 1) * torch.tensor([1.0, 2.0, 1.0, 2.0]).reshape(1, 4, 1, 1)
    points = mesh[0, 0, list(LIPS)] * 256
    mean_distance = torch.pdist(points).mean().item()
    assert lip_dynamics(lips).item() == pytest.approx(0.5 * mean_distance)  # distances d, 2 d, d, 2 d deviate by d / 2
    assert lip_dynamics(mesh[:, :1]).tolist() == [0.0, 0.0]


def test_brow_dynamics_is_the_loop_of_the_script(mesh: torch.Tensor, valid: torch.Tensor) -> None:
    width, height = 640, 360
    for clip in range(2):
        before: list[float] | None = None
        total, count = 0.0, 0
        for frame in range(FRAMES):
            if not valid[clip, frame]:
                continue
            pixels = mesh[clip, frame].numpy() * (width, height)
            eyes = [pixels[sorted(side)].mean(0) for side in EYES]
            scale = np.linalg.norm(eyes[0] - eyes[1])
            now = [np.linalg.norm(pixels[sorted(b)].mean(0) - e) / scale for b, e in zip(BROWS, eyes, strict=True)]
            for side in range(2) if before is not None else ():
                total, count = total + abs(now[side] - before[side]), count + 1
            before = now
        aspect = torch.tensor(2 * [width / height], dtype=torch.float64)
        got = brow_dynamics(lost(mesh, valid), aspect, valid=valid)[clip]
        assert got.item() == pytest.approx(total / count, rel=1e-12)


def test_stability_in_silence_is_the_loop_of_the_script(mesh: torch.Tensor, valid: torch.Tensor) -> None:
    silent = torch.rand(2, FRAMES, generator=torch.Generator().manual_seed(5)) > 0.4
    for clip in range(2):
        openings = []
        for frame in np.flatnonzero((silent & valid)[clip].numpy()):
            points = mesh[clip, frame].numpy() * 256
            eyes = np.linalg.norm(points[33] - points[263])
            pairs = zip(UPPER_LIP, LOWER_LIP, strict=True)
            openings.append(np.mean([abs(points[above, 1] - points[below, 1]) / eyes for above, below in pairs]))
        mean = float(np.mean(openings))
        expected = statistics.median([abs(opening - mean) for opening in openings])
        got = silent_lip_stability(lost(mesh, valid), silent, valid=valid)[clip]
        assert got.item() == pytest.approx(expected, rel=1e-12)


def test_lip_sync_is_the_loop_of_the_script(mesh: torch.Tensor, valid: torch.Tensor) -> None:
    generator = torch.Generator().manual_seed(6)
    loudness = torch.rand(2, FRAMES, generator=generator, dtype=torch.float64)
    speech = torch.rand(2, FRAMES, generator=generator) > 0.3
    for clip in range(2):
        openings = []
        for frame in range(FRAMES):
            points = mesh[clip, frame].numpy()
            upper, lower = (np.mean(points[list(lip), 1]) for lip in (UPPER_LIP, LOWER_LIP))
            left, right = np.mean(points[[33, 133], 0]), np.mean(points[[362, 263], 0])
            openings.append(abs(upper - lower) / abs(right - left))
        mask = (speech & valid)[clip].numpy()
        o, v = np.array(openings)[mask], loudness[clip].numpy()[mask]
        o, v = ((x - x.min()) / (x.max() - x.min() + 1e-8) for x in (o, v))
        got = lip_sync_difference(lost(mesh, valid), loudness, speech, valid=valid)[clip]
        assert got.item() == pytest.approx(np.abs(o - v).mean(), rel=1e-12)


def test_too_little_is_unscored(mesh: torch.Tensor) -> None:
    never = torch.zeros(2, FRAMES, dtype=torch.bool)
    assert silent_lip_stability(mesh, never).isnan().all()
    assert lip_dynamics(mesh, valid=never).isnan().all()
    assert brow_dynamics(mesh, torch.ones(2), valid=never).isnan().all()
    spoken = never.clone()
    spoken[:, :2] = True  # 2 of 30 frames are less than a tenth
    assert lip_sync_difference(mesh, torch.rand(2, FRAMES), spoken).isnan().all()
    metric = ThevalSilentLipStability(speech_detector="none")
    metric.update(mesh, never)
    assert (int(metric.clips), int(metric.unscored)) == (0, 2)
    with pytest.raises(ValueError, match=r"points must be \(\.\.\., T, 468 or 478"):
        lip_dynamics(torch.zeros(1, 5, 68, 2))


def test_segments_become_frames_with_both_ends() -> None:
    flags = speech_frames([(0.1, 0.2), (0.8, 9.0)], 25)
    assert flags.nonzero().flatten().tolist() == [2, 3, 4, 5, 20, 21, 22, 23, 24]
    assert pauses(flags).nonzero().flatten().tolist() == list(range(6, 20))
    assert not pauses(torch.ones(5, dtype=torch.bool)).any()
    assert pauses(torch.zeros(8, dtype=torch.bool)).all()
    assert not pauses(torch.zeros(7, dtype=torch.bool)).any()


@pytest.mark.parametrize("samples", [16000, 12345, 300])
def test_loudness_is_librosas(samples: int) -> None:
    audio = torch.randn(samples, generator=torch.Generator().manual_seed(1))
    rms = librosa.feature.rms(y=audio.numpy().astype(np.float64), frame_length=800, hop_length=800)[0]
    times = librosa.frames_to_time(range(len(rms)), sr=16000, hop_length=800)
    expected = np.interp(np.arange(30) / 25, times, rms)
    assert np.allclose(frame_loudness(audio, 30).numpy(), expected, atol=1e-9)


def test_the_speech_detector_belongs_to_the_protocol() -> None:
    assert ThevalLipSync(speech_detector="a").protocol != ThevalLipSync(speech_detector="b").protocol
    assert ThevalBrowDynamics().protocol == {"metric": "ThevalBrowDynamics", "source": "Newbyl/THEval cfe23fe"}
