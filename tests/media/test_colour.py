import av
import numpy as np
import pytest

from expnet.media.colour import ColourTags, colour_tags


@pytest.mark.parametrize(
    ("pixels", "colour_range", "matrix", "primaries", "expected"),
    [
        ("yuv420p", 0, 2, 2, ColourTags("limited", "bt601", "unspecified")),
        ("yuv420p", 1, 1, 1, ColourTags("limited", "bt709", "bt709")),
        ("yuv420p", 2, 6, 6, ColourTags("full", "bt601", "bt601 (525 lines)")),
        ("yuvj420p", 0, 5, 12, ColourTags("full", "bt601", "display-p3")),
        ("yuv420p10le", 1, 9, 9, ColourTags("limited", "bt2020", "bt2020")),
        ("rgb24", 0, 2, 2, ColourTags("full", "rgb", "unspecified")),
    ],
)
def test_tags_are_those_of_the_frame(
    pixels: str, colour_range: int, matrix: int, primaries: int, expected: ColourTags
) -> None:
    frame = av.VideoFrame(64, 64, pixels)
    frame.color_range, frame.colorspace, frame.color_primaries = colour_range, matrix, primaries
    assert colour_tags(frame) == expected


@pytest.mark.parametrize(("unsaid", "said"), [((0, 2), (1, 5)), ((0, 2), (1, 6))])
def test_what_is_not_said_is_decoded_as_the_tags_claim(unsaid: tuple[int, int], said: tuple[int, int]) -> None:
    """Limited range and BT.601: other values would look different."""
    images = []
    for colour_range, matrix in (unsaid, said, (2, 5), (1, 1)):
        frame = av.VideoFrame.from_ndarray(np.full((96, 64), 90, np.uint8), format="yuv420p")
        frame.color_range, frame.colorspace = colour_range, matrix
        images.append(frame.to_ndarray(format="rgb24"))
    assert np.array_equal(images[0], images[1])
    assert not np.array_equal(images[0], images[2])
    assert not np.array_equal(images[0], images[3])
