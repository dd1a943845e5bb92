"""What the processes of a training say to one another in a step: their gradients, and flags along with these."""

import json
from collections import Counter
from pathlib import Path

import killable
import pytest
from killable import finish, log_of, start
from small import arguments


@pytest.mark.parametrize("task", ["expression", "pose", "motion"])
def test_a_step_has_no_collective_operation_but_those_of_ddp(task: str, store: Path, tmp_path: Path) -> None:
    given = arguments(task, store, "data.workers=0")
    ended = finish(start(given, tmp_path, processes=2, point=(killable.counting_collectives, 5)))
    assert ended == [0, 0], log_of(tmp_path)
    for rank in range(2):
        found = json.loads((tmp_path / f"collectives_{rank}.json").read_text())
        # DDP sends buffers, of two kinds of numbers, to the other processes before each forward pass.
        assert Counter(found["names"]) == {"gloo:all_reduce": 2 * found["buckets"], "gloo:broadcast": 4}
