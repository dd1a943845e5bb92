"""Augmentations of batches: each does to a row what the function of one recording does to that recording."""

import numpy as np
import pytest
import scipy.stats
import torch

from expnet.audio import augmentation as single
from expnet.audio import batched_augmentation as batched
from expnet.audio.mel import log_mel
from expnet.audio.row_generators import RowGenerators

RATE = 16_000
LENGTH = 10 * 640
AUGMENTATIONS = {
    "gain": (batched.random_gain(6), single.random_gain(6)),
    "noise": (batched.random_noise(10), single.random_noise(10)),
    "reverberation": (batched.random_reverberation(), single.random_reverberation()),
    "codec": (batched.random_codec(), single.random_codec()),
    "pitch": (batched.random_pitch(4), single.random_pitch(4)),
    "some noise": (
        batched.sometimes(0.5, batched.random_noise(0)),
        single.sometimes(0.5, single.random_noise(0)),
    ),
}


def rows_of(seeds, samples=LENGTH, babble=None):
    return batched.Rows(RowGenerators(seeds), torch.full((len(seeds), 1), samples), babble)


@pytest.fixture(scope="module")
def voice():
    """Bursts of a voice-like sound, (LENGTH,)."""
    time = np.arange(LENGTH) / RATE
    harmonics = sum(np.sin(2 * np.pi * 150 * harmonic * time) / harmonic for harmonic in range(1, 20))
    return (0.1 * harmonics * np.sin(2 * np.pi * 2 * time) ** 2).astype(np.float32)


def test_a_row_has_its_own_numbers_whatever_it_is_batched_with():
    together, alone = RowGenerators([3, 4, 5]), RowGenerators([4])
    torch.testing.assert_close(together.uniform(-1, 2)[1], alone.uniform(-1, 2)[0], rtol=0, atol=0)
    torch.testing.assert_close(together.normal(7)[1], alone.normal(7)[0], rtol=0, atol=0)
    assert together.integers(2, 6)[1] == alone.integers(2, 6)[0]
    torch.testing.assert_close(together.of([1]).normal(3)[0], alone.normal(3)[0], rtol=0, atol=0)


def test_numbers_are_distributed_as_asked():
    generators = RowGenerators(range(2000))
    numbers = generators.uniform(-1, 3)[:, 0].numpy()
    assert scipy.stats.kstest(numbers, "uniform", (-1, 4)).pvalue > 0.01
    assert scipy.stats.kstest(generators.normal(5).flatten().numpy(), "norm").pvalue > 0.01
    assert np.bincount(generators.integers(1, 4), minlength=4)[1:].min() > 580
    assert 520 < len(generators.rows(0.3)) < 680


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_a_row_is_changed_alike_whatever_it_is_batched_with(name, voice):
    audio = torch.from_numpy(voice) * torch.tensor([[0.2], [0.5], [1.0], [2.0]])
    before = audio.clone()
    augmentation = AUGMENTATIONS[name][0]
    changed = augmentation(audio, rows_of([9, 8, 7, 6]))
    assert changed.shape == audio.shape
    assert changed.isfinite().all()
    assert changed.abs().max() <= 1
    torch.testing.assert_close(augmentation(audio, rows_of([9, 8, 7, 6])), changed, rtol=0, atol=0)
    torch.testing.assert_close(augmentation(audio[2:3], rows_of([7]))[0], changed[2], rtol=0, atol=1e-5)
    torch.testing.assert_close(audio, before, rtol=0, atol=0)
    silent = augmentation(torch.zeros(2, LENGTH), rows_of([1, 2]))
    assert silent.square().mean() < 1e-5


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_what_is_drawn_has_the_distribution_of_the_single_function(name, voice):
    """Two-sample tests of the mean and the spread of the spectrogram, over 250 draws each."""
    many, one = AUGMENTATIONS[name]
    drawn = many(torch.from_numpy(voice).expand(250, -1), rows_of(range(250)))
    reference = torch.stack(
        [torch.from_numpy(one(voice, np.random.default_rng([seed, 1]))).float() for seed in range(250)]
    )
    statistics = (
        lambda mel: mel.mean(dim=(1, 2)),
        lambda mel: mel.std(dim=(1, 2)),
        lambda mel: mel[:, :20].mean(dim=(1, 2)) - mel[:, 60:].mean(dim=(1, 2)),
    )
    for statistic in statistics:
        # Rounded, as draws of a few equal kinds are equal up to their last bits.
        found, expected = (np.round(statistic(log_mel(audio)).numpy(), 3) for audio in (drawn, reference))
        assert scipy.stats.ks_2samp(found, expected).pvalue > 0.005


def test_given_the_same_parameters_the_audio_is_the_same(voice):
    audio, noise = torch.from_numpy(voice)[None], torch.randn(1, LENGTH, generator=torch.Generator().manual_seed(0))
    samples = torch.tensor([[LENGTH]])
    mixed = batched.mix(audio, noise, torch.tensor([[7.0]]), samples)
    np.testing.assert_allclose(mixed[0], single.mix(voice, noise[0].numpy(), 7.0), atol=1e-6)
    for lowest, highest in ((300.0, 3400.0), (0.0, 4000.0)):
        limited = batched.band_limit(audio, torch.tensor([[lowest]]), torch.tensor([[highest]]))
        np.testing.assert_allclose(limited[0], single.band_limit(voice, lowest, highest), atol=1e-5)
    for bits in (6, 8, 10):
        quantised = batched.compand(audio, torch.tensor([[bits]]))[0].numpy()
        # Where a value lies on the edge of two steps, the last bit decides.
        assert np.mean(np.abs(quantised - single.compand(voice, bits=bits)) > 1e-6) < 1e-3


def test_a_ratio_refers_to_the_samples_in_the_clip(voice):
    half = voice.copy()
    half[LENGTH // 2 :] = 0
    audio = torch.from_numpy(half)[None]
    noise = batched.random_noise(10, 10)(audio, rows_of([3], LENGTH // 2)) - audio
    inside = float(np.mean(np.square(half[: LENGTH // 2])))
    assert 10 * np.log10(inside / float(noise.square().mean())) == pytest.approx(10, abs=0.1)


def test_babble_is_added_where_there_is_some(voice):
    audio = torch.from_numpy(voice).expand(2, -1)
    babble = torch.stack([torch.zeros(LENGTH), 0.3 * torch.randn(LENGTH, generator=torch.Generator().manual_seed(1))])
    changed = batched.random_babble(5)(audio, rows_of([1, 2], babble=babble))
    torch.testing.assert_close(changed[0], audio[0])
    ratio = 10 * np.log10(float(audio[1].square().mean() / (changed[1] - audio[1]).square().mean()))
    assert 4.9 < ratio < 30.1
    torch.testing.assert_close(batched.random_babble(5)(audio, rows_of([1, 2])), audio)
