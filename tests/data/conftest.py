"""Small random tracks and stores."""

import numpy as np
import pytest

from expnet.audio.speech_synthesis import Phoneme
from expnet.coefficients import FaceCoefficients
from expnet.data.store.track import Track
from expnet.data.store.track_store import TrackStoreWriter


def _face(frames):
    """68 landmarks with open eyes, still."""
    points = np.random.default_rng(5).uniform(40, 80, size=(68, 2)).astype(np.float32)
    for first, x in ((36, 40.0), (42, 70.0)):
        points[first : first + 6] = [(x, 50), (x + 4, 47), (x + 8, 47), (x + 12, 50), (x + 8, 53), (x + 4, 53)]
    return np.repeat(points[None], frames, axis=0)


@pytest.fixture(scope="session")
def make_track():
    def make(clip_id="clip", frames=50, *, speaker="anna", seed=None, **changes):
        generator = np.random.default_rng(abs(hash(clip_id)) % 1000 if seed is None else seed)
        audio = generator.integers(-(2**15), 2**15, size=frames * 640).astype(np.float32) / 2**15
        values = {
            "clip_id": clip_id,
            "speaker": speaker,
            "coefficients": FaceCoefficients(
                expression=generator.normal(size=(frames, 64)),
                rotation=generator.normal(size=(frames, 3)) * 0.1,
                translation=generator.normal(size=(frames, 3)) * 0.05,
                identity=generator.normal(size=10),
                crop=(60.5, 61.25, 100.125),
            ),
            "landmarks": _face(frames),
            "valid": np.ones(frames, bool),
            "audio": audio,
            "phonemes": (Phoneme("a", 0.0, 0.5), Phoneme("ʃ", 0.5, 1.0)),
            "frame_size": (128, 96),
        }
        return Track(**{**values, **changes})

    return make


@pytest.fixture
def make_store(tmp_path, make_track):
    def make(name="store", clips=(), **options):
        """Write a store; clips are (clip_id, frames, speaker) or tracks."""
        with TrackStoreWriter(tmp_path / name, **options) as writer:
            for index, clip in enumerate(clips):
                if not isinstance(clip, Track):
                    clip_id, frames, speaker = clip
                    clip = make_track(clip_id, frames, speaker=speaker, seed=index)
                writer.add(clip)
            writer.finish()
        return tmp_path / name

    return make
