"""Every control of a video in one validated dataclass, shared by ``expnet animate`` and Python."""

import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from expnet.errors import InputError
from expnet.face.emotions import EMOTIONS, LEVEL_GAIN
from expnet.media.image_reader import LARGEST_SIDE, SMALLEST_SIDE
from expnet.media.video_reader import FRAME_RATE
from expnet.models.packaged_weights import MOTIONS, MotionKind

EXPRESSION_SCALES: dict[MotionKind, float] = {"regressed": 1.5, "sampled": 1.0}
"""Usual strength of the facial motion. A regression predicts the average of all plausible motions, which moves less
than a face does: a scale of 1.5 gives the mouth opening the standard deviation that tracked clips have
(benchmarks/portraits.py prints it). A sampled motion moves as much as a face and is left as it is."""
LARGEST_SCALE = 5.0
"""No face and no head moves more than this."""
MOST_BLINKS = 60.0
"""Blinks a minute: at one a second the eyelids hardly open."""
GAZE_LIMITS = (30.0, 20.0)
"""Degrees to the side, and up or down: in most portraits the iris then just stays clear of the eye corners and lids."""
FRAME_RATES = (5.0, 120.0)

ReferencePart = Literal["head", "blink", "expression"]
REFERENCE_PARTS: tuple[ReferencePart, ...] = get_args(ReferencePart)
View = Literal["full", "crop"]

PathInput = str | os.PathLike[str]
HeadStyle = int | PathInput


@dataclass(frozen=True, kw_only=True)
class Controls:
    """How a portrait moves and what the video looks like; docs/guides/controls.md describes each control.

    Args:
        seed: Seed of head motion, blinks and idle motion, and of the expression where it is sampled; the same seed
            gives the same frames.
        motion: ``regressed`` or ``sampled`` (`expnet.models.packaged_weights.MOTIONS`); None for what the
            `expnet.animate.animator.Animator` was opened with.
        expression_scale: Strength of the whole face's motion about its average, 0 to 5; 1 is the network's prediction.
            None for the usual one, `EXPRESSION_SCALES`.
        lip_scale: Strength of the lips' opening and motion on top of that, 0 to 5; lips that meet still meet.
        head_scale: Strength of the head motion, 0 to 5; 0 keeps the head still.
        still: Keep the head as it is in the portrait; the face still speaks and blinks.
        pose_style: Style of the head motion: the number of a training speaker, 0 for the average speaker, or a video
            of any person, at least a second long, in which the style is measured.
        reference_video: Clip of any person whose motion is used. A clip shorter than the speech is repeated forwards
            and backwards.
        reference_parts: Parts of the motion that are taken from the reference video, any of ``head``, ``blink`` and
            ``expression`` (the face except for lips and eyelids, which follow the speech).
        blink: ``auto`` for natural blinks, which are sampled with the expression or else drawn on their own, ``none``,
            or the number of blinks a minute, up to 60.
        emotion: One of `expnet.face.emotions.EMOTIONS`; ``neutral`` adds nothing to the portrait.
        level: Strength of the emotion, 1 to 3.
        gaze: Degrees by which the eyes turn to the image's right and upwards, relative to the portrait, or None.
        fps: Frame rate of the video, 5 to 120.
        size: Longer side of the video in pixels, or None for the portrait's own.
        view: ``full`` for the whole image, ``crop`` for a square around the head.
        background: ``keep``, ``blur``, a colour (a name or #rrggbb), or an image file.

    Raises:
        InputError: A value is not allowed; the message names it and what is allowed.
    """

    seed: int = 0
    motion: MotionKind | None = None
    expression_scale: float | None = None
    lip_scale: float = 1.0
    head_scale: float = 1.0
    still: bool = False
    pose_style: HeadStyle = 0
    reference_video: PathInput | None = None
    reference_parts: tuple[ReferencePart, ...] = ("head", "blink")
    blink: float | Literal["auto", "none"] = "auto"
    emotion: str = "neutral"
    level: int = 2
    gaze: tuple[float, float] | None = None
    fps: float = FRAME_RATE
    size: int | None = None
    view: View = "full"
    background: PathInput = "keep"

    def __post_init__(self) -> None:
        """Check each value, and combinations that exclude each other."""
        if self.seed < 0:
            raise InputError(f"seed {self.seed}: expected a whole number of 0 or more.")
        for name in ("expression_scale", "lip_scale", "head_scale"):
            if getattr(self, name) is not None:
                _check_range(name, getattr(self, name), 0.0, LARGEST_SCALE)
        if self.motion is not None:
            _check_one_of("motion", self.motion, MOTIONS)
        _check_range("fps", self.fps, *FRAME_RATES)
        _check_one_of("emotion", self.emotion, EMOTIONS)
        _check_one_of("level", self.level, [level for level in LEVEL_GAIN if level])
        _check_one_of("view", self.view, get_args(View))
        for part in self.reference_parts:
            _check_one_of("reference_parts", part, REFERENCE_PARTS)
        if not self.reference_parts:
            raise InputError(f"reference_parts is empty: expected some of {', '.join(REFERENCE_PARTS)}.")
        if isinstance(self.blink, str):
            _check_one_of("blink", self.blink, ("auto", "none", "or a number of blinks a minute"))
        else:
            _check_range("blink", self.blink, 0.0, MOST_BLINKS)
        if self.blink != "auto" and self.takes("blink"):
            raise InputError(
                f"blink {self.blink} and the blinks of a reference video exclude each other: leave one of them out, "
                "for instance with reference_parts head."
            )
        if self.gaze is not None:
            for name, degrees, limit in zip(("to the right", "up"), self.gaze, GAZE_LIMITS, strict=True):
                _check_range(f"gaze {name}", degrees, -limit, limit)
        if self.size is not None:
            _check_range("size", self.size, SMALLEST_SIDE, LARGEST_SIDE)

    @property
    def files(self) -> tuple[HeadStyle | None, ...]:
        """The values of the controls that may be files."""
        return self.pose_style, self.reference_video, self.background

    def scale_of(self, motion: MotionKind) -> float:
        """Return the strength of a facial motion that was regressed or sampled."""
        return EXPRESSION_SCALES[motion] if self.expression_scale is None else self.expression_scale

    def takes(self, part: ReferencePart) -> bool:
        """Tell whether a part of the motion comes from the reference video."""
        return self.reference_video is not None and part in self.reference_parts


CONTROL_NAMES = tuple(field.name for field in fields(Controls))


def parse_controls(texts: Mapping[str, str]) -> dict[str, Any]:
    """Parse controls as they are written in a table or on the command line into values of :class:`Controls`.

    Args:
        texts: Text of each control by name; hyphens count as underscores.

    Raises:
        InputError: There is no such control, or a text cannot be parsed.
    """
    values = {}
    for written, text in texts.items():
        name = written.replace("-", "_")
        if name not in CONTROL_NAMES:
            raise InputError(f"{written}: there is no such control; known are {', '.join(CONTROL_NAMES)}.")
        try:
            values[name] = _PARSERS.get(name, str)(text.strip())
        except (ValueError, KeyError) as error:
            raise InputError(f"{name} {text}: expected {_EXPECTED[name]}.") from error
    return values


def _style(text: str) -> HeadStyle:
    return int(text) if text.isdecimal() else text


def _blink(text: str) -> float | str:
    return text if text in ("auto", "none") else float(text)


def _gaze(text: str) -> tuple[float, float]:
    right, up = (float(part) for part in text.replace(",", " ").split())
    return right, up


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


_PARSERS: dict[str, Callable[[str], Any]] = {
    "seed": int,
    "expression_scale": float,
    "lip_scale": float,
    "head_scale": float,
    "still": lambda text: {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}[text.lower()],
    "pose_style": _style,
    "reference_parts": _parts,
    "blink": _blink,
    "level": int,
    "gaze": _gaze,
    "fps": float,
    "size": int,
}
_NUMBER, _WHOLE = "a number", "a whole number"
_EXPECTED = {
    "seed": _WHOLE,
    "expression_scale": _NUMBER,
    "lip_scale": _NUMBER,
    "head_scale": _NUMBER,
    "still": "yes or no",
    "blink": "auto, none, or a number of blinks a minute",
    "level": "a whole number from 1 to 3",
    "gaze": "two numbers, degrees to the image's right and upwards",
    "fps": _NUMBER,
    "size": _WHOLE,
}


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not (math.isfinite(value) and low <= value <= high):
        raise InputError(f"{name} {value:g}: expected a number from {low:g} to {high:g}.")


def _check_one_of(name: str, value: object, known: Iterable[object]) -> None:
    if value not in list(known):
        raise InputError(f"{name} {value!s}: expected one of {', '.join(map(str, known))}.")
