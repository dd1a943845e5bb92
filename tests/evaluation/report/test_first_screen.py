"""The first screen of the page: what was compared, on what, what is missing, and a few metrics as rankings."""

from dataclasses import replace
from typing import Any

from expnet.evaluation.report.first_screen import at_a_glance, headline_tiles
from expnet.evaluation.report.interval_chart import system_styles
from expnet.evaluation.report.page import render_page
from expnet.evaluation.report.results import MetricInfo, ScoredClip


def test_it_says_what_was_compared_on_what_and_what_is_missing(results: Any) -> None:
    glance = dict(at_a_glance(results))
    named = "expnet, Ridge on mel, Per-frame head, Hold first frame, beside real clips"
    assert glance["Compared"] == named
    assert glance["On"] == "6 clips, 3 people, 22 s of speech"
    assert glance["Missing"] == "1 clip of a system or more"
    random = replace(results, notes=("RANDOM WEIGHTS: syncnet ran",), clips=results.clips[:-1])
    assert dict(at_a_glance(random))["Missing"] == "meaning in the metrics of syncnet (random weights)"
    without = replace(random, notes=("Not scored because weights are missing: fvd: the weight file a.pt is not here",))
    assert dict(at_a_glance(without))["Missing"] == "fvd (weights are missing)"
    assert dict(at_a_glance(replace(random, notes=())))["Missing"].startswith("Nothing")


def test_a_set_that_is_not_paired_is_counted_by_itself(results: Any) -> None:
    others = tuple(
        ScoredClip(f"reference_set/{number}", "ground_truth", f"other{number}", 90, values={"pose_diversity": 3.0})
        for number in range(4)
    )
    own = tuple(row for row in results.clips if row.system != "ground_truth")
    glance = dict(at_a_glance(replace(results, clips=(*others, *own))))
    assert glance["On"].startswith("7 clips, 3 people")
    assert glance["On"].endswith("4 real clips that are not paired with them")


def test_a_tile_ranks_by_the_aim_and_never_loses_the_first_model(results: Any) -> None:
    tiles = {tile["key"]: tile for tile in headline_tiles(results)}
    assert list(tiles)[:2] == ["mouth_opening_correlation", "within_clip_r2"]
    jitter = [line["name"] for line in tiles["jitter_ratio"]["lines"]]
    assert jitter == ["expnet", "Ridge on mel", "Per-frame head"]  # .42, .21 and 2.4, of which 1 is best
    assert all(line["name"] != "Hold first frame" for tile in tiles.values() for line in tile["lines"])
    ours = results.systems[1]
    better = tuple(
        replace(
            ours,
            name=f"s{number}",
            title=f"System {number}",
            metrics={**ours.metrics, "within_clip_r2": replace(ours.metrics["within_clip_r2"], mean=0.5 + number)},
        )
        for number in range(8)
    )
    tile = next(tile for tile in headline_tiles(replace(results, systems=(*results.systems, *better)))
                if tile["key"] == "within_clip_r2")  # fmt: skip
    assert [line["place"] for line in tile["lines"]] == [1, 2, 3, 4, 9]
    assert tile["lines"][-1]["first"]
    assert tile["more"] == "6 more in the table"
    assert tile["real"] == "0.970"


def test_metrics_of_one_family_do_not_fill_the_screen(results: Any) -> None:
    keys = ("sync_confidence", "audio_mouth_correlation", "fid", "lpips", "psnr", "csim", "jitter_ratio", "cpbd")
    infos = tuple(MetricInfo(key, key, "r", True) for key in keys)
    ours = results.systems[1]
    summary = ours.metrics["within_clip_r2"]
    systems = (replace(ours, metrics=dict.fromkeys(keys, summary)),)
    shown = [tile["key"] for tile in headline_tiles(replace(results, metrics=infos, systems=systems))]
    assert shown == ["sync_confidence", "fid", "csim", "jitter_ratio", "audio_mouth_correlation"]


def test_thirteen_systems_have_colours_of_their_own(results: Any) -> None:
    ours = results.systems[1]
    more = tuple(replace(ours, name=f"s{number}", title=f"System {number}") for number in range(12))
    styles = system_styles(replace(results, systems=(results.systems[0], ours, *more)))
    assert len(set(styles.values())) == 14
    page = render_page(replace(results, systems=(results.systems[0], ours, *more)))
    for number in range(1, 13):
        assert f'class="model other-{number}"' in page
        assert f".chart g.other-{number} .dot" in page
