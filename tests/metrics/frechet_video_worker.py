"""One of two processes that split videos unevenly: python frechet_video_worker.py RANK RENDEZVOUS OUTPUT."""

import json
import runpy
import sys
from pathlib import Path

import torch
import torch.distributed

SPLITS = {"uneven": [slice(0, 9), slice(9, None)], "empty": [slice(0, None), slice(0, 0)]}

if __name__ == "__main__":
    torch.set_num_threads(1)
    rank, rendezvous, output = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    common = runpy.run_path(str(Path(__file__).with_name("test_frechet_video.py")))
    torch.distributed.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
    report = {}
    for split, shares in SPLITS.items():
        for kind in common["KINDS"]:
            metric = common["small_metric"](kind)
            metric.add_features(common["vectors"](30, 0)[shares[rank]], real=True)
            metric.add_features(common["vectors"](26, 1, 0.6)[shares[rank]], real=False)
            first = metric.compute().item()
            metric._computed = None  # a second collective call must find the sums of this process unchanged
            report[f"{split} {kind.__name__}"] = [first, metric.compute().item()]
    Path(output).write_text(json.dumps(report), encoding="utf-8")
    torch.distributed.destroy_process_group()
