"""``benchmarks/accuracy.py``: folds without leakage, runs that resume, and tables with known values."""

import dataclasses
import importlib
import json
import math
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from safetensors.numpy import save_file

from expnet.data.store.manifest import read_manifest, write_manifest
from expnet.data.store.track_store import TrackStore, TrackStoreWriter
from expnet.errors import DataError, InputError
from expnet.evaluation.scores import Scores
from tests.training.small import make_track

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
MIXING = np.random.default_rng(0).normal(size=(64, 8))
SMALL = ["model.width=16", "model.audio_channels=8"]


@pytest.fixture
def accuracy(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("accuracy")


def write_store(path: Path, speakers: list[str]) -> Path:
    with TrackStoreWriter(path) as writer:
        for seed, speaker in enumerate(speakers):
            track = make_track(seed, 60 + 5 * seed, "")
            writer.add(dataclasses.replace(track, clip_id=f"{path.name}{seed}", speaker=speaker))
        writer.finish()
    return path


@pytest.fixture
def stores(tmp_path: Path) -> tuple[Path, Path]:
    """A store with five speakers to score, and a store with one of them in another clip, a new one, and an excluded
    one."""
    scored = write_store(tmp_path / "scored", ["anna", "bert", "cleo", "dora", "emil"])
    return scored, write_store(tmp_path / "also", ["anna", "fred", "gina"])


def test_folds_hold_each_person_once(accuracy: ModuleType) -> None:
    people = {f"person{number}" for number in range(11)}
    folds = accuracy.divide(people, 4)
    assert set.union(*folds) == people
    assert sorted(map(len, folds)) == [2, 3, 3, 3]  # and 11 in all: nobody is in two
    assert folds == accuracy.divide({f"person{number}" for number in reversed(range(11))}, 4)
    with pytest.raises(InputError, match="give 2 to 11"):
        accuracy.divide(people, 12)


def test_nobody_is_on_two_sides(accuracy: ModuleType, stores: tuple[Path, Path], tmp_path: Path) -> None:
    for number, people in enumerate(accuracy.divide({"anna", "bert", "cleo", "dora", "emil"}, 2)):
        views = [
            accuracy.fold_view(store, tmp_path / f"{number}{place}", people, ["gina"])
            for place, store in enumerate(stores)
        ]
        rows = [row for view in views for row in TrackStore(view).rows]
        assert {row.speaker for row in rows if row.split == "test"} == people
        assert not people & {row.speaker for row in rows if row.split != "test"}
        assert "gina" not in {row.speaker for row in rows}
        assert len(rows) == 7


def test_a_video_under_two_names_is_refused(accuracy: ModuleType, stores: tuple[Path, Path]) -> None:
    accuracy.check_names(stores)
    for store, clip in zip(stores, ("scored1", "also1"), strict=True):
        rows, shards = read_manifest(store)
        write_manifest(store, [dataclasses.replace(r, sha256="5e" * (r.clip_id == clip)) for r in rows], shards)
    with pytest.raises(InputError, match=r"also1 .* is the video of a clip of bert, but its speaker is fred"):
        accuracy.check_names(stores)


def test_all_rows_resume_and_scores(
    accuracy: ModuleType, stores: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out"
    fitted = [name for name in accuracy.FITTED if not accuracy.reads_features(name)]
    systems = [*fitted, "small_convolution", "ours"]  # the others' configurations have a test of their own
    command = [
        *("--scored", str(stores[0]), "--also", str(stores[1]), "--folds", "2", "--seeds", "2", "--steps", "2"),
        *("trainer.accelerator=cpu", "data.batch_size=2", "data.window=16", "--output", str(output)),
        *("--systems", ",".join(systems), "--small-convolution", "model.width=16", "--ours", "init=null", *SMALL),
    ]
    accuracy.main(command)
    results = json.loads((output / "accuracy.json").read_text())
    assert list(results) == [*systems, "ours_ensemble", "real"]
    assert (output / "table.md").read_text().count("\n| ours |") == 2
    for name, row in results.items():
        assert [clip["speaker"] for clip in row["clips"]] == ["anna", "bert", "cleo", "dora", "emil"]
        assert {len(clip["seeds"]) for clip in row["clips"]} == {2 if name in accuracy.TRAINED else 1}
        assert row["metrics"]["mouth_opening_correlation"]["people"] == 5
    assert results["real"]["metrics"]["within_clip_r2"]["mean"] == 1
    assert results["hold_first_frame"]["metrics"]["within_clip_r2"]["mean"] == 0
    # The synthetic faces follow their audio by rule, so ridge regression also works on unseen speakers.
    assert results["ridge"]["metrics"]["within_clip_r2"]["low"] > 0.3
    difference = results["ridge"]["difference"]["within_clip_r2"]["mean"]
    two = (results[name]["metrics"]["within_clip_r2"]["mean"] for name in ("ridge", "ours"))
    assert difference == pytest.approx(next(two) - next(two))

    trained: list[str] = []
    networks = importlib.import_module("shared.left_out_networks")
    real_train = networks.train
    monkeypatch.setattr(networks, "train", lambda config: trained.append(config.output) or real_train(config))
    (output / "predictions" / "seed1" / "fold0" / "ours.safetensors").unlink()
    accuracy.main(command)
    assert len(trained) == 1  # what was lost, and nothing else
    assert json.loads((output / "accuracy.json").read_text()) == results
    with pytest.raises(InputError, match="was made with other stores, people or options"):
        accuracy.main([*command, "optim.lr=0.01"])


def write_features(stores: tuple[Path, Path]) -> list[Path]:
    """Features of each store, as `expnet features` writes them: eight numbers that follow the expression."""
    folders = []
    for path in stores:
        store, folder = TrackStore(path), Path(f"{path}-whisper")
        folder.mkdir()
        about = {"store": store.fingerprint(), "encoder": "whisper", "layer": 3, "size": 8, "sha256": "ab" * 32}
        (folder / "features.json").write_text(json.dumps(about))
        for shard in {row.shard for row in store.rows}:
            rows = [row for row in store.rows if row.shard == shard]
            values = np.concatenate([store.read(row.clip_id).coefficients.expression @ MIXING for row in rows])
            save_file({"features": values.astype(np.float16)}, folder / shard)
        folders.append(folder)
    return folders


def test_rows_on_speech_features(accuracy: ModuleType, stores: tuple[Path, Path], tmp_path: Path) -> None:
    folders = write_features(stores)
    output, systems = tmp_path / "out", ["ridge", "ridge_features", "ridge_features_5_frames", "ours_features"]
    command = [
        *("--scored", str(stores[0]), "--also", str(stores[1]), "--folds", "2", "--steps", "2", "--seeds", "2"),
        *("trainer.accelerator=cpu", "data.batch_size=2", "data.window=16", "--output", str(output)),
        *("--systems", ",".join(systems), "--ours-features", "data.silent_share=0", *SMALL),
    ]
    with pytest.raises(SystemExit):
        accuracy.main(command)  # without --features
    features = ["--features", *map(str, folders)]
    accuracy.main([*command, *features])
    results = json.loads((output / "accuracy.json").read_text())
    assert list(results) == [*systems, "ours_features_ensemble", "real"]
    r2 = {name: row["metrics"]["within_clip_r2"]["mean"] for name, row in results.items()}
    assert r2["ridge_features"] > max(r2["ridge"], 0.8)  # the features follow the face
    assert {len(clip["seeds"]) for clip in results["ours_features"]["clips"]} == {2}

    before = {file: file.read_bytes() for file in output.rglob("*.safetensors")}
    accuracy.main([*command, *features])  # nothing to do
    assert {file: file.read_bytes() for file in output.rglob("*.safetensors")} == before
    about = json.loads((folders[0] / "features.json").read_text())
    for folder in folders:
        changed = json.loads((folder / "features.json").read_text()) | {"layer": 2}
        (folder / "features.json").write_text(json.dumps(changed))
    with pytest.raises(InputError, match=r"ridge_features\.safetensors was made with other"):
        accuracy.main([*command, *features])
    (folders[0] / "features.json").write_text(json.dumps(about))
    with pytest.raises(InputError, match="features of different encoders"):
        accuracy.main([*command, *features])


def test_a_fold_reads_the_features_of_its_own_clips(
    accuracy: ModuleType, stores: tuple[Path, Path], tmp_path: Path
) -> None:
    folders = write_features(stores)
    tested = {"anna", "cleo"}
    views = [accuracy.fold_view(s, tmp_path / f"view{place}", tested, ["gina"]) for place, s in enumerate(stores)]
    read = {split: accuracy.read_split(views, split, folders) for split in ("train", "validation", "test")}
    for split, clips in read.items():
        assert all((clip.track.speaker in tested) == (split == "test") for clip in clips)
        for clip in clips:
            assert clip.features is not None
            np.testing.assert_array_equal(clip.features, (clip.expression.numpy() @ MIXING).astype(np.float16))
    assert len(read["test"]) == 3  # anna's clip in the second store is tested, too, and nobody is trained on it
    assert sum(map(len, read.values())) == 7


def test_features_must_be_those_of_the_stores(accuracy: ModuleType, stores: tuple[Path, Path]) -> None:
    folders = write_features(stores)
    assert len(accuracy.check_features(stores, folders)) == 2
    assert accuracy.check_features(stores, []) == []
    with pytest.raises(InputError, match="1 folders of features were given for 2 stores"):
        accuracy.check_features(stores, folders[:1])
    with pytest.raises(DataError, match="features of other clips"):
        accuracy.check_features(stores, folders[::-1])


@pytest.mark.parametrize("wrong", [["--systems", "ours,yours"], ["--fold", "x"], ["stray"], ["--seeds", "0"]])
def test_mistakes_on_the_command_line(accuracy: ModuleType, wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as error:
        accuracy.parse(["--scored", "store", *wrong])
    assert error.value.code == 2


def test_a_table_by_hand(accuracy: ModuleType) -> None:
    """Two speakers, two seeds: the mean is taken over seeds before speakers, and with weights."""
    table = importlib.import_module("shared.accuracy_table")

    def row(*scores: tuple[float, float]) -> object:
        one = [[_scores(table, value) for value in seeds] for seeds in scores]
        return table.Row(["a", "b"], ["anna", "bert"], one)

    ours, other = row((0.2, 0.4), (0.6, math.nan)), row((0.1, 0.1), (0.5, 0.5))
    correlation = ours.interval("mouth_opening_correlation")
    assert correlation.mean == pytest.approx((0.3 + 0.6) / 2)
    assert (correlation.low, correlation.high) == (pytest.approx(0.3), pytest.approx(0.6))
    assert other.difference(ours, "mouth_opening_correlation").mean == pytest.approx((-0.2 - 0.1) / 2)
    assert ours.spread("mouth_opening_correlation") == pytest.approx(np.std([0.4, 0.4], ddof=1))
    assert ours.interval("mouth_opening_lag").mean == 1
    text = table.tables({"other": other, "ours": ours})
    assert re.search(r"\| other \| \*\*-0\.150\*\* \[-0\.200, -0\.100\]", text)
    ours.clips = ["a", "c"]
    with pytest.raises(ValueError, match="same clips"):
        other.difference(ours, "mouth_opening_correlation")


def test_differences_and_languages(accuracy: ModuleType) -> None:
    table = importlib.import_module("shared.accuracy_table")
    names = ["ridge", "ridge_features", "ours", "ours_features"]
    pairs = accuracy.comparisons([*names, "real"])
    assert sorted(pairs) == [
        ("ours", "ridge"),
        ("ours_features", "ours"),
        ("ours_features", "ridge_features"),
        ("ridge_features", "ridge"),
    ]
    rows = {
        name: table.Row(
            ["a", "b", "c", "d"],
            ["anna", "bert", "bert", "cleo"],
            [[_scores(table, place + clip / 10)] for clip in range(4)],
            ["en", "it", "en", "de"],
        )
        for place, name in enumerate(names)
    }
    text = table.tables(rows, pairs)
    assert text.count("\n| ours_features less ridge_features |") == 2
    assert "| ours less ridge | **+2.000**" in text
    assert text.count("Paired difference to ours") == 2
    assert "| system | en (2 clips, 2 people) | it (1 clips, 1 people) | de (1 clips, 1 people) |" in text
    # English are clips a and c, the rest b and d.
    assert re.search(r"\n\| ridge \| 0\.100 .*\| 0\.200 \[0\.100, 0\.300\] \|\n", text)
    results = table.as_json(rows, pairs)
    differences = results["ours_features"]["differences"]
    assert list(differences) == ["ours", "ridge_features"]
    assert differences["ridge_features"]["within_clip_r2"]["mean"] == pytest.approx(2)
    assert results["ridge"]["correlation_by_language"]["all but en"]["mean"] == pytest.approx(0.2)
    assert table.language_groups(["en", "en"]) == {}


def _scores(table: ModuleType, value: float) -> Scores:
    """Scores with one common value, and a correlation that peaks at a lag of one frame."""
    values = {column.key: value for column in table.COLUMNS}
    return Scores(values=values, curves={table.LAG: np.array([0.1, 0.2, 0.3, 0.9, 0.1])})
