"""The page and the Markdown table of a leaderboard."""

from __future__ import annotations

from pathlib import Path

from expnet.config.benchmark import GROUND_TRUTH
from expnet.evaluation.leaderboard.board import Board
from expnet.evaluation.leaderboard.rows import Cell, board_rows
from expnet.evaluation.report.tables import direction
from expnet.io.atomic import write_atomically
from expnet.io.html_template import html_template, packaged_text
from expnet.io.markdown import markdown_table


def write_board(board: Board, folder: Path, title: str = "Leaderboard") -> Path:
    """Write ``index.html`` and ``table.md`` of a leaderboard; return the path of the page."""
    infos, rows = board_rows(board)
    preset = next((part.preset for part in board.parts.values() if part.preset is not None), None)
    template = html_template("expnet.evaluation.leaderboard", "leaderboard.html")
    clips = {
        name: len({row.clip_id for row in part.clips if row.system != GROUND_TRUTH})
        for name, part in board.parts.items()
    }
    page = template.render(
        style=packaged_text("expnet.evaluation.report", "style.css"),
        script=packaged_text("expnet.evaluation.leaderboard", "sorting.js"),
        title=title,
        board=board,
        preset=preset,
        infos=infos,
        rows=rows,
        clips=clips,
        direction=direction,
    )
    headings = ["system", *(f"{info.title} {direction(info)}" for info in infos)]
    lines = [[f"{row.name}{' †' if row.kind == 'published' else ''}", *map(_plain, row.cells)] for row in rows]
    notes = [f"Protocol `{board.hash}`.", "† published by others, not re-scored."]
    write_atomically(folder / "table.md", f"{markdown_table(headings, lines)}\n\n{' '.join(notes)}\n")
    write_atomically(folder / "index.html", page)
    return folder / "index.html"


def _plain(cell: Cell) -> str:
    return f"**{cell.text}**" if cell.best else cell.text
