"""The interface between the renderer and a learned refiner: regions of a rendered frame out, changes in.

    frame, portrait, source map, lids -> RegionCrop (inputs of a network) -> gain and addition -> frame

Changes are scaled by how much the region has moved since the portrait, so that the portrait itself is reproduced bit
for bit, and they vanish at the region's border. They are applied at the frame's own resolution, which preserves the
rendered sharpness of skin and teeth.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from expnet.models.refiner import Refiner
from expnet.models.saved_model import load_model
from expnet.render.portrait_motion import PortraitMotion, Pose
from expnet.render.refiner.region_pixels import change_region, cut_region, restore_outside
from expnet.render.refiner.regions import REGIONS, Placement, Region, opening_mask, place

Array = NDArray[np.float64]
Changes = Sequence[NDArray[np.float32] | None]

FLOW_RANGE = 0.25
"""Largest shift from the portrait that a network can see, as a share of the region's side."""
# Motion at which the gate opens by 63 %: of the region's points in face units (1 mm), of a lid as a share of the eye's
# opening, and of the head as the Frobenius norm of the difference of rotations (4 degrees).
_POINTS, _LID, _TURN = 0.01, 0.1, 0.1


@dataclass(frozen=True, eq=False)
class FrameState:
    """The state from which a frame was rendered.

    Attributes:
        source_map: (H, W, 2) position in the portrait that each pixel comes from.
        moved: (468, 3) displacements of the face points in face space.
        closure: (2,) closure of the lids.
        camera: Pose of the frame.
        vertices: (V, 3) projected vertices, the face points first.
    """

    source_map: NDArray[np.float32]
    moved: Array
    closure: Array
    camera: Pose
    vertices: Array


@dataclass(frozen=True, eq=False)
class RegionCrop:
    """A region of a frame as a network sees it.

    Attributes:
        kind: Kind of the region.
        inputs: (10, S, S) uint8: colours of the frame, colours of the portrait, shift from the portrait (x and y), and
            the mask of the openings in the frame and in the portrait.
        gate: 0 where nothing has moved, up to 1; see `PortraitRegions.gate`.
        placement: Square in the frame.
        edges: (2, N, 2) upper and lower edge of the region's first opening in the frame, corner to corner, as positions
            in the square from 0 to 1; None where it is not known. Lids are as open as in the portrait.
    """

    kind: str
    inputs: NDArray[np.uint8]
    gate: float
    placement: Placement
    edges: Array | None = None


class RegionModel(Protocol):
    """Computes changes of regions; implemented by a network, and by a recorder of what a network would be given."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of the regions to compute changes for."""
        ...

    @property
    def size(self) -> int:
        """Side of a region in pixels."""
        ...

    def __call__(self, crops: list[RegionCrop]) -> Changes:
        """Return the changes (S, S, 6) of each region, or None.

        `expnet.render.refiner.region_pixels.change_region` applies them.
        """
        ...


class PortraitRegions:
    """The regions of one portrait.

    Args:
        portrait: (H, W, 3) uint8.
        motion: Motion of the portrait.
        model: Computes the changes of the regions.
    """

    def __init__(self, portrait: NDArray[np.uint8], motion: PortraitMotion, model: RegionModel) -> None:
        self._motion, self._model, self._size = motion, model, model.size
        self._regions = [region for kind in model.kinds for region in REGIONS[kind]]
        self._homes = [place(region, motion, motion.camera) for region in self._regions]
        still, points = np.zeros(2), motion.camera.project(motion.vertices)
        self._own = [
            np.concatenate([self._colours(portrait, home), self._openings(region, home, points, still)])
            for region, home in zip(self._regions, self._homes, strict=True)
        ]

    def refine(self, frame: NDArray[np.uint8], state: FrameState) -> None:
        """Apply the model's changes to a frame (H, W, 3), in place."""
        crops = [self._crop(number, frame, state) for number in range(len(self._regions))]
        for region, crop, changes in zip(self._regions, crops, self._model(crops), strict=True):
            if changes is not None:
                where = crop.placement
                before = frame.copy() if region.confined else frame
                change_region(frame, changes, where.middle, where.across, where.down)
                if region.confined:
                    upper, lower = (
                        np.ascontiguousarray(state.vertices[list(row), :2])
                        for row in (region.openings[0].upper, region.openings[0].lower)
                    )
                    restore_outside(frame, before, where.middle, 0.75 * where.side, upper, lower)

    def gate(self, region: Region, state: FrameState) -> float:
        """``1 - exp(-m^2)`` of the region's motion m, which is 1 for a millimetre: exactly 0 for the portrait."""
        points = np.sqrt(np.square(state.moved[list(region.points)]).sum(axis=-1).mean()) / _POINTS
        eyes = [opening.eye for opening in region.openings if opening.eye is not None]
        lids = max((float(state.closure[eye]) for eye in eyes), default=0.0) / _LID
        turn = np.linalg.norm(state.camera.rotation - self._motion.camera.rotation) / _TURN
        return float(-np.expm1(-(points**2 + lids**2 + turn**2)))

    def _crop(self, number: int, frame: NDArray[np.uint8], state: FrameState) -> RegionCrop:
        region, home = self._regions[number], self._homes[number]
        here = place(region, self._motion, state.camera)
        own = self._own[number]
        parts = [
            self._colours(frame, here),
            own[:3],
            self._flow(here, home, state.source_map),
            self._openings(region, here, state.vertices, state.closure),
            own[3:],
        ]
        opening = region.openings[0]
        edges = here.inside(state.vertices[[list(opening.upper), list(opening.lower)], :2])
        return RegionCrop(region.kind, np.concatenate(parts), self.gate(region, state), here, edges)

    def _colours(self, image: NDArray[np.uint8], where: Placement) -> NDArray[np.uint8]:
        """Colours of an image in the square, (3, S, S)."""
        return _bytes(cut_region(image, where.middle, where.across, where.down, self._size))

    def _flow(self, here: Placement, home: Placement, source_map: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Shift of each pixel from its position in the portrait's own region, (2, S, S)."""
        sources = cut_region(source_map, here.middle, here.across, here.down, self._size)  # (S, S, 2)
        centres = (np.arange(self._size) + 0.5) / self._size
        grid = np.stack(np.meshgrid(centres, centres), axis=-1)
        shift = home.inside(sources.astype(np.float64)) - grid
        return _bytes(127.5 * (1.0 + shift / FLOW_RANGE))

    def _openings(self, region: Region, where: Placement, points: Array, closure: Array) -> NDArray[np.uint8]:
        """Mask of the region's openings, (1, S, S)."""
        mask = np.zeros((self._size, self._size), np.float32)
        for opening in region.openings:
            upper, lower = points[list(opening.upper), :2], points[list(opening.lower), :2]
            if opening.eye is not None:
                upper = upper + closure[opening.eye] * (lower - upper)
            mask = np.maximum(mask, opening_mask(where, upper, lower, self._size))
        return _bytes(255.0 * mask[..., None])


class NetworkRefiner:
    """Adapter from a trained `Refiner` to `RegionModel`.

    Args:
        network: The network, in evaluation mode.
    """

    def __init__(self, network: Refiner) -> None:
        self._network = network.to(memory_format=torch.channels_last)
        self.kinds, self.size = network.kinds, network.size

    @torch.inference_mode()
    def __call__(self, crops: list[RegionCrop]) -> Changes:
        """Compute changes one region at a time, because the bits of a batched result could depend on the batch size."""
        return [self._changes(crop) if crop.gate > 0 else None for crop in crops]

    def _changes(self, crop: RegionCrop) -> NDArray[np.float32]:
        inputs = torch.from_numpy(crop.inputs)[None].contiguous(memory_format=torch.channels_last)
        change = crop.gate * self._network(inputs, crop.kind)[0].permute(1, 2, 0)  # (S, S, 6)
        return torch.cat([change[..., :3].expm1(), 255.0 * change[..., 3:]], dim=-1).numpy()


def open_refiner(path: str | os.PathLike[str]) -> NetworkRefiner:
    """Load a trained refiner from a run folder, a .ckpt or a .safetensors file.

    Raises:
        InputError: The file does not exist, is damaged, or holds another network.
    """
    network = load_model(Path(path), "refiner")
    assert isinstance(network, Refiner)
    return NetworkRefiner(network)


class PairedRefiner:
    """Reuses each frame's changes once: for the same frame rendered in front of two backgrounds in turn.

    Args:
        model: Computes the changes.
    """

    def __init__(self, model: RegionModel) -> None:
        self._model = model
        self._kept: Changes | None = None
        self.kinds, self.size = model.kinds, model.size

    def __call__(self, crops: list[RegionCrop]) -> Changes:
        """Compute the changes of a frame, or return those of the previous frame every second time."""
        if self._kept is None:
            self._kept = self._model(crops)
            return self._kept
        kept, self._kept = self._kept, None
        return kept


def _bytes(values: NDArray) -> NDArray[np.uint8]:
    """Values (S, S, C) rounded and clipped to uint8, as (C, S, S)."""
    return np.ascontiguousarray(np.clip(values + 0.5, 0, 255).astype(np.uint8).transpose(2, 0, 1))
