"""``evaluate.py`` on folders of videos, from end to end, on clips whose mouths are known."""

import json
import math
import re
import shutil
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
import torch

from expnet.cli import main as command_line
from expnet.config.benchmark import DevicesConfig, VideoBenchmarkConfig
from expnet.errors import ConfigError, DataError, MissingAssetError
from expnet.evaluation.main import main
from expnet.evaluation.videos.processes import ClipWorker
from expnet.evaluation.videos.reader import VideoReader
from expnet.evaluation.videos.scorer import VideoScorer
from expnet.media.video_reader import read_video

QUICK = ["examples.clips=0", "protocol.resamples=100", "protocol.picture_stride=8", "trainer.devices=1"]
CHEAP = "metrics=[mouth_opening_correlation,psnr,pose_diversity]"


def run(*arguments: str) -> dict[str, Any]:
    """Evaluate and read results.json."""
    assert main([*QUICK, *arguments]) == 0
    output = next(argument.partition("=")[2] for argument in arguments if argument.startswith("output="))
    content: dict[str, Any] = json.loads((Path(output) / "results.json").read_text())
    return content


def value(results: dict[str, Any], system: str, key: str) -> float:
    return float(results["systems"][system]["metrics"][key]["mean"])


def rows(results: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["system"], row["clip_id"]): row for row in results["clips"]}


@pytest.fixture(scope="module")
def results(videos: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The real clips against themselves without audio and against odd ones, by every metric that needs no weights."""
    output = tmp_path_factory.mktemp("benchmark")
    systems = (f"systems.{name}={getattr(videos, name)}" for name in ("mute", "odd"))
    found = run(f"reference={videos.reference}", *systems, f"output={output}", "examples.clips=1")
    return {**found, "output": output}


def test_every_file_is_there(results: dict[str, Any]) -> None:
    names = sorted(path.name for path in results["output"].iterdir())
    assert names == ["index.html", "results.csv", "results.json", "table.md", "table.tex", "videos", "work"]
    shown = sorted(path.name for path in (results["output"] / "videos").iterdir())
    assert sorted(name[3:] for name in shown) == ["anna-one.mp4", "two.mp4"]  # a clip once, whatever chose it
    page = (results["output"] / "index.html").read_text()
    assert all(f"videos/{name}" in page for name in shown)
    for key in ("psnr", "mouth_opening_lag", "landmark_distance", "pose_diversity", "jitter_ratio"):
        assert f'id="examples-{key}"' in page


def test_the_page_shows_clips_of_every_metric_that_scored_clips(results: dict[str, Any]) -> None:
    page = (results["output"] / "index.html").read_text()
    scored = {key for row in results["clips"] if row["system"] == "mute" for key in row["values"]}
    shown = set(re.findall(r'id="examples-(\w+)"', page))
    assert shown <= scored
    lacking = {key for key in scored - shown if results["metrics"][key]["higher_is_better"] is not None}
    assert not lacking


def test_a_system_that_equals_the_real_clips_is_perfect(results: dict[str, Any]) -> None:
    assert value(results, "mute", "mouth_opening_correlation") == pytest.approx(1.0, abs=1e-6)
    assert value(results, "mute", "landmark_distance") == pytest.approx(0.0, abs=1e-6)
    assert value(results, "mute", "psnr") == 100.0
    assert value(results, "mute", "ms_ssim") == pytest.approx(1.0, abs=1e-6)
    assert value(results, "mute", "pose_speed_ratio") == pytest.approx(1.0)
    assert value(results, "mute", "mouth_opening_lag") == 0.0
    for key in ("audio_mouth_correlation", "pose_diversity", "cpbd", "blink_rate", "beat_alignment"):
        assert value(results, "mute", key) == pytest.approx(value(results, "ground_truth", key), abs=1e-6)
        summary = results["systems"]["mute"]["metrics"][key]
    assert summary["distance_to_ground_truth"] == pytest.approx(0.0, abs=1e-6)


def test_the_real_clips_have_no_paired_numbers(results: dict[str, Any]) -> None:
    assert not {"psnr", "landmark_distance", "jitter_ratio"} & set(results["systems"]["ground_truth"]["metrics"])


def test_failures_and_oddities_are_told_row_by_row(results: dict[str, Any]) -> None:
    found = rows(results)
    assert found["odd", "anna/one"]["status"] == "failed"
    assert "not a video" in found["odd", "anna/one"]["reason"]
    small = found["odd", "two"]
    assert small["status"] == "ok"
    assert small["frames"] == 20
    assert "the common part is scored" in small["reason"]
    assert "that of the reference" in found["mute", "two"]["reason"]
    assert 20 < small["values"]["psnr"] < 60  # resized to the real one's size
    assert small["values"]["mouth_opening_correlation"] > 0.7
    assert found["ground_truth", "anna/one"]["speaker"] == "anna"
    assert results["systems"]["odd"]["metrics"]["psnr"]["n"] == 1


def test_warnings_say_where_numbers_mean_little(results: dict[str, Any]) -> None:
    told = "\n".join(results["notes"])
    assert "size 96x96 against 192x192" in told
    assert "2 of the videos of mute" in told
    assert "1 of the videos of odd (beyond)" in told
    assert "syncnet_v2.model" in told  # the weights are missing, and the note says how to get them
    assert "people" in told


def test_versions_and_protocol_are_written_down(results: dict[str, Any]) -> None:
    assert {"torch", "av", "mediapipe", "expnet"} <= set(results["versions"])
    protocol = results["protocol"]
    assert protocol["picture_stride"] == 8
    assert protocol["metrics"]["psnr"]["metric"] == "PeakSignalToNoiseRatio"
    assert protocol["data"]["clips"] == 2


def test_a_killed_run_goes_on_where_it_was(
    results: dict[str, Any], videos: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(results["output"] / "work", tmp_path / "work")
    lost = next((tmp_path / "work").rglob("two-*.json"))
    lost.unlink()
    scored = []
    score = VideoScorer.score

    def watched(self: VideoScorer, clip: Any, systems: Any) -> Any:
        scored.append(clip.clip_id)
        return score(self, clip, systems)

    monkeypatch.setattr(VideoScorer, "score", watched)
    systems = (f"systems.{name}={getattr(videos, name)}" for name in ("mute", "odd"))
    again = run(f"reference={videos.reference}", *systems, f"output={tmp_path}")
    assert scored == ["two"]
    for key in ("protocol_hash", "systems", "clips"):
        assert again[key] == results[key]


def test_another_system_is_scored_alone(
    videos: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = [f"reference={videos.reference}", f"output={tmp_path}", "metrics=[pose_diversity]"]
    one = run(*options, f"systems.mute={videos.mute}")
    read: list[Path] = []
    reader = VideoReader.__call__

    def watched(self: VideoReader, path: Path) -> Any:
        read.append(path)
        return reader(self, path)

    monkeypatch.setattr(VideoReader, "__call__", watched)
    two = run(*options, f"systems.mute={videos.mute}", f"systems.same={videos.reference}")
    # The real clips twice: as such, and as those of the new system.
    assert {path.parent for path in read if "mute" in str(path)} == set()
    assert len(read) == 4
    assert rows(two)["mute", "two"] == rows(one)["mute", "two"]
    assert value(two, "same", "pose_diversity") == value(one, "ground_truth", "pose_diversity")


def test_the_distance_to_real_is_over_the_common_clips_and_frames(
    videos: SimpleNamespace, talking: dict[str, Any], tmp_path: Path, write_folder: Callable[..., Path]
) -> None:
    """A system whose one video is the first half of a real one moves exactly as that half does."""
    _, sound = talking["anna/one"]
    # The frames as they are decoded, without loss: encoded anew with loss, another face would be tracked.
    frames = list(islice(read_video(videos.reference / "anna" / "one.mp4"), 10))
    half = write_folder(tmp_path / "half", {"anna/one": (frames, sound[: 10 * 640])}, crf=0)
    keys = "metrics=[pose_diversity,audio_mouth_lag,psnr]"
    found = run(
        f"reference={videos.reference}",
        f"systems.mute={videos.mute}",
        f"systems.half={half}",
        f"output={tmp_path / 'out'}",
        keys,
    )
    summary = found["systems"]["half"]["metrics"]["pose_diversity"]
    whole = value(found, "ground_truth", "pose_diversity")
    assert summary["n"] == 1
    assert abs(summary["mean"] - whole) > 0.1
    assert summary["distance_to_ground_truth"] == pytest.approx(0.0, abs=0.02)
    assert found["systems"]["half"]["metrics"]["audio_mouth_lag"]["distance_to_ground_truth"] == 0.0
    # Its frames are not those of the first system, so nothing is subtracted.
    assert summary["difference_to_first"] is None
    told = "\n".join(found["notes"])
    assert "half has scores of 1 of 2 clips" in told
    assert "half is shorter than the real clip in 1 of 1 clips (down to 31 % of its frames)" in told
    assert "mute has scores" not in told
    assert "mute is shorter" not in told
    table = (tmp_path / "out" / "table.md").read_text()
    assert "(n 1)" in table
    assert "(n 2)" not in table


def test_two_processes_give_what_one_gives(videos: SimpleNamespace, tmp_path: Path) -> None:
    options = [f"reference={videos.reference}", f"systems.mute={videos.mute}", CHEAP]
    one = run(*options, f"output={tmp_path / 'one'}")
    two = run(*options, f"output={tmp_path / 'two'}", "devices=2")
    for key in ("protocol_hash", "systems", "clips"):
        assert two[key] == one[key]


@pytest.mark.parametrize("names", [("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS")])
def test_ranks_share_the_clips_and_the_last_one_writes(
    names: tuple[str, str], videos: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = [*QUICK, f"reference={videos.reference}", f"systems.mute={videos.mute}", f"output={tmp_path}"]
    options.append("metrics=[pose_diversity]")
    monkeypatch.setenv("SLURM_STEP_ID", "0")
    monkeypatch.setenv(names[1], "2")
    monkeypatch.setenv(names[0], "1")
    assert main(options) == 0
    assert not (tmp_path / "results.json").exists()
    assert {path.name.split("-")[0] for path in (tmp_path / "work").rglob("*.json")} == {"two"}
    monkeypatch.setenv(names[0], "0")
    assert main(options) == 0
    assert json.loads((tmp_path / "results.json").read_text())["systems"]["mute"]["metrics"]["pose_diversity"]["n"] == 2


@pytest.mark.parametrize("job", ["eval.sh", "zsh"])
def test_a_batch_script_without_srun_scores_every_clip(
    job: str, videos: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It scored the share of the first of four tasks, of which three did not exist, and wrote no report."""
    for name, value in {"SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_JOB_NAME": job}.items():
        monkeypatch.setenv(name, value)
    options = [*QUICK, f"reference={videos.reference}", f"systems.mute={videos.mute}", f"output={tmp_path}"]
    assert main([*options, "metrics=[pose_diversity]"]) == 0
    assert json.loads((tmp_path / "results.json").read_text())["systems"]["mute"]["metrics"]["pose_diversity"]["n"] == 2


def test_without_a_reference_only_what_needs_none_is_scored(videos: SimpleNamespace, tmp_path: Path) -> None:
    found = run(f"systems.alone={videos.reference}", f"output={tmp_path}", CHEAP)
    assert set(found["systems"]["alone"]["metrics"]) == {"pose_diversity"}
    assert "There is no reference folder" in found["notes"][0]


def test_a_face_that_is_not_there(videos: SimpleNamespace, tmp_path: Path, write_folder: Callable[..., Path]) -> None:
    grey = [np.full((192, 192, 3), 90, np.uint8)] * 28
    blank = write_folder(tmp_path / "blank", {"two": (grey, None)})
    found = run(f"reference={videos.reference}", f"systems.blank={blank}", f"output={tmp_path / 'out'}", CHEAP)
    row = rows(found)["blank", "two"]
    assert row["status"] == "ok"
    assert row["values"]["mouth_opening_correlation"] is None
    assert "mouth_opening_correlation: no face found" in row["reason"]
    assert math.isfinite(row["values"]["psnr"])
    assert "blank has no video named anna/one" in rows(found)["blank", "anna/one"]["reason"]


@pytest.mark.parametrize(
    ("override", "fragment", "kind"),
    [
        ("reference=/nowhere", "/nowhere", DataError),
        ("systems.reference=x", "stands for the real videos", ConfigError),
        ("metrics=[sink]", "there is no metric sink", ConfigError),
        ("assets.sink=x", "assets.sink", ConfigError),
        ("devices=0", "trainer.devices", ConfigError),
        ("protocol.max_lag=0", "max_lag", ConfigError),
        ("strict=true", "syncnet", MissingAssetError),
    ],
)
def test_a_mistake_is_one_sentence(
    videos: SimpleNamespace, tmp_path: Path, override: str, fragment: str, kind: type[Exception]
) -> None:
    options = [f"reference={videos.reference}", f"systems.mute={videos.mute}", f"output={tmp_path}", override]
    with pytest.raises(kind, match=fragment):
        main(options)


def test_a_wrong_range_flag_is_told(
    videos: SimpleNamespace, talking: dict[str, Any], tmp_path: Path, write_folder: Callable[..., Path]
) -> None:
    """The same pixels, flagged as full range: every player shows them paler, and so they are scored."""
    plain = write_folder(tmp_path / "plain", {"two": talking["two"]})
    flagged = tmp_path / "flagged" / "two.mp4"
    flagged.parent.mkdir()
    with av.open(str(plain / "two.mp4")) as source, av.open(str(flagged), "w") as target:
        stream = target.add_stream("libx264", rate=25, options={"crf": "1"})
        stream.width = stream.height = 192
        stream.pix_fmt = "yuv420p"
        stream.codec_context.color_range = 2
        for frame in source.decode(video=0):
            frame.color_range = 2
            target.mux(stream.encode(frame))
        target.mux(stream.encode())
    found = run(
        f"reference={plain}", f"systems.flagged={flagged.parent}", f"output={tmp_path / 'out'}", "metrics=[psnr]"
    )
    assert value(found, "flagged", "psnr") < 30
    assert any("colour range full against limited (1 of 1 clips)" in note for note in found["notes"])


def test_the_command_line_and_its_help(videos: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line(["evaluate", "configs/benchmark.yaml", "--help"]) == 0
    assert "systems.NAME=DIR" in capsys.readouterr().out
    assert command_line(["evaluate", "configs/benchmark.yaml", "output=x"]) == 2
    assert "systems.NAME=DIR" in capsys.readouterr().err


@pytest.mark.slow
def test_networks_with_random_weights_run_and_say_so(videos: SimpleNamespace, tmp_path: Path) -> None:
    """SyncNet, Inception, LPIPS and the recogniser, from the file to the table."""
    kinds = ("syncnet", "inception", "lpips_alex", "recogniser")
    keys = ("sync_confidence", "sync_distance", "sync_offset", "fid", "lpips", "csim")
    found = run(
        f"reference={videos.reference}",
        f"systems.mute={videos.mute}",
        f"output={tmp_path}",
        f"metrics=[{','.join(keys)}]",
        *(f"assets.{kind}=random" for kind in kinds),
        "protocol.picture_stride=16",
        "protocol.sync=direct",
    )
    assert value(found, "mute", "fid") == pytest.approx(0.0, abs=1e-6)
    assert value(found, "mute", "lpips") == pytest.approx(0.0, abs=1e-6)
    assert value(found, "mute", "csim") == pytest.approx(1.0, abs=1e-5)
    assert value(found, "mute", "sync_distance") == pytest.approx(value(found, "ground_truth", "sync_distance"))
    assert sum("RANDOM WEIGHTS" in note for note in found["notes"]) == 4
    assert any("FID was computed from few frames (mute 4 frames of 2 clips)" in note for note in found["notes"])
    assert found["versions"]["weights of syncnet, random weights"] == "none"


def test_processes_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", given.append)
    monkeypatch.setattr("expnet.evaluation.videos.processes.available_cores", lambda: 8)
    monkeypatch.setattr(
        "expnet.evaluation.videos.processes.open_scoring_setup", lambda config, device: SimpleNamespace(scorer=0)
    )
    config = VideoBenchmarkConfig(systems={"a": "."}, trainer=DevicesConfig(threads=0))
    for processes in (1, 2, 8, 16):
        ClipWorker(config, SimpleNamespace(), None, processes)
    assert given == [8, 4, 1, 1]
