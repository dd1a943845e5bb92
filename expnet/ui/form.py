"""The form of the page: one field for each control, with the defaults and limits of the library."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from expnet.animate.controls.controls import EXPRESSION_SCALES, GAZE_LIMITS, REFERENCE_PARTS, Controls, parse_controls
from expnet.errors import InputError
from expnet.face.emotions import EMOTIONS
from expnet.models.packaged_weights import MOTIONS, MotionKind
from expnet.ui.renderers import OfferedRenderer

Kind = Literal["slider", "switch", "choice", "number", "gaze", "background", "reference"]

FILE_CONTROLS = ("reference_video", "background", "pose_style")
"""Controls that may be a file. The page accepts only uploads for them, never a path on this machine."""

RENDERER = "renderer"
"""Name of the choice of the renderer, which is no control of the animation."""
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class Field:
    """One control on the page.

    Attributes:
        name: Name in `expnet.animate.controls.controls.Controls`, or ``renderer``.
        label: Label in the form.
        hint: A few words on what it does.
        kind: Kind of input element.
        group: Heading under which it appears.
        low: Lowest value of a slider.
        high: Highest value of a slider.
        step: Step of a slider.
        options: Value and label of each option of a choice.
        start: Where a slider starts if the library's default depends on other controls.
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
    start: float | None = None

    @property
    def default(self) -> Any:
        """The library's own default; the page sends only values that differ from it."""
        value = next(field.default for field in fields(Controls) if field.name == self.name)
        return self.start if value is None else value

    @property
    def starts(self) -> dict[str, float]:
        """Where a slider starts for each kind of motion, if that depends on it."""
        return (
            {str(kind): scale for kind, scale in EXPRESSION_SCALES.items()} if self.name == "expression_scale" else {}
        )


def _named(*values: str) -> tuple[tuple[str, str], ...]:
    return tuple((value, value) for value in values)


def form(styles: int, motion: MotionKind = "regressed", renderers: Sequence[OfferedRenderer] = ()) -> list[Field]:
    """Return every control in the order of the page.

    Args:
        styles: Number of head-motion styles that the head-pose network knows.
        motion: How portraits move unless the user chooses.
        renderers: Renderers to choose from, the usual one first; a single one is no choice.
    """
    drawn_by = tuple((one.value, one.label) for one in renderers)
    numbered = (("0", "average"), *((str(number), f"speaker {number}") for number in range(1, styles)))
    sizes = (("", "as the portrait"), *((str(side), f"{side} px") for side in (256, 512, 768, 1024)))
    blinks = (("auto", "natural"), ("none", "none"), *((str(rate), f"{rate} a minute") for rate in (6, 12, 24, 40)))
    rates = tuple((rate, f"{rate} per second") for rate in ("25", "30", "50", "60"))
    kinds = (("", motion), *_named(*(kind for kind in MOTIONS if kind != motion)))
    right, up = GAZE_LIMITS
    scale = EXPRESSION_SCALES[motion]
    return [
        Field("motion", "Motion", "sampled: another for each seed", "choice", "Face", options=kinds),
        Field("seed", "Seed", "", "number", "Face", high=9999, step=1),
        Field("expression_scale", "Expression", "strength of the facial motion", "slider", "Face", high=3, start=scale),
        Field("lip_scale", "Lips", "how far they open", "slider", "Face", high=2.0),
        Field("emotion", "Emotion", "", "choice", "Face", options=_named(*EMOTIONS)),
        Field("blink", "Blinks", "", "choice", "Face", options=blinks),
        Field("level", "Strength", "of the emotion", "slider", "Face", low=1, high=3, step=1),
        Field("gaze", "Gaze", "degrees, relative to the portrait", "gaze", "Face", low=up, high=right, step=1),
        Field("head_scale", "Head motion", "strength of the head motion", "slider", "Head", high=3.0),
        Field("pose_style", "Style", "", "choice", "Head", options=numbered),
        Field("still", "Still", "keep the head as it is", "switch", "Head"),
        Field("reference_video", "From a clip", "use the motion of a video", "reference", "Head"),
        Field("reference_parts", "Parts used", "", "reference", "Head", options=_named(*REFERENCE_PARTS)),
        *([Field(RENDERER, "Renderer", "", "choice", "Video", options=drawn_by)] if len(drawn_by) > 1 else []),
        Field("view", "View", "", "choice", "Video", options=(("full", "whole image"), ("crop", "head only"))),
        Field("size", "Size", "", "choice", "Video", options=sizes),
        Field("fps", "Frames", "", "choice", "Video", options=rates),
        Field("background", "Background", "", "background", "Video"),
    ]


def read_form(texts: Mapping[str, str], files: Mapping[str, Path]) -> Controls:
    """Parse the controls that the page sent.

    Args:
        texts: Text of each control that was set.
        files: Uploaded file of each control that has one.

    Raises:
        InputError: There is no such control, or a value is not allowed, such as a path on this machine.
    """
    for name, text in texts.items():
        if name in FILE_CONTROLS and not _is_no_path(name, text):
            raise InputError(f"{name} {text}: expected a file that you upload, or one of the page's own options.")
    return Controls(**{**parse_controls(texts), **{name: files[name] for name in FILE_CONTROLS if name in files}})


def _is_no_path(name: str, text: str) -> bool:
    if name == "background":
        return text in ("keep", "blur") or _COLOUR.fullmatch(text) is not None
    return name == "pose_style" and text.isdecimal()
