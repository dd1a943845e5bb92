"""glTF 2.0: the face as a mesh with one morph target per expression coefficient, and the clip as its animation.

    vertex = mean + identity + sum_k weight_k target_k        node: rotation, translation

The targets are the face model's expression basis and the animated weights are the coefficients, so a viewer shows
exactly the geometry of this project. If the clip has blinks that the renderer added, one more target closes the
eyelids. The portrait, if given, becomes the texture of the mesh.

Source: Khronos, glTF 2.0 specification, sections 3.6 (accessors), 3.7.2.2 (morph targets), 3.11 (animations) and 4.4
(the binary container).
"""

import json
import struct
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial.transform import Rotation

from expnet.coefficients import FaceCoefficients
from expnet.errors import InputError
from expnet.face.camera import project
from expnet.face.landmarks import INNER_LIP_LOOP, LEFT_EYE_LOOP, MESH_POINTS, RIGHT_EYE_LOOP
from expnet.face.morphable import MorphableModel
from expnet.formats.geometry import closed_lids, neutral_face
from expnet.formats.head_motion_files import METRES_PER_FACE_UNIT
from expnet.formats.motion_clip import MotionClip, write_output

Float = NDArray[np.float32]

_FLOAT, _UNSIGNED = 5126, 5125
_VERTICES, _INDICES = 34962, 34963
_TYPES = {(): "SCALAR", (2,): "VEC2", (3,): "VEC3", (4,): "VEC4"}
_MAGIC, _VERSION, _JSON, _BINARY = 0x46546C67, 2, 0x4E4F534A, 0x004E4942

_UNLIT: dict[str, Any] = {"doubleSided": True, "extensions": {"KHR_materials_unlit": {}}}
_PLAIN: dict[str, Any] = {
    "doubleSided": True,
    "pbrMetallicRoughness": {"baseColorFactor": [0.8, 0.8, 0.8, 1.0], "metallicFactor": 0.0},
}
# A photograph already contains its illumination.
_PORTRAIT = {**_UNLIT, "pbrMetallicRoughness": {"baseColorTexture": {"index": 0}, "metallicFactor": 0.0}}
# The dark interior of an open mouth, in linear RGB, and its outline from one corner along the upper lip and back.
_MOUTH_INTERIOR = {
    **_UNLIT,
    "pbrMetallicRoughness": {"baseColorFactor": [0.035, 0.008, 0.008, 1.0], "metallicFactor": 0.0},
}
_MOUTH_OUTLINE = INNER_LIP_LOOP[5::-1] + INNER_LIP_LOOP[:5:-1]

BLINK = "blink"


@dataclass
class _Buffer:
    """The binary part of a .glb and the views into it."""

    content: bytearray = field(default_factory=bytearray)
    views: list[dict[str, Any]] = field(default_factory=list)
    accessors: list[dict[str, Any]] = field(default_factory=list)

    def view(self, data: bytes, **facts: int) -> int:
        self.content.extend(b"\0" * (-len(self.content) % 4))
        self.views.append({"buffer": 0, "byteOffset": len(self.content), "byteLength": len(data), **facts})
        self.content.extend(data)
        return len(self.views) - 1

    def array(self, values: NDArray[Any], *, target: int | None = None, limits: bool = False) -> int:
        """Add an array (N,) or (N, D) as an accessor; ``limits`` where the format requires minimum and maximum."""
        kind = _UNSIGNED if values.dtype.kind in "iu" else _FLOAT
        values = np.ascontiguousarray(values, "<u4" if kind == _UNSIGNED else "<f4")
        view = self.view(values.tobytes(), **({} if target is None else {"target": target}))
        accessor: dict[str, Any] = {
            "bufferView": view,
            "componentType": kind,
            "count": len(values),
            "type": _TYPES[values.shape[1:]],
        }
        if limits:
            flat = values.reshape(len(values), -1)
            accessor |= {"min": flat.min(axis=0).tolist(), "max": flat.max(axis=0).tolist()}
        self.accessors.append(accessor)
        return len(self.accessors) - 1


def write_glb(
    path: Path,
    clip: MotionClip,
    model: MorphableModel,
    *,
    portrait: NDArray[np.uint8] | None = None,
    fit: FaceCoefficients | None = None,
) -> None:
    """Write a clip as a binary glTF file, in metres, y up, with the face looking along +z.

    Args:
        path: The .glb file.
        clip: The clip.
        model: The face model of its coefficients.
        portrait: (H, W, 3) uint8 texture of the mesh; None for plain grey.
        fit: Coefficients of the portrait, one frame, with the crop in its pixels; required with ``portrait``.

    Raises:
        InputError: The clip has blinks, and the eyelids of this face model are not known.
    """
    buffer = _Buffer()
    shape = neutral_face(model, clip.coefficients)  # (V, 3)
    targets, weights, names = _morph_targets(clip, model, shape)
    triangles = _closed_triangles(model)
    attributes = {
        "POSITION": buffer.array(shape * METRES_PER_FACE_UNIT, target=_VERTICES, limits=True),
        "NORMAL": buffer.array(_normals(shape, triangles), target=_VERTICES),
    }
    skin, document = _PLAIN, {}
    if portrait is not None:
        if fit is None:
            raise ValueError("a portrait needs its fit, which says where the mesh lies on it")
        attributes["TEXCOORD_0"] = buffer.array(_texture_coordinates(model, fit, portrait), target=_VERTICES)
        skin, document = _PORTRAIT, _texture(buffer, portrait)
    parts = [(triangles, skin)]
    if len(model.mean) == MESH_POINTS:
        # An open mouth shows a dark interior instead of the background; it is attached to the vertices of the lips.
        parts.append((_fill_loop(_MOUTH_OUTLINE), _MOUTH_INTERIOR))
    moved = [
        {"POSITION": buffer.array(target * METRES_PER_FACE_UNIT, target=_VERTICES, limits=True)} for target in targets
    ]
    primitives = [
        {
            "attributes": attributes,
            "indices": buffer.array(corners.ravel(), target=_INDICES),
            "material": number,
            "targets": moved,
        }
        for number, (corners, _) in enumerate(parts)
    ]
    mesh = {
        "name": model.name,
        "primitives": primitives,
        "weights": weights[0].astype(float).tolist(),
        "extras": {"targetNames": names},
    }
    document |= {
        "asset": {"version": "2.0", "generator": "expnet", "extras": {"comment": "synthetic motion"}},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"name": "head", "mesh": 0}],
        "meshes": [mesh],
        "materials": [material for _, material in parts],
        "extensionsUsed": list(_UNLIT["extensions"]),
        "animations": [_animation(buffer, clip.coefficients, weights)],
    }
    write_output(path, _container(document, buffer))


def _morph_targets(
    clip: MotionClip, model: MorphableModel, shape: Float
) -> tuple[Float, NDArray[np.floating], list[str]]:
    """Return morph targets (E, V, 3), their weights (T, E) and names; with blinks, one more of each."""
    targets = np.moveaxis(model.expression_basis.numpy(), -1, 0)
    weights = clip.coefficients.expression
    names = [f"expression_{index:02d}" for index in range(len(targets))]
    if clip.blink is None or not clip.blink.any():
        return targets, weights, names
    rest = shape + np.tensordot(weights.mean(axis=0), targets, axes=1)
    targets = np.concatenate([targets, closed_lids(model, rest)[None]])
    return targets, np.concatenate([weights, clip.blink[:, None]], axis=1), [*names, BLINK]


def _animation(buffer: _Buffer, coefficients: FaceCoefficients, weights: NDArray[np.floating]) -> dict[str, Any]:
    """Return weights, rotation and translation of the head with one key per frame, frame k at k / fps seconds."""
    times = buffer.array(np.arange(coefficients.frames) / coefficients.fps, limits=True)
    pitch_yaw_roll = coefficients.rotation.astype(np.float64)
    quaternions = Rotation.from_euler("ZYX", pitch_yaw_roll[:, ::-1]).as_quat(canonical=True)  # (T, 4) x, y, z, w
    tracks = {
        "weights": np.ascontiguousarray(weights).ravel(),
        "rotation": quaternions,
        "translation": coefficients.translation * METRES_PER_FACE_UNIT,
    }
    return {
        "name": "clip",
        "samplers": [
            {"input": times, "output": buffer.array(values), "interpolation": "LINEAR"} for values in tracks.values()
        ],
        "channels": [{"sampler": index, "target": {"node": 0, "path": name}} for index, name in enumerate(tracks)],
    }


def _closed_triangles(model: MorphableModel) -> NDArray[np.int64]:
    """Return the triangles, plus triangles that fill the eyes on the tracker's mesh, which has holes there."""
    triangles = model.triangles.numpy()
    if len(model.mean) != MESH_POINTS:
        return triangles
    left = _fill_loop(LEFT_EYE_LOOP)[:, ::-1]  # this loop starts at the other side of its eye
    return np.concatenate([triangles, _fill_loop(RIGHT_EYE_LOOP), left])


def _fill_loop(loop: tuple[int, ...]) -> NDArray[np.int64]:
    """Return triangles (F, 3) that fill a loop, which runs from a corner along the upper edge and back below."""
    upper, lower = loop[: len(loop) // 2 + 1], (loop[0], *loop[: len(loop) // 2 - 1 : -1])
    filled = []
    for one in range(len(upper) - 1):
        quad = (upper[one], lower[one], lower[one + 1], upper[one + 1])
        filled += [(quad[0], quad[1], quad[2]), (quad[0], quad[2], quad[3])]
    return np.array([triangle for triangle in filled if len(set(triangle)) == 3])


def _normals(shape: Float, triangles: NDArray[np.int64]) -> Float:
    """Return unit normals (V, 3), averaged over the triangles around a vertex by area."""
    corners = shape[triangles]  # (F, 3, 3)
    facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(shape)
    for corner in range(3):
        np.add.at(normals, triangles[:, corner], facing)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    # The format requires a unit vector even for a vertex that belongs to no triangle.
    return np.where(length > 0, normals / np.maximum(length, 1e-12), [0.0, 0.0, 1.0]).astype(np.float32)


def _texture_coordinates(model: MorphableModel, fit: FaceCoefficients, portrait: NDArray[np.uint8]) -> Float:
    """Return the position of each vertex on the portrait, (V, 2) in [0, 1] from the top left."""
    if fit.identity is None or fit.crop is None:
        raise InputError("the portrait's coefficients lack identity or crop; compute them with fit_clip.")
    parts = (fit.identity, fit.expression[0], fit.rotation[0], fit.translation[0], fit.crop)
    identity, expression, rotation, translation, crop = (torch.as_tensor(part, dtype=torch.float32) for part in parts)
    pixels = project(model.vertices(identity, expression), rotation, translation, crop).numpy()
    height, width = portrait.shape[:2]
    return np.clip(pixels / [width, height], 0.0, 1.0).astype(np.float32)


def _texture(buffer: _Buffer, portrait: NDArray[np.uint8]) -> dict[str, Any]:
    encoded = BytesIO()
    Image.fromarray(portrait).save(encoded, "JPEG", quality=92)
    return {
        "images": [{"bufferView": buffer.view(encoded.getvalue()), "mimeType": "image/jpeg"}],
        "samplers": [{"wrapS": 33071, "wrapT": 33071}],  # no repetition at the edges
        "textures": [{"source": 0, "sampler": 0}],
    }


def _container(document: dict[str, Any], buffer: _Buffer) -> bytes:
    content = bytes(buffer.content) + b"\0" * (-len(buffer.content) % 4)
    document |= {
        "buffers": [{"byteLength": len(content)}],
        "bufferViews": buffer.views,
        "accessors": buffer.accessors,
    }
    text = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<II", len(text), _JSON) + text + struct.pack("<II", len(content), _BINARY) + content
    return struct.pack("<III", _MAGIC, _VERSION, 12 + len(chunks)) + chunks
