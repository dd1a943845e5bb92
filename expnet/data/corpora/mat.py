"""Coefficient tracks of other projects with audio beside them, which need neither video nor tracking.

``.mat`` files of SadTalker (width 70 and 73), Deep3DFaceRecon and PIRender (257) are read by
:mod:`expnet.formats.coefficient_files`. A folder of Deep3DFaceRecon files of single images, ``000001.mat`` and so on,
is one track. The audio has the name of the track (or, for SadTalker's ``picture##speech.mat``, that of the speech) and
is in the same folder, in a folder ``audio`` or ``wav``, or anywhere under the root. A video of that name serves as
audio as well.

The files do not store a frame rate. It is the column ``fps`` of a ``manifest.csv``, or else the common rate at which
the track lasts as long as its audio. Speakers, emotions and splits are found as in a folder of videos; if nothing else
is known, the name of SadTalker's source image stands for the speaker.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from expnet.data.corpora.folder import Speakers, describe
from expnet.data.corpora.source import Corpus, MediaFiles, SourceVideo, walk
from expnet.errors import DataError

SUFFIX = ".mat"
_SADTALKER_SEPARATOR = "##"


def read_mat(root: Path, speakers: Speakers = None) -> Corpus:
    """List the tracks under a folder, or a single track.

    Args:
        root: The folder, or the file.
        speakers: As for :func:`expnet.data.corpora.folder.read_folder`.

    Raises:
        DataError: If there is no such folder, or no track in it.
    """
    if not root.exists():
        raise DataError(f"there is no folder or .mat file at {root}; give the path of your tracks")
    tracks = _tracks(walk(root)) if root.is_dir() else [root]
    if not tracks:
        raise DataError(f"there is no .mat file in {root}; give the folder of the tracks")
    files = MediaFiles(root if root.is_dir() else root.parent)
    return Corpus([_with_audio(video, files) for video in describe(tracks, root, speakers)], [])


def _tracks(paths: Iterable[Path]) -> list[Path]:
    """Return files of whole clips, and folders with one file per image."""
    tracks: list[Path] = []
    images: set[Path] = set()
    for path in paths:
        if path.suffix.lower() != SUFFIX:
            continue
        if path.stem.isdigit():
            images.add(path.parent)
        else:
            tracks.append(path)
    return [*tracks, *sorted(images)]


def _with_audio(video: SourceVideo, files: MediaFiles) -> SourceVideo:
    stem = video.path.stem if video.path.suffix.lower() == SUFFIX else video.path.name
    image, separator, speech = stem.rpartition(_SADTALKER_SEPARATOR)
    names = (stem, speech)
    speaker = image if separator and video.speaker == stem else video.speaker
    return replace(video, speaker=speaker, audio=files.audio(*names, beside=video.path) or files.video(*names))
