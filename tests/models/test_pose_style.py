"""Styles of head motion: measured, stored, chosen by number or measured in a clip."""

import pytest
import torch

from expnet.errors import InputError
from expnet.models.pose_cvae import PoseCVAE
from expnet.models.pose_style import QUIETEST, STYLE, PoseStyles, distances

ALL = torch.ones(1, 60, dtype=torch.bool)


def test_distances_by_hand() -> None:
    """A pose that grows by 0.1 per frame travels 0.4 in 4 frames and 1.6 in 16; a constant one, the least distance."""
    pose = torch.zeros(1, 60, 6)
    pose[..., 0] = 0.1 * torch.arange(60)
    style, enough = distances(pose, ALL)
    assert bool(enough)
    expected = torch.full((STYLE,), QUIETEST)
    expected[0], expected[6] = 0.4, 1.6
    torch.testing.assert_close(style[0], expected)


def test_frames_that_are_not_valid_do_not_count() -> None:
    pose = torch.randn(1, 60, 6, generator=torch.Generator().manual_seed(0)) * 0.2
    spoilt, valid = pose.clone(), ALL.clone()
    spoilt[:, 20], valid[:, 20] = 50.0, False
    torch.testing.assert_close(distances(spoilt, valid)[0], distances(pose, valid)[0])
    assert float(distances(spoilt, ALL)[0].max()) > 5


def test_a_clip_of_less_than_a_second_has_no_style() -> None:
    with pytest.raises(InputError, match=r"needs 24 frames with a visible face .* 20 of 20"):
        PoseCVAE().style_of(torch.zeros(20, 6))


def test_unknown_is_the_average_of_the_speakers_and_not_of_the_windows() -> None:
    styles = PoseStyles(4)
    calm, lively = torch.full((1, STYLE), 0.1), torch.full((1, STYLE), 0.5)
    for _ in range(9):
        styles.remember(torch.tensor([1]), calm)
    styles.remember(torch.tensor([2]), lively)
    found = styles(torch.tensor([0, 1, 2, 3]))
    torch.testing.assert_close(found[:, 0], torch.tensor([0.3, 0.1, 0.5, 0.3]))  # speaker 3 never occurred
    torch.testing.assert_close(styles(lively), lively)


def test_without_named_speakers_unknown_is_the_average_of_all_windows() -> None:
    styles = PoseStyles(1)
    for size in (0.2, 0.4):
        styles.remember(torch.tensor([0]), torch.full((1, STYLE), size))
    torch.testing.assert_close(styles(torch.tensor([0]))[0, 0], torch.tensor(0.3))
