"""Pictures of an evaluation by SadTalker's renderer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from expnet.errors import InputError
from expnet.evaluation.main import main


@pytest.mark.usefixtures("face_tracker", "sadtalker_found")
def test_an_evaluation_whose_pictures_sadtalker_draws(options: list[str]) -> None:
    few = [*options, "pictures.clips=1", "pictures.frames=6", "per_frame=none", "data.limit=1"]
    output = Path(next(option.partition("=")[2] for option in options if option.startswith("output=")))
    found = {}
    for renderer in ("sadtalker", "mesh"):
        assert main([*few, f"pictures.renderer={renderer}"]) == 0
        results = json.loads((output / "results.json").read_text())
        assert results["systems"]["ground_truth"]["metrics"]["psnr"]["mean"] == 100.0
        found[renderer] = results
    values = [results["systems"]["hold_first_frame"]["metrics"]["psnr"]["mean"] for results in found.values()]
    assert values[0] != values[1]
    protocols = {renderer: results["protocol"] for renderer, results in found.items()}
    assert protocols["sadtalker"]["pictures"]["renderer"] == "sadtalker 256"
    assert "renderer" not in protocols["mesh"]["pictures"], "tables of before the choice stay comparable"
    with pytest.raises(InputError, match="renderer dlib: expected one of mesh, sadtalker"):
        main([*few, "pictures.renderer=dlib"])
