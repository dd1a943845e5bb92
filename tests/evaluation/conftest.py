"""A small world in which the mouth follows the loudness of the audio, so that every score is known in advance."""

import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from expnet.coefficients import FaceCoefficients
from expnet.data.store.track import Track
from expnet.data.store.track_store import TrackStoreWriter
from expnet.face.camera import project
from expnet.face.morphable import builtin_face_model
from expnet.media.video_reader import write_video
from expnet.models.expression_regressor import ExpressionRegressor
from expnet.models.pose_cvae import PoseCVAE
from expnet.models.saved_model import save_model
from expnet.render.mesh_renderer import MeshRenderer
from expnet.render.portrait import open_portrait

CROP = (120.0, 110.0, 200.0)
FRAME_SIZE = (240, 240)


def opening_direction() -> torch.Tensor:
    """Expression (64,) that moves the lower inner lip down by roughly one standard deviation."""
    model = builtin_face_model()
    upper, lower = model.landmark_indices[62], model.landmark_indices[66]
    gap = model.expression_basis[upper, 1] - model.expression_basis[lower, 1]  # (64,)
    return gap / gap.norm()


def make_track(clip_id: str, speaker: str, seed: int, *, frames: int = 60, **changes: object) -> Track:
    """A clip in which the lips open with the loudness, the head nods, and the start is silent."""
    generator = np.random.default_rng(seed)
    model = builtin_face_model()
    envelope = np.convolve(generator.uniform(0, 1, frames + 8), np.hanning(7) / np.hanning(7).sum(), "same")[4:-4]
    envelope = (envelope - envelope.min()) / (envelope.max() - envelope.min())
    envelope[:14] = 0.0
    sound = generator.normal(size=frames * 640) * np.repeat(0.001 + 0.3 * envelope, 640)
    person = 0.5 * np.random.default_rng(zlib.crc32(speaker.encode())).normal(size=64)
    expression = person + 0.05 * generator.normal(size=(frames, 64)) + 3.0 * np.outer(envelope, opening_direction())
    identity = generator.normal(size=model.identity_size) * 0.5
    time = np.arange(frames) / 25
    rotation = 0.1 * np.stack([np.sin(2 * np.pi * (0.4 + 0.1 * axis) * time + seed) for axis in range(3)], 1)
    coefficients = FaceCoefficients(expression, rotation, np.zeros((frames, 3)), identity=identity, crop=CROP)
    landmarks = project(
        model.landmarks(torch.from_numpy(coefficients.identity), torch.from_numpy(coefficients.expression)),
        torch.from_numpy(coefficients.rotation),
        torch.from_numpy(coefficients.translation),
        torch.tensor(CROP),
    ).numpy()
    values = {
        "landmarks": landmarks,
        "valid": np.ones(frames, bool),
        "audio": np.clip(sound, -1, 1).astype(np.float32),
        "corpus": "test",
        "frame_size": FRAME_SIZE,
        **changes,
    }
    return Track(clip_id, speaker, coefficients, **values)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A store of 20 clips by 10 people, and two runs with untrained networks."""
    folder = tmp_path_factory.mktemp("world")
    with TrackStoreWriter(folder / "store") as writer:
        for index in range(20):
            writer.add(make_track(f"clip{index:02d}", f"person{index % 10}", index, frames=60 + index))
        writer.finish()
    torch.manual_seed(0)
    networks = {
        "expression": ExpressionRegressor(width=16, layers=1, audio_channels=8),
        "pose": PoseCVAE(width=16, layers=1, audio_channels=8),
    }
    # An untrained output layer gives zeros, which holds the first frame. A little noise makes the lips move.
    torch.nn.init.normal_(networks["expression"].head.weight, std=0.3)
    for name, network in networks.items():
        (folder / name).mkdir()
        save_model(folder / name / "model.safetensors", network)
        (folder / name / "config.yaml").write_text(
            "data:\n  validation_fraction: 0.2\n  test_fraction: 0.3\n  split_seed: 5\n"
        )
    return SimpleNamespace(
        folder=folder, store=folder / "store", expression=folder / "expression", pose=folder / "pose"
    )


@pytest.fixture(scope="session")
def track_maker() -> Callable[..., Track]:
    return make_track


@pytest.fixture
def options(world: SimpleNamespace, tmp_path: Path) -> list[str]:
    """Overrides for a quick evaluation without rendered clips."""
    return [
        f"data.store={world.store}",
        f"expression={world.expression}",
        f"pose={world.pose}",
        f"output={tmp_path / 'results'}",
        "pictures.clips=0",
        "baselines.per_frame_steps=3",
        "protocol.resamples=200",
        "threads=1",
    ]


VIDEO_SIDE = 192
Talking = tuple[list[np.ndarray], np.ndarray]


def talking_frames(frames: int, *, seed: int) -> Talking:
    """Frames of a photograph whose mouth opens with the loudness of the audio, and the audio (640 frames,)."""
    generator = np.random.default_rng(seed)
    model = builtin_face_model()
    # Head and shoulders of scikit-image's astronaut: a NASA photograph, in the public domain.
    cut = Image.fromarray(data.astronaut()[:256, 90:346]).resize((VIDEO_SIDE, VIDEO_SIDE), Image.Resampling.LANCZOS)
    portrait = open_portrait(np.asarray(cut), model)
    envelope = np.clip(np.sin(2 * np.pi * (np.arange(frames) / 9.0 + generator.uniform())), 0, 1)
    expression = portrait.fit.expression + 4.0 * np.outer(envelope, opening_direction().numpy())
    turn = 0.05 * np.sin(2 * np.pi * np.arange(frames) / 30.0 + seed)
    pose = portrait.fit.pose + np.outer(turn, [0, 1, 0, 0, 0, 0])
    renderer = MeshRenderer(portrait.image, portrait.fit, portrait.points, model)
    coefficients = FaceCoefficients(expression, pose[:, :3], pose[:, 3:])
    sound = 0.3 * generator.normal(size=frames * 640) * np.repeat(0.01 + envelope, 640)
    return list(renderer.render(coefficients)), np.clip(sound, -1, 1).astype(np.float32)


@pytest.fixture(scope="session")
def talking() -> dict[str, Talking]:
    """Two clips, one of them in a subfolder."""
    return {"anna/one": talking_frames(32, seed=1), "two": talking_frames(28, seed=2)}


@pytest.fixture(scope="session")
def write_folder() -> Callable[..., Path]:
    def write(folder: Path, clips: dict[str, Any], **options: Any) -> Path:
        """Write clips by name: ``a/b`` becomes ``folder/a/b.mp4``."""
        for name, (frames, sound) in clips.items():
            path = folder / f"{name}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_video(path, frames, audio=sound, **options)
        return folder

    return write


@pytest.fixture(scope="session")
def videos(
    talking: dict[str, Talking], write_folder: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> SimpleNamespace:
    """Folders: the real clips, the same without audio, and others that are missing, small, short and broken."""
    root = tmp_path_factory.mktemp("videos")
    reference = write_folder(root / "reference", talking)
    (reference / "manifest.csv").write_text("file,speaker\nanna/one.mp4,anna\ntwo.mp4,berta\nthree.mp4,carla\n")
    mute = write_folder(root / "mute", {name: (frames, None) for name, (frames, _) in talking.items()})
    small = {
        "two": ([np.asarray(Image.fromarray(frame).resize((96, 96))) for frame in talking["two"][0][:20]], None),
    }
    odd = write_folder(root / "odd", small)
    (odd / "anna").mkdir()
    (odd / "anna" / "one.mp4").write_bytes(b"no video")
    write_folder(odd, {"beyond": talking["two"]})
    return SimpleNamespace(root=root, reference=reference, mute=mute, odd=odd)
