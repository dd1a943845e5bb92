"""Stores are read where the operating system takes no advice on memory maps, too."""

import subprocess
import sys
from typing import Any

import numpy as np

from expnet.data.store import page_advice
from expnet.data.store.track_store import TrackStore

WITHOUT = """
import ctypes, mmap, sys
for name in [name for name in vars(mmap) if name.startswith("MADV_")]:
    delattr(mmap, name)
load = ctypes.CDLL
ctypes.CDLL = lambda name, *others, **options: load({None: "no-such-library"}.get(name, name), *others, **options)
from expnet.data.store.track_store import TrackStore
store = TrackStore(sys.argv[1])
print(store.read_window("a", 3, 5).coefficients.expression.tobytes().hex())
"""


def test_a_store_is_read_without_madvise(make_store: Any) -> None:
    path = make_store(clips=[("a", 30, "anna")])
    read = subprocess.run([sys.executable, "-c", WITHOUT, str(path)], capture_output=True, text=True, check=False)
    assert read.returncode == 0, read.stderr
    expected = TrackStore(path).read_window("a", 3, 5).coefficients.expression
    assert bytes.fromhex(read.stdout.strip()) == expected.tobytes()


def test_the_kernel_accepts_the_advice(tmp_path: Any) -> None:
    path = tmp_path / "mapped"
    path.write_bytes(bytes(10_000))
    mapped = np.memmap(path, np.uint8, mode="r")
    if page_advice._RANDOM is not None:
        assert page_advice._advise(mapped[100:9000], page_advice._RANDOM) == 0
    page_advice.expect_random_reads(mapped[:0])
    assert page_advice.prefetch(mapped[5000:]).sum() == 0
