"""Files that are complete or absent."""

from pathlib import Path

import pytest

from expnet.io.atomic import atomic_folder, atomic_path, remove_partial_files, write_atomically


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_atomically(path, "old")

    def fail() -> None:
        with atomic_path(path) as partial:
            assert partial.suffix == ".json"
            partial.write_text("half of the ne")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_longest_names_work(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 125 + ".mp4")
    write_atomically(path, b"video")
    assert path.read_bytes() == b"video"


def test_a_folder_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "model"
    with atomic_folder(path) as partial:
        (partial / "card.md").write_text("card")
        assert not path.exists()
    assert (path / "card.md").read_text() == "card"
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "other"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".last.0a1b2c3d.partial.ckpt").touch()
    (tmp_path / "last.ckpt").touch()
    remove_partial_files(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]
