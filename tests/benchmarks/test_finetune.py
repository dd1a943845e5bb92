"""``benchmarks/finetune.py``: a person's speech is divided so that no scored part was trained on."""

import argparse
import importlib
from pathlib import Path
from types import ModuleType

import pytest

from expnet.data.store.manifest import ManifestRow, write_manifest

ROWS = [
    ManifestRow(f"clip-{index}", frames=100, first_frame=100 * index, source_start=4.0 * index) for index in range(4)
]


@pytest.fixture
def finetune(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return importlib.import_module("finetune")


def test_stretches_are_parts_of_clips_in_order_and_do_not_overlap(finetune: ModuleType) -> None:
    beginning, end = finetune.stretch(ROWS, 30, 250), finetune.stretch(ROWS, 250, 400)
    assert [(row.clip_id, row.first_frame, row.frames) for row in beginning] == [
        ("clip-0-30", 30, 70),
        ("clip-1", 100, 100),
        ("clip-2-0", 200, 50),
    ]
    assert [(row.clip_id, row.first_frame, row.frames) for row in end] == [("clip-2-50", 250, 50), ("clip-3", 300, 100)]
    assert end[0].source_start == pytest.approx(8.0 + 2.0)


def test_pieces_are_three_seconds_and_whole(finetune: ModuleType) -> None:
    assert [(row.first_frame, row.frames) for row in finetune.pieces([finetune.part(ROWS[0], 10, 90), *ROWS[1:2]])] == [
        (10, finetune.PIECE),
        (100, finetune.PIECE),
    ]


def test_a_person_is_divided_by_time_without_the_clips_that_repeat(finetune: ModuleType, tmp_path: Path) -> None:
    people = (("b", "anna"), ("a", "anna"), ("again", "anna"), ("c", "bert"))
    rows = [ManifestRow(name, speaker=speaker, frames=200, source=f"{name}.mp4") for name, speaker in people]
    write_manifest(tmp_path / "store", rows, {})
    arguments = argparse.Namespace(store=[tmp_path / "store"], skip=["again"])
    store, chosen, border = finetune.divide("anna", arguments)
    assert store == tmp_path / "store"
    assert [row.clip_id for row in chosen] == ["a", "b"]
    assert border == 300
