"""LiteRT: import on first use, and networks as functions of arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from expnet.errors import MissingAssetError
from expnet.face.mediapipe_backend import quiet_native_stderr

Float = NDArray[np.float32]


def import_interpreter() -> Any:
    """Import LiteRT's interpreter.

    Raises:
        MissingAssetError: It is not installed.
    """
    try:
        with quiet_native_stderr():
            from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise MissingAssetError(
            f"the face tracker needs the package ai-edge-litert, which cannot be imported ({error}); "
            "run: pip install ai-edge-litert"
        ) from error
    return Interpreter


class Network:
    """A network, run on one thread.

    Args:
        content: Content of a .tflite file that has no operations of MediaPipe's own.
    """

    def __init__(self, content: bytes) -> None:
        with quiet_native_stderr():  # it logs its start-up there
            self._interpreter = import_interpreter()(model_content=content, num_threads=1)
            self._interpreter.allocate_tensors()
        self._inputs = [one["index"] for one in self._interpreter.get_input_details()]
        self._outputs = [one["index"] for one in self._interpreter.get_output_details()]

    def __call__(self, *inputs: Float) -> list[Float]:
        """Return the outputs for inputs (1, ...), both in the order of the network's lists."""
        for index, values in zip(self._inputs, inputs, strict=True):
            self._interpreter.set_tensor(index, values)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]
