"""Forecast for 8 and 64 devices from the measured cost of a step, an all-reduce and a training window.

    python benchmarks/gpu_scaling.py [--step-ms MS ...] [--latency-us US] [--bandwidth GB]

Measured are the default network's training step on this device, the all-reduce of its gradients between two gloo
processes on this machine, and a training window through the DataModule on one core. The forecast for n devices adds a
ring all-reduce of ``2 (n - 1) (latency + bytes / n / bandwidth)`` to the step and assumes no overlap with the backward
pass; loading needs ``windows per second x seconds per window`` cores. --step-ms adds the step times of faster devices.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
import torch.distributed
import torch.multiprocessing

from expnet.config import load_config
from expnet.training.main import build_data
from shared.random_stores import make_small_store
from speed_rows.measure import timed
from speed_rows.setting import Setting
from speed_rows.training import BATCH, default_network, step_of

LINK_LATENCY, LINK_BANDWIDTH = 20.0, 10.0
"""Microseconds per message and GB/s between devices: a modest network between machines, not NVLink."""
REPEATS = 30


def all_reduce(rank: int, folder: str, count: int, seconds: object) -> None:
    """Time an all-reduce of ``count`` numbers over two processes; rank 0 puts the median into ``seconds``."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    gradient, taken = torch.zeros(count), []
    for _ in range(REPEATS):
        start = time.perf_counter()
        torch.distributed.all_reduce(gradient)
        taken.append(time.perf_counter() - start)
    if rank == 0:
        seconds.value = statistics.median(taken)  # type: ignore[attr-defined]
    torch.distributed.destroy_process_group()


def measure_all_reduce(folder: Path, count: int) -> float:
    """Seconds of an all-reduce of ``count`` float32 numbers between two processes."""
    seconds = torch.multiprocessing.get_context("spawn").Value("d", 0.0)
    torch.multiprocessing.spawn(all_reduce, (str(folder), count, seconds), nprocs=2)
    return float(seconds.value)


def measure_window(folder: Path) -> float:
    """Seconds of one core per training window with the default audio augmentation."""
    make_small_store(folder / "store")
    loader = build_data(load_config(["configs/expression.yaml", f"data.store={folder / 'store'}"])).train_dataloader()
    draws = list(loader.sampler)[:96]
    [loader.dataset[draw] for draw in draws[:16]]
    return timed(lambda: [loader.dataset[draw] for draw in draws]).processor / len(draws)


def forecast(devices: int, step: float, size: int, window: float, latency: float, bandwidth: float) -> str:
    """Forecast for a number of devices, with steps of ``step`` seconds and gradients of ``size`` bytes."""
    ring = 2 * (devices - 1) * (latency + size / devices / bandwidth)
    rate = devices * BATCH / (step + ring)
    cores = rate * window
    return (
        f"{1000 * step:8.1f} {devices:8d} {1000 * ring:14.2f} {100 * step / (step + ring):11.1f} {rate:11.0f} "
        f"{cores:9.1f} {cores / devices:11.2f}"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--step-ms", type=float, nargs="*", default=[3.0], help="Step times of other devices.")
    parser.add_argument("--latency-us", type=float, default=LINK_LATENCY)
    parser.add_argument("--bandwidth", type=float, default=LINK_BANDWIDTH, help="GB/s.")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        setting = Setting(Path(name))
        network = default_network().to(setting.device)
        count = sum(parameter.numel() for parameter in network.parameters())
        step = step_of(network, BATCH)
        step()
        seconds = statistics.median(timed(step).by(setting.network_clock) for _ in range(7))
        reduced, window = measure_all_reduce(setting.folder, count), measure_window(setting.folder)
    print(f"step of {BATCH} windows on {setting.device.type}: {1000 * seconds:.1f} ms")
    print(f"all-reduce of {count:,} gradients, two gloo processes: {1000 * reduced:.2f} ms")
    print(f"a training window on one core: {1000 * window:.1f} ms")
    print("step, ms  devices  all-reduce, ms  efficiency %  windows/s  cores to load, and a device")
    for own in (seconds, *(value / 1000 for value in arguments.step_ms)):
        for devices in (1, 8, 64):
            link = arguments.latency_us * 1e-6, arguments.bandwidth * 1e9
            print(forecast(devices, own, 4 * count, window, *link))


if __name__ == "__main__":
    main()
