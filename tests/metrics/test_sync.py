"""SyncNet's scores against a plain version of the original's steps; planted shifts; clips that cannot be scored."""

import pickle
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import pad, pairwise_distance

from expnet.metrics import (
    SYNC_PROTOCOLS,
    Extractor,
    SyncConfidence,
    SyncDistance,
    SyncOffset,
    SyncResult,
    UnscorableClipError,
    measure_sync,
)
from expnet.metrics.functional import shifted_distances
from expnet.metrics.functional.sync import mean_result, read_curve
from expnet.models.syncnet import SyncNet


class Loudness(nn.Module):
    """A network whose features are the brightness of five frames and the audio level of five frames.

    The level is cepstrum 0, the logarithm of the energy. `clip` makes pictures as bright as their sound is loud.
    """

    def forward(self, frames: Tensor, cepstra: Tensor) -> tuple[Tensor, Tensor]:
        brightness = (
            frames[..., ::8, ::8].double().mean((1, 2, 3)) / 10.0 - 18.5
        )  # (T,), about 0 like the silence beyond the ends
        level = cepstra[0].double() - 18.5  # (N,)
        return brightness.unfold(0, 5, 1), level.unfold(0, 20, 4).unflatten(1, (5, 4)).mean(2)


def clip(frames: int = 80, *, delay: int = 0, size: int = 224, seed: int = 3) -> tuple[Tensor, Tensor]:
    """Return noise whose level changes per frame, and equally bright frames; the audio is ``delay`` frames late."""
    generator = torch.Generator().manual_seed(seed)
    loudness = torch.rand(frames + 40, generator=generator)
    noise = torch.randn(len(loudness) * 640, generator=generator)
    audio = (0.1 * torch.exp(3 * (loudness - 1))).repeat_interleave(640) * noise
    # log energy of a window of 400 samples over 512: what Loudness measures, except for noise and pre-emphasis
    level = (audio * 32768).reshape(-1, 640).double().square().mean(1).mul(400 / 2).log()
    shown = (level * 10).clamp(0, 255).round().to(torch.uint8)[20 : 20 + frames]
    pictures = shown[:, None, None, None].expand(-1, 3, size, size).clone()
    return pictures, audio[(20 - delay) * 640 : (20 - delay + frames) * 640]


@pytest.mark.parametrize("delay", [-15, -4, -2, 0, 2, 4, 14])
def test_a_planted_shift_is_found_with_its_sign(delay: int) -> None:
    result = measure_sync(*clip(delay=delay), Loudness())
    assert result.offset == -delay  # positive: the audio comes first
    assert result.at_edge == (delay == -15)
    assert result.confidence > 1.0
    assert result.windows == 75
    assert result.distance == min(result.curve)


def test_no_relation_has_no_confidence() -> None:
    frames, _ = clip(seed=5)
    _, other = clip(seed=6)
    related, unrelated = measure_sync(*clip(seed=5), Loudness()), measure_sync(frames, other, Loudness())
    assert unrelated.confidence < 0.2 * related.confidence
    assert unrelated.distance > 1.5 * related.distance


def original(faces: Tensor, audio: Tensor, network: SyncNet) -> tuple[int, float, float]:
    """The published script's steps on decoded frames: batches of 20 windows, 15 zero vectors on either side."""
    speech_features = pytest.importorskip("python_speech_features")
    samples = (audio.double().numpy() * 32768).round().astype(np.int16)
    cepstra = torch.from_numpy(speech_features.mfcc(samples, 16_000).T[None, None]).float()
    video = faces.flip(1).float().transpose(0, 1)[None]  # (1, 3, T, 224, 224)
    last = min(len(faces), len(samples) // 640) - 5
    lips, sound = [], []
    for start in range(0, last, 20):
        chosen = range(start, min(last, start + 20))
        batch = torch.cat([video[:, :, i : i + 5] for i in chosen])
        lips.append(network.netfclip(network.netcnnlip(batch).flatten(1)))
        batch = torch.cat([cepstra[..., 4 * i : 4 * i + 20] for i in chosen])
        sound.append(network.netfcaud(network.netcnnaud(batch).flatten(1)))
    padded = pad(torch.cat(sound), (0, 0, 15, 15))
    distances = [pairwise_distance(v.repeat(31, 1), padded[i : i + 31]) for i, v in enumerate(torch.cat(lips))]
    mean = torch.stack(distances, 1).mean(1)
    smallest, place = mean.min(0)
    return 15 - int(place), float(smallest), float(mean.median() - smallest)


def test_equals_the_original_computation() -> None:
    torch.manual_seed(0)
    network = SyncNet().requires_grad_(False)
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.Conv3d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    network.netcnnlip[0].weight /= 100  # distances about as large as with the trained weights
    network.netcnnaud[0].weight /= 10
    network.netfclip[3].weight /= 8
    network.netfcaud[3].weight /= 8
    frames, audio = clip(24)  # 17 windows: every shift compares some of them
    frames = (frames * torch.rand(3, 224, 224, generator=torch.Generator().manual_seed(1))).to(torch.uint8)
    frames, audio = frames[:-1], audio[:-700]  # neither ends where the other does
    offset, distance, confidence = original(frames, audio, network)
    result = measure_sync(frames, audio, network)
    assert result.offset == offset
    assert 2 < distance < 100
    assert result.distance == pytest.approx(distance, abs=1e-4)
    assert result.confidence == pytest.approx(confidence, abs=1e-4)
    assert confidence > 0.01


def test_by_hand() -> None:
    """Two windows of one feature: lips 0 and 3, audio 3 and 5, and 0 beyond the ends."""
    curve = shifted_distances(torch.tensor([[0.0], [3.0]]), torch.tensor([[3.0], [5.0]]))
    assert curve[15].item() == pytest.approx((3 + 2) / 2, abs=1e-5)  # 0-3, 3-5
    assert curve[16].item() == pytest.approx((5 + 3) / 2, abs=1e-5)  # 0-5, 3-nothing
    assert curve[14].item() == pytest.approx((0 + 0) / 2, abs=1e-5)  # 0-nothing, 3-3
    assert curve[0].item() == pytest.approx((0 + 3) / 2, abs=1e-5)  # nothing at all
    result = read_curve(curve, 2)
    assert (result.offset, result.windows) == (1, 2)
    assert result.confidence == pytest.approx(1.5, abs=1e-5)


def test_shifts_equal_the_loop_over_windows() -> None:
    generator = torch.Generator().manual_seed(0)
    lips, sound = torch.randn(40, 64, generator=generator), torch.randn(40, 64, generator=generator)
    padded = pad(sound, (0, 0, 15, 15))
    expected = torch.stack([pairwise_distance(v.repeat(31, 1), padded[i : i + 31]) for i, v in enumerate(lips)], 1)
    torch.testing.assert_close(shifted_distances(lips, sound), expected.mean(1).double(), atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="features"):
        shifted_distances(lips, sound[:-1])


def test_mean_over_tracks() -> None:
    first = SyncResult(distance=8.0, confidence=2.0, offset=-2, windows=50, curve=(8.0,) * 31)
    second = SyncResult(distance=6.0, confidence=5.0, offset=-1, windows=80, curve=(6.0,) * 31)
    mean = mean_result([first, second])
    assert (mean.distance, mean.confidence, mean.offset, mean.windows, mean.tracks) == (7.0, 3.5, -1, 130, 2)
    assert mean.curve == (7.0,) * 31


@pytest.mark.parametrize("protocol", SYNC_PROTOCOLS)
def test_every_protocol_with_and_without_boxes(protocol: str) -> None:
    """The lossy steps keep frames and audio in sync, so the planted shift is still found."""
    frames, audio = clip(112, delay=2)
    boxes = torch.tensor([60.0, 40.0, 170.0, 170.0]).repeat(112, 1)
    boxes[30:34] = torch.nan
    for given in (None, boxes):
        result = measure_sync(frames, audio, Loudness(), protocol=protocol, boxes=given)
        assert result.offset == -2
        assert result.windows == 107
    lossy = measure_sync(frames, audio, Loudness(), protocol=protocol).distance
    assert (lossy != measure_sync(frames, audio, Loudness()).distance) == (protocol != "direct")


def test_each_track_is_measured_with_its_own_sound() -> None:
    """The face jumps at frame 60, and the audio of the second half is late."""
    (early, sound), (late, late_sound) = clip(60, size=400), clip(60, delay=4, size=400, seed=8)
    boxes = torch.tensor([[20.0, 20.0, 120.0, 120.0]] * 60 + [[220.0, 220.0, 330.0, 330.0]] * 60)
    result = measure_sync(torch.cat([early, late]), torch.cat([sound, late_sound]), Loudness(), boxes=boxes)
    assert (result.tracks, result.windows, result.offset) == (2, 110, -2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: measure_sync(*clip(5), Loudness()), "at least 6 frames"),
        (lambda: measure_sync(clip(9)[0], torch.zeros(100), Loudness()), "at least 6 frames"),
        (lambda: measure_sync(clip(0)[0], torch.zeros(100), Loudness()), "at least 6 frames"),
        (lambda: measure_sync(*clip(90), Loudness(), boxes=torch.full((90, 4), torch.nan)), "no face"),
        (
            lambda: measure_sync(*clip(90), Loudness(), protocol="reference", boxes=torch.rand(90, 4) + 150),
            "more than 100 frames",
        ),
    ],
)
def test_unscorable_clips_say_why(make: Callable[[], SyncResult], message: str) -> None:
    with pytest.raises(UnscorableClipError, match=message):
        make()


def test_pictures_and_sound_are_cut_to_the_shorter() -> None:
    frames, audio = clip(30)
    assert measure_sync(frames[:20], audio, Loudness()) == measure_sync(frames[:20], audio[: 20 * 640], Loudness())
    assert measure_sync(frames, audio[: 20 * 640 + 639], Loudness()) == measure_sync(
        frames[:20], audio[: 20 * 640], Loudness()
    )


def test_six_frames_are_enough() -> None:
    assert measure_sync(*clip(6), Loudness()).windows == 1


def test_a_small_face_is_refused_as_in_the_original() -> None:
    frames, audio = clip(112)
    boxes = torch.tensor([60.0, 60.0, 155.0, 159.0]).repeat(112, 1)
    with pytest.raises(UnscorableClipError, match="larger than 100 pixels"):
        measure_sync(frames, audio, Loudness(), protocol="reference", boxes=boxes)


@pytest.mark.parametrize(
    ("frames", "audio", "options", "message"),
    [
        (clip(9)[0].float(), clip(9)[1], {}, "uint8"),
        (clip(9)[0][None], clip(9)[1], {}, r"frames must be \(T, 3, H, W\)"),
        (clip(9)[0], clip(9)[1][None], {}, r"audio must be \(S,\)"),
        (clip(9)[0], clip(9)[1] * torch.nan, {}, "finite"),
        (clip(9)[0], clip(9)[1], {"protocol": "joonson"}, "one of reference, wav2lip_lrs"),
        (clip(9, size=96)[0], clip(9)[1], {"protocol": "reference"}, "224 x 224"),
        (clip(9)[0], clip(9)[1], {"boxes": torch.zeros(8, 4)}, r"boxes must be \(9, 4\)"),
    ],
)
def test_wrong_input_is_not_an_unscorable_clip(frames: Tensor, audio: Tensor, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        measure_sync(frames, audio, Loudness(), **options)
    assert not isinstance(caught.value, UnscorableClipError)


def test_one_measurement_feeds_all_three_metrics() -> None:
    network = Extractor(Loudness(), name="loudness", checksum="12")
    clips = [clip(40, delay=1), clip(50, delay=3, seed=9)]
    for kind, field in ((SyncDistance, "distance"), (SyncConfidence, "confidence"), (SyncOffset, "offset")):
        added, updated = kind(network), kind(network)
        for frames, audio in clips:
            added.add(measure_sync(frames, audio, network))
            assert not torch.isnan(added.compute())  # and does not affect the next clip
            updated.update(frames[None], audio[None])
        expected = np.mean([getattr(measure_sync(*pair, network), field) for pair in clips])
        assert added.compute().item() == updated.compute().item() == pytest.approx(expected, rel=1e-12)
        assert added.protocol["checksum"] == "12"
        assert added.protocol != kind(network, protocol_name="reference").protocol
    assert SyncOffset(network).higher_is_better is None


def test_clips_without_a_score_are_counted() -> None:
    metric = SyncDistance(Loudness())
    frames, audio = clip(40)
    boxes = torch.full((2, 40, 4), torch.nan)
    boxes[0] = torch.tensor([50.0, 50.0, 150.0, 150.0])
    metric.update(torch.stack([frames, frames]), torch.stack([audio, audio]), boxes)
    assert (int(metric.clips), int(metric.unscored)) == (1, 1)
    metric.update(frames[None, :4], audio[None])
    assert (int(metric.clips), int(metric.unscored)) == (1, 2)
    with pytest.raises(ValueError, match="equally many clips"):
        metric.update(frames[None], torch.stack([audio, audio]))
    metric.add(None)
    assert (int(metric.clips), int(metric.unscored)) == (1, 3)
    with pytest.raises(ValueError, match="protocol"):
        SyncDistance(Loudness(), protocol_name="lse")


def test_the_network_is_no_part_of_the_metric() -> None:
    metric = SyncConfidence(SyncNet())
    assert not metric.state_dict()
    assert not list(metric.parameters())
    assert not list(metric.modules())[1:]
    small = SyncConfidence(Loudness())
    small.update(*(value[None] for value in clip(30)))
    assert pickle.loads(pickle.dumps(small)).compute().item() == small.compute().item()
