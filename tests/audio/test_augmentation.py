"""Changes of the sound: what each does is measured, and nothing moves in time."""

import numpy as np
import pytest

from expnet.audio.augmentation import (
    band_limit,
    change_speed,
    compand,
    mix,
    random_babble,
    random_codec,
    random_gain,
    random_noise,
    random_pitch,
    random_reverberation,
    shift_pitch,
    sometimes,
    stretch_time,
)

RATE = 16_000


@pytest.fixture(scope="module")
def syllables():
    """Two seconds with a burst of a voice-like sound every quarter of one, at random distances."""
    generator = np.random.default_rng(3)
    time = np.arange(2 * RATE) / RATE
    voice = sum(np.sin(2 * np.pi * 150 * harmonic * time) / harmonic for harmonic in range(1, 20))
    envelope = np.zeros(len(time))
    for start in (np.arange(1, 8) / 4 + generator.uniform(-0.05, 0.05, 7)) * RATE:
        envelope[int(start) : int(start) + 1600] = np.hanning(1600)
    return (0.1 * voice * envelope).astype(np.float32)


def tone(hertz, seconds=1.0):
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def loudest_hertz(samples):
    return np.abs(np.fft.rfft(samples * np.hanning(len(samples)))).argmax() * RATE / len(samples)


def power(samples):
    return float(np.mean(np.square(samples, dtype=np.float64)))


def loudness(samples):
    """Root mean square of 10 ms."""
    return np.sqrt(np.square(samples.astype(np.float64)).reshape(-1, 160).mean(axis=1))


AUGMENTATIONS = {
    "gain": random_gain(6),
    "noise": random_noise(15),
    "babble": random_babble(lambda length, generator: generator.standard_normal(length).astype(np.float32), 15),
    "reverberation": random_reverberation(),
    "codec": random_codec(),
    "pitch": random_pitch(4),
}


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_every_augmentation_repeats_keeps_length_and_range_and_moves_nothing_in_time(name, syllables):
    before = syllables.copy()
    for seed in range(12):
        changed = AUGMENTATIONS[name](syllables, np.random.default_rng(seed))
        assert changed.shape == syllables.shape
        assert changed.dtype == np.float32
        assert np.abs(changed).max() <= 1
        assert np.isfinite(changed).all()
        np.testing.assert_array_equal(changed, AUGMENTATIONS[name](syllables, np.random.default_rng(seed)))
        lags = range(-10, 11)  # of 10 ms
        inner = loudness(syllables)[20:-20]
        similar = [np.corrcoef(inner, np.roll(loudness(changed), -lag)[20:-20])[0, 1] for lag in lags]
        # An echo drags on by a little; a vocoder smears syllables over its window of 32 ms.
        allowed = {"reverberation": (0, 2), "pitch": (-1, 1)}.get(name, (0, 0))
        assert allowed[0] <= lags[int(np.argmax(similar))] <= allowed[1]
        assert max(similar) > 0.8
    np.testing.assert_array_equal(syllables, before)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_every_augmentation_takes_silence(name):
    changed = AUGMENTATIONS[name](np.zeros(RATE, np.float32), np.random.default_rng(0))
    assert np.isfinite(changed).all()
    assert power(changed) < 1e-5


def test_gain_and_noise_have_the_decibels_that_were_asked_for():
    samples = tone(230) / 3
    gains = [np.abs(random_gain(6)(samples, np.random.default_rng(seed))).max() / 0.1 for seed in range(50)]
    assert 0.5 < min(gains) < 0.6
    assert 1.8 < max(gains) < 2.0
    for seed in range(6):
        noise = random_noise(10, 10)(samples, np.random.default_rng(seed)) - samples
        assert 10 * np.log10(power(samples) / power(noise)) == pytest.approx(10, abs=0.1)


def test_babble_is_of_several_voices_at_the_ratio_that_was_asked_for():
    samples, drawn = tone(230) / 3, []

    def voice(length, generator):
        drawn.append(float(generator.uniform(300, 3000)))
        return tone(drawn[-1])[:length] * generator.uniform(0.01, 1)

    babble = random_babble(voice, 5, 5)(samples, np.random.default_rng(1)) - samples
    assert 10 * np.log10(power(samples) / power(babble)) == pytest.approx(5, abs=0.1)
    assert 2 <= len(drawn) <= 6
    spectrum = np.abs(np.fft.rfft(babble)) ** 2
    # Soft and loud voices are brought to one level.
    parts = [spectrum[round(hertz) - 3 : round(hertz) + 4].sum() for hertz in drawn]
    assert max(parts) < 2 * min(parts)


def test_a_room_echoes_after_the_sound_and_decays():
    click = np.zeros(RATE, np.float32)
    click[4000] = 0.5
    for seed in range(10):
        heard = random_reverberation()(click, np.random.default_rng(seed))
        assert np.abs(heard[:3999]).max() < 1e-5
        assert np.argmax(np.abs(heard)) == 4000
        assert power(heard) == pytest.approx(power(click), rel=0.05)
        early, late = power(heard[4001:4801]), power(heard[8000:8800])
        assert early > 5 * late
        assert early > 1e-9


def test_a_telephone_leaves_its_band_and_coarse_steps():
    for hertz, kept in ((100, False), (1000, True), (3000, True), (5000, False)):
        left = power(band_limit(tone(hertz), 300, 3400)) / power(tone(hertz))
        assert left > 0.95 if kept else left < 0.01
    ramp = np.linspace(-1, 1, 4001, dtype=np.float32)
    assert len(np.unique(compand(ramp, bits=4))) == 15
    errors = [np.abs(compand(ramp, bits=bits) - ramp).max() for bits in (6, 8, 10)]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]
    fine, coarse = (np.abs(compand(np.float32([x]), bits=8) - x) for x in (0.01, 0.9))
    assert fine < coarse
    np.testing.assert_allclose(compand(np.float32([-1, 0, 1]), bits=8), [-1, 0, 1], atol=1e-6)


@pytest.mark.parametrize("semitones", [-4, -1, 3, 7])
def test_pitch_moves_and_time_stays(semitones, syllables):
    moved = shift_pitch(tone(440), semitones)
    assert loudest_hertz(moved) == pytest.approx(440 * 2 ** (semitones / 12), rel=0.005)
    shifted = shift_pitch(syllables, semitones)
    assert np.corrcoef(loudness(shifted), loudness(syllables))[0, 1] > 0.85


def test_stretching_keeps_pitch_and_tapes_do_not():
    longer = stretch_time(tone(440), 1.25)
    assert len(longer) == RATE * 5 // 4
    assert loudest_hertz(longer) == pytest.approx(440, rel=0.005)
    faster = change_speed(tone(440), 1.25)
    assert len(faster) == RATE * 4 // 5
    assert loudest_hertz(faster) == pytest.approx(550, rel=0.005)
    # What would fold back is gone: 7 kHz would become 8.75 kHz.
    assert power(change_speed(tone(7000), 1.25)) < 0.01 * power(tone(7000))


def test_mix_and_shares():
    samples, noise = tone(300), tone(2000) * 0.01
    mixed = mix(samples, noise, 20)
    assert power(samples) / power(mixed - samples) == pytest.approx(100, rel=0.01)
    silence = sometimes(0.3, lambda samples, generator: samples * 0)
    silenced = [not silence(samples, np.random.default_rng(seed)).any() for seed in range(400)]
    assert 0.22 < np.mean(silenced) < 0.38
