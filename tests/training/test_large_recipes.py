"""The recipes for hours of data: the sizes that they state, and a small training with each."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from small import ROOT, checkpoint_of, make_track, rows_of

from expnet.config import ExpressionConfig, load_config
from expnet.data.store.track_store import TrackStoreWriter
from expnet.models.expression_regressor import ExpressionRegressor
from expnet.models.saved_model import load_model
from expnet.training.main import train

RECIPES = sorted(path.stem for path in (ROOT / "configs" / "large").glob("*.yaml"))


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three stores of corpora of unequal size, in which the emotions of MEAD are labelled."""
    paths = []
    for number, (corpus, clips) in enumerate({"hdtf": 4, "mead": 6, "lrs3": 12}.items()):
        paths.append(tmp_path_factory.mktemp("stores") / corpus)
        with TrackStoreWriter(paths[-1]) as writer:
            for clip in range(clips):
                split = "validation" if clip < 2 else "train"
                track = replace(make_track(100 * number + clip, 80, split), corpus=corpus)
                writer.add(replace(track, emotion=("happy", "sad")[clip % 2]) if corpus == "mead" else track)
            writer.finish()
    return paths


def test_there_is_a_recipe_for_each_size() -> None:
    assert RECIPES == ["hdtf", "lrs3", "mead", "mixture"]


@pytest.mark.parametrize("name", RECIPES)
def test_the_parameters_are_those_that_the_recipe_states(name: str) -> None:
    config = load_config([f"configs/large/{name}.yaml"])
    assert isinstance(config, ExpressionConfig)
    emotions = 8 if config.model.emotion else 0  # MEAD's
    model = ExpressionRegressor(config.model, emotions=emotions)
    stated = re.search(r"([\d.]+) M parameters", (ROOT / f"configs/large/{name}.yaml").read_text())
    assert stated
    assert sum(value.numel() for value in model.parameters()) / 1e6 == pytest.approx(float(stated[1]), abs=0.06)


@pytest.mark.parametrize("name", RECIPES)
def test_a_small_training_with_each_recipe(name: str, stores: list[Path]) -> None:
    given = ",".join(map(str, stores)) if name == "mixture" else str(stores[["hdtf", "mead", "lrs3"].index(name)])
    small = ("model.width=24", "model.layers=1", "model.audio_channels=16", "data.batch_size=2", "data.workers=0")
    short = ("trainer.max_steps=2", "trainer.validate_every=1", "trainer.keep_every=1", "trainer.log_every=1")
    layers = [f"configs/large/{name}.yaml", f"data.store=[{given}]", *small, *short, "trainer.accelerator=cpu"]
    run = train(load_config([*layers, "output=run"]))
    assert load_model(run, "expression")
    assert checkpoint_of(run)["global_step"] == 2
    assert (run / "checkpoints" / "step_000001.ckpt").is_file()
    rows = [row for row in rows_of(run) if row.get("val/loss")]
    assert len(rows) == 2
    groups = {key.split("/")[1] for key in rows[-1] if key.endswith("/within_clip_r2") and key.count("/") == 2}
    assert (
        groups
        == {
            "hdtf": set(),
            "lrs3": set(),
            "mead": {"emotion_happy", "emotion_sad", "speaker_speaker100", "speaker_speaker101"},
            "mixture": {"corpus_hdtf", "corpus_mead", "corpus_lrs3", "emotion_none", "emotion_happy", "emotion_sad"},
        }[name]
    )
    of_groups = [key for key in rows[-1] if re.fullmatch(r"val/(corpus|speaker)_\w+/within_clip_r2_clips", key)]
    if of_groups:
        # The scores of a division of the clips average, weighted, to the score of all: each clip is in one group.
        assert sum(float(rows[-1][key]) for key in of_groups) == float(rows[-1]["val/clips"])
        values = [float(rows[-1][key.removesuffix("_clips")]) for key in of_groups]
        assert min(values) <= float(rows[-1]["val/within_clip_r2"]) <= max(values)
        assert min(values) < max(values)
