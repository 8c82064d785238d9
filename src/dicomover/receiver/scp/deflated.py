"""A deflated data set (PS3.5 section A.5), read as it comes: its head, and a walk over its elements to the end.

It is filed as it was sent. What it inflates to is looked at chunk by chunk and let go, up to a bound, so that a few
kilobytes can take neither memory nor minutes.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterable

from dicomover.dicomfile import DEFLATED, Head, HeadError
from dicomover.receiver.scp.elements import ElementWalk, Piece

__all__ = ["DeflatedHead", "DeflatedWalk", "HeadTooLong", "Inflation", "WalkEnded"]

_MOST = 1 << 30  # bytes that one data set may inflate to
_HEAD_MOST = 1 << 22  # of them, bytes held until the head is known
_HEAD_FREELY, _HEAD_TIMES = 1 << 14, 64  # until then, bytes at any rate, and more for each byte that came
_CHUNK = 1 << 18


class HeadTooLong(HeadError):
    """It may be a data set, but no more of it is read."""


class Inflation:
    """Inflates a data set: compressed bytes are pushed in, plain ones pulled out, never many at a time."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
        self._left = b""
        self._size = 0

    @property
    def ended(self) -> bool:
        """Whether its own end has come."""
        return self._stream.eof

    def push(self, piece: Piece) -> None:
        """Take compressed bytes."""
        self._left += piece

    def pull(self, most: int = _CHUNK) -> bytes:
        """Return some plain bytes, nothing once all is inflated; HeadError if it cannot be, or is far too much."""
        try:
            chunk = b"" if self._stream.eof else self._stream.decompress(self._left, min(most, _CHUNK))
        except zlib.error:
            raise HeadError("it is not deflated, or damaged") from None
        self._left = self._stream.unconsumed_tail
        self._size += len(chunk)
        if self._size > _MOST:
            raise HeadTooLong(f"it inflates to more than {_MOST >> 20:,} MiB")
        return chunk


class DeflatedHead(Head):
    """The head of a deflated data set; `plain` is what was inflated for it, and `inflation` goes on from there."""

    __slots__ = ("_taken", "inflation", "plain")

    def __init__(self, wanted: Iterable[int], last: int) -> None:
        super().__init__(False, wanted, last)
        self.inflation = Inflation()
        self.plain = bytearray()
        self._taken = 0

    def feed(self, data: Piece, size: int, complete: bool = False) -> bool:
        """Read on, and inflate no more than the head needs."""
        self.inflation.push(memoryview(data)[self._taken : size])
        self._taken = size
        # What a stranger's few bytes may cost is held in proportion to them: it gives way by what was read.
        most = min(_HEAD_FREELY + _HEAD_TIMES * size, _HEAD_MOST)
        while chunk := self.inflation.pull(most - len(self.plain) + 1):
            self.plain += chunk
            if super().feed(self.plain, len(self.plain)):
                return True
            if len(self.plain) > _HEAD_MOST:
                raise HeadTooLong(f"Series Instance UID is not within the first {_HEAD_MOST >> 20} MiB")
            if len(self.plain) > most:
                raise HeadTooLong(f"what stands before Series Instance UID inflates to more than {_HEAD_TIMES} times")
        return super().feed(self.plain, len(self.plain), complete)


class WalkEnded(Exception):
    """The walk was told from outside to go no further."""


class DeflatedWalk(ElementWalk):
    """Goes from element to element, behind the head of a deflated data set.

    A few kilobytes may keep it busy for a minute, so it looks between two chunks whether it is to end.
    """

    __slots__ = ("_cut", "_inflation")

    def __init__(self, head: DeflatedHead, cut: threading.Event, read: frozenset[int] = frozenset()) -> None:
        super().__init__(DEFLATED, head.offset, read)
        self._inflation = head.inflation
        self._cut = cut
        super().take(head.plain, last=False)

    def take(self, piece: Piece, last: bool) -> None:
        """Walk over what the next bytes inflate to; WalkEnded if it is cut meanwhile."""
        self._inflation.push(piece)
        while chunk := self._inflation.pull():
            if self._cut.is_set():
                raise WalkEnded
            super().take(chunk, last=False)
        if last:
            if not self._inflation.ended:
                raise HeadError("the deflated data set ends early")
            super().take(b"", last=True)
