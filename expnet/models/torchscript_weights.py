"""Reads the weights in a TorchScript archive as data: its code is neither compiled nor run.

The archive is a zip file. ``data.pkl`` pickles the tree of modules, whose tensors lie beside it as raw bytes. The
unpickler below knows tensors and containers only; every scripted class becomes an empty record of its attributes, and
anything else is refused.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from expnet.errors import InputError, MissingAssetError

_DTYPES = {"FloatStorage": torch.float32, "HalfStorage": torch.float16, "LongStorage": torch.int64}
_DTYPES |= {"DoubleStorage": torch.float64, "IntStorage": torch.int32, "BoolStorage": torch.bool}


class _Record:
    """Stands for an object of a class that the archive defines: its attributes in order, without behaviour."""

    def __setstate__(self, state: Any) -> None:
        self.attributes = state


def read_torchscript_weights(path: str | Path) -> dict[str, Tensor]:
    """Return the parameters and buffers of a TorchScript archive by their dotted names, in the order of the archive.

    Args:
        path: A file of ``torch.jit.save``.

    Raises:
        MissingAssetError: There is no such file.
        InputError: It is no TorchScript archive, or holds something else than modules and tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingAssetError(f"{path}: no such weight file; `expnet assets list` says where each comes from.")
    try:
        with zipfile.ZipFile(path) as archive:
            name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
            with archive.open(name) as stream:
                root = _Unpickler(stream, archive, name.removesuffix("data.pkl")).load()
    except (zipfile.BadZipFile, StopIteration, KeyError, EOFError, pickle.UnpicklingError, ValueError) as error:
        raise InputError(f"{path} is not a TorchScript archive of modules and tensors ({error}).") from error
    return dict(_tensors(root, ""))


def _tensors(value: Any, prefix: str) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a module and of those below it, with their names."""
    attributes = value.attributes if isinstance(value, _Record) else None
    for name, child in attributes.items() if isinstance(attributes, dict) else ():
        if isinstance(child, Tensor):
            yield f"{prefix}{name}", child
        elif isinstance(child, _Record):
            yield from _tensors(child, f"{prefix}{name}.")


class _Unpickler(pickle.Unpickler):
    """Loads a tree of modules, and nothing that runs.

    Args:
        stream: The pickle.
        archive: The zip file, which holds the tensors.
        folder: The folder of the pickle in it.
    """

    def __init__(self, stream: Any, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(stream)
        self.archive, self.folder = archive, folder

    def find_class(self, module: str, name: str) -> Any:
        """Return what a name of the pickle stands for.

        Raises:
            UnpicklingError: It is neither a scripted class nor a part of a tensor.
        """
        if module.startswith("__torch__"):
            return _Record
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        if module == "torch.jit._pickle" and name.startswith("build_"):
            return _as_it_is
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    def persistent_load(self, pid: Any) -> Tensor:
        """Return a storage as a flat tensor."""
        kind, dtype, key, _, _ = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype):
            raise pickle.UnpicklingError(f"it holds a {kind}")
        folder = self.folder if f"{self.folder}data/{key}" not in self.archive.NameToInfo else f"{self.folder}data/"
        return torch.frombuffer(bytearray(self.archive.read(f"{folder}{key}")), dtype=dtype)


def _rebuild(storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Tensor:
    return torch.as_strided(storage, size, stride, offset).clone()


def _as_it_is(value: Any, *_: Any) -> Any:
    """Return a typed list as a list."""
    return value
