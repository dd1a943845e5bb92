"""Two training processes compared with one process of two threads, including their communication."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator

from shared.csv_files import read_csv
from shared.random_stores import make_small_store
from speed_rows.commands import run
from speed_rows.measure import Row, Spread
from speed_rows.setting import Setting


def processes(setting: Setting) -> Iterator[Row]:
    """Frames per second of training runs in turn, with the same total batch."""
    store = setting.folder / "processes"
    make_small_store(store)
    numbers = itertools.count()
    steps = 40 if setting.quick else 100

    def rate(devices: int) -> float:
        output = setting.folder / f"processes-{next(numbers)}"
        run(
            "train.py",
            "configs/expression.yaml",
            f"data.store={store}",
            f"data.batch_size={32 // devices}",
            "data.limit_validation_clips=2",
            f"output={output}",
            "trainer.accelerator=cpu",
            f"trainer.devices={devices}",
            f"trainer.threads={2 // devices}",
            f"trainer.max_steps={steps}",
            f"trainer.validate_every={steps}",
            "trainer.log_every=10",
        )()
        rows = read_csv(output / "speed.csv")[1:]
        return statistics.median(float(row["speed/frames_per_second"]) for row in rows)

    pairs = [(rate(2), rate(1)) for _ in range(1 if setting.quick else 3)]
    ratio = Spread.of([two / one for two, one in pairs])
    two, one = (statistics.median(side) for side in zip(*pairs, strict=True))
    what = "training, two gloo processes of one thread, 32 windows a step"
    yield Row("processes", what, "one process of two threads", two, one, "frames/s", ratio, 0.9, "wall")
