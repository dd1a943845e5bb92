"""Lightning callbacks that score and show validation clips of any LightningModule; imported as ``expnet.callbacks``.

The module's ``validation_step`` returns `ClipSample` objects, or a function given to the callback makes them. Each
callback scores them across all processes: ``Trainer(callbacks=[LpipsCallback(), SyncNetCallback(every=5)])``.
"""

import importlib
from typing import Any

_PUBLIC = {
    "ClipSample": "clip_sample",
    "FrechetCallback": "image_quality",
    "LandmarkDistanceCallback": "landmark_distance",
    "LpipsCallback": "image_quality",
    "MetricCallback": "metric_callback",
    "MonitoredCheckpoint": "monitored_checkpoint",
    "SamplesCallback": "samples",
    "SyncNetCallback": "syncnet",
    "ValidationCallback": "metric_callback",
}

__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    """Import a public name from its module on first use."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'expnet.callbacks' has no attribute {name!r}")
    return getattr(importlib.import_module(f"expnet.callbacks.{_PUBLIC[name]}"), name)
