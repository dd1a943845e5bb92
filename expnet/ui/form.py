"""The form of the page: one field for each control, its default and limits those of the library."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from expnet.animate.controls.controls import GAZE_LIMITS, REFERENCE_PARTS, Controls, parse_controls
from expnet.errors import InputError
from expnet.face.emotions import EMOTIONS

Kind = Literal["slider", "switch", "choice", "number", "gaze", "background", "reference"]

FILE_CONTROLS = ("reference_video", "background", "pose_style")
"""Controls that may be a file; from the page such a file is always an upload, never a path on this machine."""

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class Field:
    """One control on the page.

    Attributes:
        name: of `expnet.animate.controls.controls.Controls`.
        label: in the form.
        hint: a few words on what it does.
        kind: how it is set.
        group: heading that it stands under.
        low: least value of a slider.
        high: greatest value of a slider.
        step: of a slider.
        options: (value, label) of a choice.
    """

    name: str
    label: str
    hint: str
    kind: Kind
    group: str
    low: float = 0.0
    high: float = 1.0
    step: float = 0.05
    options: tuple[tuple[str, str], ...] = ()

    @property
    def default(self) -> Any:
        """The library's own default; the page sends only what differs from it."""
        return next(field.default for field in fields(Controls) if field.name == self.name)


def _named(*values: str) -> tuple[tuple[str, str], ...]:
    return tuple((value, value) for value in values)


def form(styles: int) -> list[Field]:
    """Every control, in the order of the page.

    Args:
        styles: number of head-motion styles that the head-pose network knows.
    """
    numbered = (("0", "average"), *((str(number), f"speaker {number}") for number in range(1, styles)))
    sizes = (("", "as the portrait"), *((str(side), f"{side} px") for side in (256, 512, 768, 1024)))
    blinks = (("auto", "natural"), ("none", "none"), *((str(rate), f"{rate} a minute") for rate in (6, 12, 24, 40)))
    rates = tuple((rate, f"{rate} a second") for rate in ("25", "30", "50", "60"))
    right, up = GAZE_LIMITS
    return [
        Field("expression_scale", "Expression", "how strong the face moves", "slider", "Face", high=3.0),
        Field("lip_scale", "Lips", "how far they open", "slider", "Face", high=2.0),
        Field("emotion", "Emotion", "", "choice", "Face", options=_named(*EMOTIONS)),
        Field("blink", "Blinks", "", "choice", "Face", options=blinks),
        Field("level", "Strength", "of the emotion", "slider", "Face", low=1, high=3, step=1),
        Field("gaze", "Gaze", "degrees from where the portrait looks", "gaze", "Face", low=up, high=right, step=1),
        Field("head_scale", "Head motion", "how strong the head moves", "slider", "Head", high=3.0),
        Field("pose_style", "Style", "", "choice", "Head", options=numbered),
        Field("seed", "Seed", "", "number", "Head", high=9999, step=1),
        Field("still", "Still", "keep the head as it is", "switch", "Head"),
        Field("reference_video", "From a clip", "take over somebody's motion", "reference", "Head"),
        Field("reference_parts", "Taken over", "", "reference", "Head", options=_named(*REFERENCE_PARTS)),
        Field("view", "View", "", "choice", "Picture", options=(("full", "whole picture"), ("crop", "head only"))),
        Field("size", "Size", "", "choice", "Picture", options=sizes),
        Field("fps", "Frames", "", "choice", "Picture", options=rates),
        Field("background", "Background", "", "background", "Picture"),
    ]


def read_form(texts: Mapping[str, str], files: Mapping[str, Path]) -> Controls:
    """Turn what the page sent into controls.

    Args:
        texts: control -> what was set.
        files: control -> the file that was uploaded for it.

    Raises:
        InputError: no such control, or a value that is not allowed; a text that names a file on this machine is not.
    """
    for name, text in texts.items():
        if name in FILE_CONTROLS and not _is_no_path(name, text):
            raise InputError(f"{name} {text}: expected a file that you upload, or one of the page's own choices.")
    return Controls(**{**parse_controls(texts), **{name: files[name] for name in FILE_CONTROLS if name in files}})


def _is_no_path(name: str, text: str) -> bool:
    if name == "background":
        return text in ("keep", "blur") or _COLOUR.fullmatch(text) is not None
    return name == "pose_style" and text.isdecimal()
