"""Data loading: windows from a store, and a store with a thousand times as many clips."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from expnet.config import load_config
from expnet.data.store.track_store import TrackStore
from expnet.training.main import train
from shared.csv_files import read_csv
from shared.random_stores import LARGE, SMALL, make_large_store, make_small_store
from speed_rows.measure import Row, Spread, compare, speed_row, timed
from speed_rows.setting import Setting


def loading(setting: Setting) -> Iterator[Row]:
    """Share of the training time spent waiting for two loading processes."""
    folder = Path(tempfile.mkdtemp(dir=setting.folder))
    make_small_store(folder / "store")
    steps = 30 if setting.quick else 80
    overrides = [
        f"data.store={folder / 'store'}",
        "data.workers=2",
        "data.limit_validation_clips=1",
        f"output={folder / 'run'}",
        "trainer.threads=1",
        f"trainer.max_steps={steps}",
        f"trainer.validate_every={steps}",
        "trainer.log_every=10",
    ]
    rows = read_csv(train(load_config(["configs/expression.yaml", *overrides])) / "speed.csv")[1:]
    waits = Spread.of([float(row["speed/data_wait_share"]) for row in rows])
    yield Row(
        "loading",
        "wait for data, 2 workers, 16 windows a step",
        "the time of a training step",
        100 * waits.median,
        100.0,
        "%",
        waits,
        0.02,
        "wall",
        at_most=True,
        note="two loading processes and the training share two cores here",
    )


def store(setting: Setting) -> Iterator[Row]:
    """Opening a store of 100,000 clips, and reading an item of it."""
    folder = Path(tempfile.mkdtemp(dir=setting.folder))
    make_small_store(folder / "small")
    make_large_store(folder / "large", folder / "small")
    opened = [timed(lambda: TrackStore(folder / "large")) for _ in range(setting.repeats)]
    ratios, other = (Spread.of([seconds.by(clock) / 2.0 for seconds in opened]) for clock in ("processor", "wall"))
    what = f"a store of {LARGE:,} clips: opening"
    ours = 2.0 * ratios.median
    yield Row("store", what, "2 s", ours, 2.0, "s", ratios, 1.0, "processor", other, at_most=True)
    sides = [(TrackStore(folder / name), clips) for name, clips in (("large", LARGE), ("small", SMALL))]
    ours, theirs = (lambda side=side: read_items(*side) for side in sides)
    pairs = compare(ours, theirs, repeats=setting.repeats)
    against = f"a store of {SMALL} clips"
    what = f"a store of {LARGE:,} clips: reading windows"
    yield speed_row("store", what, against, pairs, 0.9, clock="processor", amount=ITEMS, unit="items/s")


ITEMS = 200


def read_items(opened: TrackStore, clips: int) -> None:
    """Read windows of 64 frames from random clips."""
    for index in np.random.default_rng(0).integers(0, clips, size=ITEMS):
        opened.read_window(f"{index:06d}", int(index) % 100, 64)
