"""Two processes that share the clips unevenly log what one process logs."""

import math
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
from foreign_module import CLIPS, Clips
from forked_training import every_metric, lacking, lacking_but_needed, of_the_first_process, validated
from torch.utils.data import DataLoader, DistributedSampler

from expnet.callbacks.metric_callback import warn_of_repeated_clips
from expnet.data.sampling import ShardSampler


@pytest.mark.slow
def test_two_processes_log_what_one_does(tmp_path: Path) -> None:
    alone, both = (validated(every_metric, tmp_path, epochs=2, devices=devices) for devices in (1, 2))
    assert set(both) == set(alone)
    assert {"val/sync_distance", "val/sync_confidence", "val/sync_offset", "val/fid", "val/lpips_squeeze"} < set(alone)
    for name, value in alone.items():
        assert value == pytest.approx(both[name], rel=1e-6, abs=1e-9), name
    assert alone["val/landmark_distance_clips"] == alone["val/fid_clips"] == CLIPS
    assert alone["val/sync_distance_clips"] == 2
    assert alone["val/fid"] > 0


def test_a_process_without_a_clip_takes_part(tmp_path: Path) -> None:
    scores = validated(of_the_first_process, tmp_path)
    assert scores["val/landmark_distance_clips"] == CLIPS - 1
    assert math.isfinite(scores["val/landmark_distance"])


def test_a_weight_file_that_one_process_lacks_is_used_by_none(tmp_path: Path) -> None:
    assert validated(lacking, tmp_path) == {}
    with pytest.raises(Exception, match="No file"):
        validated(lacking_but_needed, tmp_path)


def test_a_sampler_that_pads_is_told() -> None:
    clips = Clips(CLIPS)
    padded = DataLoader(clips, sampler=DistributedSampler(clips, num_replicas=2, rank=0, shuffle=False))
    with pytest.warns(UserWarning, match="repeats validation clips, which then count twice"):
        warn_of_repeated_clips(SimpleNamespace(testing=False, val_dataloaders=padded))  # type: ignore[arg-type]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        even = DataLoader(clips, sampler=DistributedSampler(clips, num_replicas=5, rank=0, shuffle=False))
        ours = DataLoader(clips, sampler=ShardSampler(CLIPS, rank=0, world=2))
        warn_of_repeated_clips(SimpleNamespace(testing=False, val_dataloaders=[even, ours]))  # type: ignore[arg-type]
