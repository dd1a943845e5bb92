"""The effect of each image control, measured on pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from expnet.animate.animator import Animator
from expnet.animate.controls.background import change_background
from expnet.animate.controls.controls import Controls
from expnet.animate.controls.framing import frame_portrait, head_square
from expnet.animate.controls.gaze import redirect_gaze
from expnet.assets import packaged_expression
from expnet.errors import InputError
from expnet.face.morphable import MorphableModel
from expnet.face.tracker import track_image
from expnet.media.video_reader import probe_video
from expnet.render.portrait import Portrait, open_portrait

IRISES, CORNERS = (468, 473), ((33, 133), (263, 362))
OUTLINE = (33, 133, 263, 362, 159, 145, 386, 374)


@pytest.fixture(scope="module")
def full(model: MorphableModel) -> Portrait:
    return open_portrait(np.ascontiguousarray(astronaut()), model)


def looks(image: np.ndarray) -> np.ndarray:
    """Return the mean tracked position (x, y) of the irises between the eye corners, in eye widths."""
    points = track_image(image).points[0][:, :2]
    places = []
    for iris, (outer, inner) in zip(IRISES, CORNERS, strict=True):
        width = np.linalg.norm(points[inner] - points[outer])
        places.append((points[iris] - (points[inner] + points[outer]) / 2) / width)
    return np.mean(places, axis=0)


def test_the_irises_move_with_the_gaze(model: MorphableModel, picture: np.ndarray) -> None:
    portrait = open_portrait(np.asarray(Image.fromarray(picture[40:168, 50:178]).resize((512, 512))), model)
    straight, right, left, up = (
        looks(redirect_gaze(portrait, *gaze).image) for gaze in ((0, 0), (20, 0), (-20, 0), (0, 12))
    )
    # An iris is about 0.42 eye widths wide, so 20 degrees move it by 0.42 / 2 * 2.05 * sin(20) = 0.15.
    assert 0.05 < right[0] - straight[0] < 0.2
    assert -0.2 < left[0] - straight[0] < -0.05
    assert up[1] < straight[1] - 0.01


def test_a_gaze_changes_nothing_but_the_eyes(full: Portrait) -> None:
    assert redirect_gaze(full, 0.0, 0.0).image is full.image
    turned = redirect_gaze(full, 15.0, 5.0)
    changed = np.argwhere((turned.image != full.image).any(axis=-1))[:, ::-1]
    assert len(changed) > 30
    eyes = full.points[list(OUTLINE), :2]
    assert (changed >= eyes.min(axis=0) - 4).all()
    assert (changed <= eyes.max(axis=0) + 4).all()


def test_the_background_is_replaced_and_the_person_is_not(full: Portrait) -> None:
    green = change_background(full, "#20c060")
    face = full.points[[1, 9, 50, 152, 280], :2].round().astype(int)
    assert np.array_equal(green.image[face[:, 1], face[:, 0]], full.image[face[:, 1], face[:, 0]])
    for row, column in ((20, 400), (60, 330), (30, 130)):  # background pixels
        assert green.image[row, column].tolist() == [0x20, 0xC0, 0x60]
    blurred = change_background(full, "blur").image
    rocket = (slice(20, 120), slice(400, 500))
    assert blurred[rocket].std() < 0.9 * full.image[rocket].std()
    edges = [np.abs(np.diff(image[rocket].astype(float), axis=1)).mean() for image in (blurred, full.image)]
    assert edges[0] < 0.3 * edges[1]
    assert change_background(full, "keep") is full


def test_an_image_covers_the_background(full: Portrait, tmp_path: Path) -> None:
    stripes = np.zeros((80, 300, 3), np.uint8)
    stripes[:, :150] = (250, 0, 0)
    stripes[:, 150:] = (0, 0, 250)
    Image.fromarray(stripes).save(tmp_path / "stripes.png")
    laid = change_background(full, tmp_path / "stripes.png").image
    assert laid[10, 10].tolist() == [250, 0, 0]
    assert laid[10, -10].tolist() == [0, 0, 250]


def test_a_new_background_stays_while_the_head_moves(animator: Animator, sound: np.ndarray) -> None:
    portrait = animator.portrait(np.ascontiguousarray(astronaut()), Controls(background="#20c060"))
    motion = animator.motion(portrait, sound[:6400])
    turned = motion.coefficients.with_(rotation=motion.coefficients.rotation + np.float32([0, 0.15, 0]))
    frames = list(animator.render(portrait, turned))
    assert all(frame[20, 400].tolist() == [0x20, 0xC0, 0x60] for frame in frames)
    assert not np.array_equal(frames[0], portrait.image)


def test_bad_backgrounds_are_refused(animator: Animator, full: Portrait, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="background reddish: expected keep, blur"):
        animator.portrait("a.png", Controls(background="reddish"))
    monkeypatch.setattr("expnet.animate.controls.background.person_matte", lambda *given, **more: None)
    with pytest.raises(InputError, match="could not be separated"):
        change_background(full, "blur")


def test_size_and_crop(model: MorphableModel, full: Portrait) -> None:
    image = np.ascontiguousarray(astronaut()[:400])  # 400 x 512
    small = frame_portrait(image, model, view="full", size=256, max_side=1024)
    assert small.image.shape == (200, 256, 3)
    large = frame_portrait(image, model, view="full", size=1024, max_side=1024)
    assert large.image.shape == (800, 1024, 3)
    crop = frame_portrait(image, model, view="crop", size=None, max_side=1024)
    assert crop.image.shape[0] == crop.image.shape[1] < 300
    assert crop.image.shape[0] > 1.5 * np.ptp(crop.points[:, 1])
    assert frame_portrait(image, model, view="crop", size=320, max_side=1024).image.shape == (320, 320, 3)
    assert head_square(full.points, (512, 512))[2] % 2 == 0


def test_a_crop_keeps_the_resolution_of_a_large_picture(model: MorphableModel) -> None:
    large = np.asarray(Image.fromarray(astronaut()).resize((2048, 2048)))
    crop = frame_portrait(large, model, view="crop", size=None, max_side=1024)
    assert crop.image.shape[0] > 700  # it would be 250 pixels if it were cut from the full view


def test_frame_rate_size_and_audio_are_written(
    animator: Animator, picture: np.ndarray, sound: np.ndarray, tmp_path: Path
) -> None:
    path = animator.animate(picture, sound[:16000], tmp_path / "out.mp4", fps=30.0, size=128)
    info = probe_video(path)
    assert (info.frames, info.fps, info.size, info.has_audio) == (30, 30.0, (128, 128), True)
    assert info.duration == pytest.approx(1.0, abs=0.02)


def test_a_missing_speech_encoder_is_named_when_there_is_speech(
    picture: np.ndarray, sound: np.ndarray, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    packaged_expression._warn_once.cache_clear()
    packaged = Animator()  # no test finds a fetched encoder
    packaged.idle(picture, 0.2, tmp_path / "idle.mp4", Controls(size=128))
    assert not [record for record in caplog.records if "speech encoder" in record.getMessage()]
    for _ in range(2):
        packaged.motion(packaged.portrait(picture), sound[:6400])
    assert len([record for record in caplog.records if "speech encoder whisper-tiny.en" in record.getMessage()]) == 1


def test_idle_videos_have_no_audio(animator: Animator, picture: np.ndarray, tmp_path: Path) -> None:
    path = animator.idle(picture, 1.2, tmp_path / "idle.mp4", Controls(size=128))
    info = probe_video(path)
    assert (info.frames, info.has_audio) == (30, False)
    for seconds in (0.0, 4000.0, float("nan")):
        with pytest.raises(InputError, match="idle"):
            animator.idle(picture, seconds, tmp_path / "other.mp4")
