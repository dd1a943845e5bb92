"""Part of a .tflite network: the operations between given tensors, without those that LiteRT does not know.

A .tflite file is a flatbuffer (https://flatbuffers.dev/internals). A slice is a copy of the file in which the list of
operations is shortened and the lists of inputs and outputs are replaced; weights and tensors stay where they are.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from expnet.errors import InputError

# Numbers of the fields in TensorFlow Lite's schema (tensorflow/lite/schema/schema.fbs).
_MODEL_SUBGRAPHS, _MODEL_BUFFERS = 2, 4
_GRAPH_TENSORS, _GRAPH_INPUTS, _GRAPH_OUTPUTS, _GRAPH_OPERATORS = 0, 1, 2, 3
_OPERATOR_INPUTS, _OPERATOR_OUTPUTS = 1, 2
_TENSOR_BUFFER, _TENSOR_NAME = 2, 3
_BUFFER_DATA = 0
_IDENTIFIER = b"TFL3"


class TfliteGraph:
    """The operations and tensors of a .tflite network, by name.

    Args:
        path: The file.

    Raises:
        InputError: It cannot be read, or is no .tflite network.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._content = path.read_bytes()
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}") from error
        if self._content[4:8] != _IDENTIFIER:
            raise InputError(f"{path} is no .tflite network; expected one of MediaPipe's face models")
        try:
            graphs = self._vector(self._root(), _MODEL_SUBGRAPHS)
            self._graph = self._table(graphs[0])
            self._names = [self._string(self._table(place)) for place in self._vector(self._graph, _GRAPH_TENSORS)]
            self._operators = [
                _Operator(self._table(place), *self._ends(self._table(place)))
                for place in self._vector(self._graph, _GRAPH_OPERATORS)
            ]
        except (struct.error, IndexError, UnicodeDecodeError) as error:
            raise InputError(f"{path} is damaged: its list of operations cannot be read") from error

    def slice(self, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
        """Return a network that computes some tensors from others.

        Args:
            inputs: Names of the tensors that are given.
            outputs: Names of the tensors that are computed.

        Raises:
            InputError: The network has no tensor of such a name.
        """
        given, wanted = ([self._index(name) for name in names] for names in (inputs, outputs))
        needed, kept = set(wanted) - set(given), []
        for operator in reversed(self._operators):
            if needed.intersection(operator.outputs):
                kept.append(operator.place)
                needed.update(set(operator.inputs) - set(given))
        content = bytearray(self._content)
        self._write_operators(content, kept[::-1])
        for field, indices in ((_GRAPH_INPUTS, given), (_GRAPH_OUTPUTS, wanted)):
            content.extend(bytes(-len(content) % 4))
            place = self._field(self._graph, field)
            struct.pack_into("<I", content, place, len(content) - place)
            content.extend(struct.pack(f"<I{len(indices)}i", len(indices), *indices))
        return bytes(content)

    def half_floats(self, name: str) -> NDArray[np.float32]:
        """Return the values (N,) of a constant tensor of 16-bit floats.

        Raises:
            InputError: The network has no tensor of that name.
        """
        tensor = self._table(self._vector(self._graph, _GRAPH_TENSORS)[self._index(name)])
        number = self._unsigned(self._field(tensor, _TENSOR_BUFFER))
        buffer = self._table(self._vector(self._root(), _MODEL_BUFFERS)[number])
        data = self._table(self._field(buffer, _BUFFER_DATA))
        values = np.frombuffer(self._content, "<f2", self._unsigned(data) // 2, data + 4)
        return values.astype(np.float32)

    def _write_operators(self, content: bytearray, kept: list[int]) -> None:
        field = self._field(self._graph, _GRAPH_OPERATORS)
        start = field + self._unsigned(field)
        struct.pack_into("<I", content, start, len(kept))
        for number, table in enumerate(kept):
            place = start + 4 + 4 * number
            struct.pack_into("<I", content, place, table - place)  # tables lie behind the list, so this is positive

    def _index(self, name: str) -> int:
        if name not in self._names:
            raise InputError(f"the network has no tensor {name}: it is another one than expected")
        return self._names.index(name)

    def _unsigned(self, place: int) -> int:
        return int(struct.unpack_from("<I", self._content, place)[0])

    def _root(self) -> int:
        return self._unsigned(0)

    def _table(self, place: int) -> int:
        return place + self._unsigned(place)

    def _field(self, table: int, number: int) -> int:
        """Return the position of a field of a table."""
        layout = table - struct.unpack_from("<i", self._content, table)[0]
        (offset,) = struct.unpack_from("<H", self._content, layout + 4 + 2 * number)
        if offset == 0:
            raise IndexError(number)
        return table + int(offset)

    def _vector(self, table: int, number: int) -> list[int]:
        """Return the positions of the elements, of four bytes each, of a list."""
        start = self._table(self._field(table, number))
        return [start + 4 + 4 * index for index in range(self._unsigned(start))]

    def _string(self, tensor: int) -> str:
        start = self._table(self._field(tensor, _TENSOR_NAME))
        return self._content[start + 4 : start + 4 + self._unsigned(start)].decode()

    def _ends(self, operator: int) -> Iterator[tuple[int, ...]]:
        """Yield the tensors that go into an operation, and those that come out."""
        for number in (_OPERATOR_INPUTS, _OPERATOR_OUTPUTS):
            places = self._vector(operator, number)
            yield tuple(struct.unpack_from("<i", self._content, place)[0] for place in places)


@dataclass(frozen=True)
class _Operator:
    """An operation: where its table lies in the file, and its tensors."""

    place: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
