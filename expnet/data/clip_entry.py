"""A clip of an opened track store, the unit that splits, datasets and evaluations handle."""

from typing import NamedTuple

from expnet.data.store.manifest import ManifestRow
from expnet.data.store.track import Track
from expnet.data.store.track_store import TrackStore


class ClipEntry(NamedTuple):
    """A clip, or a part of one, and the store that holds it.

    The row of a part has the name of the whole clip and its own range of frames (`expnet.data.splits.split_by_time`).
    """

    store: TrackStore
    row: ManifestRow

    def read(self) -> Track:
        """Read the frames of this entry."""
        begin = self.row.first_frame - self.store.row(self.row.clip_id).first_frame
        return self.store.read_window(self.row.clip_id, begin, self.row.frames)
