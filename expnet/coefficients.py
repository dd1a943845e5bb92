"""Face coefficients of a clip: expression, head pose and identity, and their layout in a vector.

Only this module and :mod:`expnet.formats.coefficient_files` know an index or a layout; all others use
``coefficients.expression``, ``coefficients.pose`` or ``split_pose(pose)``.

Letters: T frames, K identity coefficients. Angles are radians, pitch-yaw-roll; translation is in face units
(docs/reference/conventions.md).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

EXPRESSION_SIZE = 64
ROTATION_SIZE = 3
TRANSLATION_SIZE = 3
POSE_SIZE = ROTATION_SIZE + TRANSLATION_SIZE
CROP_SIZE = 3

# A pose vector is [pitch, yaw, roll, x, y, z].
POSE_ROTATION = slice(0, ROTATION_SIZE)
POSE_TRANSLATION = slice(ROTATION_SIZE, POSE_SIZE)

# Frame rate of all networks and stores of this project; files of other projects have their own.
DEFAULT_FPS = 25.0
DEFAULT_FACE_MODEL = "mediapipe468"

_PER_FRAME = {"expression": EXPRESSION_SIZE, "rotation": ROTATION_SIZE, "translation": TRANSLATION_SIZE}
_PER_CLIP_OR_FRAME = ("identity", "texture", "illumination", "crop")

ArrayOrTensor = TypeVar("ArrayOrTensor", bound=Any)


def split_pose(pose: ArrayOrTensor) -> tuple[ArrayOrTensor, ArrayOrTensor]:
    """Split pose vectors (..., 6), numpy or torch, into rotation (..., 3) and translation (..., 3)."""
    if pose.shape[-1] != POSE_SIZE:
        raise ValueError(f"a pose must have {POSE_SIZE} numbers in its last axis, got shape {tuple(pose.shape)}")
    return pose[..., POSE_ROTATION], pose[..., POSE_TRANSLATION]


@dataclass(frozen=True, eq=False)
class FaceCoefficients:
    """Coefficients of one clip under one linear morphable face model.

    Arrays are numpy float32; ``crop`` is float64, so that crops of other projects' files can be converted back without
    losing a bit. Anything that ``numpy.asarray`` accepts can be given.

    Args:
        expression: (T, 64) expression coefficients of ``face_model``.
        rotation: (T, 3) pitch, yaw, roll in radians.
        translation: (T, 3) in face units.
        identity: (K,) for the clip, or (T, K) if the source has one per frame.
        texture: Texture (albedo) coefficients, (K,) or (T, K), if the source has them.
        illumination: Spherical harmonics of the illumination, (27,) or (T, 27), if the source has them.
        crop: Centre x, centre y and side of the square crop in pixels of the source frame, (3,) or (T, 3).
        fps: Frame rate.
        face_model: Name of the face model that the coefficients belong to.

    Raises:
        ValueError: A shape does not fit; the message names the field, the shape and what was expected.
    """

    expression: NDArray[Any]
    rotation: NDArray[Any]
    translation: NDArray[Any]
    identity: NDArray[Any] | None = None
    texture: NDArray[Any] | None = None
    illumination: NDArray[Any] | None = None
    crop: NDArray[Any] | None = None
    fps: float = DEFAULT_FPS
    face_model: str = DEFAULT_FACE_MODEL

    def __post_init__(self) -> None:
        """Convert the arrays and check their shapes against each other."""
        for name in (*_PER_FRAME, *_PER_CLIP_OR_FRAME):
            value = getattr(self, name)
            if value is not None:
                dtype = np.float64 if name == "crop" else np.float32
                object.__setattr__(self, name, np.asarray(value, dtype=dtype))
        frames = self.expression.shape[0] if self.expression.ndim == 2 else -1
        for name, size in _PER_FRAME.items():
            shape = getattr(self, name).shape
            if len(shape) != 2 or shape[1] != size or shape[0] != frames or frames < 1:
                expected = f"({frames}, {size})" if frames > 0 else f"(frames, {size}) with at least one frame"
                raise ValueError(f"{name} has shape {shape}, expected {expected}")
        for name in _PER_CLIP_OR_FRAME:
            value = getattr(self, name)
            if value is None:
                continue
            if value.ndim not in (1, 2) or (value.ndim == 2 and value.shape[0] != frames):
                raise ValueError(f"{name} has shape {value.shape}, expected (size,) or ({frames}, size)")
            if name == "crop" and value.shape[-1] != CROP_SIZE:
                raise ValueError(f"crop has shape {value.shape}, expected centre x, centre y and side")
        object.__setattr__(self, "fps", float(self.fps))
        if not (np.isfinite(self.fps) and self.fps > 0):
            raise ValueError(f"fps is {self.fps}, expected a positive number")

    def __len__(self) -> int:
        return self.frames

    def __getitem__(self, index: slice | int) -> "FaceCoefficients":
        """Take frames ``[start:stop:step]`` or a single frame; per-clip arrays stay unchanged."""
        if not isinstance(index, slice):
            position = range(self.frames)[index]
            index = slice(position, position + 1)
        if not range(self.frames)[index]:
            raise IndexError(
                f"frames {index.start}:{index.stop} of a clip of {self.frames} frames are an empty selection"
            )
        return self.with_(**{name: value[index] for name, value in self._per_frame()})

    @property
    def frames(self) -> int:
        """Number of frames T."""
        return int(self.expression.shape[0])

    @property
    def duration(self) -> float:
        """Duration in seconds."""
        return self.frames / self.fps

    @property
    def pose(self) -> NDArray[np.float32]:
        """Rotation and translation in one array (T, 6)."""
        return np.concatenate([self.rotation, self.translation], axis=1)

    def relative_pose(self) -> NDArray[np.float32]:
        """Pose minus the pose of the first frame, (T, 6), the target of the pose network.

        It is the difference of the six numbers, as in SadTalker (src/audio2pose_models), not a relative rotation.
        """
        pose = self.pose
        return pose - pose[:1]

    def with_(self, **changes: Any) -> "FaceCoefficients":
        """Return a copy with some fields replaced and checked again."""
        return replace(self, **changes)

    def with_pose(self, pose: ArrayLike) -> "FaceCoefficients":
        """Return a copy with another absolute pose (T, 6)."""
        rotation, translation = split_pose(np.asarray(pose, dtype=np.float32))
        return replace(self, rotation=rotation, translation=translation)

    def with_relative_pose(self, relative: ArrayLike) -> "FaceCoefficients":
        """Return a copy whose pose is this clip's first pose plus ``relative`` (T, 6)."""
        return self.with_pose(self.pose[:1] + np.asarray(relative, dtype=np.float32))

    def resampled(self, fps: float = DEFAULT_FPS) -> "FaceCoefficients":
        """Return a copy at another frame rate, linearly interpolated.

        Frame i is at i / fps seconds, so the first frames coincide. The duration is kept up to half a frame, and the
        last frame is repeated if necessary.
        """
        if fps == self.fps:
            return self
        frames = max(1, round(self.frames * fps / self.fps))
        position = np.arange(frames) * (self.fps / fps)
        before = np.minimum(position.astype(np.int64), self.frames - 1)
        after = np.minimum(before + 1, self.frames - 1)
        weight = np.clip(position - before, 0.0, 1.0)[:, None]
        changes: dict[str, Any] = {}
        for name, value in self._per_frame():
            # Angles are unwrapped first, since a head does not turn by more than pi between two frames.
            source = np.unwrap(value.astype(np.float64), axis=0) if name == "rotation" else value
            changes[name] = source[before] * (1.0 - weight) + source[after] * weight
        return replace(self, fps=fps, **changes)

    def equals(self, other: "FaceCoefficients") -> bool:
        """Tell whether all arrays are the same bit for bit, and the names and rates too."""
        for field in fields(self):
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            if isinstance(mine, np.ndarray) and isinstance(theirs, np.ndarray):
                if mine.shape != theirs.shape or mine.tobytes() != theirs.tobytes():
                    return False
            elif isinstance(mine, np.ndarray) or isinstance(theirs, np.ndarray) or mine != theirs:
                return False
        return True

    def _per_frame(self) -> Iterator[tuple[str, NDArray[Any]]]:
        """Yield the names and values of the arrays whose first axis is time."""
        for name in _PER_FRAME:
            yield name, getattr(self, name)
        for name in _PER_CLIP_OR_FRAME:
            value = getattr(self, name)
            if value is not None and value.ndim == 2:
                yield name, value


def concatenate(parts: Iterable[FaceCoefficients]) -> FaceCoefficients:
    """Concatenate pieces of one clip in time.

    Per-clip arrays that are the same in all pieces stay per-clip; otherwise they become per-frame.

    Raises:
        ValueError: The pieces differ in frame rate, in face model, or in what they hold.
    """
    pieces: Sequence[FaceCoefficients] = list(parts)
    if not pieces:
        raise ValueError("there is nothing to concatenate")
    first = pieces[0]
    if any(piece.fps != first.fps or piece.face_model != first.face_model for piece in pieces):
        raise ValueError("pieces of one clip must share the frame rate and the face model")
    changes: dict[str, Any] = {name: np.concatenate([getattr(piece, name) for piece in pieces]) for name in _PER_FRAME}
    for name in _PER_CLIP_OR_FRAME:
        values = [getattr(piece, name) for piece in pieces]
        if all(value is None for value in values):
            continue
        if any(value is None for value in values):
            raise ValueError(f"some pieces have {name} and others do not")
        if all(value.ndim == 1 and np.array_equal(value, values[0]) for value in values):
            continue
        changes[name] = np.concatenate(
            [
                np.broadcast_to(value, (piece.frames, value.shape[-1]))
                for piece, value in zip(pieces, values, strict=True)
            ]
        )
    return replace(first, **changes)
