"""Opens SadTalker's renderer: finds its weight files, checks them and reads the networks."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch

from expnet.assets.registry import known, locate, verify
from expnet.errors import InputError, MissingAssetError
from expnet.models.coefficient_regressor import CoefficientRegressor
from expnet.models.face_vid2vid.generator import FaceGenerator
from expnet.models.face_vid2vid.keypoints import KeypointDetector
from expnet.models.face_vid2vid.mapping import MappingNetwork
from expnet.models.face_vid2vid.published import (
    load_coefficient_regressor,
    load_generator,
    load_keypoint_detector,
    load_mapping,
)

SIZES = (256, 512)
"""Sides in pixels of the squares for which there are weight files."""


class SadTalkerNetworks(NamedTuple):
    """The networks of SadTalker's renderer at one size, on one device.

    Attributes:
        size: Side in pixels of the squares that the generator draws.
        generator: Source image, keypoints -> frame.
        keypoints: Source image -> canonical keypoints.
        regressor: Aligned image -> Basel coefficients.
        mapping: Coefficients of the whole portrait (73 a frame) -> motion of the keypoints.
        crop_mapping: The same for a portrait that is the square itself (70 a frame).
    """

    size: int
    generator: FaceGenerator
    keypoints: KeypointDetector
    regressor: CoefficientRegressor
    mapping: MappingNetwork
    crop_mapping: MappingNetwork


def open_sadtalker_networks(size: int = 256, *, device: str | torch.device | None = None) -> SadTalkerNetworks:
    """Read the networks of SadTalker's renderer.

    Args:
        size: 256 or 512.
        device: Where they run; None for a GPU if there is one.

    Raises:
        InputError: There is no file for that size, or a file is another one or damaged.
        MissingAssetError: A file was not found.
    """
    if size not in SIZES:
        raise InputError(
            f"size {size}: SadTalker's renderer draws squares of {' or '.join(map(str, SIZES))} pixels; choose one."
        )
    both, mapping, crop_mapping = (_checked(name) for name in _files(size))
    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return SadTalkerNetworks(
        size,
        load_generator(both).to(place),
        load_keypoint_detector(both).to(place),
        load_coefficient_regressor(both).to(place),
        load_mapping(mapping).to(place),
        load_mapping(crop_mapping).to(place),
    )


def found_sizes() -> tuple[int, ...]:
    """Return the sizes whose weight files are all found, without checking their content."""
    return tuple(size for size in SIZES if all(map(_is_found, _files(size))))


def open_coefficient_regressor() -> CoefficientRegressor:
    """Read the regressor of Basel coefficients, on the CPU; errors as in `open_sadtalker_networks`."""
    return load_coefficient_regressor(_checked("sadtalker-256"))


def _files(size: int) -> tuple[str, str, str]:
    return f"sadtalker-{size}", "sadtalker-mapping", "sadtalker-mapping-crop"


def _is_found(name: str) -> bool:
    try:
        locate(name)
    except MissingAssetError:
        return False
    return True


def _checked(name: str) -> Path:
    path = locate(name)
    verify(path, known(name))
    return path
