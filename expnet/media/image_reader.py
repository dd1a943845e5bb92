"""Reading image files as cameras and editors write them: upright 8-bit sRGB from any format, depth and profile."""

from __future__ import annotations

import io
import logging
import os
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from expnet.errors import InputError
from expnet.io.machine_faults import is_machine_fault, machine_error

_log = logging.getLogger(__name__)

LARGEST_SIDE = 1024
"""Portraits with a longer side are scaled down to this many pixels."""
SMALLEST_SIDE = 64
"""Smaller images cannot hold a face that can be tracked and shown."""

# Modes in which the pixels of each colour space of ICC profiles (their signature) are converted.
_PROFILE_MODES = {"RGB ": ("RGB",), "CMYK": ("CMYK",), "GRAY": ("L",), "Lab ": ("LAB",)}


def load_image(path: str | os.PathLike[str], *, max_side: int | None = LARGEST_SIDE) -> NDArray[np.uint8]:
    """Read an image file as upright 8-bit RGB in the sRGB colour space.

    EXIF rotation and an embedded colour profile are applied, and transparency is laid over white. Grey, palette, CMYK,
    16-bit and floating-point images are converted. Of an animation, the first frame is taken.

    Args:
        path: Any file that Pillow reads.
        max_side: Images with a longer side are scaled down to this many pixels; None keeps the size.

    Returns:
        (H, W, 3) uint8.

    Raises:
        InputError: There is no such file, or it is not an image, damaged, or too small.
        MachineError: The machine failed to read it.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such image file; check the path.")
    try:
        with warnings.catch_warnings():
            # Large photographs are scaled down as they are decoded; Pillow still refuses images twice this large.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as opened:
                opened.draft("RGB", None if max_side is None else (max_side, max_side))
                image = _to_rgb(ImageOps.exif_transpose(opened), path)
    except UnidentifiedImageError as error:
        raise InputError(f"{path}: not an image that can be read; expected a PNG, JPEG or WebP image.") from error
    except (OSError, SyntaxError, ValueError, RuntimeError, EOFError, Image.DecompressionBombError) as error:
        if is_machine_fault(error):
            raise machine_error(error) from error
        raise InputError(f"{path}: the image is damaged or too large to open ({error}); save it again.") from error
    if min(image.size) < SMALLEST_SIDE:
        raise InputError(
            f"{path}: the image is {image.width}x{image.height} pixels; expected at least "
            f"{SMALLEST_SIDE}x{SMALLEST_SIDE}, take a larger version of it."
        )
    return np.asarray(limited(image, max_side))


def limited(image: Image.Image, max_side: int | None) -> Image.Image:
    """Scale an image down so that its longer side is at most ``max_side``; None keeps its size."""
    if max_side is None or max(image.size) <= max_side:
        return image
    scale = max_side / max(image.size)
    size = (max(round(image.width * scale), 1), max(round(image.height * scale), 1))
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def _to_rgb(image: Image.Image, path: Path) -> Image.Image:
    profile = image.info.get("icc_profile")
    if image.mode in ("I;16", "I;16B", "I;16L", "I", "F"):
        values = np.asarray(image, np.float64)
        # 16-bit files span 65535, whatever their brightest pixel is; floating-point ones span 0..1 or 0..255.
        top = 65535.0 if image.mode != "F" else (1.0 if values.max() <= 1.0 else 255.0)
        image = Image.fromarray(np.clip(values / top * 255.0 + 0.5, 0, 255).astype(np.uint8))
    elif image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    elif image.mode == "P":
        image = image.convert("RGB")
    return _to_srgb(image, profile, path).convert("RGB")


def _to_srgb(image: Image.Image, profile: bytes | None, path: Path) -> Image.Image:
    """Convert the colours of an image with an ICC profile (Display P3, Adobe RGB, a printer's CMYK) to sRGB."""
    if not profile:
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if image.mode not in _PROFILE_MODES.get(source.profile.xcolor_space, ()):
            return image  # an editor converted the pixels and left the profile behind
        if "sRGB" in (source.profile.profile_description or ""):
            return image
        target = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, source, target, outputMode="RGB") or image
    except (ImageCms.PyCMSError, OSError) as error:
        _log.warning("%s: its colour profile is damaged and was ignored (%s).", path, error)
        return image
