"""Forced alignment with recordings of another voice at another rate, whose phoneme times are known exactly."""

from itertools import pairwise

import numpy as np
import pytest

from expnet.audio.speech_synthesis import PAUSE, synthesize_speech
from shared.forced_alignment import align_text

pytest.importorskip("espeakng_loader")
TEXT = "Bin blue by m five now, place people before the map."


@pytest.mark.parametrize(("variant", "rate"), [("f4", 140), ("m3", 210)])
def test_another_voice_is_aligned(variant: str, rate: int) -> None:
    spoken = synthesize_speech(TEXT, variant=variant, rate=rate)
    noise = np.random.default_rng(0).normal(scale=1e-3, size=16000 + len(spoken.samples)).astype(np.float32)
    recording = noise.copy()
    recording[8000 : 8000 + len(spoken.samples)] += spoken.samples
    found = [phoneme for phoneme in align_text(recording, TEXT) if phoneme.symbol != PAUSE]
    truth = [phoneme for phoneme in spoken.phonemes if phoneme.symbol != PAUSE]
    assert [phoneme.symbol for phoneme in found] == [phoneme.symbol for phoneme in truth]
    errors = np.array([one.start - (other.start + 0.5) for one, other in zip(found, truth, strict=True)])
    assert np.median(np.abs(errors)) < 0.03
    assert np.abs(errors).max() < 0.15


def test_times_cover_the_recording_in_order() -> None:
    recording = synthesize_speech("mama", rate=120).samples
    found = align_text(np.pad(recording, 4000), "mama")
    assert found[0].start == 0
    assert found[-1].end == pytest.approx((len(recording) + 8000) / 16000)
    assert all(one.end <= other.start + 1e-9 for one, other in pairwise(found))
    silent = align_text(np.zeros(16000, np.float32), "mama")  # finds no place, but ends
    assert silent[-1].end == 1.0
