"""Sizes of the face-vid2vid networks."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RendererSizes:
    """Sizes of the generator, the keypoint detector and the mapping network; the defaults are the published ones.

    Source: OpenTalker/SadTalker ``src/config/facerender_still.yaml``.

    Attributes:
        keypoints: Number of keypoints K.
        width: Channels of the first convolution of the image encoder; each of the two halvings doubles them.
        volume_channels: Channels C of the feature volume.
        depth: Depth D of the feature volume.
        volume_blocks: Residual blocks on the feature volume.
        motion_width: Channels of the hourglasses, which double with each halving.
        motion_largest: Most channels of the hourglasses.
        motion_halvings: Halvings in the hourglasses.
        compressed: Channels of the feature volume from which the flow is estimated.
        modulation: Channels between the features and the scales and shifts of the decoder.
        decoder_blocks: Residual blocks of the decoder before its two doublings.
        mapping_width: Channels of the mapping network.
    """

    keypoints: int = 15
    width: int = 64
    volume_channels: int = 32
    depth: int = 16
    volume_blocks: int = 6
    motion_width: int = 32
    motion_largest: int = 1024
    motion_halvings: int = 5
    compressed: int = 4
    modulation: int = 128
    decoder_blocks: int = 6
    mapping_width: int = 1024

    @property
    def features(self) -> int:
        """Channels of the image features at a quarter of the image's side."""
        return 4 * self.width


PUBLISHED = RendererSizes()
SMALL = RendererSizes(
    keypoints=3,
    width=4,
    volume_channels=2,
    depth=4,
    volume_blocks=1,
    motion_width=4,
    motion_largest=8,
    motion_halvings=2,
    compressed=2,
    modulation=4,
    decoder_blocks=1,
    mapping_width=8,
)
"""Sizes with random weights, for tests and measurements of everything but the networks."""
