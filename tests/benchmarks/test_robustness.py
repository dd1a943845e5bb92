"""Behaviour of the packaged weights in silence, on noise, in pauses and in noisy speech, with a margin."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from expnet.models.packaged_weights import packaged_weights
from expnet.models.saved_model import load_model

SHARED_SPEECH = Path(__file__).parents[3] / "shared" / "speech"


@pytest.fixture(scope="module")
def robustness() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "robustness.py"
    specification = importlib.util.spec_from_file_location("robustness", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["robustness"] = module  # dataclasses look their own module up
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def listener(robustness: ModuleType) -> Any:
    return robustness.Listener(load_model(packaged_weights("expression"), "expression"))


@pytest.fixture(scope="module")
def speech(robustness: ModuleType) -> dict[str, Any]:
    """Clean synthetic voices: two languages of the training data and one that is not in it."""
    voices = robustness.voices(None)
    return {name: voices[name] for name in ("made en", "made ru", "made ja")}


def test_levels_and_colours(robustness: ModuleType) -> None:
    for colour in ("white", "pink"):
        sound = robustness.at_level(robustness.noise(colour, 64_000), -26)
        assert 10 * np.log10(np.mean(np.square(sound))) == pytest.approx(-26, abs=0.1)
    white, pink = (np.abs(np.fft.rfft(robustness.noise(colour, 64_000))) ** 2 for colour in ("white", "pink"))
    assert white[100:200].mean() / white[10_000:20_000].mean() == pytest.approx(1, abs=0.3)
    assert pink[100:200].mean() / pink[10_000:20_000].mean() == pytest.approx(100, rel=0.4)


def test_a_network_that_ignores_sound_has_no_range(robustness: ModuleType) -> None:
    class Frozen:
        def __call__(self, mel: Any, frames: int, first: Any) -> Any:
            return first[:, None].expand(-1, frames, -1)

    frozen = robustness.Listener(Frozen())
    sound = robustness.at_level(robustness.noise("pink", 32_000), -26)
    reaction = frozen.react(robustness.AudioClip("noise", "", sound))
    assert reaction.opening == pytest.approx(0, abs=2e-3)  # the portrait is closed
    assert reaction.range == 0
    assert reaction.motion == 0


def test_a_late_mouth_is_seen_late(robustness: ModuleType, listener: Any, speech: dict[str, Any]) -> None:
    samples = speech["made en"]
    late = np.concatenate([np.zeros(4 * 640, np.float32), samples[: -4 * 640]])
    shifted = robustness.AudioClip("late", "", late, samples)
    on_time = listener.react(robustness.AudioClip("clean", "", samples, samples))
    assert listener.react(shifted).lag - on_time.lag == pytest.approx(4, abs=1)
    assert on_time.agreement == pytest.approx(1)


@pytest.mark.slow
def test_packaged_weights_hold_in_silence_and_noise(
    robustness: ModuleType, listener: Any, speech: dict[str, Any]
) -> None:
    clean = [listener.react(robustness.AudioClip("synthetic speech", name, it, it)) for name, it in speech.items()]
    wide, lively = (np.median([getattr(reaction, key) for reaction in clean]) for key in ("range", "motion"))
    assert wide > 0.05  # of the distance of the eye corners: the mouth does open
    # Over a few seconds the level says little about the opening: a single voice's lag may be off, but not most of them.
    assert abs(np.median([reaction.lag for reaction in clean])) <= 1
    for reaction in clean:
        assert reaction.range > 0.6 * wide
    for sound in robustness.non_speech_audio():
        reaction = listener.react(sound)
        assert reaction.opening < 0.6 * wide, sound.group
        assert reaction.motion < 1.2 * lively, sound.group
    for sound in robustness.speech_audio(speech):
        if not sound.group.endswith((" around", " 10 dB", " 0 dB")):
            continue
        reaction = listener.react(sound)
        if sound.group == "3 s of silence around":
            assert abs(reaction.pause_opening) < 0.35 * wide, sound.name
            assert reaction.pause_motion < 0.2 * lively, sound.name
        if sound.group.endswith(" 10 dB"):
            assert reaction.agreement > 0.85, (sound.group, sound.name)
            assert reaction.pause_motion < 0.4 * lively, (sound.group, sound.name)
        if sound.group.endswith(" 0 dB"):
            assert reaction.agreement > 0.6, (sound.group, sound.name)


@pytest.mark.skipif(not SHARED_SPEECH.is_dir(), reason="the recordings are not part of the repository")
def test_recordings_in_other_languages(robustness: ModuleType, listener: Any) -> None:
    reactions = {
        name: listener.react(robustness.AudioClip("recorded speech", name, samples, samples))
        for name, samples in robustness.voices(SHARED_SPEECH).items()
        if not name.startswith(("made ", "en_"))
    }
    wide = np.median([reaction.range for reaction in reactions.values()])
    for name, reaction in reactions.items():
        assert reaction.range > 0.5 * wide, name
        assert abs(reaction.lag) <= 2, name
