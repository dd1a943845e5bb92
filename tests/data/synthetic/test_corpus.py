"""The built-in corpus: the same bytes for a seed, lips that follow the audio, lively faces, an ordinary store."""

import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from expnet.audio.speech_synthesis import PAUSE
from expnet.data.store.track import Track
from expnet.data.store.track_store import TrackStore
from expnet.data.synthetic.corpus import Recipe, synthesize, synthesize_clip
from expnet.data.synthetic.sentences import LANGUAGES, sentence
from expnet.data.synthetic.speakers import make_speaker
from expnet.data.synthetic.utterance_track import utterance_track
from expnet.data.synthetic.visemes import visemes_of
from expnet.errors import InputError, MachineError, MissingAssetError
from expnet.face.camera import project
from expnet.face.emotions import EMOTION_TABLE, EMOTIONS
from expnet.face.facial_features import FEATURES, feature_space
from expnet.face.morphable import builtin_face_model

pytest.importorskip("espeakng_loader")

RECIPE = Recipe(seed=3, speakers=6, seconds=(3.0, 5.0))


@pytest.fixture(scope="module")
def tracks() -> list[Track]:
    return [synthesize_clip(RECIPE, index) for index in range(24)]


def features(track: Track) -> dict[str, np.ndarray]:
    space = feature_space(builtin_face_model())
    coefficients = track.coefficients
    assert coefficients.identity is not None
    return space.measured(coefficients.identity.astype(float), coefficients.expression.astype(float))


def frames_inside(track: Track, start: float, end: float) -> np.ndarray:
    """Frames whose middle lies in a stretch of seconds."""
    middles = (np.arange(track.frames) + 0.5) / 25
    return np.flatnonzero((middles > start) & (middles < end))


def test_tracks_are_valid_and_of_the_wanted_length(tracks: list[Track]) -> None:
    for track in tracks:
        track.validate()
        assert 75 <= track.frames <= 125
        assert track.phonemes[-1].end <= track.frames / 25 + 1e-6
        assert track.emotion in EMOTIONS
        assert (track.level == 0) == (track.emotion == "neutral")
    assert len({track.speaker for track in tracks}) == 6
    assert {track.language for track in tracks} == set(RECIPE.languages)
    assert len({track.emotion for track in tracks}) > 3


def test_lips_are_closed_in_silence(tracks: list[Track]) -> None:
    silent = 0
    for track in tracks:
        gap = features(track)["lip_gap"]
        pauses = [phoneme for phoneme in track.phonemes if phoneme.symbol == PAUSE]
        stretches = [(0.0, track.phonemes[0].start - 0.08), *((p.start + 0.08, p.end - 0.08) for p in pauses)]
        for start, end in stretches:
            if end - start > 0.06:
                inside = frames_inside(track, start, end)
                silent += len(inside)
                assert (gap[inside] < 0.006).all()
    assert silent > 50


def test_lips_touch_on_bilabials(tracks: list[Track]) -> None:
    count = 0
    for track in tracks:
        gap = features(track)["lip_gap"]
        for phoneme in track.phonemes:
            if phoneme.symbol != PAUSE and visemes_of(phoneme.symbol)[0].closure:
                first, last = int((phoneme.start - 0.06) * 25), int((phoneme.end + 0.02) * 25) + 1
                if last < track.frames:
                    count += 1
                    assert gap[max(first, 0) : last].min() < 0.006
    assert count > 60


def test_open_vowels_open_wider_than_close_ones(tracks: list[Track]) -> None:
    gaps: dict[str, list[float]] = {"a": [], "i": []}
    for track in tracks:
        gap = features(track)["lip_gap"]
        for phoneme in track.phonemes:
            letter = phoneme.symbol.strip("ˈˌː")
            inside = frames_inside(track, phoneme.start, phoneme.end)
            if letter in gaps and len(inside):
                gaps[letter].append(float(gap[inside].max()))
    assert min(len(found) for found in gaps.values()) > 10
    assert np.mean(gaps["a"]) > 1.4 * np.mean(gaps["i"])


def test_opening_goes_with_loudness_without_lag(tracks: list[Track]) -> None:
    """Audio and lips are synchronous: their correlation is largest within one frame of no shift."""
    correlation = np.zeros(9)
    for track in tracks:
        gap = features(track)["lip_gap"]
        level = np.sqrt(np.square(track.audio).reshape(track.frames, 640).mean(axis=1))
        for index, lag in enumerate(range(-4, 5)):
            correlation[index] += np.corrcoef(np.roll(gap, lag)[4:-4], level[4:-4])[0, 1] / len(tracks)
    assert abs(int(correlation.argmax()) - 4) <= 1
    assert correlation.max() > 0.4


def test_statistics_lie_among_real_ones(tracks: list[Track]) -> None:
    """Bounds are the 10th and 90th percentile of real clips, see benchmarks/synthetic.py."""
    gaps = [features(track)["lip_gap"] for track in tracks]
    assert 0.036 < np.median([gap.std() for gap in gaps]) < 0.077
    assert 0.020 < np.median([np.diff(gap).std() for gap in gaps]) < 0.043
    yaw = [track.coefficients.rotation[:, 1] for track in tracks]
    assert 0.009 < np.median([angle.std() for angle in yaw]) < 0.14
    assert 0.003 < np.median([np.diff(angle).std() for angle in yaw]) < 0.025
    assert max(np.abs(track.coefficients.rotation).max() for track in tracks) < 0.8
    assert max(np.abs(track.coefficients.expression).max() for track in tracks) < 12.0


def test_eyes_blink_and_open_again(tracks: list[Track]) -> None:
    lids = [features(track)["lids_apart"] for track in tracks]
    shut = [bool((gap < 0.5 * np.percentile(gap, 80)).any()) for gap in lids]
    assert np.mean(shut) > 0.4
    assert max(np.mean(gap < 0.5 * np.percentile(gap, 80)) for gap in lids) < 0.35


def test_landmarks_are_the_projected_model(tracks: list[Track]) -> None:
    track, model = tracks[0], builtin_face_model()
    parts = track.coefficients
    points = model.landmarks(torch.from_numpy(parts.identity), torch.from_numpy(parts.expression))
    crop = torch.from_numpy(parts.crop.astype(np.float32))
    pixels = project(points, torch.from_numpy(parts.rotation), torch.from_numpy(parts.translation), crop)
    np.testing.assert_allclose(track.landmarks, pixels.numpy(), atol=0.01)
    assert all((each.landmarks > 0).all() and (each.landmarks < 256).all() for each in tracks)
    assert np.abs(parts.translation.mean(axis=0)).max() < 1e-4


def test_speakers_keep_their_face_and_differ(tracks: list[Track]) -> None:
    identities = {track.speaker: [] for track in tracks}
    for track in tracks:
        identities[track.speaker].append(track.coefficients.identity)
    for found in identities.values():
        assert all(np.array_equal(found[0], other) for other in found)
    one, other = list(identities.values())[:2]
    assert np.abs(one[0] - other[0]).max() > 0.5


@pytest.mark.parametrize(
    ("emotion", "feature", "sign"),
    [
        ("happy", "corners_up", 1), ("happy", "mouth_width", 1), ("sad", "corners_up", -1),
        ("angry", "inner_brows", -1), ("surprised", "inner_brows", 1), ("surprised", "lids_apart", 1),
        ("disgusted", "upper_lip", 1), ("contempt", "corners_uneven", 1),
    ],
)  # fmt: skip
def test_emotions_show(emotion: str, feature: str, sign: int) -> None:
    """From level to level the feature moves on, for the same words and the same chance."""
    speaker = make_speaker("somebody", "en", feature_space(builtin_face_model()), np.random.default_rng(0))
    audio = np.zeros(75 * 640, np.float32)
    means = [
        features(
            utterance_track(
                audio, (), speaker, random=np.random.default_rng(1), clip_id="clip", emotion=emotion, level=level
            )
        )[feature].mean()
        for level in (0, 1, 3)
    ]
    assert sign * (means[1] - means[0]) > 0.002
    assert sign * (means[2] - means[1]) > 0.002


def test_every_emotion_names_known_features() -> None:
    assert tuple(EMOTION_TABLE) == EMOTIONS
    for emotion in EMOTION_TABLE.values():
        assert set(emotion.features) <= set(FEATURES)


def test_the_lower_lip_and_chin_go_with_the_gap() -> None:
    """Of the opening, the lower lip makes the larger part: so it was in the faces the model was built from."""
    with_gap = feature_space(builtin_face_model()).with_gap
    assert with_gap["lip_gap"] == 1.0
    assert -0.9 < with_gap["lower_lip"] < -0.4 < with_gap["chin"] < -0.05 < 0.05 < with_gap["upper_lip"] < 0.4


def test_features_are_reached_exactly() -> None:
    space = feature_space(builtin_face_model())
    identity = np.random.default_rng(0).normal(size=space.identity_response.shape[1])
    wanted = {"lip_gap": np.array([0.0, 0.1]), "corners_up": np.array([-0.4, -0.38])}
    measured = space.measured(identity, space.expression_for(identity, wanted))
    for name in FEATURES:
        expected = wanted.get(name, np.full(2, space.at_rest(identity)[name]))
        np.testing.assert_allclose(measured[name], expected, atol=1e-9)
    unseen = space.without_features(np.random.default_rng(1).normal(size=(3, 64)))
    np.testing.assert_allclose(unseen @ space.expression_response.T, 0.0, atol=1e-9)


def digest(store: Path) -> str:
    files = sorted(path for path in store.rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in files)).hexdigest()


def test_the_same_bytes_for_any_number_of_processes(tmp_path: Path) -> None:
    options = {"clips": 6, "seed": 5, "speakers": 3, "seconds": (1.0, 2.0), "progress": False}
    synthesize(tmp_path / "one", **options)
    synthesize(tmp_path / "two", workers=2, **options)
    assert digest(tmp_path / "one") == digest(tmp_path / "two")
    synthesize(tmp_path / "other", **{**options, "seed": 6})
    assert digest(tmp_path / "other") != digest(tmp_path / "one")
    store = TrackStore(tmp_path / "one")
    assert len(store.rows) == 6
    assert len({row.speaker for row in store.rows}) == 3
    read = store.read(store.rows[0].clip_id)
    made = synthesize_clip(Recipe(seed=5, speakers=3, seconds=(1.0, 2.0)), 0)
    np.testing.assert_array_equal(read.coefficients.expression, made.coefficients.expression)
    assert [p.symbol for p in read.phonemes] == [p.symbol for p in made.phonemes]


def test_a_stopped_store_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from expnet.data.synthetic import corpus as synthetic

    options = {"clips": 4, "seed": 5, "speakers": 2, "seconds": (1.0, 2.0), "progress": False}
    whole = synthetic.synthesize_clip

    def killed(recipe: Recipe, index: int) -> Track:
        if index == 2:
            raise KeyboardInterrupt
        return whole(recipe, index)

    monkeypatch.setattr(synthetic, "synthesize_clip", killed)
    with pytest.raises(KeyboardInterrupt):
        synthesize(tmp_path / "a", **options)
    made: list[int] = []
    monkeypatch.setattr(synthetic, "synthesize_clip", lambda recipe, index: made.append(index) or whole(recipe, index))
    synthesize(tmp_path / "a", **options)
    assert made == [2, 3]
    monkeypatch.undo()
    synthesize(tmp_path / "b", **options)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")


def test_a_full_disk_is_one_sentence_and_the_next_run_does_the_rest(
    tmp_path: Path, small_disk: Callable[[int], Path]
) -> None:
    options = {"clips": 4, "seed": 5, "speakers": 2, "seconds": (1.0, 2.0), "workers": 2, "progress": False}
    disk = small_disk(200)
    with pytest.raises(MachineError, match=r"disk0/a/.*: No space left on device; make room on that disk and run"):
        synthesize(disk / "a", **options)
    subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
    synthesize(disk / "a", **options)
    synthesize(tmp_path / "b", **options)
    assert digest(disk / "a") == digest(tmp_path / "b")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"clips": 0}, "at least 1"),
        ({"clips": 2, "languages": ("xx",)}, "choose languages"),
        ({"clips": 2, "seconds": (5.0, 1.0)}, "shortest"),
    ],
)
def test_wrong_options_leave_nothing_behind(tmp_path: Path, options: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        synthesize(tmp_path / "store", **options)
    assert not (tmp_path / "store").exists()


def test_without_the_extra_nothing_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(MissingAssetError, match="pip install"):
        synthesize(tmp_path / "store", clips=2)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences(language: str) -> None:
    random = np.random.default_rng(0)
    made = {sentence(random, language) for _ in range(50)}
    assert len(made) > 30
    assert all(text.strip() and "|" not in text for text in made)
