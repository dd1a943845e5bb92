"""Reading the records of a W&B run's file, which is a LevelDB log of protocol buffers.

Format: https://github.com/google/leveldb/blob/main/doc/log_format.md, after a header of 7 bytes.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BLOCK, HEADER = 32768, 7
"""Bytes of a block, and of the header of the file and of each fragment."""
FULL, LAST = 1, 4
"""Kinds of a fragment that end a record."""


def read_records(path: Path) -> Iterator[Any]:
    """Yield the records that are complete: a file may still be written."""
    from wandb.proto.wandb_internal_pb2 import Record

    content = path.read_bytes()
    position, whole = HEADER, b""
    while position + HEADER <= len(content):
        if BLOCK - position % BLOCK < HEADER:  # the rest of a block that cannot hold a header is empty
            position += BLOCK - position % BLOCK
            continue
        length, kind = struct.unpack_from("<HB", content, position + 4)  # after a checksum
        position += HEADER
        whole += content[position : position + length]
        position += length
        if kind in (FULL, LAST) and position <= len(content):
            yield Record.FromString(whole)
            whole = b""
