"""Tables in Markdown: alignment, empty cells, rows of the wrong length."""

import pytest

from expnet.io.markdown import markdown_table


def test_the_last_alignment_holds_for_the_columns_after_it() -> None:
    table = markdown_table(["", "clips", "hours"], [["train", 12, "0.50"], ["test", 3, ""]], align="lr")
    assert table.splitlines() == [
        "| | clips | hours |",
        "| --- | ---: | ---: |",
        "| train | 12 | 0.50 |",
        "| test | 3 | |",
    ]


def test_columns_are_aligned_to_the_left_by_default() -> None:
    assert markdown_table(["a", "b"], []) == "| a | b |\n| --- | --- |"


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="1 cells does not fit into a table of 2"):
        markdown_table(["a", "b"], [["only one"]])
