"""One of two processes that split clips unevenly: python motion_windows_worker.py RANK RENDEZVOUS OUTPUT."""

import json
import runpy
import sys
from pathlib import Path

import torch
import torch.distributed

SPLITS = {"uneven": [slice(0, 4), slice(4, None)], "empty": [slice(0, None), slice(0, 0)]}

if __name__ == "__main__":
    torch.set_num_threads(1)
    rank, rendezvous, output = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    common = runpy.run_path(str(Path(__file__).with_name("test_motion_windows.py")))
    torch.distributed.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
    report = {}
    for split, shares in SPLITS.items():
        for name, metric in common["set_metrics"]().items():
            metric.update(common["heads"](5, 0)[shares[rank]], real=True)
            metric.update(common["heads"](6, 1, 0.6)[shares[rank]], real=False)
            first = metric.compute().item()
            metric._computed = None  # a second collective call must find the states of this process unchanged
            report[f"{split} {name}"] = [first, metric.compute().item()]
        for name, metric in common["sample_metrics"]().items():
            for seed in range(5)[shares[rank]]:
                metric.update(*common["drawn"](name, seed))
            report[f"{split} {name}"] = [metric.compute().item(), int(metric.clips)]
    Path(output).write_text(json.dumps(report), encoding="utf-8")
    torch.distributed.destroy_process_group()
