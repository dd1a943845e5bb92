"""Motion that is sampled: what the seed decides, and what controls and other networks replace."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut

from expnet.animate.animator import Animator
from expnet.animate.batch import animate_batch
from expnet.animate.controls.apply_controls import Motion
from expnet.animate.controls.blinks import LiveBlinks, clear_blinks
from expnet.animate.controls.calm import calm_lids, calm_lips
from expnet.animate.controls.controls import Controls
from expnet.animate.controls.motion_scale import close_lips, identity_of
from expnet.animate.seed_sheet import seed_sheet
from expnet.audio.pauses import pauses
from expnet.audio.wave import write_wav
from expnet.cli import main
from expnet.errors import InputError
from expnet.face.facial_features import feature_space
from expnet.media.video_reader import probe_video
from expnet.models.expression_regressor import ExpressionRegressor
from expnet.models.flow_matching.motion_flow import MotionFlow
from expnet.models.pose_cvae import PoseCVAE
from expnet.models.saved_model import save_model
from expnet.render.portrait import Portrait

pytestmark = pytest.mark.usefixtures("face_tracker")

SPEECH = (0.1 * np.random.default_rng(0).standard_normal(32_000)).astype(np.float32)  # 2 s


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small untrained networks that move; the motion network listens through the mel."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    motion = MotionFlow(width=16, layers=1, heads=2, audio_channels=8)
    torch.nn.init.normal_(motion.head.weight, std=0.1)
    motion.lid_mean.fill_(0.3)
    motion.lid_std.fill_(0.2)
    expression = ExpressionRegressor(width=16, layers=1, heads=2)
    torch.nn.init.normal_(expression.head.weight, std=0.3)
    networks = {"motion": motion, "expression": expression, "pose": PoseCVAE(styles=3)}
    for name, network in networks.items():
        save_model(folder / f"{name}.safetensors", network)
    return {name: folder / f"{name}.safetensors" for name in networks}


@pytest.fixture(scope="module")
def animator(weights: dict[str, Path]) -> Animator:
    return Animator(motion=weights["motion"])


@pytest.fixture(scope="module")
def portrait(animator: Animator) -> Portrait:
    return animator.portrait(np.ascontiguousarray(astronaut()[:256, 90:346]))


def differences(one: Motion, other: Motion) -> tuple[float, float, float]:
    """Return the largest difference of expression, pose and blinks."""
    a, b = one.coefficients, other.coefficients
    pairs = ((a.expression, b.expression), (a.pose, b.pose), (one.blink, other.blink))
    return tuple(float(np.abs(x - y).max()) for x, y in pairs)  # type: ignore[return-value]


def test_the_seed_draws_face_head_and_lids(animator: Animator, portrait: Portrait) -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = animator.motion(portrait, SPEECH, controls=Controls(seed=1))
        torch.set_num_threads(2)
        again = animator.motion(portrait, SPEECH, controls=Controls(seed=1))
    finally:
        torch.set_num_threads(threads)
    assert differences(one, again) == (0, 0, 0)
    other = animator.motion(portrait, SPEECH, controls=Controls(seed=2))
    assert min(differences(one, other)) > 0
    assert np.allclose(one.coefficients.expression[0], portrait.fit.expression[0], atol=1e-6)


def test_a_sampled_motion_is_not_amplified_unless_asked(
    animator: Animator, portrait: Portrait, weights: dict[str, Path]
) -> None:
    usual = animator.motion(portrait, SPEECH)
    assert differences(usual, animator.motion(portrait, SPEECH, controls=Controls(expression_scale=1.0))) == (0, 0, 0)
    more = animator.motion(portrait, SPEECH, controls=Controls(expression_scale=1.5))
    assert more.coefficients.expression.std(0).sum() > 1.2 * usual.coefficients.expression.std(0).sum()
    regressed = Animator(expression=weights["expression"], pose=weights["pose"])
    assert regressed.default_motion == "regressed"
    as_before = regressed.motion(portrait, SPEECH, controls=Controls(expression_scale=1.5))
    assert differences(regressed.motion(portrait, SPEECH), as_before) == (0, 0, 0)


def test_what_is_given_replaces_its_part_of_the_sample(
    animator: Animator, portrait: Portrait, weights: dict[str, Path]
) -> None:
    sampled = animator.motion(portrait, SPEECH)
    regressed = Animator(expression=weights["expression"], pose=weights["pose"]).motion(
        portrait, SPEECH, controls=Controls(blink="none")
    )
    head = Animator(motion=weights["motion"], pose=weights["pose"]).motion(portrait, SPEECH)
    assert differences(head, sampled)[0] == differences(head, sampled)[2] == 0
    assert differences(head, regressed)[1] == 0
    face = Animator(motion=weights["motion"], expression=weights["expression"]).motion(portrait, SPEECH)
    assert differences(face, sampled)[1:] == (0, 0)
    assert differences(face, regressed)[0] == 0

    staring = animator.motion(portrait, SPEECH, controls=Controls(blink="none"))
    assert not staring.blink.any()
    assert differences(staring, sampled)[1] == 0
    space, identity = feature_space(animator.face_model), identity_of(portrait.fit)

    def features(motion: Motion) -> dict[str, np.ndarray]:
        return space.measured(identity, motion.coefficients.expression.astype(np.float64))

    held, free = features(staring), features(sampled)
    assert np.ptp(held["lids_apart"]) < 1e-5 < np.ptp(free["lids_apart"])
    assert np.allclose(held["lip_gap"], free["lip_gap"], atol=1e-5)
    still = animator.motion(portrait, SPEECH, controls=Controls(still=True))
    assert np.abs(still.coefficients.relative_pose()).max() < 1e-6


def test_a_control_chooses_for_one_video(weights: dict[str, Path], portrait: Portrait) -> None:
    animator = Animator(**weights)
    assert animator.default_motion == "sampled"
    animator = Animator(motion="regressed", expression=weights["expression"], pose=weights["pose"])
    with pytest.raises(InputError, match="expnet assets fetch whisper-tiny"):
        animator.motion(portrait, SPEECH, controls=Controls(motion="sampled"))
    with pytest.raises(InputError, match="motion moving: expected one of regressed, sampled"):
        Controls(motion="moving")  # type: ignore[arg-type]


def test_a_style_by_number_is_that_of_the_head_pose_network(
    weights: dict[str, Path], portrait: Portrait, monkeypatch: pytest.MonkeyPatch
) -> None:
    animator = Animator(motion=weights["motion"])
    networks = animator._source.networks
    pose = PoseCVAE(styles=3)
    pose.styles.bank[2], pose.styles.windows[2] = 0.5, 1
    pose.pose_std.fill_(2.0)
    monkeypatch.setitem(networks.__dict__, "pose", pose)
    assert torch.allclose(networks.sampled_style(2), torch.ones(1, 12))  # motion is measured in units half as large
    assert networks.sampled_style(0).tolist() == [0]
    with pytest.raises(InputError, match="pose_style 3 does not exist"):
        animator.motion(portrait, SPEECH, controls=Controls(pose_style=3))


def test_live_speech_is_sampled(animator: Animator, weights: dict[str, Path]) -> None:
    picture = np.ascontiguousarray(astronaut()[:256, 90:346])
    frames = list(animator.stream(picture, np.split(SPEECH[:9600], 4), lookahead=0.2, seed=1, size=128))
    assert len(frames) == 15
    assert max(np.abs(frame.astype(int) - frames[0]).max() for frame in frames) > 30
    with pytest.raises(InputError, match="looks 0 to 50 frames ahead, not 75"):
        animator.stream(picture, [SPEECH], lookahead=3.0)
    with pytest.raises(InputError, match=r"fps 50\.0: not available for live speech"):
        animator.stream(picture, [SPEECH], fps=50.0)
    mixed = Animator(motion=weights["motion"], pose=weights["pose"])
    with pytest.raises(InputError, match="leave expression and pose out"):
        mixed.check_live(Controls())
    regressed = Animator(expression="streaming")
    with pytest.raises(InputError, match="leave lookahead out"):
        regressed.stream(picture, [SPEECH], lookahead=0.2)


def test_lips_rest_in_pauses(animator: Animator, portrait: Portrait) -> None:
    space, identity = feature_space(animator.face_model), identity_of(portrait.fit)
    trembling = 0.3 * np.random.default_rng(1).standard_normal((80, 64))
    resting = np.zeros(80, bool)
    resting[20:60] = True
    rest = np.full(64, 0.1)
    calm = calm_lips(space, identity, trembling, rest, resting)
    assert np.array_equal(calm[~resting], trembling[~resting])
    before, after = (space.measured(identity, x) for x in (trembling, calm))
    inside = slice(25, 55)
    for name, share in (("lip_gap", 0.2), ("chin", 0.2)):
        assert np.abs(np.diff(after[name][inside])).mean() < share * np.abs(np.diff(before[name][inside])).mean()
    assert np.allclose(after["lip_gap"][28:52], space.measured(identity, rest[None])["lip_gap"])
    assert np.allclose(after["inner_brows"], before["inner_brows"])
    assert calm_lips(space, identity, trembling, rest, np.zeros(80, bool)) is trembling
    hushed = SPEECH.copy()
    hushed[12_800:] = 0  # from frame 20 on
    assert np.flatnonzero(pauses(hushed, 52)).tolist() == list(range(23, 52))


def test_regressed_lips_rest_in_pauses_and_speak_as_before(
    weights: dict[str, Path], portrait: Portrait, monkeypatch: pytest.MonkeyPatch
) -> None:
    animator = Animator(expression=weights["expression"], pose=weights["pose"])
    space, identity = feature_space(animator.face_model), identity_of(portrait.fit)
    hushed = SPEECH.copy()
    hushed[12_800:28_800] = 0  # frames 20 to 44
    resting = pauses(hushed, 50)
    assert np.flatnonzero(resting).tolist() == list(range(23, 42))

    def features() -> dict[str, np.ndarray]:
        expression = animator.motion(portrait, hushed).coefficients.expression
        return space.measured(identity, expression.astype(np.float64))

    calm = features()
    closed = space.measured(identity, close_lips(animator.face_model, portrait.fit).astype(np.float64))
    assert np.allclose(calm["lip_gap"][31:34], closed["lip_gap"], atol=1e-5)
    monkeypatch.setattr("expnet.animate.motion_source.pauses", lambda samples, frames: np.zeros(frames, bool))
    spoken = features()
    assert np.abs(spoken["lip_gap"][31:34] - closed["lip_gap"]).min() > 0.01  # this network does not close them
    for name in ("lip_gap", "chin", "corners_up"):
        assert np.allclose(calm[name][~resting], spoken[name][~resting], atol=1e-6)
    assert np.allclose(calm["corners_up"], spoken["corners_up"], atol=1e-5)


def test_lids_shut_where_the_sample_blinks() -> None:
    closure = np.full(60, 0.1, np.float32)
    closure[20:22] = 0.5  # half closed for a moment
    closure[40:50] = 0.9  # a glance down
    closure[30] = 0.4  # noise
    blinks = clear_blinks(closure)
    assert blinks[20] == blinks[21] == 1
    assert not blinks[:17].any()
    assert not blinks[30:37].any()
    assert (blinks[40:43] == 1).all()
    assert 0 < blinks[45] < 1
    assert not blinks[50:].any()
    assert not clear_blinks(np.full(10, 0.2)).any()


def test_blinks_do_not_follow_at_once() -> None:
    """The second one comes 0.4 s after the first, and is left out; the third one comes 0.64 s after it."""
    closure = np.full(60, 0.1, np.float32)
    closure[[20, 30, 36]] = 0.9
    alone = np.full(60, 0.1, np.float32)
    alone[[20, 36]] = 0.9
    assert np.array_equal(clear_blinks(closure), clear_blinks(alone))
    live = LiveBlinks()
    assert np.array_equal(live(closure), LiveBlinks()(alone))
    assert np.flatnonzero(clear_blinks(alone) == 1).tolist() == [20, 36]


def test_lids_do_not_tremble_between_blinks(animator: Animator, portrait: Portrait) -> None:
    space, identity = feature_space(animator.face_model), identity_of(portrait.fit)
    trembling = 0.3 * np.random.default_rng(1).standard_normal((80, 64))
    before, after = (space.measured(identity, x) for x in (trembling, calm_lids(space, identity, trembling)))
    assert np.abs(np.diff(after["lids_apart"])).mean() < 0.1 * np.abs(np.diff(before["lids_apart"])).mean()
    assert np.allclose(after["lip_gap"], before["lip_gap"])


def test_seeds_side_by_side(animator: Animator, tmp_path: Path) -> None:
    picture = np.ascontiguousarray(astronaut()[:256, 90:346])
    speech = SPEECH[:6400]
    path = seed_sheet(animator, picture, speech, tmp_path / "seeds.mp4", Controls(size=128), seeds=5)
    info = probe_video(path)
    assert (info.size, info.frames, info.has_audio) == ((256, 512), 10, True)
    with pytest.raises(InputError, match="seeds 1: expected a whole number from 2 to 16"):
        seed_sheet(animator, picture, speech, path, seeds=1)


def test_a_batch_and_the_command(
    animator: Animator, weights: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(astronaut()[:256, 90:346]).save(tmp_path / "face.png")
    write_wav(tmp_path / "speech.wav", SPEECH[:6400])
    (tmp_path / "rows.csv").write_text("image,audio,motion,seed\nface.png,speech.wav,sampled,1\n")
    assert animate_batch(lambda: animator, tmp_path / "rows.csv", tmp_path / "out")[0].status == "done"
    shared = [
        "animate",
        "--image",
        str(tmp_path / "face.png"),
        "--audio",
        str(tmp_path / "speech.wav"),
        "--size",
        "128",
    ]
    shared += ["--output", str(tmp_path / "out.mp4")]
    assert main([*shared, "--motion", str(weights["motion"]), "--seeds", "2"]) == 0
    assert probe_video(tmp_path / "out.mp4").size == (128, 256)
    (tmp_path / "out.mp4").unlink()
    capsys.readouterr()
    assert main([*shared, "--motion", "sampled"]) == 2  # no test finds a fetched encoder
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "The motion network was trained on" in said
    assert "'expnet assets fetch whisper-tiny.en'" in said
    assert main([*shared, "--motion", "sampled", "--seeds", "2", "--export", str(tmp_path / "a.npz")]) == 2
    assert not (tmp_path / "out.mp4").exists()
