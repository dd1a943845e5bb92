"""The form has every control with the library's defaults, and accepts no path on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from expnet.animate.controls.controls import CONTROL_NAMES, Controls, parse_controls
from expnet.errors import InputError
from expnet.ui.form import FILE_CONTROLS, Field, form, read_form

STYLES = 4


def test_every_control_is_on_the_page_once() -> None:
    assert sorted(field.name for field in form(STYLES)) == sorted(CONTROL_NAMES)


def test_nothing_set_is_the_librarys_default() -> None:
    assert read_form({}, {}) == Controls()


@pytest.mark.parametrize(
    "field", [field for field in form(STYLES) if field.kind == "choice"], ids=lambda field: field.name
)
def test_the_first_choice_is_the_default_and_the_others_are_taken(field: Field) -> None:
    values = [value for value, _ in field.options]
    first = parse_controls({field.name: values[0]})[field.name] if values[0] else None
    assert first == field.default
    for value in values[1:]:
        assert read_form({field.name: value}, {}) != Controls()


@pytest.mark.parametrize(
    "field", [field for field in form(STYLES) if field.kind == "slider"], ids=lambda field: field.name
)
def test_both_ends_of_a_slider_are_taken(field: Field) -> None:
    for value in (field.low, field.high):
        assert getattr(read_form({field.name: f"{value:g}"}, {}), field.name) == value
    assert field.low <= field.default <= field.high
    steps = (field.default - field.low) / field.step
    assert steps == pytest.approx(round(steps)), "a browser would round a default between two steps"


def test_the_expression_slider_starts_where_the_motion_does() -> None:
    for motion, start in (("regressed", 1.5), ("sampled", 1.0)):
        fields = {field.name: field for field in form(STYLES, motion)}
        assert fields["expression_scale"].default == start
        assert fields["expression_scale"].starts == {"regressed": 1.5, "sampled": 1.0}
        assert fields["motion"].options[0] == ("", motion)
    assert read_form({"motion": "sampled", "seed": "3"}, {}) == Controls(motion="sampled", seed=3)


def test_the_ends_of_gaze_are_taken() -> None:
    field = next(field for field in form(STYLES) if field.name == "gaze")
    assert read_form({"gaze": f"{-field.high:g},{field.low:g}"}, {}).gaze == (-field.high, field.low)


@pytest.mark.parametrize("name", FILE_CONTROLS)
def test_a_file_comes_in_as_an_upload_only(name: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"of this machine")
    with pytest.raises(InputError, match="expected a file that you upload"):
        read_form({name: str(secret)}, {})
    assert getattr(read_form({}, {name: secret}), name) == secret


@pytest.mark.parametrize("text", ["keep", "blur", "#20C060"])
def test_a_background_that_is_no_file(text: str) -> None:
    assert read_form({"background": text}, {}).background == text


def test_unknown_controls_and_values_are_named() -> None:
    with pytest.raises(InputError, match="colour: there is no such control"):
        read_form({"colour": "red"}, {})
    with pytest.raises(InputError, match="head_scale 9"):
        read_form({"head_scale": "9"}, {})
