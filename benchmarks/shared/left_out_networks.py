"""Networks that are trained without the speakers they are tested on, each once."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from expnet.config import load_config
from expnet.errors import InputError
from expnet.evaluation.store.systems import Networks, System
from expnet.models.expression_regressor import ExpressionRegressor
from expnet.models.saved_model import load_model
from expnet.training.main import train
from shared.folds import fold_view

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def train_network(
    name: str, stores: Sequence[Path], layers: Sequence[str], run: Path, *, features: Sequence[Path] = ()
) -> System:
    """Train an expression network on the training split of stores, in a folder that is emptied first.

    Args:
        name: Name of the system.
        stores: Track stores to train on.
        layers: Configuration of the training, files and KEY=VALUE.
        run: Run folder.
        features: Folder of each store's speech features; empty for a network that reads the mel alone.
    """
    shutil.rmtree(run, ignore_errors=True)
    heard = [f"data.features=[{','.join(map(str, features))}]"] if features else []
    train(load_config([*layers, f"data.store=[{','.join(map(str, stores))}]", *heard, f"output={run}"]))
    return Networks(name, name, "model", "", expression=load_model(run, "expression"))  # type: ignore[arg-type]


def train_once(
    config: str, name: str, stores: Sequence[Path], people: set[str], output: Path, overrides: Sequence[str]
) -> Path:
    """Train a variant of a network without some speakers, unless that was done before, and return its run folder.

    Args:
        config: Name of a file in ``configs``.
        name: Name of the variant and of its run folder.
        stores: Track stores to train on.
        people: Speakers to leave out.
        output: Folder of the benchmark.
        overrides: Overrides of the training, KEY=VALUE.

    Raises:
        InputError: The existing run was trained with other arguments.
    """
    run = output / "runs" / name
    recipe = "\n".join([*map(str, stores), *sorted(people), *overrides]) + "\n"
    done = run / "trained.txt"
    if not done.is_file():
        views = output / "stores" / name
        for leftover in (run, views):
            shutil.rmtree(leftover, ignore_errors=True)
        folders = [fold_view(store, views / f"{place}-{store.name}", people) for place, store in enumerate(stores)]
        given = [f"data.store=[{','.join(map(str, folders))}]", "trainer.validate_every=1000000", f"output={run}"]
        train(load_config([str(CONFIGS / config), *given, *overrides]))
        done.write_text(recipe)
    if done.read_text() != recipe:
        raise InputError(f"{run} was trained with other stores, people or overrides; give another --output.")
    return run


def train_expression_once(
    name: str, stores: Sequence[Path], people: set[str], output: Path, overrides: Sequence[str]
) -> ExpressionRegressor:
    """Train a variant of the expression network without some speakers, or load it; see `train_once`."""
    network = load_model(train_once("expression.yaml", name, stores, people, output, overrides), "expression")
    assert isinstance(network, ExpressionRegressor)
    return network
