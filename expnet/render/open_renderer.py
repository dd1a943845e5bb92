"""The one place where a renderer is chosen: a name, or a class of one's own, becomes renderers of portraits.

Weights are read once, when the renderer is opened; each portrait then gets a renderer of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from expnet.assets.sadtalker import SIZES, open_sadtalker_networks
from expnet.config.built_in_parts import BUILT_IN
from expnet.config.parts import find_part, part_names
from expnet.errors import InputError
from expnet.face.fitting import fit_clip
from expnet.face.morphable import MorphableModel, builtin_face_model
from expnet.face.tracker import FaceTracker
from expnet.formats.coefficient_files import BASEL_FACE_MODEL
from expnet.models.saved_model import weights_checksum
from expnet.render.converted_motion import BaselDrivenRenderer
from expnet.render.face_vid2vid.renderer import SadTalkerRenderer
from expnet.render.lip_calibration import calibrate_lips
from expnet.render.mesh_renderer import MeshRenderer
from expnet.render.portrait import Portrait
from expnet.render.refiner.region_refiner import PairedRefiner, RegionModel, open_refiner
from expnet.render.renderer import Renderer
from expnet.render.video_renderer.renderer import TrainedRenderer, open_video_renderer

MakeRenderer = Callable[[Portrait, MorphableModel], Renderer]
"""Makes the renderer of a portrait; the face model is that of the portrait's fit and of the motions."""
RendererChoice = str | os.PathLike[str] | MakeRenderer
"""What may be given as a renderer: a name of `RENDERERS`, the run folder or weights of a trained one, or a class of
one's own (`expnet.render.renderer`)."""

RENDERERS = tuple(BUILT_IN["renderers"])
"""Names of expnet's renderers. Any other text is the run folder or file of a trained one."""


@dataclass(frozen=True)
class OpenedRenderer:
    """A renderer whose weights are in memory: makes renderers of portraits.

    Attributes:
        name: What it is called in messages and protocols.
        make: Makes the renderer of a portrait.
        square: Side in pixels of the square around the face that its networks draw; None if it draws the whole image.
        make_pair: Makes renderers of a person before two backgrounds, whose frames differ in the background alone; None
            if it cannot, so that there is no video without background.
        prepare: Measures once what a portrait needs to be rendered well; None if there is nothing to measure.
    """

    name: str
    make: MakeRenderer
    square: int | None = None
    make_pair: Callable[[Portrait, Portrait, MorphableModel], tuple[Renderer, Renderer]] | None = None
    prepare: Callable[[Portrait, MorphableModel, FaceTracker | None], Portrait] | None = None


def open_renderer(
    renderer: RendererChoice = "mesh",
    *,
    size: int | None = None,
    refiner: str | os.PathLike[str] | None = None,
    device: str | torch.device | None = None,
) -> OpenedRenderer:
    """Open a renderer.

    Args:
        renderer: ``mesh``, ``sadtalker``, the run folder, .ckpt or .safetensors of a renderer that
            ``configs/renderer.yaml`` trained, a renderer that an installed package registers, ``module:Class`` after
            `expnet.config.parts.allow_parts` (docs/guides/own_parts.md), or a callable
            that makes a renderer from a portrait and a face model.
        size: Side in pixels of the squares that SadTalker's renderer draws, 256 or 512; None for 256.
        refiner: Weights that correct the mesh renderer (run folder, .ckpt or .safetensors), or None.
        device: Where networks run; None for a GPU if there is one.

    Raises:
        InputError: There is no such renderer, weights are damaged or of another task, or options exclude each other.
        MissingAssetError: Weights were not found.
    """
    name = os.fspath(renderer) if isinstance(renderer, str | os.PathLike) else None
    if size is not None and name != "sadtalker":
        raise InputError(f"renderer size {size}: only SadTalker's renderer has sizes; leave it out.")
    if refiner is not None and name != "mesh":
        raise InputError("a refiner corrects the mesh renderer's mouths: leave it out with another renderer.")
    if name == "mesh":
        return _mesh(None if refiner is None else open_refiner(refiner))
    if name == "sadtalker":
        return _sadtalker(size or SIZES[0], device)
    if not isinstance(renderer, str | os.PathLike):
        return OpenedRenderer(getattr(renderer, "__name__", type(renderer).__name__), renderer)
    assert name is not None
    if Path(name).exists():
        return _trained(name, device)
    if ":" in name or name in part_names("renderers"):
        return OpenedRenderer(name, find_part("renderers", name, "renderer").target)
    raise InputError(
        f"renderer {name}: expected one of {', '.join(part_names('renderers'))}, or the run folder, .ckpt or "
        ".safetensors of a trained one; there is no such file."
    )


def _mesh(refiner: RegionModel | None) -> OpenedRenderer:
    def make(portrait: Portrait, model: MorphableModel, refined_by: RegionModel | None = refiner) -> Renderer:
        if model.name == BASEL_FACE_MODEL:
            own = _on_mesh(portrait)
            driven = make(own, builtin_face_model(), refined_by)
            return BaselDrivenRenderer(driven, portrait.fit, own.fit)
        return MeshRenderer(
            portrait.image,
            portrait.fit,
            portrait.points,
            model,
            matte=portrait.matte,
            lips=portrait.lips,
            refiner=refined_by,
        )

    def make_pair(one: Portrait, other: Portrait, model: MorphableModel) -> tuple[Renderer, Renderer]:
        shared = None if refiner is None else PairedRefiner(refiner)
        return make(one, model, shared), make(other, model, shared)

    return OpenedRenderer("mesh", make, make_pair=make_pair, prepare=_with_calibrated_lips)


def _with_calibrated_lips(portrait: Portrait, model: MorphableModel, tracker: FaceTracker | None) -> Portrait:
    own, mesh = (_on_mesh(portrait), builtin_face_model()) if model.name == BASEL_FACE_MODEL else (portrait, model)
    return replace(portrait, lips=calibrate_lips(own, mesh, tracker=tracker))


def _on_mesh(portrait: Portrait) -> Portrait:
    """The portrait fitted with the built-in face model, whose points the mesh has."""
    return replace(portrait, fit=fit_clip(builtin_face_model(), portrait.points[None]))


def _sadtalker(size: int, device: str | torch.device | None) -> OpenedRenderer:
    networks = open_sadtalker_networks(size, device=device)

    def make(portrait: Portrait, model: MorphableModel) -> SadTalkerRenderer:
        return SadTalkerRenderer(portrait, model, networks)

    return OpenedRenderer(f"sadtalker {size}", make, square=size)


def _trained(path: str, device: str | torch.device | None) -> OpenedRenderer:
    network = open_video_renderer(path, device=device)

    def make(portrait: Portrait, model: MorphableModel) -> TrainedRenderer:
        return TrainedRenderer(portrait, model, network)

    # Protocols name the weights, wherever the file lies.
    return OpenedRenderer(f"trained {weights_checksum(network)[:12]}", make, square=network.size)
