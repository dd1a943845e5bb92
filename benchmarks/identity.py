"""How far apart dlib's network puts faces: of one clip, of other clips of the same person, and of other people.

    python benchmarks/identity.py CLIPS [--limit N] [--apart FRAMES]

Two frames of every clip are embedded; CLIPS/manifest.csv (columns file and speaker) says who is shown. Needs
'expnet[identity]'.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from expnet.cli import guarded
from expnet.data.even_spacing import evenly_spaced
from expnet.evaluation.videos.pairing import find_videos
from expnet.evaluation.videos.reader import VideoReader
from expnet.io.markdown import markdown_table
from expnet.models.dlib_recogniser import DlibRecogniser

THRESHOLD = 0.6
"""Below it, dlib takes two pictures for those of one person."""
SETTLING = 4
"""Frames until the tracker has converged."""


@dataclass(frozen=True)
class EmbeddedClip:
    """Two frames of a clip.

    Attributes:
        person: Who is shown.
        embeddings: (2, 128) float64.
    """

    person: str
    embeddings: NDArray[np.float64]


def embed_clips(
    folder: Path, network: DlibRecogniser, *, limit: int, apart: int
) -> tuple[list[EmbeddedClip], list[str]]:
    """Embed two frames of every clip, and name the clips that are too short or have no face in one of them."""
    reader = VideoReader(seconds=(SETTLING + apart + 1) / 25.0)
    found, left_out = find_videos(folder), []
    clips = []
    for name in evenly_spaced(sorted(found), limit or None):
        path, speaker = found[name]
        video = reader(path)
        chosen = [SETTLING, SETTLING + apart]
        if video.face is None or len(video) <= chosen[1] or not bool(video.face.valid[chosen].all()):
            left_out.append(name)
            continue
        embeddings: Tensor = network(video.frames[chosen], video.face.landmarks[chosen])
        clips.append(EmbeddedClip(speaker, embeddings.numpy()))
    return clips, left_out


def distances(clips: Sequence[EmbeddedClip]) -> dict[str, NDArray[np.float64]]:
    """Distances within clips, between the first frames of clips of one person, and of different people."""
    pairs = [
        (first.person == second.person, float(np.linalg.norm(first.embeddings[0] - second.embeddings[0])))
        for first, second in combinations(clips, 2)
    ]
    return {
        "the same clip": np.array([np.linalg.norm(clip.embeddings[0] - clip.embeddings[1]) for clip in clips]),
        "another clip of the same person": np.array([distance for same, distance in pairs if same]),
        "another person": np.array([distance for same, distance in pairs if not same]),
    }


def table(found: Mapping[str, NDArray[np.float64]]) -> str:
    """Return the least, the median and the largest distance of each kind of pair, and the share below the threshold."""
    rows = [
        [kind, str(len(values)), *(f"{values_at:.2f}" for values_at in np.quantile(values, [0, 0.5, 1])),
         f"{(values < THRESHOLD).mean():.3f}"]
        for kind, values in found.items() if len(values)
    ]  # fmt: skip
    return markdown_table(["pair", "n", "least", "median", "most", f"below {THRESHOLD:g}"], rows, align="lrrrrr")


def main(argv: Sequence[str] | None = None) -> int:
    """Embed the clips and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, metavar="CLIPS", help="Folder of videos of talking faces.")
    parser.add_argument("--limit", type=int, default=0, help="Number of clips, evenly spaced; 0 for all.")
    parser.add_argument("--apart", type=int, default=25, help="Frames between the two of a clip (default 25).")
    options = parser.parse_args(argv)
    clips, left_out = embed_clips(options.clips, DlibRecogniser(), limit=options.limit, apart=options.apart)
    print(f"{len(clips)} clips of {len({clip.person for clip in clips})} people, frames {options.apart} apart")
    if left_out:
        print(f"left out, too short or no face: {', '.join(left_out)}")
    print(table(distances(clips)))
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
