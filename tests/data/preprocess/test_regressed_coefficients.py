"""Basel coefficients that a network regresses from frames."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from expnet.coefficients import FaceCoefficients
from expnet.data.preprocess.regressed_coefficients import in_one_crop, regress_clip
from expnet.errors import MissingAssetError
from expnet.face.camera import project
from expnet.face.morphable import load_face_model


class Looks(nn.Module):
    """Returns 257 numbers that follow from the image: its mean red as every coefficient but depth, 0."""

    def forward(self, images: Tensor) -> Tensor:
        assert images.shape[1:] == (3, 224, 224)
        rows = images[:, 0].mean((1, 2))[:, None].expand(-1, 257).clone()
        rows[:, 256] = 0.0
        return rows


def landmarks(frames: int) -> np.ndarray:
    marks = np.zeros((68, 2))
    marks[36:42], marks[42:48], marks[30], marks[48], marks[54] = (80, 90), (140, 90), (110, 120), (85, 150), (135, 150)
    return marks + 3.0 * np.arange(frames)[:, None, None]


def test_points_stay_where_they_are_in_one_crop() -> None:
    generator = np.random.default_rng(0)
    moving = FaceCoefficients(
        expression=np.zeros((5, 64)),
        rotation=generator.normal(0, 0.2, (5, 3)),
        translation=generator.normal(0, 0.3, (5, 3)),
        crop=generator.normal([100, 120, 200], 10, (5, 3)),
        face_model="bfm2009",
    )
    fixed = in_one_crop(moving)
    assert fixed.crop.shape == (3,)
    vertices = torch.from_numpy(generator.normal(0, 0.5, (5, 9, 3)))
    before, after = (
        project(
            vertices, *(torch.from_numpy(np.asarray(part, float)) for part in (one.rotation, one.translation, crop))
        )
        for one, crop in ((moving, moving.crop), (fixed, np.repeat(fixed.crop[None], 5, axis=0)))
    )
    torch.testing.assert_close(before, after, atol=1e-4, rtol=0)


def test_every_frame_with_a_face_is_seen_and_others_are_interpolated() -> None:
    frames = [np.full((240, 260, 3), 20 * index, np.uint8) for index in range(11)]
    found = np.ones(11, bool)
    found[4] = False
    regressed = regress_clip(Looks(), iter(frames), landmarks(11), found)
    assert (regressed.frames, regressed.fps, regressed.face_model) == (11, 25.0, "bfm2009")
    assert regressed.identity.shape == (80,)
    assert regressed.crop.shape == (3,)
    np.testing.assert_allclose(np.diff(regressed.expression[:, 0]) > 0, True)
    np.testing.assert_allclose(
        regressed.expression[4], (regressed.expression[3] + regressed.expression[5]) / 2, atol=1e-6
    )
    assert regressed.identity[0] == pytest.approx(regressed.expression[:, 0].mean(), abs=1e-5)


def test_the_landmark_model_needs_no_file_and_follows_expressions_only() -> None:
    model = load_face_model("bfm-deep3d")
    assert (model.name, model.mean.shape, model.identity_size, model.expression_size) == ("bfm2009", (68, 3), 80, 64)
    still = model.landmarks(torch.randn(80), torch.zeros(64))
    torch.testing.assert_close(still, model.mean)
    assert (model.landmarks(torch.zeros(80), torch.ones(64)) - model.mean).abs().max() > 0.01


def test_without_its_weights_preprocessing_says_how_to_get_them(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    from expnet.data.preprocess.clip_maker import ClipMaker, ClipOptions

    monkeypatch.setenv("EXPNET_ASSETS", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(MissingAssetError, match="run 'expnet assets fetch sadtalker-256'"):
        ClipMaker(tmp_path / "store", ClipOptions(face_model="bfm-deep3d"))
