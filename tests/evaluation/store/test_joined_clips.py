"""Predictions at a given length: only the number of frames that a network sees at once changes."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from expnet.audio.alignment import MEL_CONTEXT, mel_for_frames
from expnet.data.store.track import Track
from expnet.evaluation.store.clips import Clip
from expnet.evaluation.store.joined_clips import join_clips, predict_at_length
from expnet.models.audio_encoder import level_mel
from expnet.models.expression_regressor import ExpressionRegressor


@pytest.fixture(scope="module")
def clips(track_maker: Callable[..., Track]) -> list[Clip]:
    tracks = [
        track_maker(f"clip{seed}", f"person{seed}", seed, frames=frames) for seed, frames in enumerate((61, 75, 90))
    ]
    return [Clip(track, 0.3, track.clip_id) for track in tracks]


def network(**options: Any) -> ExpressionRegressor:
    torch.manual_seed(0)
    made = ExpressionRegressor(width=16, layers=1, audio_channels=8, **options).eval()
    torch.nn.init.normal_(made.head.weight, std=0.3)  # untrained, it would hold the first frame
    made.expression_mean.normal_()
    return made


def test_sound_is_levelled_clip_by_clip(clips: list[Clip]) -> None:
    alone = join_clips(clips[1:2])
    torch.testing.assert_close(alone.mel(0, 75, level=True), level_mel(clips[1].mel[None])[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(alone.mel(0, 75, level=False), clips[1].mel, rtol=0, atol=0)
    # Inside the second of three clips, away from the audio of its neighbours, its own level is removed.
    joined = join_clips(clips)
    window = joined.mel(61 + 10, 50, level=True)
    plain = mel_for_frames(clips[1].track.audio, 10, 50)
    level = clips[1].mel - level_mel(clips[1].mel[None])[0]
    torch.testing.assert_close(window, plain - level[:, :1], rtol=0, atol=1e-4)
    # The seam lies 32 columns into a window that starts 10 frames before it: there the level changes.
    taken_off = joined.mel(51, 20, level=False) - joined.mel(51, 20, level=True)
    torch.testing.assert_close(taken_off[:, MEL_CONTEXT + 32], level[:, 0], rtol=0, atol=1e-4)
    assert not torch.allclose(taken_off[:, MEL_CONTEXT + 31], level[:, 0], atol=1e-3)


@pytest.mark.parametrize("bias", ["alibi", "sinusoidal", "none", "alibi_periodic"])
def test_one_window_is_what_the_network_says_of_a_clip(clips: list[Clip], bias: str) -> None:
    made, clip = network(attention_bias=bias), clips[0]
    with torch.no_grad():
        whole = made(clip.mel[None], clip.frames, made.expression_mean[None])[0] - made.expression_mean
    (found,) = predict_at_length(made, join_clips([clip]), clip.frames)
    torch.testing.assert_close(found, whole, rtol=0, atol=1e-4)
    assert made.level  # it was only set aside


def test_length_means_nothing_to_a_network_without_context(clips: list[Clip]) -> None:
    made = network(audio_encoder="window", temporal_module="none", blink=True)
    joined = join_clips(clips)
    # Multiples of 5 frames, so that the columns of the mel, 3.2 a frame, lie alike in every window but the last. The
    # first two frames of a window have SadTalker's columns, which are counted from its start.
    found = [torch.cat(predict_at_length(made, joined, length)) for length in (15, 50, joined.frames)]
    inner = torch.tensor([frame for frame in range(200) if frame % 15 > 1 and frame % 50 > 1])
    torch.testing.assert_close(found[0][inner], found[2][inner], rtol=0, atol=1e-4)
    torch.testing.assert_close(found[1][inner], found[2][inner], rtol=0, atol=1e-4)
    assert float(found[0].std()) > 0.01


def test_length_changes_what_attention_sees(clips: list[Clip]) -> None:
    made = network(attention_bias="none")
    short, long = (torch.cat(predict_at_length(made, join_clips(clips), length)) for length in (20, 200))
    assert float((short - long).abs().max()) > 1e-3


def test_every_frame_of_every_clip_once(clips: list[Clip]) -> None:
    made, joined = network(attention_bias="none"), join_clips(clips)
    found = predict_at_length(made, joined, 100)
    assert [len(change) for change in found] == [61, 75, 90]
    # 226 frames: the last window of 100 overlaps the second, whose frames stay as they are.
    with torch.no_grad():
        last = _unlevelled(made)(joined.mel(126, 100, level=True)[None], 100, made.expression_mean[None])
    torch.testing.assert_close(torch.cat(found)[200:], (last[0] - made.expression_mean)[74:], rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="227 frames does not fit into 226"):
        predict_at_length(made, joined, 227)


@pytest.mark.parametrize("length", [40, 100, 226])
def test_what_comes_out_has_its_margin_of_context(clips: list[Clip], length: int) -> None:
    # A network that looks no farther than the margin says the same at every length; this one looks 2 frames far, and a
    # sequence encoder's taps 2 more. The last window of 226 frames does not start at a multiple of 5, see above.
    made = network(temporal_module="conv")
    joined = join_clips(clips)
    found, whole = (torch.cat(predict_at_length(made, joined, size, margin=10)) for size in (length, 226))
    torch.testing.assert_close(found[:170], whole[:170], rtol=0, atol=1e-4)
    cut = torch.cat(predict_at_length(made, joined, length))
    assert torch.allclose(cut[:170], whole[:170], atol=1e-3) == (length == 226)
    with pytest.raises(ValueError, match="two margins of 20"):
        predict_at_length(made, joined, 40, margin=20)


def test_the_first_frame_is_shown_to_every_window(clips: list[Clip]) -> None:
    made, clip = network(), clips[0]
    first = torch.randn(64)
    torch.nn.init.normal_(made.embed_first.weight)
    for block in made.temporal.blocks:
        torch.nn.init.normal_(block.film.project.weight)
    with torch.no_grad():
        whole = made(clip.mel[None], clip.frames, first[None])[0] - first
    (found,) = predict_at_length(made, join_clips([clip]), clip.frames, first_expression=first)
    torch.testing.assert_close(found, whole, rtol=0, atol=1e-4)
    (unseen,) = predict_at_length(made, join_clips([clip]), clip.frames)
    assert not torch.allclose(found, unseen, atol=1e-2)


def _unlevelled(made: ExpressionRegressor) -> ExpressionRegressor:
    """The same network, for audio whose level was already removed."""
    copy = network(attention_bias="none")
    copy.load_state_dict(made.state_dict())
    copy.level = False
    return copy
