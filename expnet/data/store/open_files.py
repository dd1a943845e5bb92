"""From a path or URL to the files of a track store."""

import os

from expnet.data.store.folder_storage import FolderFiles
from expnet.data.store.storage import StoreFiles

_FOLDER_SCHEME = "file://"


def open_files(location: str | os.PathLike[str] | StoreFiles) -> StoreFiles:
    """Open the store files at a path, a ``file://`` URL, or any other URL that fsspec can open."""
    if isinstance(location, StoreFiles):
        return location
    place = os.fspath(location)
    if "://" in place and not place.startswith(_FOLDER_SCHEME):
        # Imported on demand: most stores are folders.
        from expnet.data.store.object_storage import ObjectFiles

        return ObjectFiles(place)
    return FolderFiles(place.removeprefix(_FOLDER_SCHEME))
