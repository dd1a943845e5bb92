"""Reads published weight files without running code in them, and checks every entry."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import safetensors
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


def safetensors_names(path: str | Path) -> set[str]:
    """Return the names of the tensors in a safetensors file.

    Raises:
        InputError: It is not a readable safetensors file.
    """
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            return set(file.keys())
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(f"{path} is not a readable safetensors file ({error}).") from error


def read_safetensors_below(path: str | Path, prefix: str) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file whose names begin with a prefix, by the rest of their names."""
    with safetensors.safe_open(str(path), framework="pt") as file:
        return {
            name.removeprefix(prefix): file.get_tensor(name)
            for name in file.keys()  # noqa: SIM118 (not a dict)
            if name.startswith(prefix)
        }


def read_checkpoint(path: str | Path) -> dict[str, object]:
    """Read a training checkpoint of ``torch.save``, a dict of state dicts, without running code in it.

    Returns:
        The dict; empty for a file that holds something else.

    Raises:
        InputError: It cannot be read.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever its unpickler meets in a damaged file
        reason = str(error).splitlines()[0] if str(error) else "no reason given"
        raise InputError(f"{path} is not a readable checkpoint ({type(error).__name__}: {reason}).") from error
    return checkpoint if isinstance(checkpoint, dict) else {}


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
