"""The page says at its top what was not scored, and why."""

import math
from dataclasses import replace
from typing import Any

from expnet.evaluation.report.page import render_page
from expnet.evaluation.report.results import MetricInfo, MetricSummary, Results, ScoredClip, SystemResult
from expnet.evaluation.report.tables import results_as_markdown
from expnet.evaluation.report.unscored import unscored_lines

SHORT = "no face is seen in more than 100 frames"
SYNC = (MetricInfo("sync_distance", "LSE-D", "feature distance", False), MetricInfo("sync_confidence", "LSE-C", "x"))
SILENCE = MetricInfo("silent_lip_motion", "Lip motion in silence", "eye distances")


def short_clips() -> Results:
    """Three clips of two systems, too short for SyncNet; one of them has no pause."""
    keys = [info.key for info in SYNC]
    rows = []
    for system in ("ours", "other"):
        for index in range(3):
            values = {**dict.fromkeys(keys, math.nan), SILENCE.key: math.nan if index == 0 else 0.1}
            unscored = dict.fromkeys(keys, SHORT)
            rows.append(ScoredClip(f"clip{index}", system, "anna", 75, values=values, unscored=unscored))
    summaries = {**{key: MetricSummary(math.nan, None, 0, 3) for key in keys}, SILENCE.key: MetricSummary(0.1, None, 2)}
    systems = tuple(SystemResult(name, name, "model", "", summaries) for name in ("ours", "other"))
    return Results("short", (*SYNC, SILENCE), systems, tuple(rows), {})


def test_metrics_without_any_score_come_first_with_their_reason() -> None:
    assert unscored_lines(short_clips()) == [
        f"LSE-D, LSE-C: not scored in any clip ({SHORT}).",
        "Lip motion in silence: not scored in 1 of 3 clips of every system (not defined in these clips).",
    ]


def test_systems_that_differ_are_named() -> None:
    found = short_clips()
    rows = [replace(row, values={**row.values, SILENCE.key: 0.1}, unscored={}) for row in found.clips]
    rows = [replace(row, values={SILENCE.key: row.values[SILENCE.key]}) for row in rows]
    rows[0] = replace(rows[0], values={SILENCE.key: math.nan}, unscored={SILENCE.key: "no audio"})
    rows[1] = replace(rows[1], values={SILENCE.key: math.nan}, unscored={SILENCE.key: "no face found"})
    (line,) = unscored_lines(replace(found, clips=tuple(rows)))
    assert line == (
        "Lip motion in silence: not scored in some clips: ours 2 of 3 "
        "(no audio; and 1 other reason, listed by clip in results.csv)."
    )


def test_of_many_systems_the_first_are_named_and_the_others_counted() -> None:
    found = short_clips()
    for count, others in ((4, ""), (5, " and 1 more system"), (7, " and 3 more systems")):
        rows = []
        for number in range(count + 1):  # the last system lacks nothing
            values = [math.nan if number < count and clip == 0 else 0.1 for clip in range(2)]
            rows += [
                ScoredClip(f"clip{clip}", f"s{number}", "anna", 75, values={SILENCE.key: value})
                for clip, value in enumerate(values)
            ]
        (line,) = unscored_lines(replace(found, clips=tuple(rows)))
        named = ", ".join(f"s{number} 1 of 2" for number in range(4))
        assert line == f"Lip motion in silence: not scored in some clips: {named}{others} (not defined in these clips)."


def test_the_page_and_the_table_do_not_say_that_all_was_scored() -> None:
    page = render_page(short_clips())
    assert "Every clip was scored" not in page
    assert page.index("LSE-D, LSE-C: not scored in any clip") < page.index("<h2>Systems</h2>")
    assert f"- LSE-D, LSE-C: not scored in any clip ({SHORT})." in results_as_markdown(short_clips())


def test_a_complete_page_says_so(results: Any) -> None:
    complete = replace(results, clips=tuple(row for row in results.clips if row.status == "ok"))
    assert "Every clip was scored by every metric." in render_page(complete)
    assert unscored_lines(complete) == []
