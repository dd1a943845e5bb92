"""The motion network: conditions, windows that continue one another, and motions that a seed repeats."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from expnet.audio.alignment import mel_columns
from expnet.audio.speech_encoders import FeatureSource
from expnet.config.built_in_parts import BUILT_IN
from expnet.errors import InputError
from expnet.models.flow_matching import sampler
from expnet.models.flow_matching.motion import Motion, Reference
from expnet.models.flow_matching.motion_flow import MotionFlow
from expnet.models.flow_matching.noise import FrameNoise
from expnet.models.flow_matching.solver import Sampling
from expnet.models.pose_motion import ROTATION_LIMIT, within_reach
from expnet.models.pose_style import STYLE
from expnet.models.saved_model import load_model, save_model

E, F = 6, 7
SOURCE = FeatureSource("whisper", 3, F, "0" * 64).as_dict()
QUICK = Sampling(steps=3)


def network(**changes: Any) -> MotionFlow:
    """A small network with random weights in every layer, also in those that start at zero."""
    torch.manual_seed(0)
    options = {"width": 16, "layers": 2, "expression_size": E, "speech_features": SOURCE, "emotions": 3, **changes}
    model = MotionFlow(**options)
    model.set_statistics(
        expression_mean=torch.randn(E),
        expression_std=torch.rand(E) + 1,
        motion_std=torch.rand(E) + 0.5,
        pose_std=torch.tensor([0.05, 0.08, 0.04, 0.2, 0.2, 0.3]),
        lid_mean=torch.tensor(0.2),
        lid_std=torch.tensor(0.15),
        mel_mean=torch.zeros(80),
        mel_std=torch.ones(80),
        expression_metric=torch.diag(torch.rand(E) + 0.1),
        lip_projection=torch.randn(E, E, generator=torch.Generator().manual_seed(1)),
    )
    for value in model.parameters():
        torch.nn.init.normal_(value, std=0.2)
    return model.eval()


def inputs(batch: int = 1, frames: int = 60, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    return {"first_expression": draw(batch, E), "features": draw(batch, frames, F), "first_pose": 0.1 * draw(batch, 6)}


def draw(model: MotionFlow, frames: int = 60, **changes: Any) -> Motion:
    given: dict[str, Any] = {**inputs(frames=frames), "sampling": QUICK, **changes}
    return model.sample(frames, given.pop("first_expression"), **given)


def parts(motion: Motion) -> Iterator[Tensor]:
    yield from (part for part in (motion.expression, motion.pose, motion.lids) if part is not None)


def same(first: Motion, second: Motion) -> bool:
    return all(torch.equal(*pair) for pair in zip(parts(first), parts(second), strict=True))


def close(first: Motion, second: Motion, tolerance: float = 1e-4) -> bool:
    return all(bool((a - b).abs().max() < tolerance) for a, b in zip(parts(first), parts(second), strict=True))


def test_whitening_is_undone() -> None:
    model = network()
    reference = Reference(torch.randn(2, E), torch.rand(2, STYLE) + 0.5, 0.1 * torch.randn(2, 6), torch.zeros(2).long())
    motion = Motion(torch.randn(2, 9, E), 0.1 * torch.randn(2, 9, 6), torch.rand(2, 9))
    columns = model.whiten(motion, reference)
    assert columns.shape == (2, 9, E + 7)
    again = model.unwhiten(columns, reference)
    assert close(again, motion, 1e-6)
    # the anchor is the origin of the head, whatever the style
    still = dataclasses.replace(motion, pose=reference.anchor[:, None].expand(-1, 9, -1))
    assert model.whiten(still, reference)[..., model.layout.slice("head")].abs().max() == 0


def test_what_is_drawn() -> None:
    motion = draw(network(), frames=60)
    assert motion.expression is not None
    assert motion.pose is not None
    assert motion.lids is not None
    assert [tuple(part.shape) for part in parts(motion)] == [(1, 60, E), (1, 60, 6), (1, 60)]
    assert motion.pose[:, 0].abs().max() == 0
    assert ((motion.lids >= 0) & (motion.lids <= 1)).all()
    absolute = motion.pose[..., :3] + inputs()["first_pose"][:, None, :3]
    assert absolute.abs().max() <= ROTATION_LIMIT + 0.05


def test_a_motion_by_the_definition() -> None:
    """Euler steps with nested guidance and the mean motion, written out; the head's first pose is known."""
    model, frames = network(), 20
    strengths = {"audio_guidance": 1.5, "style_guidance": 1.2, "mean_guidance": 0.8, "lip_variation": 0.3}
    sampling = Sampling(steps=4, temperature=0.6, **strengths)
    given = inputs(frames=frames)
    style, emotion = torch.rand(1, STYLE) + 0.5, torch.tensor([2])
    found = draw(model, frames, style=style, emotion=emotion, seed=5, sampling=sampling)
    reference = Reference(given["first_expression"], style, torch.zeros(1, 6), emotion)
    speech = model.speech(None, given["features"], frames)
    silent = model.speech.absent.expand_as(speech)
    known = torch.zeros(1, frames, 3, dtype=torch.bool)
    known[:, 0, 1] = True
    head = model.layout.slice("head")
    yes, no = torch.tensor([True]), torch.tensor([False])
    state = 0.6 * FrameNoise([5], model.layout, smooth=8)(0, frames)
    with torch.no_grad():
        for step in range(4):
            state[:, 0, head] = 0
            time = torch.tensor([step / 4])
            full = model(state, time, known, speech, model.condition(reference, yes))
            unheard = model(state, time, known, silent, model.condition(reference, yes))
            bare = model(state, time, known, silent, model.condition(reference, no))
            state = state + (bare + 1.2 * (unheard - bare) + 1.5 * (full - unheard)) / 4
        at_start = torch.zeros(1), torch.zeros_like(known)
        toward = model(torch.zeros_like(state), *at_start, speech, model.condition(reference, yes))
    state[:, 0, head] = 0
    rough, face, unit = state[0].clone(), model.layout.slice("expression"), model.motion_std
    for frame in range(frames):
        before, after = rough[max(frame - 1, 0)], rough[min(frame + 1, frames - 1)]
        change = before + after - 2 * rough[frame]
        state[0, frame, head] += 0.25 * change[head] * (frame > 0)  # the first pose is known
        moved = 0.1 * change[face] * unit
        state[0, frame, face] += (moved - moved @ model.lip_projection) / unit
    expected = model.unwhiten(state, reference)
    mean = model.unwhiten(toward, reference).expression
    assert found.expression is not None
    assert expected.expression is not None
    assert mean is not None
    first = given["first_expression"]
    lips = (0.8 * (mean - first) - 0.7 * (expected.expression - first)) @ model.lip_projection
    expression = expected.expression + lips
    torch.testing.assert_close(found.expression, expression, rtol=1e-4, atol=1e-4)
    assert found.pose is not None
    assert expected.pose is not None
    limited = within_reach(expected.pose, given["first_pose"], model.pose_std)
    torch.testing.assert_close(found.pose, limited, rtol=1e-4, atol=1e-4)
    assert found.lids is not None
    assert expected.lids is not None
    torch.testing.assert_close(found.lids, expected.lids, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"features": inputs(seed=9)["features"]},
        {"first_expression": inputs(seed=9)["first_expression"]},
        {"style": torch.full((1, STYLE), 0.3)},
        {"emotion": torch.tensor([2])},
        {"sampling": Sampling(steps=4)},
        {"sampling": Sampling(steps=3, method="midpoint")},
        {"sampling": Sampling(steps=3, audio_guidance=3)},
        {"sampling": Sampling(steps=3, style_guidance=3)},
        {"sampling": Sampling(steps=3, temperature=0.2)},
        {"sampling": Sampling(steps=3, mean_guidance=0.5)},
        {"sampling": Sampling(steps=3, lip_variation=0.8)},
    ],
    ids=str,
)
def test_every_input_changes_the_motion(change: dict[str, Any]) -> None:
    model = network()
    motion = draw(model)
    assert same(motion, draw(model))
    assert not close(motion, draw(model, **change), 1e-3)


@pytest.mark.parametrize("kind", [bias for bias in BUILT_IN["attention_biases"] if bias != "alibi"])
def test_the_switch_of_attention_changes_the_motion(kind: str) -> None:
    assert not close(draw(network(attention_bias=kind)), draw(network()), 1e-4)


@pytest.mark.parametrize("groups", [["expression"], ["head"], ["lids"], ["expression", "lids"], ["head", "lids"]])
def test_groups_are_switches(groups: list[str], tmp_path: Path) -> None:
    model = network(groups=groups)
    motion = draw(model)
    assert [motion.expression is not None, motion.pose is not None, motion.lids is not None] == [
        name in groups for name in ("expression", "head", "lids")
    ]
    loaded = load_model(save_model(tmp_path / "motion.safetensors", model), "motion")
    assert isinstance(loaded, MotionFlow)
    assert same(draw(loaded), motion)


def test_the_mean_is_the_same_wherever_windows_begin() -> None:
    """Without noise and without what is drawn, only the mean is left, one evaluation for each window."""
    model, frames = network(), 400
    model.lip_projection.copy_(torch.eye(E))
    only_mean = Sampling(steps=1, mean_guidance=1.0, lip_variation=0.0)
    found = draw(model, frames, sampling=only_mean).expression
    given = inputs(frames=frames)
    reference = Reference(given["first_expression"], torch.ones(1, STYLE), torch.zeros(1, 6), torch.zeros(1).long())
    condition = model.condition(
        dataclasses.replace(reference, style=model.styles(torch.zeros(1).long())), torch.tensor([True])
    )
    with torch.no_grad():
        speech = model.speech(None, given["features"][:, : sampler.WINDOW], sampler.WINDOW)
        zeros = torch.zeros(1, sampler.WINDOW, E + 7)
        mean = model(zeros, torch.zeros(1), torch.zeros(1, sampler.WINDOW, 3).bool(), speech, condition)
    assert found is not None
    first = sampler.WINDOW - sampler.LOOKAHEAD
    expected = given["first_expression"] + mean[0, :first, :E] * model.motion_std
    torch.testing.assert_close(found[0, :first], expected, rtol=1e-4, atol=1e-4)


def test_weights_without_directions_of_the_lips_are_read() -> None:
    model = network()
    weights = model.state_dict()
    del weights["lip_projection"]
    older = network()
    older.load_state_dict(weights)
    assert older.lip_projection.abs().max() == 0
    torch.testing.assert_close(older.motion_std, model.motion_std)


def test_a_motion_does_not_depend_on_the_batch() -> None:
    model, frames = network(), 300
    given = inputs(batch=3, frames=frames)
    together = model.sample(frames, **given, seed=[7, 8, 7], sampling=QUICK)
    for place, seed in enumerate((7, 8, 7)):
        own = {name: value[place : place + 1] for name, value in given.items()}
        alone = model.sample(frames, **own, seed=seed, sampling=QUICK)
        assert close(alone, Motion(*(part[place : place + 1] for part in parts(together))))


def test_a_motion_does_not_depend_on_the_threads() -> None:
    model, before = network(), torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(draw(model, frames=400))
    finally:
        torch.set_num_threads(before)
    assert close(*found, 1e-5)


def test_a_function_gives_the_same_as_the_whole_speech() -> None:
    model, frames = network(), 600
    given = inputs(frames=frames)
    features, asked = given.pop("features"), []

    def source(first: int, count: int) -> Tensor:
        asked.append((first, count))
        return features[:, first : first + count]

    whole = model.sample(frames, **given, features=features, sampling=QUICK)
    assert same(model.sample(frames, **given, features=source, sampling=QUICK), whole)
    assert asked == [(0, 250), (215, 250), (430, 170)]


def test_a_network_that_hears_the_mel_does_so_in_windows() -> None:
    model, frames = network(speech_features=None), 520
    mel = torch.randn(1, 80, mel_columns(frames))
    first = inputs()["first_expression"]
    whole = model.sample(frames, first, mel=mel, sampling=QUICK)
    steps = lambda begin, count: mel[..., begin // 5 * 16 : begin // 5 * 16 + mel_columns(count)]  # noqa: E731
    assert close(model.sample(frames, first, mel=steps, sampling=QUICK), whole)
    assert not close(model.sample(frames, first, mel=mel.flip(-1), sampling=QUICK), whole, 1e-2)
    with pytest.raises(InputError, match="trained on the mel of the speech: give the mel"):
        model.sample(frames, first, sampling=QUICK)


def test_the_first_window_knows_nothing_of_the_speech_after_it() -> None:
    model = network()
    long = inputs(frames=700)
    cut = {**long, "features": long["features"][:, :500].clone()}
    whole = model.sample(700, **long, sampling=QUICK)
    first = sampler.WINDOW - sampler.LOOKAHEAD
    assert same(whole.between(0, first), model.sample(500, **cut, sampling=QUICK).between(0, first))


def test_windows_continue_the_frames_before_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every window is given the last frames of the piece before, clean and marked as known."""
    model, seen = network(), []
    draw_window = sampler.Window.draw

    def watch(window: sampler.Window, *given: Any) -> Motion:
        drawn = draw_window(window, *given)
        seen.append((window.known_frames, drawn, window.known, window.reference.anchor))
        return drawn

    monkeypatch.setattr(sampler.Window, "draw", watch)
    frames = 600
    list(model.pieces(frames, **inputs(frames=frames), sampling=QUICK))
    assert [count for count, *_ in seen] == [0, 15, 15]
    for (_, before, *_), (count, after, known, anchor) in pairwise(seen):
        end = sampler.WINDOW - sampler.LOOKAHEAD
        assert close(after.between(0, count), before.between(end - count, end), 1e-5)
        assert known[:, :count].all()
        assert not known[:, count:].any()
        assert before.pose is not None
        assert torch.equal(anchor, before.pose[:, end - 1])


def test_a_join_fades_from_one_drawing_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first window draws zeros and the second draws ones: nothing jumps, and neither does the velocity."""
    model = network()

    def draw_constant(window: sampler.Window, speech: Tensor, noise: Tensor, sampling: Sampling) -> Motion:
        value = 0.0 if window.known_frames == 0 else 1.0
        shape = noise.shape[:2]
        return Motion(torch.full((*shape, E), value), 0.01 * torch.full((*shape, 6), value), torch.full(shape, value))

    monkeypatch.setattr(sampler.Window, "draw", draw_constant)
    as_drawn = Sampling(mean_guidance=0, lip_variation=1)
    motion = draw(model, frames=400, first_expression=torch.zeros(1, E), sampling=as_drawn)
    end, fade = sampler.WINDOW - sampler.LOOKAHEAD, sampler.LOOKAHEAD
    assert motion.expression is not None
    assert motion.lids is not None
    for track in (motion.expression[0, :, 0], motion.lids[0]):
        assert track[:end].abs().max() == 0
        assert (track[end + fade :] == 1).all()
        assert track.diff().min() >= 0
        assert track.diff().max() < 1.6 / fade
        assert track.diff(n=2).abs().max() < 7 / fade**2


def test_pieces_hold_no_more_for_longer_speech() -> None:
    model = network()
    first = inputs()["first_expression"]
    asked = []

    def source(begin: int, count: int) -> Tensor:
        asked.append(count)
        return torch.zeros(1, count, F)

    pieces = model.pieces(5000, first, features=source, sampling=Sampling(steps=1))
    lengths = [next(parts(piece)).shape[1] for piece in pieces]
    assert sum(lengths) == 5000
    assert max(lengths) <= sampler.WINDOW
    assert max(asked) <= sampler.WINDOW


@pytest.mark.parametrize("frames", [1, 2, 14, 250, 251, 265, 465, 466])
def test_any_length(frames: int) -> None:
    motion = draw(network(), frames=frames)
    assert {part.shape[1] for part in parts(motion)} == {frames}
    assert all(part.isfinite().all() for part in parts(motion))


def test_wrong_speech_is_refused() -> None:
    model = network()
    with pytest.raises(InputError, match="needs the speech features that it was trained with"):
        model.sample(60, inputs()["first_expression"])
    with pytest.raises(InputError, match="features are of 60 frames, not of 61"):
        draw(model, frames=61, features=inputs(frames=60)["features"])
    with pytest.raises(InputError, match="A batch of 1 needs 1 seeds or a single one, not 2"):
        draw(model, seed=[1, 2])


def test_padding_is_ignored() -> None:
    model, frames = network(), 30
    given = inputs(batch=2, frames=frames)
    reference = Reference(given["first_expression"], torch.ones(2, STYLE), torch.zeros(2, 6), torch.zeros(2).long())
    condition = model.condition(reference, torch.ones(2, dtype=torch.bool))
    speech, state = model.speech(None, given["features"], frames), torch.randn(2, frames, E + 7)
    known, time = torch.zeros(2, frames, 3, dtype=torch.bool), torch.full((2,), 0.3)
    valid = torch.arange(frames)[None] < torch.tensor([[30], [20]])
    other = state.clone()
    other[1, 20:] = 9.0
    first, second = (model(x, time, known, speech, condition, valid) for x in (state, other))
    torch.testing.assert_close(first[0], second[0])
    torch.testing.assert_close(first[1, :20], second[1, :20])
