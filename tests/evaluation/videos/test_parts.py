"""The parts of the video benchmark that need no video."""

import math
import re
from importlib import resources
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from expnet.config.benchmark import GROUND_TRUTH, METRIC_KEYS, VideoBenchmarkConfig, VideoProtocolConfig
from expnet.errors import DataError
from expnet.evaluation.report.results import MetricInfo, MetricSummary, ScoredClip, SystemResult
from expnet.evaluation.scores import Scores
from expnet.evaluation.videos import measures
from expnet.evaluation.videos.example_clips import MetricExamples, choose_clips
from expnet.evaluation.videos.examples import _in_rows, fit_inside, line_styles
from expnet.evaluation.videos.fid_summary import few_frames_warning, frechet_summaries
from expnet.evaluation.videos.finished_clips import FinishedClips, RealPart, VideoOutcome
from expnet.evaluation.videos.measures import image_measures, mean_over_frames, resize_frames
from expnet.evaluation.videos.pairing import PairedClip, find_videos, pair_videos
from expnet.evaluation.videos.reader import NO_AUDIO, Source, Video, same_aspect
from expnet.evaluation.videos.scorer import VideoScorer
from expnet.evaluation.videos.video_warnings import lag_warnings, video_warnings
from expnet.metrics import (
    FrechetInceptionDistance,
    MultiScaleStructuralSimilarity,
    PeakSignalToNoiseRatio,
    StructuralSimilarity,
)
from expnet.metrics.functional import image_scores


@pytest.fixture
def folders(tmp_path: Path) -> SimpleNamespace:
    """Files of which only the names matter."""
    for name in ("real/a/x.mp4", "real/b/x.avi", "real/y.mp4", "ours/a/x.webm", "ours/y.mov", "other/z.mp4"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return SimpleNamespace(**{name: str(tmp_path / name) for name in ("real", "ours", "other")})


def clip(folder: Path, name: str, systems: tuple[str, ...] = (GROUND_TRUTH, "ours")) -> PairedClip:
    (folder / f"{name}.mp4").write_bytes(b"x")
    return PairedClip(name, name, dict.fromkeys(systems, folder / f"{name}.mp4"))


def test_files_are_paired_by_their_path_without_suffix(folders: SimpleNamespace) -> None:
    pairing = pair_videos(VideoBenchmarkConfig(reference=folders.real, systems={"ours": folders.ours}))
    assert [found.clip_id for found in pairing.clips] == ["a/x", "b/x", "y"]
    assert list(pairing.clips[0].paths) == [GROUND_TRUTH, "ours"]
    assert pairing.clips[0].paths["ours"] == Path(folders.ours, "a", "x.webm")
    assert pairing.clips[1].paths["ours"] is None
    limited = pair_videos(VideoBenchmarkConfig(reference=folders.real, systems={"ours": folders.ours}, limit=2))
    assert [found.clip_id for found in limited.clips] == ["a/x", "y"]


def test_folders_that_do_not_pair_are_refused(folders: SimpleNamespace) -> None:
    with pytest.raises(DataError, match=r"systems\.other=.* has no video with the name"):
        pair_videos(VideoBenchmarkConfig(reference=folders.real, systems={"other": folders.other}))
    Path(folders.real, "y.mkv").write_bytes(b"y")
    with pytest.raises(DataError, match="name the same clip"):
        find_videos(folders.real)


def test_finished_videos_come_back_until_a_file_changes(tmp_path: Path) -> None:
    work, pair = FinishedClips(tmp_path, "hash"), clip(tmp_path, "one", ("ours",))
    assert work.read(pair) is None
    row = ScoredClip("one", "ours", "anna", 7, "ok", "why", {"psnr": 3.0, "ssim": math.nan}, {"psnr": 2.0})
    features = torch.randn(5, 4)
    real = RealPart(ScoredClip("one", GROUND_TRUTH, frames=7, values={"cpbd": 0.5}), {"lag": [0.25]})
    outcome = VideoOutcome(row, {"lag": [0.5, math.nan]}, [0.1], [True], real=real, features=features)
    work.write(pair, "ours", outcome)
    again = work.read(pair)
    assert again is not None
    assert again.rows[0].values["psnr"] == 3.0
    assert math.isnan(again.rows[0].values["ssim"])
    assert again.openings == {"ours": [0.1]}
    assert again.silent == [True]
    part = again.videos["ours"].real
    assert part is not None
    assert (part.row, part.curves) == (real.row, real.curves)
    assert torch.equal(work.features(pair)["ours"], features)
    (tmp_path / "one.mp4").write_bytes(b"another")
    assert work.read(pair) is None


def test_a_damaged_file_is_scored_again(tmp_path: Path) -> None:
    work, pair = FinishedClips(tmp_path, "hash"), clip(tmp_path, "one", ("ours",))
    work.write(pair, "ours", VideoOutcome(ScoredClip("one", "ours")))
    assert work.unfinished(pair) == []
    next(work.path.glob("*.json")).write_text('{"row": {')
    assert work.read(pair) is None
    assert work.unfinished(pair) == ["ours"]


def test_another_system_leaves_the_others_finished(tmp_path: Path) -> None:
    work = FinishedClips(tmp_path, "hash")
    for name in ("real", "ours", "late"):
        (tmp_path / name).write_bytes(name.encode())
    paths: dict[str, Path | None] = {GROUND_TRUTH: tmp_path / "real", "ours": tmp_path / "ours"}
    for system in paths:
        work.write(PairedClip("one", "anna", paths), system, VideoOutcome(ScoredClip("one", system)))
    more = PairedClip("one", "anna", {**paths, "late": tmp_path / "late"})
    assert work.unfinished(more) == ["late"]
    assert work.read(more) is None
    # A changed real clip changes the scores of every system.
    (tmp_path / "real").write_bytes(b"another clip")
    assert work.unfinished(more) == [GROUND_TRUTH, "ours", "late"]


def test_a_video_that_the_machine_may_have_spoilt_is_tried_again(tmp_path: Path) -> None:
    work, pair = FinishedClips(tmp_path, "hash"), clip(tmp_path, "one")
    work.write(pair, GROUND_TRUTH, VideoOutcome(ScoredClip("one", GROUND_TRUTH)))
    work.write(pair, "ours", VideoOutcome(ScoredClip("one", "ours", status="failed"), again=True))
    assert work.read(pair) is not None  # the report of this run has a row with the reason
    assert work.unfinished(pair) == ["ours"]


def test_frechet_distance_of_clips_is_that_of_all_pictures(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    work, metric = FinishedClips(tmp_path, "hash"), FrechetInceptionDistance(torch.nn.Identity(), features=6)
    clips = [clip(tmp_path, name) for name in ("one", "two", "three")]
    for number, pair in enumerate(clips):
        real, ours = (torch.randn(9 + number, 6, generator=generator) + shift for shift in (0.0, 0.5))
        for system, features in {GROUND_TRUTH: real, "ours": ours if number < 2 else None}.items():
            work.write(pair, system, VideoOutcome(ScoredClip(pair.clip_id, system), features=features))
        if number < 2:  # a clip that the system lacks counts on neither side
            metric.add_features(real, real=True)
            metric.add_features(ours, real=False)
    summaries, counts = frechet_summaries(["ours", "missing"], clips, work)
    assert summaries["ours"].mean == pytest.approx(float(metric.compute()), rel=1e-9)
    assert (summaries["ours"].n, summaries["ours"].unscored, counts) == (2, 1, {"ours": 19})
    assert "ours 19 frames of 2 clips" in few_frames_warning(counts, summaries)
    assert few_frames_warning({}, {}) == ""


def shown(groups: list[MetricExamples]) -> dict[str, list[tuple[str, str]]]:
    """The titles and names of the chosen clips by metric."""
    return {group.info.key: [(one.title, one.clip.clip_id) for one in group.chosen] for group in groups}


def test_worst_and_best_follow_the_direction_of_the_metric(tmp_path: Path) -> None:
    clips = [clip(tmp_path, name) for name in "abcde"]
    rows = [ScoredClip(pair.clip_id, "ours", values={"lpips": float(place)}) for place, pair in enumerate(clips)]
    info = MetricInfo("lpips", "LPIPS", "distance", higher_is_better=False)
    chosen = choose_clips("ours", clips, rows, [info], 2)
    assert shown(chosen) == {"lpips": [("Worst", "e"), ("Best", "a"), ("Worst", "d"), ("Best", "b")]}
    assert shown(choose_clips("ours", clips[:1], rows[:1], [info], 2)) == {"lpips": [("Worst", "a")]}
    assert choose_clips("ours", clips, rows, [info], 0) == []


def test_each_metric_shows_its_worst_and_best_clip_by_what_it_aims_at(tmp_path: Path) -> None:
    clips = [clip(tmp_path, name) for name in "abc"]
    infos = [
        MetricInfo("theval_lip_dynamics", "Lip dynamics", "pixels"),
        MetricInfo("sync_offset", "Offset", "frames", ideal=0.0),
        MetricInfo("psnr", "PSNR", "dB", higher_is_better=True),
        MetricInfo("fvd", "FVD", "distance", higher_is_better=False),
    ]
    values = {"a": (2.0, -3.0, 30.0), "b": (1.4, 1.0, 20.0), "c": (9.0, 2.0, 25.0)}
    keys = [info.key for info in infos[:3]]
    rows = [ScoredClip(name, "ours", values=dict(zip(keys, own, strict=True))) for name, own in values.items()]
    unpaired = [ScoredClip(f"set {n}", GROUND_TRUTH, values={"theval_lip_dynamics": n}) for n in (1.0, 2.0)]
    expected = {
        "psnr": [("Worst", "b"), ("Best", "a")],  # leads, though it is not the first column
        "theval_lip_dynamics": [("Worst", "c"), ("Best", "b")],  # the set's mean is 1.5
        "sync_offset": [("Worst", "a"), ("Best", "b")],
    }  # FVD has no value of a clip
    chosen = choose_clips("ours", clips, [*unpaired, *rows], infos, 1)
    assert shown(chosen) == expected
    assert [one.note for one in chosen[1].chosen] == [
        "9.000 pixels, the real clips 1.500",
        "1.400 pixels, the real clips 1.500",
    ]
    real = {"a": 5.0, "b": 1.0, "c": 9.0}
    paired = [ScoredClip(name, GROUND_TRUTH, values={"theval_lip_dynamics": n}) for name, n in real.items()]
    by_pairs = choose_clips("ours", clips, [*paired, *rows], infos, 1)
    assert shown(by_pairs)["theval_lip_dynamics"] == [("Worst", "a"), ("Best", "c")]
    assert by_pairs[1].chosen[0].note == "2.000 pixels, its real clip 5.000"
    assert "theval_lip_dynamics" not in shown(choose_clips("ours", clips, rows, infos, 1))  # no aim is known


def test_each_of_thirteen_lines_has_a_style_of_its_own() -> None:
    names = [GROUND_TRUTH, *(f"system{number}" for number in range(30))]
    styles = line_styles(names)
    assert (styles[GROUND_TRUTH], styles["system0"], styles["system1"]) == ("real", "model", "other-1")
    assert len({styles[name] for name in names[:26]}) == 26
    sheet = resources.files("expnet.evaluation.report").joinpath("style.css").read_text()
    strokes = [re.search(rf"\.line\.{styles[name]} {{ stroke: (var\(--other-\d+\))", sheet) for name in names[2:14]]
    colours = [stroke and re.search(re.escape(stroke[1][4:-1]) + ": (#[0-9a-f]{6})", sheet) for stroke in strokes]
    assert len({colour and colour[1] for colour in colours}) == 12


def test_many_systems_are_shown_in_rows() -> None:
    tile = np.full((64, 64, 3), 200, np.uint8)
    one_row, three_rows = _in_rows([("a", tile)] * 5), _in_rows([("a", tile)] * 13)
    assert one_row.shape[1] == three_rows.shape[1] == 5 * 64
    assert three_rows.shape[0] == 3 * one_row.shape[0]


def test_warnings_of_offsets_and_unlike_files() -> None:
    rows = [ScoredClip(name, "ours", values={"sync_offset": offset}) for name, offset in (("a", -15.0), ("b", 2.0))]
    rows = [ScoredClip("a", GROUND_TRUTH), *rows]
    source = Source(64, 64, 25.0, "h264", 5).plain()
    sources = [{GROUND_TRUTH: source, "ours": {**source, "codec": "vp9", "fps": 30.0}}]
    notes = "\n".join(video_warnings(VideoBenchmarkConfig(reference="x"), rows, sources))
    assert "1 of 2 clips of ours" in notes
    assert "codec vp9 against h264 (1 of 1 clips); frame rate 30 against 25 (1 of 1 clips)" in notes
    assert video_warnings(VideoBenchmarkConfig(reference="x"), rows[:1], [{GROUND_TRUTH: source}]) == []


def test_a_warning_of_colours_that_are_coded_otherwise() -> None:
    rows = [ScoredClip("a", GROUND_TRUTH), ScoredClip("a", "ours")]
    real = Source(64, 64, 25.0, "h264", 5, primaries="bt709").plain()
    config = VideoBenchmarkConfig(reference="x")
    (note,) = video_warnings(config, rows, [{GROUND_TRUTH: real, "ours": {**real, "range": "full", "matrix": "bt709"}}])
    assert "colour range full against limited (1 of 1 clips); colour matrix bt709 against bt601" in note
    assert "primaries" not in note
    (note,) = video_warnings(config, rows, [{GROUND_TRUTH: real, "ours": {**real, "primaries": "bt2020"}}])
    assert "colour primaries bt2020 against bt709" in note
    assert video_warnings(config, rows, [{GROUND_TRUTH: real, "ours": {**real, "primaries": "unspecified"}}]) == []


def test_a_lag_at_the_edge_is_noise() -> None:
    info = MetricInfo("audio_mouth_lag", "Lag", "frames", protocol={"max_lag": 10})
    systems = [
        SystemResult(name, name, "model", metrics={"audio_mouth_lag": MetricSummary(lag, None, 3)})
        for name, lag in (("still", -10.0), ("good", 1.0), ("blank", math.nan))
    ]
    (note,) = lag_warnings(systems, [info])
    assert "lag lies at the edge of its search range (±10 frames) for still (-10): " in note


def test_pictures_are_compared_in_parts_as_in_one() -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randint(0, 256, (2, 7, 3, 32, 32), generator=generator, dtype=torch.uint8)
    whole = float(PeakSignalToNoiseRatio().score(first[None], second[None])[0])
    parts = zip(first.split(3), second.split(3), strict=True)
    assert mean_over_frames(PeakSignalToNoiseRatio(), parts) == pytest.approx(whole, rel=1e-12)


def pictures(frames: torch.Tensor) -> Video:
    return Video(frames, None, None, Source(frames.shape[-1], frames.shape[-2], 25.0, "h264", len(frames), NO_AUDIO))


def test_the_image_metrics_of_a_clip_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three passes over the frames, of which the third repeated most of the second, were most of a benchmark's time."""
    generator = torch.Generator().manual_seed(0)
    first, other, real = torch.randint(0, 256, (3, 5, 3, 162, 164), generator=generator, dtype=torch.uint8)
    passes: list[int] = []
    monkeypatch.setattr(
        measures, "image_scores", lambda *given, **how: [passes.append(len(given[0]))] and image_scores(*given, **how)
    )
    options = VideoProtocolConfig(picture_stride=2)
    family = image_measures(options, torch.device("cpu"), METRIC_KEYS)[:3]
    reference = pictures(real)
    for count, frames in enumerate((first, other), 1):
        scores, video = Scores(), pictures(frames)
        for measure in family:
            measure.run(scores, video, reference)
        assert passes == [3] * count
        for metric in (PeakSignalToNoiseRatio(), StructuralSimilarity(), MultiScaleStructuralSimilarity()):
            expected = float(metric.score(frames[None, ::2], real[None, ::2])[0])
            assert scores.values[metric.name] == pytest.approx(expected, rel=1e-12)
    only = image_measures(options, torch.device("cpu"), ["psnr"])[0]
    asked: list[list[str]] = []
    monkeypatch.setattr(
        measures, "image_scores", lambda *given, **how: [asked.append(how["names"])] and image_scores(*given, **how)
    )
    only.run(scores, pictures(first), reference)
    assert asked == [["psnr"]]


def test_small_frames_lack_only_the_score_they_are_too_small_for() -> None:
    frames = torch.randint(0, 256, (2, 3, 3, 64, 64), generator=torch.manual_seed(0), dtype=torch.uint8)
    video, reference = (pictures(side) for side in frames)
    structure = image_measures(VideoProtocolConfig(), torch.device("cpu"), METRIC_KEYS)
    scores, reasons, _ = VideoScorer(None, structure, ("psnr", "ssim", "ms_ssim")).take(video, reference)  # type: ignore[arg-type]
    assert math.isfinite(scores.values["psnr"])
    assert math.isfinite(scores.values["ssim"])
    assert math.isnan(scores.values["ms_ssim"])
    assert reasons == ["ms_ssim: ValueError: MS-SSIM needs images of at least 161 pixels, got (64, 64)"]


def test_sizes() -> None:
    assert same_aspect((256, 256), (512, 512))
    assert not same_aspect((256, 256), (720, 1280))
    flat = torch.full((2, 3, 10, 20), 77, dtype=torch.uint8)
    assert torch.equal(resize_frames(flat, (5, 10)), torch.full((2, 3, 5, 10), 77, dtype=torch.uint8))
    assert resize_frames(flat, (10, 20)) is flat
    sheet = fit_inside(flat[0].permute(1, 2, 0).numpy(), 40, 40)
    assert sheet.shape == (40, 40, 3)
    assert (sheet[0] == 0).all()
    assert (sheet[20] == 77).all()


def test_metrics_are_wanted_in_the_order_of_the_table() -> None:
    assert VideoBenchmarkConfig(systems={"a": "b"}, metrics=["psnr", "fid"]).wanted == ("fid", "psnr")
    everything = VideoBenchmarkConfig(systems={"a": "b"}).wanted
    assert set(METRIC_KEYS) - set(everything) == {"lpips_vgg", "lpips_squeeze"}
