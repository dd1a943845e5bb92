"""What an evaluation leaves behind: results.json, results.csv, table.md, table.tex and index.html."""

import json
from pathlib import Path

from expnet.evaluation.report.page import Extras, render_page
from expnet.evaluation.report.results import Results, to_csv, to_json
from expnet.evaluation.report.tables import latex_table, markdown_table
from expnet.io.atomic import write_atomically


def write_report(results: Results, folder: str | Path, extras: Extras | None = None) -> Path:
    """Write every file of a report, ``results.json`` last.

    Args:
        results: what was found.
        folder: made when it is not there.
        extras: curves, pictures and training logs for the page.

    Returns:
        Path of the page.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / "index.html"
    write_atomically(folder / "results.csv", to_csv(results))
    write_atomically(folder / "table.md", markdown_table(results))
    write_atomically(folder / "table.tex", latex_table(results))
    write_atomically(page, render_page(results, extras))
    content = json.dumps(to_json(results), indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(folder / "results.json", content + "\n")
    return page
