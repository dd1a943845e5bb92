"""From videos, or from coefficient files of other programs, to a track store."""
