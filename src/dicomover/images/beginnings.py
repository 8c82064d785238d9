"""Files for readers that know no bound: no more of one is read than is said, however long it is or becomes."""

from __future__ import annotations

import io
import zlib
from typing import BinaryIO, cast

from dicomover.dicomfile import DEFLATED, EXPLICIT_LITTLE_ENDIAN, HeadError, encode_file_meta, read_file_meta

__all__ = ["MANY_READS", "Beginning", "inflate_file"]

_META = 1 << 16  # bytes that hold any file meta information of ours
MANY_READS = 1 << 22
"""Reads of one file: an element takes two or three, and the frames of an Enhanced object have a million."""


class Beginning:
    """The beginning of a file, for readers that have no bound: no more of it is read, and never all that is left.

    To read all that is left is what pydicom does before it inflates it.
    """

    def __init__(self, file: BinaryIO, most: int, reads: int = MANY_READS) -> None:
        self._file, self._most = file, most  # bytes
        self._reads = reads  # that are left
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        """Read on; HeadError at the end of what may be read."""
        data = self._file.read(min(size, self._most)) if size >= 0 else b""
        self._reads -= 1
        if size < 0 or self._reads < 0 or self._file.tell() >= self._most:
            raise HeadError("too much of it has to be read")
        return data


def inflate_file(file: BinaryIO, most: int) -> BinaryIO:
    """Return a file as it would be without its deflating, if it is deflated; HeadError where more than that is read."""
    syntax, start = read_file_meta(file.read(_META))
    file.seek(start if syntax == DEFLATED else 0)
    if syntax != DEFLATED:
        return file
    meta = encode_file_meta("", "", EXPLICIT_LITTLE_ENDIAN)
    plain = zlib.decompressobj(-zlib.MAX_WBITS).decompress(file.read(most), most - len(meta))
    return cast("BinaryIO", Beginning(io.BytesIO(meta + plain), most))
