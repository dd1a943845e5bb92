"""expnet: audio-driven single-image talking faces, trained, measured and rendered.

Public names are imported on first use, so that ``import expnet`` stays cheap.
"""

import importlib
from pkgutil import extend_path
from typing import Any

# In a checkout metrics/, callbacks/ and configs/ lie beside this folder and are mapped in by the installer;
# extend_path lets them be found from a plain, an editable and a wheel install alike.
__path__ = extend_path(__path__, __name__)

__version__ = "0.1.0"

_PUBLIC = {
    "Animator": "expnet.animate.animator",
    "FaceCoefficients": "expnet.coefficients",
    "TalkingFaceDataModule": "expnet.data.datamodule",
    "TrackStore": "expnet.data.store.track_store",
    "load_config": "expnet.config",
}

__all__ = [*_PUBLIC, "__version__"]


def __getattr__(name: str) -> Any:
    """Import a public name from its module on first use."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'expnet' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)
