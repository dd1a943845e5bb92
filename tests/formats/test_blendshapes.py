"""ARKit weights: what each shape responds to, its limits, its mirror image; the CSV as pandas reads it."""

import json
from pathlib import Path

import numpy as np
import pandas
import pytest

from expnet.face.measures import expression_for
from expnet.formats.arkit import HEADER, timecode, write_arkit
from expnet.formats.blendshapes import BLENDSHAPES, MEASURES, UNSEEN, blendshape_weights, landmark_weights

ICT = Path(__file__).parents[3] / "shared" / "assets" / "ict"

# The columns of a take recorded with Live Link Face.
LIVE_LINK_HEADER = (
    "Timecode,BlendShapeCount,EyeBlinkLeft,EyeLookDownLeft,EyeLookInLeft,EyeLookOutLeft,EyeLookUpLeft,EyeSquintLeft,"
    "EyeWideLeft,EyeBlinkRight,EyeLookDownRight,EyeLookInRight,EyeLookOutRight,EyeLookUpRight,EyeSquintRight,"
    "EyeWideRight,JawForward,JawRight,JawLeft,JawOpen,MouthClose,MouthFunnel,MouthPucker,MouthRight,MouthLeft,"
    "MouthSmileLeft,MouthSmileRight,MouthFrownLeft,MouthFrownRight,MouthDimpleLeft,MouthDimpleRight,MouthStretchLeft,"
    "MouthStretchRight,MouthRollLower,MouthRollUpper,MouthShrugLower,MouthShrugUpper,MouthPressLeft,MouthPressRight,"
    "MouthLowerDownLeft,MouthLowerDownRight,MouthUpperUpLeft,MouthUpperUpRight,BrowDownLeft,BrowDownRight,BrowInnerUp,"
    "BrowOuterUpLeft,BrowOuterUpRight,CheekPuff,CheekSquintLeft,CheekSquintRight,NoseSneerLeft,NoseSneerRight,"
    "TongueOut,HeadYaw,HeadPitch,HeadRoll,LeftEyeYaw,LeftEyePitch,LeftEyeRoll,RightEyeYaw,RightEyePitch,RightEyeRoll"
)


def weights_of(model, rest="mean face", **measures):
    expression = expression_for(model, measures)[None].numpy()
    return dict(zip(BLENDSHAPES, blendshape_weights(model, expression, rest=rest)[0], strict=True))


@pytest.mark.parametrize(
    ("measures", "shown", "hidden"),
    [
        ({"jaw_drop": 0.3, "mouth_opening": 0.25}, "JawOpen", ("MouthPucker", "MouthShrugLower", "EyeBlink", "Brow")),
        ({"left_eye_opening": -0.2, "right_eye_opening": -0.2}, "EyeBlink", ("EyeWide", "Jaw", "MouthFrown")),
        ({"brow_raise": 0.1}, "BrowOuterUp", ("BrowDown", "Jaw", "MouthSmile", "MouthFrown")),
        ({"brow_raise": -0.08}, "BrowDown", ("BrowInnerUp", "BrowOuterUp", "Jaw")),
        ({"mouth_corner_raise": 0.1, "mouth_width": 0.08}, "MouthSmile", ("MouthFrown", "MouthPucker", "Brow")),
        ({"mouth_width": -0.12, "lip_protrusion": 0.08}, "MouthPucker", ("MouthSmile", "MouthStretch", "EyeBlink")),
    ],
)
def test_each_measure_raises_the_shape_of_its_name(model, measures, shown, hidden):
    weights = weights_of(model, **measures)
    assert min(weight for name, weight in weights.items() if name.startswith(shown)) > 0.25
    assert max(weight for name, weight in weights.items() if name.startswith(hidden)) < 0.15


def test_one_closed_eye_leaves_the_other_open(model):
    weights = weights_of(model, left_eye_opening=-0.2, right_eye_opening=0.0)
    assert weights["EyeBlinkLeft"] > 0.5
    assert weights["EyeBlinkRight"] < 0.15


def test_right_is_the_mirror_image_of_left(model):
    """The mirrored table on mirrored landmarks: every shape keeps its weight under the name of the other side."""
    table = landmark_weights(model)
    mirror = np.array([*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1)])
    mirror = np.concatenate([mirror, [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]])
    mirror = np.concatenate([mirror, [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]])
    for index, name in enumerate(BLENDSHAPES):
        other = name.replace("Left", "?").replace("Right", "Left").replace("?", "Right")
        expected = table[BLENDSHAPES.index(other)][mirror] * [-1, 1, 1]
        np.testing.assert_allclose(table[index], expected, atol=1e-9, err_msg=name)


def test_weights_stay_in_range_and_undetermined_shapes_are_zero(model):
    wild = np.random.default_rng(0).normal(0, 4, (50, 64))
    weights = blendshape_weights(model, wild)
    assert weights.min() == 0.0
    assert weights.max() == 1.0
    assert not weights[:, [BLENDSHAPES.index(name) for name in UNSEEN]].any()
    assert len(MEASURES) + len(UNSEEN) == len(BLENDSHAPES) == 52


def test_a_motionless_face_has_zero_weights_whatever_its_shape(model):
    still = np.repeat(np.random.default_rng(1).normal(size=(1, 64)), 30, axis=0)
    np.testing.assert_allclose(blendshape_weights(model, still), 0.0, atol=1e-6)
    assert blendshape_weights(model, still, rest="mean face").any()


def test_blinks_of_the_renderer_close_the_eyes(model):
    blink = np.array([0.0, 0.5, 1.0], np.float32)
    weights = blendshape_weights(model, np.zeros((3, 64)), blink=blink)
    np.testing.assert_allclose(weights[:, BLENDSHAPES.index("EyeBlinkLeft")], blink, atol=1e-6)
    np.testing.assert_allclose(weights[:, BLENDSHAPES.index("EyeBlinkRight")], blink, atol=1e-6)


def test_the_csv_is_a_take_of_live_link_face(tmp_path, model, make_clip):
    clip = make_clip()
    write_arkit(tmp_path / "take.csv", clip, model)
    table = pandas.read_csv(tmp_path / "take.csv")
    assert ",".join(table.columns) == LIVE_LINK_HEADER == ",".join(HEADER)
    assert (table["BlendShapeCount"] == 61).all()
    expected = blendshape_weights(model, clip.coefficients.expression, blink=clip.blink)
    np.testing.assert_allclose(table[list(BLENDSHAPES)], expected, atol=1e-7)
    assert table[list(BLENDSHAPES)].to_numpy().min() >= 0.0
    assert table[list(BLENDSHAPES)].to_numpy().max() <= 1.0
    np.testing.assert_allclose(table[["HeadPitch", "HeadYaw", "HeadRoll"]], clip.coefficients.rotation, atol=1e-7)
    assert table["Timecode"].iloc[[0, 24, 25, 59]].tolist() == [
        "00:00:00:00.000",
        "00:00:00:24.000",
        "00:00:01:00.000",
        "00:00:02:09.000",
    ]


@pytest.mark.parametrize("fps", [24.0, 25.0, 30.0, 60.0, 30000 / 1001])
def test_a_timecode_tells_the_time_of_its_frame(fps):
    for index in (0, 1, 29, 30, 1799, 108000):
        hours, minutes, seconds, frame = timecode(index, fps).split(":")
        second = int(hours) * 3600 + int(minutes) * 60 + int(seconds) + float(frame) / fps
        assert second == pytest.approx(index / fps, abs=0.001 / fps + 1e-6)
        assert 0 <= float(frame) <= fps


@pytest.mark.skipif(not (ICT / "ict_expr_deltas.npz").is_file(), reason="no ../shared/assets/ict beside the checkout")
def test_the_shapes_of_an_artists_rig_are_recognised(model):
    """Full shapes of ICT-FaceKit, an independent ARKit rig: each raises the weight of the same name."""
    with np.load(ICT / "ict_expr_deltas.npz") as rig:
        names, deltas, neutral = [str(name) for name in rig["names"]], rig["deltas"], rig["neutral"]
    landmarks = json.loads((ICT / "vertex_indices.json").read_text())["idx_to_landmark_verts"]
    ours = model.mean.numpy()[model.landmark_indices.numpy()]
    unit = np.linalg.norm(ours[45] - ours[36]) / np.linalg.norm(neutral[landmarks[45]] - neutral[landmarks[36]])
    answers = {}
    for name, delta in zip(names, deltas, strict=True):
        known = (name[0].upper() + name[1:]).replace("_L", "Left").replace("_R", "Right")
        if known in MEASURES:
            amounts = np.einsum("klc,lc->k", landmark_weights(model), delta[landmarks] * unit)
            answers[known] = amounts[BLENDSHAPES.index(known)]
    values = np.array(list(answers.values()))
    assert len(answers) > 30
    assert values.min() > 0.1
    assert (values > 0.4).mean() > 0.8
    assert 0.6 < np.median(values) < 1.4
