"""The systems of the accuracy benchmark: how each is fitted or trained on the training speakers of a fold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from expnet.evaluation.store.prediction import System
from expnet.evaluation.store.ridge import feature_inputs, fit_ridge, ridge_features
from expnet.evaluation.store.systems import Ridge
from expnet.evaluation.store.trivial_systems import ClipMean, HoldFirstFrame
from expnet.face.morphable import MorphableModel, builtin_face_model
from shared.folds import FoldView, read_split
from shared.left_out_networks import CONFIGS, train_network
from shared.log_energy_jaw import fit_log_energy_jaw

FEATURES = "_features"
"""Part of the names of systems that read speech features; a network of that name reads them besides the mel."""
RIDGE_CONTEXT = {"ridge_features": 0, "ridge_features_5_frames": 2}
"""Frames on either side that the ridge regressions on speech features read."""
FITTED = ("hold_first_frame", "clip_mean", "log_energy_jaw", "ridge", *RIDGE_CONTEXT)
"""Systems without randomness, which are the same for every seed."""
# The window network reads each part of the audio five times: 256 frames a step are what it can afford.
_PER_FRAME = ["trainer.max_steps=150", "data.batch_size=4"]
TRAINED: dict[str, list[str]] = {
    "small_convolution": [],
    "per_frame": _PER_FRAME,
    "autoregressive": [],
    "ours": ["init=synthetic"],
    "small_convolution_features": [],
    "per_frame_features": _PER_FRAME,
    "autoregressive_features": [],
    # Without silence, which not all folders of features have: `expnet features --copies` makes it.
    "ours_features": ["data.silent_share=0"],
}
"""Systems that are trained, with the configuration in which they differ."""


def reads_features(name: str) -> bool:
    """Whether a system reads speech features."""
    return FEATURES in name


def systems_for(*, features: bool) -> list[str]:
    """Return the names of all systems, or of those that need no speech features."""
    return [name for name in (*FITTED, *TRAINED) if features or not reads_features(name)]


def comparisons(names: Sequence[str]) -> list[tuple[str, str]]:
    """Return the pairs of rows whose difference says what features, or what a network, bring.

    These are each row on features with the row of the same name without, and each network with the ridge regression
    that reads the same.
    """
    pairs = [(name, name.replace(FEATURES, "")) for name in names if FEATURES in name]
    pairs += [(name, "ridge" + FEATURES * reads_features(name)) for name in names if name in TRAINED]
    return [(name, other) for name, other in pairs if other in names]


def layers_of(name: str, seed: int, steps: int, overrides: Sequence[str], own: Sequence[str]) -> list[str]:
    """Return the configuration layers of a trained system; later ones override earlier ones.

    Args:
        name: One of `TRAINED`.
        seed: Seed of the training.
        steps: Training steps, unless a later layer says otherwise.
        overrides: Layers of all systems.
        own: Layers of this system alone.
    """
    network = name.removesuffix(FEATURES)
    config = CONFIGS / ("expression.yaml" if network == "ours" else f"{network}.yaml")
    shared = [f"seed={seed}", f"trainer.max_steps={steps}", "trainer.validate_every=1000000"]
    return [str(config), *shared, *overrides, *own]


def make_system(name: str, view: FoldView, layers: Sequence[str], run: Path) -> System:
    """Fit or train a system on the training speakers of a fold.

    Args:
        name: One of `FITTED` or `TRAINED`.
        view: The stores of the fold.
        layers: Configuration of a trained system.
        run: Folder of the training, which is emptied first.
    """
    if name in TRAINED:
        return train_network(name, view.stores, layers, run, features=view.features if reads_features(name) else ())
    return _fit(name, view, builtin_face_model())


def _fit(name: str, view: FoldView, face: MorphableModel) -> System:
    if name == "hold_first_frame":
        return HoldFirstFrame()
    if name == "clip_mean":
        return ClipMean()
    if name == "log_energy_jaw":
        return fit_log_energy_jaw(read_split(view.stores, "train"), face)
    context = RIDGE_CONTEXT.get(name)
    sides = []
    for split in ("train", "validation"):
        clips = read_split(view.stores, split, () if context is None else view.features)
        sides.append([(c.mel if context is None else c.speech_features(), c.expression, c.valid) for c in clips])
    inputs = ridge_features if context is None else feature_inputs(context)
    regression = fit_ridge(*sides, metric=face.expression_metric, inputs=inputs)
    return Ridge(regression, features=context is not None)
