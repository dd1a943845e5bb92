"""Reads published weight files without running code in them, and checks every entry."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from expnet.errors import InputError, MissingAssetError

Network = TypeVar("Network", bound=nn.Module)


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read a state dict to the CPU.

    Args:
        path: A file of ``torch.save`` with tensors only.

    Raises:
        MissingAssetError: There is no such file.
        InputError: It is damaged, or holds code (a TorchScript archive, a pickled module), which is never run.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingAssetError(f"{path}: no such weight file; `expnet assets list` says where each comes from.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise InputError(
            f"{path} is not a plain weight file: it is damaged or holds code (TorchScript); download it again, or use "
            "the file that `expnet assets list` names."
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path} holds something other than weights by name.")
    return dict(state)


def fill(network: Network, state: Mapping[str, Tensor], path: str | Path) -> Network:
    """Load weights into a network and return it in evaluation mode; every name and shape must match.

    Raises:
        InputError: The weights belong to another network.
    """
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise InputError(f"{path} does not hold the weights of {type(network).__name__}: {first}") from error
    return network.eval()
