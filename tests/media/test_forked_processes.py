"""A process that is forked after its parent has read and written videos can do both."""

import multiprocessing
import sys
from pathlib import Path

import numpy as np
import pytest

from expnet.media.transparent_video import write_transparent
from expnet.media.video_reader import read_video, write_video


def read_and_write(folder: Path, name: str) -> None:
    images = [np.full((360, 640, 3), 20 * index, np.uint8) for index in range(5)]
    write_video(folder / f"{name}.mp4", images)
    write_transparent(folder / f"{name}.webm", [np.dstack([image, image[..., :1]]) for image in images])
    for kind in ("mp4", "webm"):
        assert sum(1 for _ in read_video(folder / f"{name}.{kind}", max_side=320)) == 5


@pytest.mark.skipif(sys.platform != "linux", reason="other systems spawn processes")
def test_a_forked_process_reads_and_writes(tmp_path: Path) -> None:
    read_and_write(tmp_path, "parent")
    child = multiprocessing.get_context("fork").Process(target=read_and_write, args=(tmp_path, "child"))
    child.start()
    child.join(timeout=120)
    hangs = child.is_alive()
    child.kill()
    assert not hangs
    assert child.exitcode == 0
    assert (tmp_path / "child.mp4").read_bytes() == (tmp_path / "parent.mp4").read_bytes()
