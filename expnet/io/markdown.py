"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_RULES = {"l": "---", "r": "---:", "c": ":---:"}


def markdown_table(header: Sequence[object], rows: Iterable[Sequence[object]], *, align: str = "l") -> str:
    """Write a table as Markdown, without a line break at the end.

    Args:
        header: The headings of the columns.
        rows: The cells of each row, one for every column.
        align: The alignment of each column, ``l``, ``r`` or ``c``. The last letter also holds for the columns after
            it, so ``lr`` aligns all columns but the first to the right.

    Raises:
        ValueError: A row has another number of cells than the header.
    """
    letters = align.ljust(len(header), align[-1])
    lines = [_row(header), _row([_RULES[letter] for letter in letters[: len(header)]])]
    for row in rows:
        if len(row) != len(header):
            raise ValueError(f"a row of {len(row)} cells does not fit into a table of {len(header)} columns: {row}")
        lines.append(_row(row))
    return "\n".join(lines)


def _row(cells: Iterable[object]) -> str:
    return "|" + "".join(f" {cell} |" if cell != "" else " |" for cell in cells)
