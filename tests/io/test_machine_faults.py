"""A full disk is no fault of the input, and is said in one sentence."""

import errno
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from expnet.audio.wave import write_wav
from expnet.errors import InputError, MachineError
from expnet.io.atomic import atomic_path
from expnet.io.machine_faults import is_machine_fault, machine_error
from expnet.media.transparent_video import write_transparent
from expnet.media.video_writer import write_video


def into(path: Path, write: Callable[[Path], object]) -> None:
    with atomic_path(path) as partial:
        write(partial)


def noise(channels: int) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 255, (256, 256, channels), dtype=np.uint8) for _ in range(30)]


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.mp4", lambda path: write_video(path, noise(3))),
        ("a.webm", lambda path: write_transparent(path, noise(4))),
        ("frames", lambda path: write_transparent(path, noise(4))),
        ("a.wav", lambda path: write_wav(path, np.zeros(16_000 * 60, np.float32))),
    ],
)
def test_writers_on_a_full_disk(small_disk: Callable[[int], Path], name: str, write: Callable[[Path], object]) -> None:
    folder = small_disk(300)
    if name != "frames":
        (folder / name).write_text("old")
    with pytest.raises(MachineError, match=r"No space left on device.*make room") as raised:
        write(folder / name)
    assert raised.value.exit_code == 1
    assert [path.name for path in folder.iterdir()] == ([name] if name != "frames" else [])


def test_a_full_disk_is_recognised_in_other_libraries_words(small_disk: Callable[[int], Path]) -> None:
    folder = small_disk(300)
    for write in (
        lambda path: save_file({"x": torch.zeros(200_000)}, path),
        lambda path: torch.save(torch.zeros(200_000), path),
        lambda path: np.save(path, np.zeros(200_000)),
    ):
        with pytest.raises(Exception, match=r".") as raised:
            into(folder / "x.npy", write)
        assert is_machine_fault(raised.value), raised.value
        assert "make room" in str(machine_error(raised.value))


def test_what_is_the_machines_fault_and_what_is_not() -> None:
    for number in (errno.ENOSPC, errno.EMFILE, errno.ENOMEM, errno.EDQUOT):
        assert is_machine_fault(OSError(number, "x"))
    assert is_machine_fault(MemoryError())
    assert not is_machine_fault(FileNotFoundError(errno.ENOENT, "x"))
    assert not is_machine_fault(InputError("the video is damaged"))
    assert not is_machine_fault(ValueError("x"))


def test_ffmpegs_words_about_damaged_files_are_not_the_machines_fault() -> None:
    assert not is_machine_fault(av.error.OSError(errno.EIO, "Input/output error", "a.mp4"))
    assert not is_machine_fault(av.error.MemoryError(errno.ENOMEM, "Cannot allocate memory", "a.mp4"))
    assert is_machine_fault(av.error.OSError(errno.EMFILE, "Too many open files", "a.mp4"))
    assert is_machine_fault(OSError(errno.EIO, "Input/output error"))
