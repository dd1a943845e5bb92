"""Reads a pickle of arrays without running any code in it.

FLAME is distributed as a Python 2 pickle of numpy arrays, scipy sparse matrices and chumpy wrappers. A pickle is a
program, so this unpickler knows a closed list of names, replaces each by a harmless builder of its own, and refuses all
others before anything is called. The file cannot cause chumpy or scipy to be imported.
"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expnet.errors import InputError

MAXIMUM_BYTES = 2**31


class _Container:
    """Stands in for a class in the file; stores its state and does nothing."""

    def __init__(self, *_: Any) -> None:
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict):
            raise pickle.UnpicklingError(f"a wrapper holds a {type(state).__name__}, expected named arrays")
        self.state = state


class _SparseColumns(_Container):
    """Stands in for scipy.sparse.csc_matrix."""


class _SparseRows(_Container):
    """Stands in for scipy.sparse.csr_matrix."""


class _Wrapper(_Container):
    """Stands in for chumpy.ch.Ch, whose array is in ``x``."""


def _reconstruct(kind: Any, shape: Any, code: Any) -> NDArray[Any]:
    """Replace numpy's ``_reconstruct``: an empty array whose state follows; any subclass becomes a plain array."""
    del kind, shape, code
    return np.ndarray.__new__(np.ndarray, (0,), "b")


def _rebuild(kind: Any, base: Any, state: Any) -> _Container:
    """Replace copyreg's ``_reconstructor``, for the containers above only."""
    del base, state
    if not (isinstance(kind, type) and issubclass(kind, _Container)):
        raise pickle.UnpicklingError(f"{kind!r} may not be constructed")
    return kind()


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """Replace ``_codecs.encode``, with which Python 3 writes bytes in protocol 2; latin1 only."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1", "iso-8859-1"):
        raise pickle.UnpicklingError(f"encoding {encoding!r} is not expected")
    return text.encode("latin1")


def _scalar(kind: Any, data: bytes) -> Any:
    """Replace numpy's ``scalar``, for plain numbers only."""
    if not isinstance(kind, np.dtype) or kind.hasobject:
        raise pickle.UnpicklingError("a scalar of an object type is not expected")
    return np.frombuffer(data, dtype=kind)[0]


class _NoObject:
    """Stands in for ``object``, the base argument of ``_reconstructor``; never constructed."""


_KNOWN: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"scipy.sparse.{name}", "csc_matrix"): _SparseColumns for name in ("csc", "_csc")},
    **{(f"scipy.sparse.{name}", "csr_matrix"): _SparseRows for name in ("csr", "_csr")},
    ("chumpy.ch", "Ch"): _Wrapper,
    ("chumpy", "Ch"): _Wrapper,
    **{(module, "_reconstructor"): _rebuild for module in ("copy_reg", "copyreg")},
    **{(module, "object"): _NoObject for module in ("__builtin__", "builtins")},
    ("_codecs", "encode"): _encode,
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _KNOWN[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None


def load_arrays(path: str | Path) -> dict[str, Any]:
    """Read a pickled dictionary of arrays; sparse matrices become dense, and wrappers become their arrays.

    Args:
        path: The pickle, of Python 2 or 3.

    Returns:
        Arrays, numbers and strings by key.

    Raises:
        InputError: The file asks for anything but arrays, or is not such a pickle. No code in it has run.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAXIMUM_BYTES:
            raise InputError(f"{path} is larger than 2 GiB, expected a face model of about 50 MB")
        with path.open("rb") as file:
            data = _ArrayUnpickler(file, encoding="latin1").load()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give an existing face model file") from error
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} is refused: {error}, which is not an array; expected FLAME's model file as distributed"
        ) from error
    except (
        EOFError,
        ValueError,
        TypeError,
        AttributeError,
        IndexError,
        KeyError,
        ImportError,
        MemoryError,
    ) as error:
        raise InputError(f"{path} cannot be read as a pickle of arrays ({error}); expected a FLAME model") from error
    if not isinstance(data, dict):
        raise InputError(f"{path} holds a {type(data).__name__}, expected FLAME's dictionary of arrays")
    try:
        return {str(key): _plain(value) for key, value in data.items()}
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise InputError(f"{path} holds a broken sparse matrix or wrapper ({error!r}); download it again") from error


def _plain(value: Any) -> Any:
    if isinstance(value, _Wrapper):
        return np.asarray(value.state["x"])
    if isinstance(value, _SparseColumns | _SparseRows):
        from scipy import sparse

        state = value.state
        shape = tuple(int(side) for side in state["_shape" if "_shape" in state else "shape"])
        kind = sparse.csc_matrix if isinstance(value, _SparseColumns) else sparse.csr_matrix
        return kind((state["data"], state["indices"], state["indptr"]), shape=shape).toarray()
    return value
