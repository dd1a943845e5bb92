"""MediaPipe's models for faces and people: what they are, where they are found, and what identifies them.

They lie in the wheels of mediapipe up to 0.10.21, and later releases have none; ``expnet assets fetch face-tracker``
gets them. The same models give the same coefficients whatever runs them (docs/results/tracking.md), so a store names
the models and not the program.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import util
from pathlib import Path

from expnet.errors import MissingAssetError
from expnet.io.asset_folders import VARIABLE, asset_folders
from expnet.io.checksum import sha256

FETCH = "expnet assets fetch face-tracker"
"""The command that gets the models."""


@dataclass(frozen=True)
class TrackingModel:
    """One of MediaPipe's models, under the Apache-2.0 licence.

    Attributes:
        name: Its name among the assets.
        file: Its file name.
        folder: Its folder among mediapipe's modules.
        sha256: Checksum, which mediapipe's third_party/external_files.bzl states.
        size: Size in bytes.
        generation: The publisher's number of this version of the file.
        purpose: What it is for.
    """

    name: str
    file: str
    folder: str
    sha256: str
    size: int
    generation: int
    purpose: str

    @property
    def address(self) -> str:
        """Where its publisher serves it."""
        return f"https://storage.googleapis.com/mediapipe-assets/{self.file}?generation={self.generation}"

    @property
    def member(self) -> str:
        """Its path in mediapipe's wheel."""
        return f"mediapipe/modules/{self.folder}/{self.file}"


NEAR_DETECTOR = TrackingModel(
    "face-detector",
    "face_detection_short_range.tflite",
    "face_detection",
    "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
    229_714,
    1677044301978921,
    "finds faces up to two metres away",
)
FAR_DETECTOR = TrackingModel(
    "far-face-detector",
    "face_detection_full_range_sparse.tflite",
    "face_detection",
    "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
    676_746,
    1674261618323821,
    "finds more distant faces in portraits",
)
LANDMARKS = TrackingModel(
    "face-landmarks",
    "face_landmark_with_attention.tflite",
    "face_landmark",
    "e06a804e0144f9929eda782122916b35d60c697c3c9344013ca2bbe76a6ce2b4",
    2_495_106,
    1676415468821650,
    "478 points of a face",
)
PERSON_SEGMENTER = TrackingModel(
    "person-segmenter",
    "selfie_segmentation.tflite",
    "selfie_segmentation",
    "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
    249_505,
    1683332563830600,
    "separates the person from the background",
)
TRACKING_MODELS = (NEAR_DETECTOR, FAR_DETECTOR, LANDMARKS, PERSON_SEGMENTER)


def mediapipe_folder() -> Path | None:
    """Return the folder of the installed mediapipe, without importing it; None if there is none."""
    try:
        package = util.find_spec("mediapipe")
    except ValueError:  # a module without a specification stands in for it
        return None
    folders = (package.submodule_search_locations or []) if package else []
    return next((Path(folder) for folder in folders), None)


def installed_model(model: TrackingModel) -> Path | None:
    """Return the file of a model in the installed mediapipe; None if it is not there, or another version of it."""
    folder = mediapipe_folder()
    place = None if folder is None else folder.parent / model.member
    return place if place is not None and place.is_file() and sha256(place) == model.sha256 else None


def locate_model(model: TrackingModel) -> Path | None:
    """Return the file of a model, from the installed mediapipe or the folders of the assets; None if there is none."""
    places = [folder / model.file for folder in asset_folders()]
    return installed_model(model) or next((place for place in places if place.is_file()), None)


def open_model(model: TrackingModel) -> Path:
    """Return the checked file of a model.

    Raises:
        MissingAssetError: It was not found, or what was found is another version of it, or damaged; the message says
            how to get it.
    """
    place = locate_model(model)
    if place is None:
        raise MissingAssetError(
            f"the face tracker needs the model {model.file}, which is not here; run '{FETCH}', which puts it into "
            f"{asset_folders()[0]} (${VARIABLE} names another folder)"
        )
    found = sha256(place)
    if found != model.sha256:
        raise MissingAssetError(
            f"{place} is another version of this model, or damaged: its SHA-256 begins with {found[:12]}, expected "
            f"{model.sha256[:12]}; delete it and run '{FETCH}'"
        )
    return place


@dataclass(frozen=True)
class ModelIdentity:
    """What a tracker's models are, whatever runs them.

    Attributes:
        name: ``mediapipe`` for the models that are assets, otherwise the name of their file.
        sha256: Checksum of all models that decide where points are.
    """

    name: str
    sha256: str

    @property
    def name_in_protocol(self) -> str:
        """``mediapipe`` for the models that are assets, as always, otherwise with the checksum."""
        return self.name if self == mediapipe_identity() else str(self)

    def __str__(self) -> str:
        """Return the name and the first digits of the checksum, as stores have it."""
        return f"{self.name} {self.sha256[:16]}"


def mediapipe_identity() -> ModelIdentity:
    """Return the identity of the detectors and landmarks that are assets."""
    checksums = "".join(model.sha256 for model in (NEAR_DETECTOR, FAR_DETECTOR, LANDMARKS))
    return ModelIdentity("mediapipe", hashlib.sha256(checksums.encode()).hexdigest())
