"""glTF 2.0: the face as a mesh with a morph target for each expression coefficient, and the clip as its animation.

    vertex = mean + identity + sum_k weight_k target_k        node: rotation, translation

The targets are the face model's own expression basis and the animated weights the coefficients, so that a viewer shows
the geometry of this project exactly, not an approximation. Where lids close by themselves (the renderer's blinks), one
more target closes them. Given the portrait, the mesh wears it as its texture.

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
from expnet.formats.motion_clip import Performance, write_beside

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
# A photograph has its light in it.
_WORN = {**_UNLIT, "pbrMetallicRoughness": {"baseColorTexture": {"index": 0}, "metallicFactor": 0.0}}
# The dark of an open mouth, linear RGB; and its edge, from one corner along the upper lip and back.
_DARK = {**_UNLIT, "pbrMetallicRoughness": {"baseColorFactor": [0.035, 0.008, 0.008, 1.0], "metallicFactor": 0.0}}
_LIPS = INNER_LIP_LOOP[5::-1] + INNER_LIP_LOOP[:5:-1]

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
        """Add an array (N,) or (N, D) as an accessor; ``limits`` where the format demands least and largest."""
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
    performance: Performance,
    model: MorphableModel,
    *,
    portrait: NDArray[np.uint8] | None = None,
    fit: FaceCoefficients | None = None,
) -> None:
    """Write a clip as a binary glTF file, in metres, y up, the face looking along +z.

    Args:
        path: the .glb.
        performance: the clip.
        model: the face model of its coefficients.
        portrait: (H, W, 3) uint8 picture that the mesh wears; None for plain grey.
        fit: coefficients of the portrait, one frame, with the crop in its pixels. Goes with ``portrait``.

    Raises:
        InputError: the clip has blinks, and the face model has no lids that are known here.
    """
    buffer = _Buffer()
    shape = neutral_face(model, performance.coefficients)  # (V, 3)
    targets, weights, names = _morphs(performance, model, shape)
    triangles = _with_eyes(model)
    attributes = {
        "POSITION": buffer.array(shape * METRES_PER_FACE_UNIT, target=_VERTICES, limits=True),
        "NORMAL": buffer.array(_normals(shape, triangles), target=_VERTICES),
    }
    skin, document = _PLAIN, {}
    if portrait is not None:
        if fit is None:
            raise ValueError("a portrait needs its fit, to know where the mesh lies on it")
        attributes["TEXCOORD_0"] = buffer.array(_texture_places(model, fit, portrait), target=_VERTICES)
        skin, document = _WORN, _texture(buffer, portrait)
    parts = [(triangles, skin)]
    if len(model.mean) == MESH_POINTS:
        # An open mouth shows the dark, not what is behind the head. The lips' own vertices carry it along.
        parts.append((_across(_LIPS), _DARK))
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
        "animations": [_animation(buffer, performance.coefficients, weights)],
    }
    write_beside(path, lambda stream: stream.write(_container(document, buffer)))


def _morphs(
    performance: Performance, model: MorphableModel, shape: Float
) -> tuple[Float, NDArray[np.floating], list[str]]:
    """Morph targets (E, V, 3), their weights (T, E) and names; where lids close by themselves, one more of each."""
    targets = np.moveaxis(model.expression_basis.numpy(), -1, 0)
    weights = performance.coefficients.expression
    names = [f"expression_{index:02d}" for index in range(len(targets))]
    if performance.blink is None or not performance.blink.any():
        return targets, weights, names
    rest = shape + np.tensordot(weights.mean(axis=0), targets, axes=1)
    targets = np.concatenate([targets, closed_lids(model, rest)[None]])
    return targets, np.concatenate([weights, performance.blink[:, None]], axis=1), [*names, BLINK]


def _animation(buffer: _Buffer, coefficients: FaceCoefficients, weights: NDArray[np.floating]) -> dict[str, Any]:
    """Weights, rotation and translation of the head, one key a frame, frame k at k / fps seconds."""
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


def _with_eyes(model: MorphableModel) -> NDArray[np.int64]:
    """The triangles, and where the mesh is the tracker's (which has holes for eyes) the eyes filled in."""
    triangles = model.triangles.numpy()
    if len(model.mean) != MESH_POINTS:
        return triangles
    left = _across(LEFT_EYE_LOOP)[:, ::-1]  # that loop begins at the other side of its eye
    return np.concatenate([triangles, _across(RIGHT_EYE_LOOP), left])


def _across(loop: tuple[int, ...]) -> NDArray[np.int64]:
    """Triangles (F, 3) that fill a loop which runs along an upper edge and back along a lower one, corner first."""
    upper, lower = loop[: len(loop) // 2 + 1], (loop[0], *loop[: len(loop) // 2 - 1 : -1])
    filled = []
    for one in range(len(upper) - 1):
        quad = (upper[one], lower[one], lower[one + 1], upper[one + 1])
        filled += [(quad[0], quad[1], quad[2]), (quad[0], quad[2], quad[3])]
    return np.array([triangle for triangle in filled if len(set(triangle)) == 3])


def _normals(shape: Float, triangles: NDArray[np.int64]) -> Float:
    """Unit normals (V, 3), the average of the triangles around a vertex weighted by area."""
    corners = shape[triangles]  # (F, 3, 3)
    facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(shape)
    for corner in range(3):
        np.add.at(normals, triangles[:, corner], facing)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    # A vertex of no triangle has no normal; the format wants a unit vector all the same.
    return np.where(length > 0, normals / np.maximum(length, 1e-12), [0.0, 0.0, 1.0]).astype(np.float32)


def _texture_places(model: MorphableModel, fit: FaceCoefficients, portrait: NDArray[np.uint8]) -> Float:
    """Where on the portrait each vertex lies, (V, 2) from 0 to 1, top left first."""
    if fit.identity is None or fit.crop is None:
        raise InputError("the portrait's coefficients lack identity or crop; make them with fit_clip.")
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
