"""What was not scored and why, in a few lines for the top of the page."""

import math
from collections import Counter
from collections.abc import Mapping

from expnet.evaluation.report.results import UNDEFINED, Results, ScoredClip

_MOST_SYSTEMS = 4
"""Systems that a line names; more are counted."""
_Gaps = Mapping[tuple[str, str], str]
"""Why a metric has no value, by system and clip."""


def unscored_lines(results: Results) -> list[str]:
    """Return one line for each group of metrics that have no value in the same clips, the emptiest metrics first.

    Clips that failed as a whole are not counted here: they are listed with their reasons below the tables.
    """
    rows = [row for row in results.clips if row.status == "ok"]
    groups: list[tuple[list[str], _Gaps, Counter[str]]] = []
    for info in results.metrics:
        gaps = {(row.system, row.clip_id): _reason(row, info.key) for row in rows if _lacks(row, info.key)}
        scored = Counter(row.system for row in rows if info.key in row.values or info.key in row.unscored)
        same = next((titles for titles, known, counts in groups if known == gaps and counts == scored), None)
        if same is not None:
            same.append(info.title)
        elif gaps:
            groups.append(([info.title], gaps, scored))
    groups.sort(key=lambda group: -len(group[1]) / max(group[2].total(), 1))
    titles = {system.name: system.title for system in results.systems}
    return [f"{', '.join(names)}: {_where(gaps, counts, titles)} ({_why(gaps)})." for names, gaps, counts in groups]


def _lacks(row: ScoredClip, key: str) -> bool:
    return key in row.unscored or not math.isfinite(row.values.get(key, 0.0))


def _reason(row: ScoredClip, key: str) -> str:
    """Return the reason of a row; files of earlier versions hold none by metric."""
    return row.unscored.get(key, UNDEFINED)


def _where(gaps: _Gaps, counts: Counter[str], titles: Mapping[str, str]) -> str:
    """Say in how many clips of which systems a metric has no value."""
    lacking = Counter(system for system, _ in gaps)
    if lacking == counts:
        return "not scored in any clip"
    shares = {(lacking[system], counts[system]) for system in counts}
    if len(shares) == 1:
        (number, total), *_ = shares
        return f"not scored in {number} of {total} clips of every system"
    named = [f"{titles.get(system, system)} {lacking[system]} of {counts[system]}" for system in lacking]
    more = len(named) - _MOST_SYSTEMS
    others = f" and {more} more system{'s' if more > 1 else ''}" if more > 0 else ""
    listed = ", ".join(named[:_MOST_SYSTEMS]) + others
    return f"not scored in some clips: {listed}"


def _why(gaps: _Gaps) -> str:
    """Return the most frequent reason, and say how many others there are."""
    (reason, _), *others = Counter(gaps.values()).most_common()
    count = f"{len(others)} other {'reason' if len(others) == 1 else 'reasons'}"
    return reason + (f"; and {count}, listed by clip in results.csv" if others else "")
