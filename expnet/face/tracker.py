"""Face tracking, 478 points per frame: one interface, three backends, and a careful search in portraits.

All backends follow one face. If there are several, the largest is chosen; faces are detected again once a second and
whenever the face is lost or jumps, so that choosing costs next to nothing.
"""

import os
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from expnet.errors import InputError
from expnet.face.face_follower import FaceFollower
from expnet.face.landmarks import LANDMARKS_68_FROM_MEDIAPIPE, MEDIAPIPE_POINTS
from expnet.face.mediapipe_backend import (
    Box,
    Image,
    MeshSession,
    SolutionSession,
    TaskSession,
    box_of,
    has_solutions,
)
from expnet.face.tracking_models import ModelIdentity, mediapipe_identity
from expnet.io.checksum import sha256

MEDIAPIPE, LITERT = "mediapipe", "litert"
"""Names of trackers with the built-in models, see `open_tracker`."""

MINIMUM_IMAGE_SIDE = 64
MINIMUM_FACE_SIDE = 40
"""Sizes in pixels of a portrait and of the face in it below which landmarks are unreliable."""

SIMILAR_SIDE = 0.6
"""A second face counts as a rival if its side is at least this fraction of the largest one's."""

SETTLING_PASSES = 3
"""How often a still image is tracked: the tracker crops each frame by the previous points, and converges like this."""


@dataclass(frozen=True, eq=False)
class LandmarkTrack:
    """Tracked points of one clip.

    Attributes:
        points: (T, 478, 3) float32 pixels: x to the right, y down, z away from the camera in the scale of x; NaN
            where no face was found.
        found: (T,) bool, whether a face was found.
        frame_size: Height and width of the frames.
        models: Name and checksum of the models that found the points; empty where it is not known.
    """

    points: NDArray[np.float32]
    found: NDArray[np.bool_]
    frame_size: tuple[int, int]
    models: str = ""

    def __len__(self) -> int:
        return len(self.points)

    @property
    def landmarks(self) -> NDArray[np.float32]:
        """Return the 68 iBUG landmarks in pixels, (T, 68, 2)."""
        return self.points[:, list(LANDMARKS_68_FROM_MEDIAPIPE), :2]


class FaceTracker(Protocol):
    """The interface of a tracker."""

    @property
    def models(self) -> ModelIdentity:
        """What its models are, whatever runs them."""

    def __hash__(self) -> int:
        """Identify the tracker, so that what it tracked can be cached."""

    def track(self, frames: Iterable[Image]) -> LandmarkTrack:
        """Track the largest face through frames of one size, RGB uint8 (H, W, 3)."""

    def open_session(self) -> MeshSession:
        """Open a new stream for single images."""


class _SessionTracker:
    """Follows one face through a stream of frames with a mesh session."""

    @property
    def models(self) -> ModelIdentity:
        raise NotImplementedError

    def open_session(self) -> MeshSession:
        raise NotImplementedError

    def track(self, frames: Iterable[Image]) -> LandmarkTrack:
        """Track the largest face through frames of one size.

        Args:
            frames: RGB uint8 (H, W, 3); read once, in order.

        Returns:
            The track, one row per frame.

        Raises:
            InputError: There are no frames, or their sizes differ, or they have another type.
            MissingAssetError: The models, or what runs them, are missing.
        """
        points, size = [], (0, 0)
        with closing(self.open_session()) as session:
            follower = FaceFollower(session)
            for index, frame in enumerate(frames):
                size = _checked_size(frame, index, size)
                points.append(follower.step(np.ascontiguousarray(frame)))
        if not points:
            raise InputError("there are no frames to track a face in, expected at least one")
        found = np.array([one is not None for one in points])
        missing = np.full((MEDIAPIPE_POINTS, 3), np.nan, dtype=np.float32)
        stacked = np.stack([missing if one is None else one for one in points])  # (T, 478, 3)
        return LandmarkTrack(stacked, found, size, str(self.models))


class MediaPipeTracker(_SessionTracker):
    """MediaPipe's models, run by mediapipe up to 0.10.21, whose wheels hold them."""

    @property
    def models(self) -> ModelIdentity:
        """What the models are."""
        return mediapipe_identity()

    def open_session(self) -> MeshSession:
        """Open a new FaceMesh."""
        return SolutionSession()


class LiteRtTracker(_SessionTracker):
    """The same models, run by LiteRT on any Python, with the same points to a tenth of a pixel."""

    @property
    def models(self) -> ModelIdentity:
        """What the models are."""
        return mediapipe_identity()

    def open_session(self) -> MeshSession:
        """Open the networks."""
        from expnet.face.litert.session import LiteRtSession

        return LiteRtSession()


class LandmarkerTaskTracker(_SessionTracker):
    """MediaPipe's Face Landmarker from a .task file, for any version of mediapipe.

    Its models are newer than the built-in ones and see faces a little differently, so its coefficients are not to be
    mixed with theirs.

    Args:
        path: The .task file.

    Raises:
        InputError: There is no such file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).expanduser()
        if not self.path.is_file():
            raise InputError(f"{self.path}: there is no such file; expected MediaPipe's face_landmarker .task file")

    @cached_property
    def models(self) -> ModelIdentity:
        """What the models are."""
        return ModelIdentity(self.path.name, sha256(self.path))

    def open_session(self) -> MeshSession:
        """Open a new Face Landmarker."""
        return TaskSession(self.path)


def open_tracker(spec: str | os.PathLike[str] = MEDIAPIPE) -> FaceTracker:
    """Return a tracker.

    Args:
        spec: "mediapipe" for the built-in models, run by the installed mediapipe if it is one that holds them, and
            otherwise by LiteRT; "litert" for the same models run by LiteRT; or the path of a Face Landmarker .task
            file, which the installed mediapipe runs.

    Raises:
        InputError: The tracker is none of these.
    """
    if str(spec) == MEDIAPIPE:
        return MediaPipeTracker() if has_solutions() else LiteRtTracker()
    if str(spec) == LITERT:
        return LiteRtTracker()
    if Path(spec).suffix == ".task":
        return LandmarkerTaskTracker(spec)
    raise InputError(
        f"tracker {str(spec)!r} is not known; expected '{MEDIAPIPE}', '{LITERT}' or the path of a .task file"
    )


def _checked_size(frame: Image, index: int, size: tuple[int, int]) -> tuple[int, int]:
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise InputError(f"frame {index} is {frame.dtype} of shape {frame.shape}, expected uint8 (height, width, 3)")
    if index and frame.shape[:2] != size:
        raise InputError(f"frame {index} has size {frame.shape[:2]}, expected {size} like the frames before it")
    return frame.shape[0], frame.shape[1]


def detect_faces(image: Image, *, tracker: FaceTracker | None = None) -> list[Box]:
    """Return boxes (left, top, right, bottom) in pixels of all faces in an image, largest first.

    Args:
        image: RGB uint8 (H, W, 3).
        tracker: Tracker whose detector is used; None for `open_tracker`'s.
    """
    _checked_size(image, 0, (0, 0))
    with closing((tracker or open_tracker()).open_session()) as session:
        return session.boxes(np.ascontiguousarray(image), far=True)


def track_image(image: Image, *, tracker: FaceTracker | None = None) -> LandmarkTrack:
    """Find the points of the single face of a portrait.

    The search tries the whole image, then a padded crop around the detected face, enlarged if it is small, then the
    image padded to twice its size, for faces that fill it.

    Args:
        image: RGB uint8 (H, W, 3).
        tracker: Tracker whose models are used; None for `open_tracker`'s.

    Returns:
        A track of one frame, in pixels of the image.

    Raises:
        InputError: The image is smaller than 64 pixels, has no face, a face smaller than 40 pixels, or several faces
            of similar size.
    """
    height, width = _checked_size(image, 0, (0, 0))
    if min(height, width) < MINIMUM_IMAGE_SIDE:
        raise InputError(
            f"the image is {width}x{height} pixels, expected at least {MINIMUM_IMAGE_SIDE} per side; use a larger one"
        )
    image = np.ascontiguousarray(image)
    with closing((tracker or open_tracker()).open_session()) as session:
        boxes = session.boxes(image, far=True)
        sides = [max(box[2] - box[0], box[3] - box[1]) for box in boxes]
        rivals = sum(side >= SIMILAR_SIDE * sides[0] for side in sides)
        if rivals > 1:
            raise InputError(
                f"the image shows {rivals} faces of similar size, expected one; crop it to the face to animate"
            )
        points = _search(session, image, boxes)
    if points is None:
        raise InputError(
            f"no face was found in the {width}x{height} image, expected one; use an image whose face is upright, "
            "unobstructed and turned to the camera"
        )
    left, top, right, bottom = box_of(points)
    if max(right - left, bottom - top) < MINIMUM_FACE_SIDE:
        raise InputError(
            f"the face is {right - left:.0f}x{bottom - top:.0f} pixels, expected at least {MINIMUM_FACE_SIDE}; "
            "use an image in which it is larger"
        )
    return LandmarkTrack(points[None], np.array([True]), (height, width))


def _search(session: MeshSession, image: Image, boxes: list[Box]) -> NDArray[np.float32] | None:
    """Return the points of the largest face in image pixels, from the first crop of the image that shows one."""
    height, width = image.shape[:2]
    whole = (width / 2, height / 2, float(max(height, width)))
    views: list[tuple[float, float, float]] = []  # centre x, centre y, side
    if len(boxes) == 1:
        views.append(whole)
    if boxes:
        left, top, right, bottom = boxes[0]
        side = max(right - left, bottom - top)
        views += [((left + right) / 2, (top + bottom) / 2, factor * side) for factor in (2.0, 3.0, 1.5)]
    views += [(whole[0], whole[1], factor * whole[2]) for factor in (1.0, 1.5, 2.0)]
    if not boxes:
        # The face may be too small for the detector: try quarters and the middle, at half the side.
        views += [(x * width, y * height, whole[2] / 2) for y in (0.5, 0.3, 0.7) for x in (0.5, 0.3, 0.7)]
    for x, y, side in views:
        cut, scale = _cut(image, x, y, side)
        session.restart()
        points = None
        for _ in range(SETTLING_PASSES):
            points = session.process(cut)
            if points is None:
                break
        if points is not None:
            corner = np.array([x - side / 2, y - side / 2, 0.0])
            return (points / scale + corner).astype(np.float32)
    return None


def _cut(image: Image, x: float, y: float, side: float) -> tuple[Image, float]:
    """Return a square crop resized to 256 to 1024 pixels, with repeated edges, and its scale."""
    import cv2

    scale = float(np.clip(side, 256, 1024)) / side
    size = round(side * scale)
    matrix = np.array([[scale, 0, -scale * (x - side / 2)], [0, scale, -scale * (y - side / 2)]])
    # cv2 puts pixel centres at integers and landmarks are measured from the image corner: shift by half a pixel.
    matrix[:, 2] += (scale - 1) / 2
    shrink = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    cut = cv2.warpAffine(image, matrix, (size, size), flags=shrink, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cut, dtype=np.uint8), scale
