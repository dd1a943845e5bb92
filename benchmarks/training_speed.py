"""How fast do both networks train at each precision, compiled or not, and do they learn the same?

    python benchmarks/training_speed.py STORE [--steps N] [--accelerator cpu|gpu] [--compile] [--threads N]

Each row is a run of the default network: frames per second and the share of the time spent waiting for data (medians
over the second half of speed.csv), the peak memory that torch allocated on the GPU, and the losses of the first step
and of the last validation, which always runs in full precision. With --accelerator gpu, a run on the CPU is added to
compare its losses.
"""

import argparse
import statistics
import tempfile
from dataclasses import dataclass

from expnet.config import load_config
from expnet.training.main import train
from shared.csv_files import read_csv


@dataclass(frozen=True)
class Row:
    """Measurements of one run."""

    task: str
    accelerator: str
    precision: str
    compiled: bool
    frames_per_second: float
    data_wait_share: float
    gpu_memory_gib: float | None
    first_loss: float
    validation_loss: float

    def __str__(self) -> str:
        """Format the line of the table."""
        memory = "" if self.gpu_memory_gib is None else f"{self.gpu_memory_gib:.2f}"
        how = f"{self.accelerator} {self.precision}{' compiled' if self.compiled else ''}"
        return (
            f"{self.task:<11} {how:<25} {self.frames_per_second:>9.0f} {100 * self.data_wait_share:>8.1f} {memory:>8} "
            f"{self.first_loss:>11.5f} {self.validation_loss:>11.5f}"
        )


def measure(
    store: str, task: str, accelerator: str, precision: str, *, compiled: bool, steps: int, threads: int
) -> Row:
    """Train for some steps in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        overrides = {
            "data.store": store,
            "data.limit_validation_clips": 4,
            "output": f"{folder}/run",
            "compile": str(compiled).lower(),
            "trainer.accelerator": accelerator,
            "trainer.precision": precision,
            "trainer.threads": threads,
            "trainer.max_steps": steps,
            "trainer.validate_every": steps,
            "trainer.log_every": max(1, steps // 10),
        }
        run = train(load_config([f"configs/{task}.yaml", *(f"{key}={value}" for key, value in overrides.items())]))
        speed = read_csv(run / "speed.csv")
        settled = speed[len(speed) // 2 :]
        metrics = read_csv(run / "metrics.csv")

        def median(name: str) -> float:
            return statistics.median(float(row[name]) for row in settled)

        return Row(
            task=task,
            accelerator=accelerator,
            precision=precision,
            compiled=compiled,
            frames_per_second=median("speed/frames_per_second"),
            data_wait_share=median("speed/data_wait_share"),
            gpu_memory_gib=median("speed/gpu_memory_gib") if "speed/gpu_memory_gib" in settled[0] else None,
            first_loss=next(float(row["train/loss"]) for row in metrics if row["train/loss"]),
            validation_loss=next(float(row["val/loss"]) for row in metrics if row["val/loss"]),
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--accelerator", choices=["cpu", "gpu"], default="cpu")
    parser.add_argument("--compile", action="store_true", help="Measure compiled runs as well.")
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    runs = [(options.accelerator, "32-true", False), (options.accelerator, "bf16-mixed", False)]
    if options.compile:
        runs += [(accelerator, precision, True) for accelerator, precision, _ in runs]
    if options.accelerator == "gpu":
        runs.insert(0, ("cpu", "32-true", False))
    print("task        how                        frames/s   wait %  GPU GiB  first loss    val loss")
    for task in ("expression", "pose"):
        for accelerator, precision, compiled in runs:
            row = measure(
                options.store,
                task,
                accelerator,
                precision,
                compiled=compiled,
                steps=options.steps,
                threads=options.threads,
            )
            print(row, flush=True)


if __name__ == "__main__":
    main()
