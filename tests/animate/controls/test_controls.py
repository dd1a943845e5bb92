"""Values that are allowed, and the errors for those that are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from expnet import cli
from expnet.animate.controls.controls import CONTROL_NAMES, Controls, parse_controls
from expnet.errors import InputError


@pytest.mark.parametrize(
    "bad",
    [
        {"seed": -1},
        {"expression_scale": 6.0},
        {"lip_scale": -0.1},
        {"head_scale": float("nan")},
        {"emotion": "bored"},
        {"level": 4},
        {"level": 0},
        {"view": "half"},
        {"reference_parts": ("nose",)},
        {"reference_parts": ()},
        {"blink": "often"},
        {"blink": 61.0},
        {"gaze": (31.0, 0.0)},
        {"gaze": (0.0, -21.0)},
        {"fps": 0.0},
        {"fps": 1000.0},
        {"size": 32},
        {"size": 4096},
    ],
)
def test_bad_values_are_named(bad: dict) -> None:
    with pytest.raises(InputError, match=next(iter(bad))) as error:
        Controls(**bad)
    assert str(error.value).count("\n") == 0


def test_two_sources_of_blinks_are_refused() -> None:
    with pytest.raises(InputError, match="exclude each other"):
        Controls(reference_video="clip.mp4", blink=20.0)
    Controls(reference_video="clip.mp4", reference_parts=("head",), blink=20.0)


def test_controls_are_read_from_text() -> None:
    read = parse_controls(
        {
            "pose-style": "3",
            "blink": "12.5",
            "gaze": "-10, 4",
            "still": "yes",
            "reference_parts": "head, expression",
            "fps": "30",
            "background": "white",
        }
    )
    assert read == {
        "pose_style": 3,
        "blink": 12.5,
        "gaze": (-10.0, 4.0),
        "still": True,
        "reference_parts": ("head", "expression"),
        "fps": 30.0,
        "background": "white",
    }
    assert parse_controls({"pose_style": "clip.mp4", "blink": "none"}) == {"pose_style": "clip.mp4", "blink": "none"}
    for bad in ({"colour": "red"}, {"still": "perhaps"}, {"gaze": "3"}, {"fps": "fast"}, {"blink": "often"}):
        with pytest.raises(InputError, match=next(iter(bad))):
            parse_controls(bad)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--emotion", "bored"], ["emotion bored", "happy"]),
        (["--level", "7"], ["level 7"]),
        (["--blink", "often"], ["blink often"]),
        (["--gaze", "-80", "0"], ["gaze", "-30"]),
        (["--fps", "900"], ["fps 900"]),
        (["--size", "10"], ["size 10"]),
        (["--head-scale", "50"], ["head_scale 50"]),
        (["--reference-parts", "nose"], ["reference_parts nose"]),
        (["--seed", "-3"], ["seed -3"]),
    ],
)
def test_the_command_line_reports_one_sentence(
    options: list[str], words: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code = cli.main(["animate", "--image", "a.png", "--audio", "b.wav", "--output", str(tmp_path / "c.mp4"), *options])
    said = capsys.readouterr().err
    assert code == 2
    assert said.startswith("expnet: ")
    assert said.count("\n") == 1
    assert all(word in said for word in words)


def test_sources_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    for given in ([], ["--audio", "a.wav", "--idle", "3"], ["--text", "a", "--batch", "b.csv"]):
        assert cli.main(["animate", "--image", "a.png", "--output", "c.mp4", *given]) == 2
        assert "one of them" in capsys.readouterr().err
    assert cli.main(["animate", "--output", "c.mp4", "--idle", "3"]) == 2
    assert "--image" in capsys.readouterr().err


def test_every_control_has_an_option_and_a_section() -> None:
    import argparse

    from expnet.cli.animate import add_animate_options

    parser = argparse.ArgumentParser()
    add_animate_options(parser)
    assert set(CONTROL_NAMES) <= {action.dest for action in parser._actions}
    page = (Path(__file__).parents[3] / "docs" / "guides" / "controls.md").read_text()
    for name in CONTROL_NAMES:
        assert f"`{name}`" in page or f"--{name.replace('_', '-')}" in page, name
