"""Rendered validation clips of expnet's own tasks, shared by all callbacks."""

import csv
import logging
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from expnet.coefficients import FaceCoefficients
from expnet.config import load_config
from expnet.data.clip_entry import ClipEntry
from expnet.data.store.track import Track
from expnet.data.store.track_store import TrackStore, TrackStoreWriter
from expnet.errors import ConfigError, InputError, MissingAssetError
from expnet.face.morphable import builtin_face_model
from expnet.media.video_reader import write_video
from expnet.render import reenactment
from expnet.render.mesh_renderer import MeshRenderer
from expnet.render.open_renderer import open_renderer
from expnet.render.portrait import Portrait
from expnet.training.callbacks.build import spread_clips
from expnet.training.callbacks.rendered_samples import RenderedSamples
from expnet.training.main import train
from expnet.training.run_folder import RUN_VARIABLE
from expnet.training.tasks.base_task import StepOutput

SIZE = 240


@pytest.fixture(scope="module")
def make_track() -> Callable[..., Track]:
    return runpy.run_path(str(Path(__file__).parents[2] / "evaluation" / "conftest.py"))["make_track"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, make_track: Callable[..., Track]) -> Path:
    """Return six synthetic clips: four to train on, two to validate on."""
    path = tmp_path_factory.mktemp("data") / "store"
    with TrackStoreWriter(path) as writer:
        for index in range(6):
            split = "train" if index < 4 else "validation"
            writer.add(make_track(f"clip{index}", f"person{index}", index, frames=40, split=split))
        writer.finish()
    return path


def entries(path: Path) -> list[ClipEntry]:
    store = TrackStore(path)
    return [ClipEntry(store, row) for row in store.rows]


def truth(path: Path, clip: str, *, part: str = "expression") -> torch.Tensor:
    coefficients = TrackStore(path).read(clip).coefficients
    values = coefficients.expression if part == "expression" else coefficients.relative_pose()
    return torch.from_numpy(np.array(values))[None]


def output(clip: str, predicted: torch.Tensor) -> StepOutput:
    return StepOutput(predicted, predicted, torch.ones(predicted.shape[:2], dtype=torch.bool), (clip,))


@pytest.fixture
def renders(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the frames that the renderer is asked for."""
    counted: list[int] = []
    render = MeshRenderer.render

    def watched(self: MeshRenderer, coefficients: FaceCoefficients, **options: Any) -> Iterator[NDArray[np.uint8]]:
        counted.append(coefficients.frames)
        return render(self, coefficients, **options)

    monkeypatch.setattr(MeshRenderer, "render", watched)
    return counted


@pytest.mark.parametrize("part", ["expression", "pose"])
def test_the_true_motion_gives_the_target_and_another_does_not(part: str, store: Path, renders: list[int]) -> None:
    samples = RenderedSamples(entries(store), {"clip4"}, builtin_face_model(), predicts=part, frames=6)
    true = output("clip4", truth(store, "clip4", part=part))
    (sample,) = samples(true, None)
    frames, target, audio = sample.need("frames", "target_frames", "audio")
    assert frames.shape == (6, 3, 256, 256)
    assert frames.dtype == torch.uint8
    assert torch.equal(frames, target)
    assert audio.shape == (6 * 640,)
    landmarks, target_landmarks = sample.need("landmarks", "target_landmarks")
    assert torch.equal(landmarks, target_landmarks)
    assert 0 < float(landmarks.min()) < float(landmarks.max()) < 256
    # the target and the prediction; a second call returns the same samples
    assert renders == [6, 6]
    assert samples(true, None)[0] is sample
    assert renders == [6, 6]
    # the next validation renders the prediction only
    (other,) = samples(output("clip4", torch.zeros_like(true.predicted)), None)
    assert renders == [6, 6, 6]
    assert not torch.equal(other.need("frames")[0], target)
    assert float((other.need("landmarks")[0] - target_landmarks).norm(dim=-1).max()) > 1
    assert samples(output("clip5", true.predicted), None) == []


@pytest.mark.usefixtures("face_tracker", "sadtalker_found")
@pytest.mark.parametrize("choice", ["sadtalker", "glowing"])
def test_clips_are_drawn_by_any_renderer(store: Path, renders: list[int], glowing: type, choice: str) -> None:
    renderer = open_renderer(glowing if choice == "glowing" else choice)
    samples = RenderedSamples(
        entries(store), {"clip4"}, builtin_face_model(), predicts="expression", frames=6, renderer=renderer
    )
    true = output("clip4", truth(store, "clip4"))
    frames, target = samples(true, None)[0].need("frames", "target_frames")
    assert frames.shape == (6, 3, 256, 256)
    assert torch.equal(frames, target)
    (other,) = samples(output("clip4", truth(store, "clip4") + torch.linspace(0, 3, 40)[None, :, None]), None)
    assert not torch.equal(other.need("frames")[0], target)
    assert renders == [], "the mesh renderer has drawn nothing"


def test_a_filmed_clip_is_compared_with_its_film(
    tmp_path: Path, make_track: Callable[..., Track], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def opened(image: NDArray[np.uint8], *_: Any, **__: Any) -> Portrait:
        fit = FaceCoefficients(np.zeros((1, 64)), np.zeros((1, 3)), np.zeros((1, 3)))
        return Portrait(image, np.zeros((478, 3), np.float32), fit)

    def renderer(portrait: Portrait, _: Any) -> SimpleNamespace:
        return SimpleNamespace(lookahead=0, render=lambda given: [portrait.image] * len(given))

    monkeypatch.setattr(reenactment, "open_portrait", opened)
    film, wrong = tmp_path / "film.mp4", tmp_path / "wrong.mp4"
    levels = np.linspace(40, 200, 30)
    write_video(film, (np.full((SIZE, SIZE, 3), level, np.uint8) for level in levels))
    write_video(wrong, (np.full((64, 64, 3), level, np.uint8) for level in levels))
    with TrackStoreWriter(tmp_path / "filmed") as writer:
        for name, source in (("good", film), ("gone_wrong", wrong)):
            writer.add(make_track(name, name, 3, frames=20, source=str(source), source_start=0.2))
        writer.finish()
    clips = entries(tmp_path / "filmed")
    still = open_renderer(renderer)
    samples = RenderedSamples(
        clips, {"good", "gone_wrong"}, builtin_face_model(), predicts="expression", frames=50, renderer=still
    )
    (sample,) = samples(output("good", truth(tmp_path / "filmed", "good")), None)
    target = sample.need("target_frames")[0].float().mean(dim=(1, 2, 3))
    assert target.numpy() == pytest.approx(levels[5:25], abs=3)
    # the store's landmarks come from the face model, so the real expression reproduces them
    landmarks, tracked = sample.need("landmarks", "target_landmarks")
    assert float((landmarks - tracked).abs().max()) < 0.01
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert samples(output("gone_wrong", truth(tmp_path / "filmed", "gone_wrong")), None) == []
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        "Clip gone_wrong cannot be rendered and is not scored"
    ]


def test_clips_are_spread_evenly_and_have_one_name(store: Path) -> None:
    assert spread_clips(entries(store), 3) == {"clip0", "clip2", "clip5"}
    assert spread_clips(entries(store), 9) == {f"clip{index}" for index in range(6)}
    assert spread_clips([*entries(store), *entries(store)[:5]], 3) == {"clip5"}


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(RUN_VARIABLE, raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def arguments(task: str, store: Path, *overrides: str) -> list[str]:
    few = ("trainer.max_steps=3", "trainer.validate_every=1", "metrics.every=2", "metrics.clips=2", "metrics.frames=10")
    return [
        f"configs/smoke_{task}.yaml",
        "configs/metrics.yaml",
        f"data.store={store}",
        "trainer.accelerator=cpu",
        "output=run",
        *few,
        *overrides,
    ]


RANDOM = tuple(f"metrics.{network}_weights=random" for network in ("syncnet", "inception", "backbone"))


def rows_of(run: Path) -> list[dict[str, str]]:
    """Return the rows of metrics.csv that a validation wrote."""
    with open(run / "metrics.csv", newline="") as file:
        return [row for row in csv.DictReader(file) if row["val/loss"]]


@pytest.mark.slow
def test_a_training_run_with_everything_on(store: Path) -> None:
    weights = [f"metrics.{network}_weights=random" for network in ("syncnet", "inception", "backbone")]
    options = ("trainer.max_steps=2", "metrics.backbone=squeeze", "trainer.monitor=val/lpips_squeeze")
    run = train(load_config(arguments("expression", store, *weights, *options)))
    rows = rows_of(run)
    for name in ("lpips_squeeze", "fid", "sync_distance", "sync_confidence", "sync_offset", "landmark_distance"):
        assert [bool(row[f"val/{name}"]) for row in rows] == [True, False], name
        assert float(rows[0][f"val/{name}_clips"]) == 2
    samples = {path.name for path in (run / "samples" / "step_000001").iterdir()}
    assert samples == {f"clip{clip}{kind}" for clip in (4, 5) for kind in (".mp4", "_curves.png", "_landmarks.png")}
    steps = {}
    for name in ("best", "last"):
        checkpoint = torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)
        steps[name] = checkpoint["global_step"]
        assert {key.split(".")[0] for key in checkpoint["state_dict"]} == {"model", "averaged", "averages"}
        assert (run / "checkpoints" / f"{name}.ckpt").stat().st_size < 5e6  # the networks would take 250 MB
    assert steps == {"best": 1, "last": 2}


@pytest.mark.slow
def test_head_poses_are_rendered_too_and_a_resumed_run_measures_when_the_other_does(store: Path) -> None:
    few = ("metrics.sync=false", "metrics.fid=false", "metrics.lpips=false", "data.window=33", "metrics.frames=4")
    whole = train(load_config(arguments("pose", store, *few)))
    assert [bool(row["val/landmark_distance"]) for row in rows_of(whole)] == [True, False, True]
    assert {path.name for path in (whole / "samples").iterdir()} == {"step_000001", "step_000003"}
    train(load_config(arguments("pose", store, *few, "output=parts", "trainer.max_steps=2")))
    parts = train(load_config(arguments("pose", store, *few, "output=parts", "ckpt=last")))
    assert [bool(row["val/landmark_distance"]) for row in rows_of(parts)] == [True, False, True]


@pytest.mark.slow
@pytest.mark.usefixtures("face_tracker", "sadtalker_found")
def test_a_training_run_that_is_scored_through_another_renderer(store: Path, renders: list[int]) -> None:
    few = ("metrics.sync=false", "metrics.fid=false", "metrics.lpips=false", "trainer.max_steps=1", "metrics.frames=3")
    run = train(load_config(arguments("expression", store, *few, "metrics.renderer=sadtalker")))
    assert rows_of(run)[0]["val/landmark_distance"]
    assert len(list((run / "samples" / "step_000001").glob("*.mp4"))) == 2
    assert renders == []
    with pytest.raises(InputError, match="renderer dlib: expected one of mesh, sadtalker"):
        train(load_config(arguments("expression", store, *few, "metrics.renderer=dlib", "output=other")))


@pytest.mark.slow
def test_training_without_weight_files(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for variable in ("EXPNET_ASSETS", "TORCH_HOME", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "nothing"))
    with caplog.at_level(logging.WARNING):
        run = train(load_config(arguments("expression", store, "trainer.max_steps=1", "metrics.frames=2")))
    told = [record.getMessage() for record in caplog.records if "will not be measured" in record.getMessage()]
    assert [sentence.split(" ")[0].rstrip(",") for sentence in told] == ["val/lpips", "val/fid", "val/sync_distance"]
    with open(run / "metrics.csv", newline="") as file:
        assert "val/landmark_distance" in next(csv.reader(file))
    with pytest.raises(MissingAssetError):
        train(load_config(arguments("expression", store, "metrics.strict=true", "output=strict")))
    with pytest.raises(ConfigError, match="val/psnr is not measured in this run; monitor a loss or one of val/within"):
        train(load_config(arguments("expression", store, "trainer.monitor=val/psnr", "output=other")))
