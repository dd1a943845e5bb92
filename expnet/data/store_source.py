"""A track store as a source of training clips: its location, its sampling weight and its speech features."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from expnet.errors import ConfigError


@dataclass(frozen=True)
class StoreSource:
    """One track store of a training run.

    Args:
        path: Directory or URL of the store.
        weight: Sampling weight: with 1, clips are drawn as often as their duration suggests.
        features: Folder of the store's speech features (`expnet.data.store.feature_cache`); empty for none.
    """

    path: str
    weight: float = 1.0
    features: str = ""


Stores = str | os.PathLike[str] | StoreSource | Sequence[str | os.PathLike[str] | StoreSource]
"""One store or several, each as a path, a URL or a `StoreSource`."""


def as_sources(stores: Stores) -> list[StoreSource]:
    """Return stores as a list of sources.

    Raises:
        ConfigError: If there is no store, a path is empty, or a weight is negative.
    """
    several = stores if isinstance(stores, Sequence) and not isinstance(stores, str) else [stores]
    sources = [store if isinstance(store, StoreSource) else StoreSource(os.fspath(store)) for store in several]
    if not sources or not all(source.path for source in sources):
        raise ConfigError("data.store is empty; give the folder of a track store, such as data.store=tracks")
    if min(source.weight for source in sources) < 0:
        raise ConfigError("the weights of track stores must be 0 or more")
    return sources


def store_sources(
    stores: str | Sequence[str], weights: Sequence[float] | None = None, features: str | Sequence[str] = ""
) -> list[StoreSource]:
    """Combine the parallel lists of a configuration into one source per store.

    Args:
        stores: ``data.store``: one path or a list of paths.
        weights: ``data.store_weights``: one number per store, or None.
        features: ``data.features``: one folder per store, or empty.

    Raises:
        ConfigError: If the lists differ in length, or a value cannot be used.
    """
    paths = [source.path for source in as_sources(stores)]
    weights = [1.0] * len(paths) if weights is None else list(weights)
    if len(weights) != len(paths) or min(weights) < 0:
        raise ConfigError(f"data.store_weights needs {len(paths)} numbers of 0 or more, one for each store")
    folders = [features] if isinstance(features, str) else list(features)
    if not any(folders):
        folders = [""] * len(paths)
    if len(folders) != len(paths):
        raise ConfigError(f"data.features needs {len(paths)} folders, one for each store of data.store")
    return [StoreSource(*values) for values in zip(paths, weights, folders, strict=True)]
