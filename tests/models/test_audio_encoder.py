"""The audio front ends: timing, locality, and the published window network's shape."""

import math

import pytest
import torch

from expnet.audio.alignment import MEL_CONTEXT
from expnet.errors import ConfigError, InputError
from expnet.models.audio_encoder import (
    SequenceEncoder,
    WindowEncoder,
    build_audio_encoder,
    frame_windows,
    level_mel,
    sample_columns,
)


def mel_of(frames: int, batch: int = 1, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, 80, 2 * MEL_CONTEXT + math.ceil(3.2 * frames), generator=generator)


def test_sample_columns_reads_a_line_exactly() -> None:
    x = torch.arange(10.0).expand(2, 3, 10) * 2 + 1
    fifths = torch.tensor([0, 1, 22, 44, 45])
    torch.testing.assert_close(sample_columns(x, fifths), (2 * fifths / 5 + 1).expand(2, 3, 5))


def test_a_click_changes_its_own_frame_most() -> None:
    """A click at the centre of frame 20 changes frame 20 most, and nothing beyond the encoder's reach."""
    torch.manual_seed(0)
    encoder = SequenceEncoder(16).eval()
    quiet = torch.zeros(1, 80, 2 * MEL_CONTEXT + 160)
    click = quiet.clone()
    click[:, :, MEL_CONTEXT + round(3.2 * 20.5)] = 3.0
    with torch.no_grad():
        change = (encoder(click, 50) - encoder(quiet, 50)).abs().sum(-1)[0]
    assert 18 <= int(change.argmax()) <= 22
    assert bool((change[:15] == 0).all())
    assert bool((change[26:] == 0).all())


def test_a_window_gives_the_features_of_the_whole_clip() -> None:
    torch.manual_seed(0)
    encoder = SequenceEncoder(16).eval()
    whole = mel_of(60)
    # Frame 25 starts 80 columns later, on a whole column.
    window = whole[:, :, 80 : 80 + 2 * MEL_CONTEXT + 64]
    with torch.no_grad():
        torch.testing.assert_close(encoder(window, 20), encoder(whole, 60)[:, 25:45], atol=1e-5, rtol=1e-5)


def test_shifting_the_input_shifts_the_output() -> None:
    torch.manual_seed(0)
    for encoder in (SequenceEncoder(8).eval(), WindowEncoder(channels=2).eval()):
        mel = mel_of(60)
        shifted = torch.roll(mel, 16, dims=2)  # 16 columns are 5 frames
        with torch.no_grad():
            torch.testing.assert_close(encoder(shifted, 60)[:, 15:50], encoder(mel, 60)[:, 10:45], atol=1e-5, rtol=1e-5)


def test_statistics_normalise_the_mel() -> None:
    encoder = SequenceEncoder(8).eval()
    mel = mel_of(10)
    before = encoder(mel, 10)
    encoder.set_statistics(torch.tensor(-2.0), torch.tensor(0.5))
    torch.testing.assert_close(encoder(mel * 0.5 - 2.0, 10), before, atol=1e-5, rtol=1e-5)


def test_windows_follow_the_published_index_rule() -> None:
    mel = torch.arange(2 * MEL_CONTEXT + 160.0).expand(1, 80, -1)
    windows = frame_windows(mel, 50)
    assert windows.shape == (1, 50, 80, 16)
    starts = windows[0, :, 0, 0] - MEL_CONTEXT
    assert starts[:6].tolist() == [-6, -3, 0, 3, 6, 9]
    assert starts.tolist() == [int(80 * (frame - 2) / 25) for frame in range(50)]


def test_window_encoder_is_the_published_network() -> None:
    encoder = WindowEncoder()
    weights = [p.shape for n, p in encoder.named_parameters() if n.endswith("conv_block.0.weight")]
    assert [shape[0] for shape in weights] == [32, 32, 32, 64, 64, 64, 128, 128, 128, 256, 256, 512, 512]
    assert encoder.eval()(mel_of(3), 3).shape == (1, 3, 512)
    assert "audio_encoder.12.conv_block.1.running_mean" in encoder.state_dict()


def test_wrong_input_is_refused_in_one_sentence() -> None:
    with pytest.raises(InputError, match=r"\(batch, 80, 64 or more\), not \(1, 80, 40\)"):
        SequenceEncoder(8)(torch.zeros(1, 80, 40), 10)
    with pytest.raises(ConfigError, match="audio_encoder must be one of sequence, window"):
        build_audio_encoder("wavlm", 8, channels=8)


def test_levelling_removes_loudness_and_timbre_but_keeps_silence() -> None:
    mel = mel_of(40).clamp(-1.0, 1.0)
    timbre = torch.linspace(-0.5, 0.5, 80)[:, None]
    torch.testing.assert_close(level_mel(mel + 0.7 + timbre), level_mel(mel), atol=1e-5, rtol=0)
    silence = level_mel(torch.full((1, 80, 100), -4.0))
    assert float(silence.max()) < -2
    speech = torch.cat([mel, torch.full((1, 80, 400), -4.0)], dim=2)
    torch.testing.assert_close(level_mel(speech)[..., : mel.shape[2]], level_mel(mel), atol=0.02, rtol=0)
