"""Published test lists: where they are, the forms in which others publish them, and their names."""

from pathlib import Path

import pytest

from expnet.cli import main as command_line
from expnet.data.corpora.test_lists import TEST_LISTS, comparable_name, listed, read_test_list
from expnet.errors import DataError


def test_every_published_list_says_where_it_is() -> None:
    for name, entry in TEST_LISTS.items():
        assert entry.name == name
        assert entry.source
        assert entry.note


def test_a_list_of_ones_own_in_every_form(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("# test\nanna/00001 NF\nben/00002 MV\n\nanna/00001 NF\n")
    (tmp_path / "a.json").write_text('["anna#00001", "ben#00002"]')
    (tmp_path / "a.csv").write_text("path,offset\nanna/00001.mp4,3\nben/00002.mp4,4\n")
    clips = ["anna/00001", "ben/00002", "carla/00003"]
    for name in ("a.txt", "a.json", "a.csv"):
        found, missing = listed(clips, read_test_list(tmp_path / name))
        assert found == clips[:2]
        assert missing == []


def test_files_and_lists_may_spell_a_name_differently() -> None:
    spelt = ("M003#angry#level_1#001", "M003/angry/level_1/001.mp4", "M003_angry_level_1_001")
    assert len({comparable_name(name) for name in spelt}) == 1
    found, missing = listed(["WDA/WDA_TomUdall_000", "WDA_TomUdall_0001"], ["WDA_TomUdall_000", "WDA_None_000"])
    assert found == ["WDA/WDA_TomUdall_000"]
    assert missing == ["WDA_None_000"]


@pytest.mark.parametrize(
    ("name", "text", "fragment"),
    [
        ("gone.txt", None, "cannot be read as a list"),
        ("a.json", '{"a": 1}', "no list of names"),
        ("a.json", "[", "cannot be read as a list"),
        ("a.csv", "name\nx\n", "no column"),
        ("a.txt", "\n", "names no clip"),
    ],
)
def test_a_list_that_cannot_be_used(tmp_path: Path, name: str, text: str | None, fragment: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=fragment):
        read_test_list(tmp_path / name)


def test_a_list_that_is_not_in_the_package_says_where_it_is() -> None:
    with pytest.raises(DataError, match=r"does not come with expnet \(the test.txt of the corpus"):
        read_test_list("lrs2_test")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line(["corpora", "list"]) == 0
    told = capsys.readouterr().out
    assert "edtalk_hdtf" in told
    assert "tanshuai0219/EDTalk" in told
    (tmp_path / "list.json").write_text('["M003#angry#level_1#001", "WDA_None_000"]')
    assert command_line(["corpora", "show", str(tmp_path / "list.json")]) == 0
    assert capsys.readouterr().out.split() == ["M003#angry#level_1#001", "WDA_None_000"]
    assert command_line(["corpora", "show", "nothing"]) == 2
    assert command_line(["corpora", "show", "edtalk_hdtf"]) == 2
