"""The report of an evaluation: results.json, results.csv, table.md, table.tex and index.html."""

import json
from pathlib import Path

from expnet.evaluation.report.page import Extras, render_page
from expnet.evaluation.report.results import Results
from expnet.evaluation.report.results_files import to_csv, to_json
from expnet.evaluation.report.tables import results_as_latex, results_as_markdown
from expnet.io.atomic import write_atomically


def write_report(results: Results, folder: str | Path, extras: Extras | None = None) -> Path:
    """Write every file of a report, ``results.json`` last.

    Args:
        results: The results.
        folder: The folder to write to; it is made if it does not exist.
        extras: Curves, frames, videos and training logs for the page.

    Returns:
        The path of the page.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / "index.html"
    write_atomically(folder / "results.csv", to_csv(results))
    write_atomically(folder / "table.md", results_as_markdown(results))
    write_atomically(folder / "table.tex", results_as_latex(results))
    write_atomically(page, render_page(results, extras))
    content = json.dumps(to_json(results), indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(folder / "results.json", content + "\n")
    return page
