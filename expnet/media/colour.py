"""How the numbers of a video's frames stand for colours: range, matrix and primaries, which its header names."""

from __future__ import annotations

from dataclasses import dataclass

import av

UNSPECIFIED = "unspecified"
_FULL_RANGE = 2
# The numbers of ITU-T H.273, which FFmpeg uses.
_MATRICES = {0: "rgb", 1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
_PRIMARIES = {
    1: "bt709",
    4: "bt470m",
    5: "bt601 (625 lines)",
    6: "bt601 (525 lines)",
    7: "smpte240m",
    8: "film",
    9: "bt2020",
    11: "dci-p3",
    12: "display-p3",
    22: "ebu3213",
}


@dataclass(frozen=True)
class ColourTags:
    """What a video says about its colours, as `expnet.media.video_reader.read_video` understands it.

    Attributes:
        range: ``limited`` (16 to 235) or ``full`` (0 to 255). A video that does not say has the limited range.
        matrix: How luma and chroma are made of red, green and blue. FFmpeg takes BT.601 for a video that does not say.
        primaries: Which red, green and blue are meant, ``unspecified`` where the video does not say.
    """

    range: str = "limited"
    matrix: str = "bt601"
    primaries: str = UNSPECIFIED


def colour_tags(frame: av.VideoFrame) -> ColourTags:
    """Return the colour tags of a decoded frame."""
    name = frame.format.name
    is_rgb = frame.format.is_rgb or name.startswith("gbr")
    full = is_rgb or name.startswith("yuvj") or frame.color_range == _FULL_RANGE
    matrix = "rgb" if is_rgb else _MATRICES.get(int(frame.colorspace), "bt601")
    primaries = _PRIMARIES.get(int(frame.color_primaries), UNSPECIFIED)
    return ColourTags("full" if full else "limited", matrix, primaries)
