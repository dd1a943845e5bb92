"""From a portrait and speech to a video: the output, its reproducibility, and the errors for bad inputs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut

from expnet.animate.animator import Animator
from expnet.animate.controls.blinks import blink_track
from expnet.animate.controls.controls import Controls
from expnet.animate.controls.motion_scale import close_lips
from expnet.errors import InputError, MissingAssetError
from expnet.face import mediapipe_backend
from expnet.face.facial_features import feature_space
from expnet.media.image_reader import load_image
from expnet.media.video_reader import PROVENANCE, probe_video, read_video, write_video
from expnet.models.expression_regressor import ExpressionRegressor
from expnet.models.pose_cvae import PoseCVAE
from expnet.models.refiner import Refiner
from expnet.models.saved_model import save_model
from expnet.render.lip_calibration import LipCalibration

pytestmark = pytest.mark.usefixtures("face_tracker")


def speech(seconds: float, *, seed: int = 0) -> np.ndarray:
    """Return noise (S,) at 16 kHz that swells four times a second."""
    time = np.arange(int(seconds * 16000)) / 16000
    noise = np.random.default_rng(seed).normal(0, 0.1, len(time))
    return (noise * np.sin(np.pi * 4 * time) ** 2).astype(np.float32)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small untrained networks whose output still moves."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    expression = ExpressionRegressor(width=16, layers=1, heads=2)
    torch.nn.init.normal_(expression.head.weight, std=0.3)
    pose = PoseCVAE()
    save_model(folder / "expression.safetensors", expression)
    save_model(folder / "pose.safetensors", pose)
    return {"expression": folder / "expression.safetensors", "pose": folder / "pose.safetensors"}


@pytest.fixture(scope="module")
def animator(weights: dict[str, Path]) -> Animator:
    return Animator(**weights)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.ascontiguousarray(astronaut()[:256, 90:346])


def test_a_video_with_audio_is_written(animator: Animator, picture: np.ndarray, tmp_path: Path) -> None:
    path = animator.animate(picture, speech(1.3), tmp_path / "out.mp4")
    info = probe_video(path)
    assert (info.frames, info.fps, info.size, info.has_audio) == (33, 25.0, (256, 256), True)
    first = next(read_video(path)).astype(float)
    assert 10 * np.log10(255**2 / ((first - picture) ** 2).mean()) > 33  # limited by the codec
    with av.open(str(path)) as container:
        assert container.metadata["comment"] == PROVENANCE
        samples = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    assert np.corrcoef(samples[: int(1.3 * 16000)], speech(1.3))[0, 1] > 0.9
    assert [item.name for item in tmp_path.iterdir()] == ["out.mp4"]


def test_inputs_may_be_files(animator: Animator, picture: np.ndarray, tmp_path: Path) -> None:
    from expnet.audio.wave import write_wav

    Image.fromarray(picture).save(tmp_path / "face.jpg", quality=95)
    write_wav(tmp_path / "speech.wav", speech(0.5))
    path = animator.animate(tmp_path / "face.jpg", tmp_path / "speech.wav", tmp_path / "out.mp4")
    assert probe_video(path).frames == 13


def test_a_seed_repeats_and_another_does_not(animator: Animator, picture: np.ndarray) -> None:
    one, again, other = (animator.coefficients(picture, speech(4.0), seed=seed) for seed in (1, 1, 2))
    assert one.equals(again)
    assert not one.equals(other)
    frames = [np.stack(list(animator.frames(picture, speech(0.4), seed=1))) for _ in "ab"]
    assert np.array_equal(frames[0], frames[1])


def test_motion_starts_at_the_portrait(animator: Animator, picture: np.ndarray) -> None:
    coefficients = animator.coefficients(picture, speech(1.0))
    fit = animator.portrait(picture).fit
    assert np.array_equal(coefficients.expression[0], fit.expression[0])
    assert np.allclose(coefficients.pose[0], fit.pose[0])
    assert np.array_equal(next(animator.frames(picture, speech(1.0))), picture)


def test_lips_are_drawn_by_the_calibration_of_the_portrait(animator: Animator, picture: np.ndarray) -> None:
    portrait = animator.portrait(picture)
    assert isinstance(portrait.lips, LipCalibration)
    motion = animator.motion(portrait, speech(0.4))
    calibrated, plain = (
        list(animator.render(face, motion.coefficients, blink=motion.blink))
        for face in (portrait, replace(portrait, lips=None))
    )
    assert np.array_equal(calibrated[0], plain[0])  # the portrait itself
    assert not all(map(np.array_equal, calibrated, plain))


def test_lips_that_are_open_in_the_portrait_do_not_stay_open(animator: Animator, picture: np.ndarray) -> None:
    """This portrait laughs: after the transition it moves as if its lips had been closed, but still smiles."""
    laughing, samples = animator.portrait(picture), speech(1.0)
    shut = replace(laughing, fit=laughing.fit.with_(expression=close_lips(animator.face_model, laughing.fit)))
    gap, corners = (
        feature_space(animator.face_model).measured(
            laughing.fit.identity, np.concatenate([laughing.fit.expression, shut.fit.expression])
        )[name]
        for name in ("lip_gap", "corners_up")
    )
    assert gap[0] > 0.03
    assert gap[1] < 0.01
    assert np.ptp(corners) < 1e-6
    own, other = (animator.motion(face, samples).coefficients.expression for face in (laughing, shut))
    assert not np.allclose(own[0], other[0], atol=0.1)
    assert np.allclose(own[6:], other[6:], atol=1e-4)


def test_scales_multiply_the_motion_about_its_average(animator: Animator, picture: np.ndarray) -> None:
    portrait, samples = animator.portrait(picture), speech(1.0)
    still, half, full, twice = (
        animator.motion(
            portrait, samples, controls=Controls(expression_scale=scale, blink="none")
        ).coefficients.expression
        for scale in (0.0, 0.5, 1.0, 2.0)
    )
    assert np.ptp(still[10:], axis=0).max() < 1e-5  # after the transition, the average is held
    assert np.ptp(full[10:], axis=0).max() > 1e-2
    assert np.allclose(half - still, 0.5 * (full - still), atol=1e-5)
    assert np.allclose(twice - still, 2.0 * (full - still), atol=1e-5)
    motion = animator.motion(portrait, samples, controls=Controls(head_scale=0.0, blink="none"))
    assert np.ptp(motion.coefficients.pose, axis=0).max() == 0.0
    assert motion.blink.max() == 0.0
    assert motion.coefficients.frames == 25


def test_frames_are_rendered_one_at_a_time(
    animator: Animator, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a minute of speech and a prepared portrait, the first frame is available after a single one was rendered."""
    from expnet.render.mesh_renderer import MeshRenderer

    monkeypatch.setattr("expnet.render.open_renderer.calibrate_lips", lambda *given, **chosen: None)
    drawn = []
    warp: Callable = MeshRenderer._warp
    monkeypatch.setattr(MeshRenderer, "_warp", lambda self, *given: drawn.append(1) or warp(self, *given))
    next(animator.frames(picture, speech(60.0)))
    assert len(drawn) == 1


def test_bad_outputs_are_refused_before_any_work(
    animator: Animator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("expnet.animate.animator.load_speech", lambda path: pytest.fail("work was done"))
    for output in (tmp_path / "missing" / "out.mp4", Path("/proc/out.mp4"), tmp_path / "out.doc"):
        with pytest.raises(InputError, match="out"):
            animator.animate("face.png", "speech.wav", output)
    assert not list(tmp_path.iterdir())


def test_bad_audio_is_refused(animator: Animator, picture: np.ndarray, tmp_path: Path) -> None:
    bad = {
        "is silent": np.zeros(16000, np.float32),
        "at least 0.2 s": speech(0.1),
        "finite": np.full(16000, np.nan, np.float32),
        "mono": np.zeros((16000, 2), np.float32),
    }
    for message, samples in bad.items():
        with pytest.raises(InputError, match=message):
            animator.animate(picture, samples, tmp_path / "out.mp4")
    assert not list(tmp_path.iterdir())


def test_bad_images_are_refused(animator: Animator, picture: np.ndarray, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "text.png").write_text("not a picture")
    Image.fromarray(picture).resize((16, 16)).save(folder / "tiny.png")
    Image.fromarray(np.full((256, 256, 3), 128, np.uint8)).save(folder / "nobody.png")
    Image.fromarray(np.concatenate([picture, picture], axis=1)).save(folder / "twins.png")
    Image.fromarray(picture).save(folder / "whole.png")
    (folder / "cut.png").write_bytes((folder / "whole.png").read_bytes()[:20000])
    (folder / "whole.png").unlink()
    for file in sorted(folder.iterdir()):
        with pytest.raises(InputError, match=file.name):
            animator.animate(file, speech(0.5), tmp_path / "out.mp4")
    with pytest.raises(InputError, match=r"absent\.png"):
        animator.animate(folder / "absent.png", speech(0.5), tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


def test_weights_of_the_wrong_task_are_refused(weights: dict[str, Path]) -> None:
    with pytest.raises(InputError, match="pose"):
        Animator(expression=weights["pose"], pose=weights["pose"])
    with pytest.raises(InputError, match="refiner"):
        Animator(refiner=weights["pose"])


def test_a_refiner_changes_frames_and_leaves_the_background_out(
    animator: Animator, weights: dict[str, Path], picture: np.ndarray, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    network = Refiner(kinds=["mouth"], size=32, width=4, light=1.0)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    refined = Animator(**weights, refiner=save_model(tmp_path / "refiner.safetensors", network))
    sound = speech(0.4)
    plain, changed = (list(one.frames(picture, sound)) for one in (animator, refined))
    assert np.array_equal(plain[0], changed[0])  # the portrait itself
    assert not np.array_equal(plain[-1], changed[-1])
    assert all(map(np.array_equal, changed, refined.frames(picture, sound)))
    folders = [one.animate(picture, sound, tmp_path / name) for name, one in (("a", animator), ("b", refined))]
    opacity = [np.asarray(Image.open(folder / "frame_000009.png"))[..., 3].astype(int) for folder in folders]
    # The refiner changes both backgrounds equally, so it cannot make the person transparent.
    assert np.abs(opacity[0] - opacity[1])[:150].max() <= 2


TASK_FILE = Path(__file__).parents[2].parent / "shared" / "assets" / "face_landmarker_v2_with_blendshapes.task"


@pytest.mark.skipif(not TASK_FILE.is_file(), reason="the Face Landmarker .task file is not here")
def test_another_tracker_looks_at_portraits_styles_and_clips(
    animator: Animator,
    weights: dict[str, Path],
    picture: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("mediapipe", reason="only mediapipe runs .task files")
    write_video(tmp_path / "clip.mp4", [picture] * 26, fps=25)
    bundled = animator.portrait(picture)
    monkeypatch.setattr(mediapipe_backend, "import_solutions", lambda: pytest.fail("mediapipe bundles no models"))
    other = Animator(**weights, tracker=TASK_FILE)
    assert np.abs(other.portrait(picture).points - bundled.points)[:, :2].mean() < 2
    assert other.head_style(tmp_path / "clip.mp4").shape == (1, 12)
    assert other.coefficients(picture, speech(0.4), reference_video=tmp_path / "clip.mp4").frames == 10
    with pytest.raises(InputError, match="not known"):
        Animator(**weights, tracker="dlib")


def test_missing_built_in_weights_say_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("expnet.models.packaged_weights.FOLDER", tmp_path)
    with pytest.raises(MissingAssetError, match="expnet train"):
        Animator()


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "I;16", "LA", "1"])
def test_every_image_mode_is_read(tmp_path: Path, mode: str, picture: np.ndarray) -> None:
    path = tmp_path / ("face.tiff" if mode in ("CMYK",) else "face.png")
    whole = Image.fromarray(picture)
    if mode == "I;16":
        Image.fromarray(np.asarray(whole.convert("L"), np.uint16) * 257).save(path)
    else:
        whole.convert(mode).save(path)
    image = load_image(path)
    assert image.shape == picture.shape
    assert image.dtype == np.uint8
    grey, wanted = image.astype(float).mean(axis=-1), picture.astype(float).mean(axis=-1)
    assert np.corrcoef(grey.ravel(), wanted.ravel())[0, 1] > (0.5 if mode == "1" else 0.97)


def test_exif_orientation_is_applied_and_transparency_is_white(tmp_path: Path) -> None:
    image = np.zeros((80, 120, 3), np.uint8)
    image[:40] = (200, 30, 30)
    exif = Image.Exif()
    exif[0x0112] = 6  # must be rotated clockwise to be upright
    Image.fromarray(image).save(tmp_path / "phone.png", exif=exif)
    upright = load_image(tmp_path / "phone.png")
    assert upright.shape == (120, 80, 3)
    assert upright[60, 70].tolist() == [200, 30, 30]
    clear = np.dstack([image, np.zeros((80, 120), np.uint8)])
    Image.fromarray(clear).save(tmp_path / "clear.png")
    assert (load_image(tmp_path / "clear.png") == 255).all()


def test_large_images_are_scaled_down(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((1500, 3000, 3), np.uint8)).save(tmp_path / "large.png")
    assert load_image(tmp_path / "large.png").shape == (512, 1024, 3)


def test_blinks_have_a_natural_rate() -> None:
    track = blink_track(25 * 600, seed=3)
    starts = ((track[1:] > 0.5) & (track[:-1] <= 0.5)).sum()
    assert 12 * 10 < starts < 22 * 10
    assert track.max() > 0.98
    assert track[:12].max() == 0.0
    assert np.array_equal(track[:2000], blink_track(2000, seed=3))
    assert not np.array_equal(track, blink_track(25 * 600, seed=4))
    assert blink_track(100, rate=0.0).max() == 0.0


def test_heavy_packages_are_not_imported() -> None:
    code = "import sys, expnet.animate.animator; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"pytorch_lightning", "lightning", "librosa", "wandb", "torchmetrics"} & set(done.stdout.split())


def test_a_head_style_by_number_or_from_a_clip(
    animator: Animator, picture: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="pose_style 7 does not exist: the network knows 0 to 0"):
        animator.head_style(7)
    with pytest.raises(InputError, match=r"missing\.mp4"):
        animator.head_style(tmp_path / "missing.mp4")
    turn = 8 * np.sin(np.arange(40) / 3)  # pixels to the side: the face sways in the image
    frames = [np.roll(picture, round(float(shift)), axis=1) for shift in turn]
    monkeypatch.setattr("expnet.animate.controls.reference_video.read_video", lambda path, max_side: iter(frames))
    swaying = animator.head_style("sway.mp4")
    monkeypatch.setattr(
        "expnet.animate.controls.reference_video.read_video", lambda path, max_side: iter([picture] * 40)
    )
    resting = animator.head_style("rest.mp4")
    assert swaying.shape == resting.shape == (1, 12)
    assert float(swaying[0, 9]) > 3 * float(resting[0, 9])  # sideways within 16 frames
