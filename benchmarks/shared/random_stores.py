"""Track stores of random numbers, to measure speed with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from expnet.coefficients import FaceCoefficients
from expnet.data.store.manifest import read_manifest, write_manifest
from expnet.data.store.track import Track
from expnet.data.store.track_store import TrackStoreWriter
from expnet.face.morphable import builtin_face_model

SMALL, LARGE = 100, 100_000
FRAMES = 250


def make_small_store(path: Path) -> None:
    """Write a store of random clips of ten seconds."""
    identity = builtin_face_model().identity_size
    with TrackStoreWriter(path) as writer:
        for index in range(SMALL):
            generator = np.random.default_rng(index)
            pose = generator.normal(size=(2, FRAMES, 3))
            coefficients = FaceCoefficients(
                generator.normal(size=(FRAMES, 64)), *pose, identity=generator.normal(size=identity), crop=np.ones(3)
            )
            landmarks = generator.normal(size=(FRAMES, 68, 2)).astype(np.float32)
            audio = generator.uniform(-1, 1, size=FRAMES * 640).astype(np.float32)
            speaker = f"speaker{index % 20}"
            writer.add(Track(f"{index:06d}", speaker, coefficients, landmarks, np.ones(FRAMES, bool), audio))
        writer.finish()


def make_large_store(path: Path, small: Path) -> None:
    """Write a store of a thousand times as many clips, which share the small store's arrays."""
    path.mkdir()
    (path / "shards").symlink_to(small / "shards")
    rows, shards = read_manifest(small)
    copies = (
        replace(rows[index % SMALL], clip_id=f"{index:06d}", speaker=f"speaker{index % 5000}") for index in range(LARGE)
    )
    write_manifest(path, copies, shards)
