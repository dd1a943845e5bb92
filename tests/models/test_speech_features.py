"""Networks that read speech features besides the mel."""

from pathlib import Path

import pytest
import torch

from expnet.audio.alignment import mel_columns
from expnet.audio.speech_encoders import FeatureSource
from expnet.errors import InputError
from expnet.models.expression_regressor import ExpressionRegressor
from expnet.models.saved_model import open_model, save_model

SOURCE = FeatureSource("hubert", 9, 12, "ab" * 32)
FRAMES = 40


@pytest.fixture
def network() -> ExpressionRegressor:
    torch.manual_seed(0)
    made = ExpressionRegressor(
        width=16, audio_channels=8, layers=1, heads=2, expression_size=5, speech_features=SOURCE.as_dict()
    )
    torch.nn.init.normal_(made.head.weight)
    return made.eval()


def run(network: ExpressionRegressor, features: torch.Tensor | None, frames: int = FRAMES) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    mel = torch.rand(2, 80, mel_columns(frames), generator=generator) * 4 - 4
    with torch.no_grad():
        return network(mel, frames, torch.zeros(2, 5), features=features)


def test_features_change_the_face_where_they_change(network: ExpressionRegressor) -> None:
    features = torch.randn(2, FRAMES, SOURCE.size, generator=torch.Generator().manual_seed(2))
    other = features.clone()
    other[0, 20] += torch.randn(SOURCE.size)
    change = (run(network, features) - run(network, other)).abs().sum(dim=-1)
    assert change[0].argmax() == 20
    assert (change[1] == 0).all()


def test_long_speech_goes_in_pieces(network: ExpressionRegressor) -> None:
    frames = 130
    features = torch.randn(2, frames, SOURCE.size, generator=torch.Generator().manual_seed(3))
    whole = run(network, features, frames)
    network.longest, network.overlap = 100, 40
    torch.testing.assert_close(run(network, features, frames), whole, atol=0.3, rtol=0)
    late = torch.roll(features, 5, dims=1)
    wrong = (run(network, late, frames) - whole).abs().mean()
    assert (run(network, features, frames) - whole).abs().mean() < 0.2 * wrong


def test_missing_and_wrong_features_are_refused(network: ExpressionRegressor) -> None:
    with pytest.raises(InputError, match="layer 9 of hubert"):
        run(network, None)
    with pytest.raises(InputError, match=r"\(batch, 40, 12\)"):
        run(network, torch.zeros(2, FRAMES, 13))
    with pytest.raises(InputError, match=r"\(batch, 40, 12\)"):
        run(network, torch.zeros(2, FRAMES + 1, 12))


def test_the_file_names_the_features_that_it_needs(network: ExpressionRegressor, tmp_path) -> None:
    features = torch.randn(2, FRAMES, SOURCE.size)
    loaded, header = open_model(save_model(tmp_path / "model.safetensors", network), "expression")
    assert FeatureSource(**header["options"]["speech_features"]) == SOURCE
    torch.testing.assert_close(run(loaded, features), run(network, features))


def test_padding_does_not_reach_the_frames_before_it(network: ExpressionRegressor) -> None:
    """A clip beside a longer one is regressed as it is alone, whatever its padding holds."""
    short = 30
    generator = torch.Generator().manual_seed(4)
    mel = torch.rand(1, 80, mel_columns(short), generator=generator) * 4 - 4
    features = torch.randn(1, short, SOURCE.size, generator=generator)
    padded_mel = torch.nn.functional.pad(mel, (0, mel_columns(FRAMES) - mel.shape[-1]), value=-4.0)
    padded = torch.cat([features, torch.full((1, FRAMES - short, SOURCE.size), 7.0)], dim=1)
    valid = torch.arange(FRAMES)[None] < short
    with torch.no_grad():
        alone = network(mel, short, torch.zeros(1, 5), valid=valid[:, :short], features=features)
        beside = network(padded_mel, FRAMES, torch.zeros(1, 5), valid=valid, features=padded)[:, :short]
    torch.testing.assert_close(beside, alone, atol=1e-5, rtol=0)


def test_networks_of_older_versions_have_no_convolution_over_features(
    network: ExpressionRegressor, tmp_path: Path
) -> None:
    assert network.embed_features is not None
    assert network.embed_features.convolution is not None
    older = ExpressionRegressor(
        width=16,
        audio_channels=8,
        layers=1,
        heads=2,
        expression_size=5,
        feature_context=1,
        speech_features=SOURCE.as_dict(),
    )
    del older.options["feature_context"]
    loaded = open_model(save_model(tmp_path / "older.safetensors", older), "expression")[0]
    features = torch.randn(2, FRAMES, SOURCE.size, generator=torch.Generator().manual_seed(2))
    assert isinstance(loaded, ExpressionRegressor)
    torch.testing.assert_close(run(loaded, features), run(older.eval(), features))
