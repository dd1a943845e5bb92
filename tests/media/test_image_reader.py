"""Image files as cameras and editors write them."""

import contextlib
import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from expnet.errors import InputError
from expnet.media.image_reader import load_image


def wide_gamut_profile() -> bytes:
    """A matrix profile like Display P3's, written by hand: sRGB's, with red and green primaries further out."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = int.from_bytes(profile[128:132], "big")
    # XYZ of the primaries under D50, from Apple's Display P3.icc: 16.16 fixed point.
    primaries = {
        b"rXYZ": (0.51512, 0.2412, -0.00105),
        b"gXYZ": (0.29198, 0.69225, 0.04189),
        b"bXYZ": (0.1571, 0.06657, 0.78407),
    }
    for index in range(count):
        entry = 132 + 12 * index
        signature = bytes(profile[entry : entry + 4])
        place = int.from_bytes(profile[entry + 4 : entry + 8], "big")
        if signature in primaries:
            values = b"".join(round(v * 65536).to_bytes(4, "big", signed=True) for v in primaries[signature])
            profile[place + 8 : place + 20] = values
        if signature == b"desc":
            size = int.from_bytes(profile[entry + 8 : entry + 12], "big")
            text = bytes(profile[place : place + size])
            profile[place : place + size] = text.replace(
                "sRGB".encode("utf-16-be"), "P3P3".encode("utf-16-be")
            ).replace(b"sRGB", b"P3P3")
    return bytes(profile)


def test_a_display_p3_portrait_becomes_srgb(tmp_path: Path) -> None:
    """Skin of (230, 150, 120) in Display P3 is (244, 147, 113) in sRGB, by the matrices of both."""
    profile = wide_gamut_profile()
    Image.new("RGB", (80, 80), (230, 150, 120)).save(tmp_path / "p3.png", icc_profile=profile)

    def linear(value: np.ndarray) -> np.ndarray:
        return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)

    p3 = np.array([[0.51512, 0.29198, 0.1571], [0.2412, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
    srgb = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
    expected = np.linalg.solve(srgb, p3 @ linear(np.array([230, 150, 120]) / 255))
    expected = np.where(expected <= 0.0031308, 12.92 * expected, 1.055 * expected ** (1 / 2.4) - 0.055) * 255
    assert np.abs(load_image(tmp_path / "p3.png")[40, 40] - expected).max() <= 2
    assert expected[0] > 238  # the portrait came out dull before


def test_srgb_and_foreign_profiles_change_nothing(tmp_path: Path) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for name, profile in (("srgb", srgb), ("lab", lab), ("damaged", b"\0" * 200)):
        Image.new("RGB", (80, 80), (230, 150, 120)).save(tmp_path / f"{name}.png", icc_profile=profile)
        assert (load_image(tmp_path / f"{name}.png") == (230, 150, 120)).all()


@pytest.mark.parametrize("suffix", ["avif", "webp", "jpg", "png", "tiff", "gif", "bmp"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
def test_a_damaged_file_is_one_sentence_or_an_image(tmp_path: Path, suffix: str, share: float) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (96, 96, 3), dtype=np.uint8))
    whole = io.BytesIO()
    try:
        image.save(whole, {"jpg": "jpeg"}.get(suffix, suffix))
    except (KeyError, OSError):
        pytest.skip(f"this Pillow does not write {suffix}")
    data = bytearray(whole.getvalue())
    for place in range(int(len(data) * share), min(int(len(data) * share) + 300, len(data))):
        data[place] ^= 0x5A
    (tmp_path / f"cut.{suffix}").write_bytes(whole.getvalue()[: int(len(data) * share)])
    (tmp_path / f"noise.{suffix}").write_bytes(data)
    for name in ("cut", "noise"):
        # Anything but these two outcomes, such as a library's own error, fails the test.
        with contextlib.suppress(InputError):
            assert load_image(tmp_path / f"{name}.{suffix}").shape[2] == 3


def test_a_photograph_of_108_megapixels_is_scaled_down_without_a_warning(tmp_path: Path) -> None:
    Image.new("L", (12000, 9000), 90).save(tmp_path / "large.jpg", quality=30)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = load_image(tmp_path / "large.jpg", max_side=512)
    assert image.shape == (384, 512, 3)
