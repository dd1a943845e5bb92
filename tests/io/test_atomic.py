"""Files are complete or not there, whatever happens while they are written."""

import os
from pathlib import Path

import pytest

from expnet.io.atomic import LONGEST_NAME, atomic_folder, atomic_path, remove_partial_files, write_atomically


def test_the_new_file_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "table.md"
    write_atomically(path, "old")
    write_atomically(path, "né")
    assert path.read_bytes() == "né".encode()
    assert list(tmp_path.iterdir()) == [path]


def half_a_file(path: Path) -> None:
    with atomic_path(path) as partial:
        partial.write_text("half")
        raise RuntimeError


def half_a_folder(path: Path) -> None:
    with atomic_folder(path) as folder:
        (folder / "0.png").write_text("half")
        raise RuntimeError


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "table.md"
    path.write_text("old")
    with pytest.raises(RuntimeError):
        half_a_file(path)
    with pytest.raises(RuntimeError):
        half_a_folder(tmp_path / "frames")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_suffix_and_permissions_are_those_of_an_ordinary_file(tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        with atomic_path(tmp_path / "clip.mp4") as partial:
            assert partial.suffix == ".mp4"
        with atomic_folder(tmp_path / "frames"):
            pass
    finally:
        os.umask(mask)
    assert (tmp_path / "clip.mp4").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "frames").stat().st_mode & 0o777 == 0o750


def test_a_library_that_writes_for_the_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mask = os.umask(0o022)
    try:
        for permitted, mode in ((True, 0o644), (False, 0o600)):
            path = tmp_path / f"{mode:o}.safetensors"
            with atomic_path(path) as partial:
                partial.unlink()
                os.close(os.open(partial, os.O_CREAT | os.O_WRONLY, 0o600))
                if not permitted:  # as on FAT and SMB
                    monkeypatch.setattr(Path, "chmod", refuse)
            assert path.stat().st_mode & 0o777 == mode
    finally:
        os.umask(mask)


def refuse(*_: object) -> None:
    raise PermissionError(1, "Operation not permitted")


@pytest.mark.parametrize("name", ["a" * (LONGEST_NAME - 4) + ".mp4", "é" * 120 + ".mp4", ".hidden"])
def test_names_as_long_as_the_file_system_takes(tmp_path: Path, name: str) -> None:
    write_atomically(tmp_path / name, "whole")
    assert (tmp_path / name).read_text() == "whole"


def test_what_killed_processes_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".clip.0123abcd.partial.mp4").write_text("half")
    (tmp_path / ".table.0123abcd.partial").write_text("half")
    (tmp_path / "whole.mp4").write_text("whole")
    remove_partial_files(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["whole.mp4"]
