"""Benchmarks whose clips have no real counterpart: a set of other people, given audio, portraits, dubbed videos."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from expnet.audio.wave import write_wav
from expnet.errors import ConfigError, DataError
from expnet.evaluation.main import main
from expnet.evaluation.videos.clip_inputs import read_pairs

QUICK = ["examples.clips=0", "protocol.resamples=50", "protocol.picture_stride=8", "trainer.devices=1"]


def run(*arguments: str) -> dict[str, Any]:
    """Evaluate and read results.json."""
    assert main([*QUICK, *arguments]) == 0
    output = next(argument.partition("=")[2] for argument in arguments if argument.startswith("output="))
    content: dict[str, Any] = json.loads((Path(output) / "results.json").read_text())
    return content


def value(results: dict[str, Any], system: str, key: str) -> float:
    return float(results["systems"][system]["metrics"][key]["mean"])


@pytest.fixture(scope="module")
def inputs(talking: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The audio of each clip as a file, the same two exchanged, and the first frames as portraits."""
    root = tmp_path_factory.mktemp("inputs")
    for folder in ("audio/anna", "exchanged/anna", "portraits/anna"):
        (root / folder).mkdir(parents=True)
    other = {"anna/one": "two", "two": "anna/one"}
    for name, (frames, sound) in talking.items():
        write_wav(root / "audio" / f"{name}.wav", sound)
        write_wav(root / "exchanged" / f"{name}.wav", talking[other[name]][1])
        Image.fromarray(frames[0]).save(root / "portraits" / f"{name}.png")
    (root / "pairs.csv").write_text("clip,audio\nanna/one,two.wav\ntwo.mp4,anna/one\n")
    return SimpleNamespace(root=root, audio=root / "audio", exchanged=root / "exchanged", portraits=root / "portraits")


def test_a_set_of_real_clips_is_a_row_and_the_target_of_fid(videos: SimpleNamespace, tmp_path: Path) -> None:
    options = [f"reference_set={videos.reference}", "assets.inception=random", "metrics=[fid,pose_diversity,psnr]"]
    found = run(*options, f"systems.same={videos.reference}", f"output={tmp_path}")
    assert value(found, "same", "fid") == pytest.approx(0.0, abs=1e-6)
    assert found["systems"]["same"]["metrics"]["fid"]["n"] == 2
    assert found["systems"]["same"]["metrics"]["fid"]["unscored"] == 0
    assert found["systems"]["ground_truth"]["title"] == "Real set"
    assert value(found, "same", "pose_diversity") == pytest.approx(value(found, "ground_truth", "pose_diversity"))
    assert "psnr" not in found["metrics"]  # there are no pairs
    names = {(row["system"], row["clip_id"]) for row in found["clips"]}
    assert names == {
        *(("ground_truth", f"reference_set/{name}") for name in ("anna/one", "two")),
        *(("same", name) for name in ("anna/one", "two")),
    }
    assert any("a set that is not paired" in note for note in found["notes"])
    assert not any("has scores of" in note for note in found["notes"])  # no system lacks a clip


def test_fid_against_other_clips_is_above_zero(
    videos: SimpleNamespace, talking: dict[str, Any], tmp_path: Path, write_folder: Callable[..., Path]
) -> None:
    grey = [np.full_like(frame, 90) for frame in talking["two"][0]]
    other = write_folder(tmp_path / "other", {"else": (grey, talking["two"][1])})
    options = ["assets.inception=random", "metrics=[fid]", f"systems.ours={videos.reference}"]
    found = run(*options, f"reference_set={other}", f"output={tmp_path / 'out'}")
    assert value(found, "ours", "fid") > 0
    assert found["systems"]["ours"]["metrics"]["fid"]["n"] == 2


@pytest.mark.parametrize("by", ["name", "pairs"])
def test_given_audio_is_what_the_lips_are_compared_with(
    by: str, videos: SimpleNamespace, inputs: SimpleNamespace, tmp_path: Path
) -> None:
    key = "audio_mouth_correlation"
    system = [f"systems.mute={videos.mute}", f"metrics=[{key}]"]
    own = run(*system, f"audio={inputs.audio}", f"output={tmp_path / 'own'}")
    exchanged = [f"audio={inputs.exchanged}"] if by == "name" else [f"audio={inputs.audio}", "pairs="]
    if by == "pairs":
        exchanged[1] += str(inputs.root / "pairs.csv")
    wrong = run(*system, *exchanged, f"output={tmp_path / 'wrong'}")
    assert value(own, "mute", key) > value(wrong, "mute", key) + 0.2
    assert own["protocol"]["audio"] == "given"
    assert own["protocol_hash"] != wrong["protocol_hash"]  # other audio, other data
    reasons = {row["clip_id"]: row["reason"] for row in wrong["clips"]}
    assert "longer than the video" in reasons["two"]
    assert "shorter than the video" in reasons["anna/one"]
    assert "no audio track" not in reasons["two"]


def test_a_clip_without_given_audio_is_not_scored_with_its_own(
    videos: SimpleNamespace, inputs: SimpleNamespace, tmp_path: Path
) -> None:
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio" / "two.wav").write_bytes((inputs.audio / "two.wav").read_bytes())
    options = [f"systems.ours={videos.reference}", f"audio={tmp_path / 'audio'}", "metrics=[beat_alignment]"]
    found = run(*options, f"output={tmp_path / 'out'}")
    rows = {row["clip_id"]: row for row in found["clips"]}
    assert "no audio was given for this clip" in rows["anna/one"]["reason"]
    assert rows["anna/one"]["values"]["beat_alignment"] is None
    assert rows["two"]["values"]["beat_alignment"] is not None


def test_a_dubbed_video_is_judged_by_its_own_words(
    videos: SimpleNamespace, inputs: SimpleNamespace, tmp_path: Path
) -> None:
    found = run(
        f"reference={videos.reference}",
        f"systems.dubbed={videos.mute}",
        f"audio={inputs.exchanged}",
        "dubbed=true",
        f"output={tmp_path}",
        "metrics=[audio_mouth_correlation,mouth_opening_correlation,landmark_distance_mouth,landmark_distance]",
    )
    assert set(found["metrics"]) == {"audio_mouth_correlation", "landmark_distance"}
    # The real clips keep the audio that they were recorded with, and the mute videos have the same frames.
    assert value(found, "ground_truth", "audio_mouth_correlation") > value(found, "dubbed", "audio_mouth_correlation")
    assert any(note.startswith("Dubbed") for note in found["notes"])


@pytest.mark.slow
def test_identity_is_compared_with_the_portrait(
    videos: SimpleNamespace, inputs: SimpleNamespace, tmp_path: Path
) -> None:
    options = [f"systems.ours={videos.reference}", "metrics=[csim]", "assets.recogniser=random"]
    options += ["protocol.picture_stride=1", "protocol.seconds=0.04"]
    given = run(*options, f"portraits={inputs.portraits}", f"output={tmp_path / 'given'}")
    first = run(
        *options, f"reference={videos.reference}", "protocol.csim_against=portrait", f"output={tmp_path / 'first'}"
    )
    assert value(given, "ours", "csim") > 0.95  # one frame, against the same frame before it was encoded
    assert value(first, "ours", "csim") == pytest.approx(1.0, abs=1e-5)
    assert value(first, "ground_truth", "csim") == pytest.approx(1.0, abs=1e-5)
    assert given["protocol"]["csim against"] == "the portrait given for the clip"


@pytest.mark.parametrize(
    ("overrides", "fragment"),
    [
        (["reference=real", "reference_set=others"], "exclude each other"),
        (["dubbed=true", "reference=real"], "dubbed=true needs audio"),
        (["pairs=a.csv"], "set at least one"),
    ],
)
def test_combinations_that_mean_nothing(overrides: list[str], fragment: str) -> None:
    with pytest.raises(ConfigError, match=fragment):
        main(["systems.ours=ours", "output=out", *overrides])


def test_portraits_that_are_nowhere_are_told(videos: SimpleNamespace, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"csim_against=portrait needs portraits"):
        main([f"systems.ours={videos.reference}", f"output={tmp_path}", "protocol.csim_against=portrait"])


def test_an_audio_folder_of_other_names_is_told(videos: SimpleNamespace, tmp_path: Path) -> None:
    write_wav(tmp_path / "three.wav", np.zeros(16000, np.float32))
    with pytest.raises(DataError, match=r"has three, expected anna/one, two; name the files"):
        main([f"systems.ours={videos.reference}", f"audio={tmp_path}", f"output={tmp_path / 'out'}"])


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("name,audio\na,b\n", "expected clip"),
        ("clip,sound\na,b\n", "expected clip"),
        ("clip,audio\na,b\na.mp4,c\n", "names the clip a twice"),
        ("", "(none)"),
        ('clip,audio\n"a,b\n', "cannot be read"),
    ],
)
def test_a_list_of_pairs_that_cannot_be_used(tmp_path: Path, text: str, fragment: str) -> None:
    (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises(DataError) as error:
        read_pairs(tmp_path / "pairs.csv")
    assert fragment in str(error.value)
