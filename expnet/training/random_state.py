"""The state of the random number generators that a training draws from: read, and restored."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor


def random_state() -> dict[str, Any]:
    """Return the state of all generators of this process, in tensors and plain values, as a checkpoint holds them."""
    name, keys, *position = np.random.get_state()
    generators = torch_random_state()
    state: dict[str, Any] = {
        "torch": generators.pop("cpu"),
        "numpy": (name, torch.from_numpy(np.asarray(keys, dtype=np.int64)), *position),
        "python": random.getstate(),
    }
    return {**state, **generators}


def set_random_state(state: Mapping[str, Any]) -> None:
    """Restore what `random_state` returned."""
    set_torch_random_state({"cpu": state["torch"], **{name: state[name] for name in state if name == "cuda"}})
    name, keys, *position = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *position))
    random.setstate(state["python"])


def torch_random_state() -> dict[str, Tensor]:
    """Return the state of torch's generators: ``cpu``, and ``cuda`` for the current GPU if one is in use."""
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_torch_random_state(state: Mapping[str, Tensor]) -> None:
    """Restore what `torch_random_state` returned, on a machine with or without a GPU."""
    torch.set_rng_state(state["cpu"].cpu())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())
