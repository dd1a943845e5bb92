"""Presets: each file parses, names its source, runs, and puts its hash into the table; lists and pairs of clips."""

import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from expnet.cli import main as command_line
from expnet.config.benchmark import VideoBenchmarkConfig
from expnet.config.grammar import merge
from expnet.errors import ConfigError, DataError
from expnet.evaluation.main import main
from expnet.evaluation.report.results_files import from_json, read_results
from expnet.evaluation.videos.cross_pairs import draw_pairs
from expnet.evaluation.videos.preset import preset_of

FOLDER = Path(__file__).parents[3] / "configs" / "presets"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
ASSETS = [f"assets.{kind}=random" for kind in ("syncnet", "inception", "recogniser")]
QUICK = ["examples.clips=0", "protocol.resamples=20", "devices=1", "protocol.picture_stride=16"]
# Faces of .6 seconds, which each preset's SyncNet would leave out as too short or too small.
SHORT_TRACKS = ["protocol.seconds=.6", "protocol.sync_min_track=6", "protocol.sync_min_face=20"]
# What the clips do not have: speech, portraits, the 36 frames of FVD.
UNSCORED = {"theval": {"theval_lip_sync"}, "latentsync": {"fvd"}, "infinitetalk": {"fvd", "csim"}}


def configuration(name: str, *overrides: str) -> VideoBenchmarkConfig:
    return merge(VideoBenchmarkConfig, [f"configs/presets/{name}.yaml", "systems.ours=ours", *overrides])


def needed(name: str, folder: Path) -> list[str]:
    return [f"{key}={folder}" for key in configuration(name).preset.needs]


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_names_itself_and_its_source(name: str) -> None:
    config = configuration(name)
    assert config.preset.name == name
    assert config.preset.title
    assert config.preset.sources
    assert config.preset.fixes
    assert config.preset.differs
    assert config.metrics
    header = (FOLDER / f"{name}.yaml").read_text().splitlines()[1]
    assert f"python evaluate.py configs/presets/{name}.yaml" in header
    assert all(f"{key}=" in header for key in config.preset.needs)


@pytest.mark.parametrize("name", NAMES)
def test_its_hash_is_that_of_its_options(name: str) -> None:
    given = needed(name, Path("somewhere"))
    preset = preset_of(configuration(name, *given))
    again = preset_of(configuration(name, *given, "title=other", "devices=2", "protocol.resamples=7"))
    changed = preset_of(configuration(name, *given, "protocol.max_lag=9"))
    assert preset is not None
    assert again is not None
    assert changed is not None
    assert preset.changes == ()
    assert again.hash == preset.hash != changed.hash
    assert changed.changes == ("protocol.max_lag=9",)
    assert "changed: protocol.max_lag=9" in changed.line


def test_hashes_differ() -> None:
    presets = [preset_of(configuration(name, *needed(name, Path("somewhere")))) for name in NAMES]
    assert len({preset.hash for preset in presets if preset is not None}) == len(NAMES)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_preset_runs(name: str, videos: SimpleNamespace, tmp_path: Path) -> None:
    arguments = [f"configs/presets/{name}.yaml", *needed(name, videos.reference), *ASSETS, *QUICK, *SHORT_TRACKS]
    assert main([*arguments, f"systems.ours={videos.reference}", f"output={tmp_path}"]) == 0
    content = read_results(tmp_path)
    scored = {key for key, value in content["systems"]["ours"]["metrics"].items() if value["mean"] is not None}
    assert scored == set(configuration(name).metrics) - UNSCORED.get(name, set())
    assert content["preset"]["name"] == name
    assert content["protocol"]["preset"]["hash"] == content["preset"]["hash"]
    assert set(content["preset"]["changes"]) >= {"protocol.picture_stride=16", "protocol.seconds=0.6"}
    assert from_json(content).preset.line in (tmp_path / "table.md").read_text()  # type: ignore[union-attr]
    assert content["preset"]["hash"] in (tmp_path / "table.tex").read_text()
    assert content["preset"]["hash"] in (tmp_path / "index.html").read_text()


def test_a_preset_says_what_it_needs(
    videos: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["configs/presets/infinitetalk.yaml", f"systems.ours={videos.reference}", f"output={tmp_path / 'none'}"]
    with pytest.raises(ConfigError, match=r"infinitetalk needs reference_set=DIR and audio=DIR"):
        main(options)
    assert command_line(["evaluate", *options]) == 2
    assert command_line(["evaluate", "configs/presets/gone.yaml", "systems.ours=a"]) == 2
    assert "presets/mochabench.yaml" in capsys.readouterr().err


def test_a_benchmark_of_ones_own_has_no_preset(videos: SimpleNamespace, tmp_path: Path) -> None:
    options = [f"systems.ours={videos.reference}", "metrics=[pose_diversity]", f"output={tmp_path}", *QUICK]
    assert main(options) == 0
    content = json.loads((tmp_path / "results.json").read_text())
    assert "preset" not in content
    assert "preset" not in content["protocol"]


def test_only_the_clips_of_a_list_are_scored(videos: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("anna_one.mp4\nfour\n")
    options = [f"systems.ours={videos.reference}", "metrics=[pose_diversity]", *QUICK, f"output={tmp_path / 'out'}"]
    assert main([*options, f"clips={tmp_path / 'list.txt'}"]) == 0
    content = read_results(tmp_path / "out")
    assert [row["clip_id"] for row in content["clips"]] == ["anna/one"]
    assert any("1 clips of the list" in note and "four" in note for note in content["notes"])
    (tmp_path / "list.txt").write_text("four\n")
    with pytest.raises(DataError, match=r"names no clip of these folders: it names four"):
        main([*options, f"clips={tmp_path / 'list.txt'}"])


@pytest.mark.parametrize("seed", range(4))
def test_nobody_is_driven_by_himself(seed: int) -> None:
    speakers = {f"{person}{number}": person for person, count in zip("abcd", (5, 3, 1, 1), strict=True)
                for number in range(count)}  # fmt: skip
    pairs = draw_pairs(speakers, seed)
    assert pairs.keys() == speakers.keys()
    assert Counter(pairs.values()) == Counter(speakers.keys())  # each audio once
    assert all(speakers[clip] != speakers[audio] for clip, audio in pairs.items())
    assert draw_pairs(speakers, seed) == pairs


def test_one_person_with_most_clips_cannot_be_driven_by_others() -> None:
    with pytest.raises(DataError, match=r"one person has 2 of 3 clips"):
        draw_pairs({"a1": "a", "a2": "a", "b1": "b"})


def test_pairs_of_a_folder_are_written(videos: SimpleNamespace, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.csv"
    (tmp_path / "clips").mkdir()
    for name in ("anna/one", "two"):
        target = tmp_path / "clips" / f"{name.replace('/', '_')}.mp4"
        target.write_bytes((videos.reference / f"{name}.mp4").read_bytes())
    assert command_line(["corpora", "pairs", str(tmp_path / "clips"), "--output", str(pairs)]) == 0
    assert pairs.read_text() == "clip,audio\nanna_one,two\ntwo,anna_one\n"


@pytest.mark.parametrize(("tracks", "confidence", "distance"), [("best", 3.0, 1.0), ("mean", 2.0, 2.0)])
def test_the_best_track_or_their_mean(tracks: Any, confidence: float, distance: float) -> None:
    from expnet.metrics.functional.sync import SyncResult, best_result, mean_result

    curve = tuple(np.zeros(31))
    results = [SyncResult(3.0, 3.0, 2, 10, curve), SyncResult(1.0, 1.0, -1, 12, curve)]
    found = best_result(results) if tracks == "best" else mean_result(results)
    assert (found.confidence, found.distance) == (confidence, distance)
    assert found.tracks == 2
