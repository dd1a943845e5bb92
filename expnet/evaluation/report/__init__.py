"""The report of an evaluation: results.json, results.csv, table.md, table.tex and index.html."""

import json
from contextlib import ExitStack
from pathlib import Path

from expnet.evaluation.report.latex_table import results_as_latex
from expnet.evaluation.report.page import Extras, render_page
from expnet.evaluation.report.results import Results
from expnet.evaluation.report.results_files import to_csv, to_json
from expnet.evaluation.report.tables import results_as_markdown
from expnet.io.atomic import atomic_path


def write_report(results: Results, folder: str | Path, extras: Extras | None = None) -> Path:
    """Write every file of a report, ``results.json`` last; when one cannot be written, all stay as they were.

    Args:
        results: The results.
        folder: The folder to write to; it is made if it does not exist.
        extras: Curves, frames, videos and training logs for the page.

    Returns:
        The path of the page.

    Raises:
        OSError: The folder cannot be written to, or the disk is full.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "results.csv": to_csv(results),
        "table.md": results_as_markdown(results),
        "table.tex": results_as_latex(results),
        "index.html": render_page(results, extras),
        "results.json": json.dumps(to_json(results), indent=1, ensure_ascii=False, allow_nan=False) + "\n",
    }
    with ExitStack() as stack:
        # The stack renames the files in the reverse order, and none of them before all are written.
        for name, text in reversed(texts.items()):
            stack.enter_context(atomic_path(folder / name)).write_text(text, encoding="utf-8", newline="")
    return folder / "index.html"
