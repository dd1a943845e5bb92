"""All uses of the mediapipe package: import on first use, silenced native output, face meshes and face boxes."""

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from expnet.errors import MissingAssetError
from expnet.face.tracking_models import FETCH, mediapipe_folder

Image = NDArray[np.uint8]
Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels."""

FRAME_MILLISECONDS = 40
MAXIMUM_FACES = 8


@contextlib.contextmanager
def quiet_native_stderr() -> Iterator[None]:
    """Discard what native code writes to file descriptor 2; to be held as briefly as possible.

    MediaPipe and TensorFlow Lite log their start-up there from C++, and no switch turns all of it off. Python
    exceptions propagate as usual.
    """
    try:
        saved = os.dup(2)
    except OSError:  # no stderr at all, as under some daemons
        yield
        return
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)


def import_mediapipe() -> ModuleType:
    """Import mediapipe, which takes a second or two.

    Raises:
        MissingAssetError: It is not installed.
    """
    # protobuf 4 warns about a call that mediapipe 0.10.14 makes in every frame.
    warnings.filterwarnings("ignore", message=r"SymbolDatabase\.GetPrototype", category=UserWarning)
    try:
        with quiet_native_stderr():
            import mediapipe
    except ImportError as error:
        raise MissingAssetError(
            f"this face tracker needs the package mediapipe, which cannot be imported ({error}); run pip install "
            "mediapipe, or leave the tracker out: the built-in models need LiteRT (pip install ai-edge-litert) and "
            f"{FETCH}"
        ) from error
    return mediapipe


def has_solutions() -> bool:
    """Return whether the installed mediapipe is one of those that hold models, up to 0.10.21."""
    folder = mediapipe_folder()
    return folder is not None and (folder / "python" / "solutions").is_dir()


def import_solutions() -> Any:
    """Return the models bundled with mediapipe up to version 0.10.21.

    Raises:
        MissingAssetError: This version of mediapipe bundles none.
    """
    mediapipe = import_mediapipe()
    solutions = getattr(mediapipe, "solutions", None)
    if solutions is None:
        raise MissingAssetError(
            f"mediapipe {getattr(mediapipe, '__version__', '?')} bundles no models; LiteRT runs them "
            f"(pip install ai-edge-litert) once they are fetched: {FETCH}"
        )
    return solutions


class MeshSession(Protocol):
    """A stream of frames in which one face is found and followed."""

    def process(self, image: Image) -> NDArray[np.float32] | None:
        """Return points (478, 3) in pixels, with z in the scale of x and increasing away from the camera, or None."""

    def boxes(self, image: Image, *, far: bool = False) -> list[Box]:
        """Return the boxes of all faces in an image, largest first; ``far`` finds small faces too, but is slower."""

    def restart(self) -> None:
        """Stop following the current face."""

    def close(self) -> None:
        """Free the native graph."""


# One landmark of a serialised NormalizedLandmarkList: tag and length, then x, y and z, each preceded by its tag.
_LANDMARK_BYTES = np.dtype(
    [
        ("head", "u1", 2),
        ("tag_x", "u1"),
        ("x", "<f4"),
        ("tag_y", "u1"),
        ("y", "<f4"),
        ("tag_z", "u1"),
        ("z", "<f4"),
    ]
)
_LANDMARK_HEAD, _LANDMARK_TAGS = (0x0A, 15), (0x0D, 0x15, 0x1D)


def normalised_points(message: Any) -> NDArray[np.float32]:
    """Return the points (P, 3) of a NormalizedLandmarkList.

    Reading 1,434 numbers through protobuf's Python objects takes a tenth of the tracking time, so they are parsed from
    the serialised message if it has the expected layout, and read one by one otherwise.
    """
    content = message.SerializeToString()
    if len(content) == len(message.landmark) * _LANDMARK_BYTES.itemsize:
        rows = np.frombuffer(content, dtype=_LANDMARK_BYTES)
        tags = np.stack([rows["tag_x"], rows["tag_y"], rows["tag_z"]], axis=1)
        if (rows["head"] == _LANDMARK_HEAD).all() and (tags == _LANDMARK_TAGS).all():
            return np.stack([rows["x"], rows["y"], rows["z"]], axis=1)
    return _one_by_one(message.landmark)


def _one_by_one(landmarks: Any) -> NDArray[np.float32]:
    return np.array([(mark.x, mark.y, mark.z) for mark in landmarks], dtype=np.float32)


def points_in_pixels(normalised: NDArray[np.float32], image: Image) -> NDArray[np.float32]:
    """Convert normalised points (P, 3) to pixels of the image; z has the scale of x."""
    height, width = image.shape[:2]
    return normalised * np.array([width, height, width], dtype=np.float32)


def box_of(points: NDArray[np.floating]) -> Box:
    """Return the bounding box of points (P, 2 or more)."""
    (left, top), (right, bottom) = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    return float(left), float(top), float(right), float(bottom)


class SolutionSession:
    """The models inside mediapipe 0.10.14's wheel: FaceMesh with refined lips and eyes, and the face detectors."""

    def __init__(self) -> None:
        self._solutions = import_solutions()
        self._mesh: Any = None
        self._detectors: dict[int, Any] = {}

    def restart(self) -> None:
        """Stop following the current face; the next frame opens a new graph."""
        if self._mesh is not None:
            self._mesh.close()
        self._mesh = None

    def process(self, image: Image) -> NDArray[np.float32] | None:
        """Return the points of the followed face in the next frame, or None."""
        if self._mesh is None:
            # A graph loads its models, and logs that, until its first frame is processed.
            with quiet_native_stderr():
                self._mesh = self._solutions.face_mesh.FaceMesh(
                    static_image_mode=False, max_num_faces=1, refine_landmarks=True
                )
                result = self._mesh.process(image)
        else:
            result = self._mesh.process(image)
        faces = result.multi_face_landmarks
        return points_in_pixels(normalised_points(faces[0]), image) if faces else None

    def _detect(self, image: Image, kind: int) -> list[Any]:
        if kind in self._detectors:
            return self._detectors[kind].process(image).detections or []
        with quiet_native_stderr():
            make = self._solutions.face_detection.FaceDetection
            self._detectors[kind] = make(model_selection=kind, min_detection_confidence=0.5)
            return self._detectors[kind].process(image).detections or []

    def boxes(self, image: Image, *, far: bool = False) -> list[Box]:
        """Return the boxes of faces up to two metres away (fast), and of more distant ones if ``far``."""
        found = [self._detect(image, kind) for kind in ((0, 1) if far else (0,))]
        height, width = image.shape[:2]
        boxes = []
        for detection in (one for some in found for one in some):
            box = detection.location_data.relative_bounding_box
            left, top = box.xmin * width, box.ymin * height
            boxes.append((left, top, left + box.width * width, top + box.height * height))
        return merge_boxes(boxes)

    def close(self) -> None:
        """Free the native graphs."""
        self.restart()
        for detector in self._detectors.values():
            detector.close()
        self._detectors = {}


class TaskSession:
    """A Face Landmarker .task file, run through the tasks interface that all versions of mediapipe have."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tasks = import_mediapipe().tasks
        self._image_class = import_mediapipe().Image
        self._format = import_mediapipe().ImageFormat.SRGB
        self._mesh: Any = None
        self._single: Any = None
        self._time = 0

    def _open(self, *, video: bool, faces: int) -> Any:
        vision = self._tasks.vision
        options = vision.FaceLandmarkerOptions(
            base_options=self._tasks.BaseOptions(model_asset_path=str(self._path)),
            running_mode=vision.RunningMode.VIDEO if video else vision.RunningMode.IMAGE,
            num_faces=faces,
        )
        try:
            with quiet_native_stderr():
                return vision.FaceLandmarker.create_from_options(options)
        except (RuntimeError, ValueError, OSError) as error:
            raise self._unusable(str(error).splitlines()[0][:120]) from error

    def _unusable(self, reason: str) -> MissingAssetError:
        """Return the error of a file that is no Face Landmarker, as of a missing file: no image is at fault."""
        return MissingAssetError(
            f"{self._path} cannot be used as a Face Landmarker model ({reason}); "
            "expected MediaPipe's face_landmarker .task file"
        )

    def _detect(self, detect: Callable[..., Any], *arguments: Any) -> Any:
        """Process an image; networks with other outputs than the Face Landmarker's fail at the first face."""
        try:
            return detect(*arguments)
        except RuntimeError as error:
            with contextlib.suppress(RuntimeError):  # which a failed graph repeats when it is closed
                self.close()
            self._mesh = self._single = None
            raise self._unusable("its networks do not have the outputs of one") from error

    def restart(self) -> None:
        """Stop following the current face; the next frame opens a new graph."""
        if self._mesh is not None:
            self._mesh.close()
        self._mesh, self._time = None, 0

    def process(self, image: Image) -> NDArray[np.float32] | None:
        """Return the points of the followed face in the next frame, or None."""
        wrapped = self._image_class(image_format=self._format, data=image)
        if self._mesh is None:
            with quiet_native_stderr():
                self._mesh = self._open(video=True, faces=1)
                result = self._detect(self._mesh.detect_for_video, wrapped, self._time)
        else:
            result = self._detect(self._mesh.detect_for_video, wrapped, self._time)
        self._time += FRAME_MILLISECONDS
        faces = result.face_landmarks
        return points_in_pixels(_one_by_one(faces[0]), image) if faces else None

    def boxes(self, image: Image, *, far: bool = False) -> list[Box]:
        """Return the boxes of all faces, from their landmarks."""
        wrapped = self._image_class(image_format=self._format, data=image)
        if self._single is None:
            with quiet_native_stderr():
                self._single = self._open(video=False, faces=MAXIMUM_FACES)
                result = self._detect(self._single.detect, wrapped)
        else:
            result = self._detect(self._single.detect, wrapped)
        return merge_boxes([box_of(points_in_pixels(_one_by_one(face), image)) for face in result.face_landmarks])

    def close(self) -> None:
        """Free the native graphs."""
        for graph in (self._mesh, self._single):
            if graph is not None:
                graph.close()
        self._mesh = self._single = None


def area(box: Box) -> float:
    """Return the area of a box in square pixels."""
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


def overlap(one: Box, other: Box) -> float:
    """Return the intersection of two boxes over the area of the smaller one."""
    common = (max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3]))
    return area(common) / max(min(area(one), area(other)), 1e-6)


def merge_boxes(boxes: list[Box], *, limit: float = 0.5) -> list[Box]:
    """Return the boxes, largest first, without those that overlap a larger one."""
    kept: list[Box] = []
    for box in sorted(boxes, key=area, reverse=True):
        if all(overlap(box, other) < limit for other in kept):
            kept.append(box)
    return kept
