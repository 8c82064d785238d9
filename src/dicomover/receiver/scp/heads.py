"""The beginning of a data set, held in memory until it is known whether it was asked for; and how much that may be.

Whoever calls makes us hold something, so what is held is bounded for one data set, and together for all.
"""

from __future__ import annotations

import contextlib
import threading

from dicomover.dicomfile import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT_BIG_ENDIAN,
    IMPLICIT_LITTLE_ENDIAN,
    LITTLE_ENDIAN,
    Head,
    measure_file_meta,
)
from dicomover.receiver.layout import LAST_TAG
from dicomover.receiver.scp.deflated import DeflatedHead, HeadTooLong

__all__ = ["HeadRoom", "HeldHead", "NoRoom"]

_USUAL_BEGINNING = b"\x08\0"
_CAP = 4 << 20  # bytes held of one data set
_TOGETHER = 16 << 20  # of all, in this process


class NoRoom(Exception):
    """Too much is held of data sets of which nobody knows yet what they are."""


class HeldHead:
    """The first bytes of a data set, until its head is known. `take` runs on the thread of its association."""

    __slots__ = ("_held", "_meta", "_proper", "_room", "head", "squeezed")

    def __init__(self, transfer_syntax: str, wanted: frozenset[int], room: HeadRoom) -> None:
        self.head = _head_for(transfer_syntax, wanted)  # what has been read of it
        self._room = room
        self._held: bytearray | None = None
        self._meta = 0  # bytes of file meta information that it begins with, as far as is known
        self._proper = False  # once that is all known
        self.squeezed = False  # once it has lost what it held; set by `HeadRoom`, under its lock

    def take(self, piece: memoryview, last: bool) -> memoryview | bytearray | None:
        """Take the next bytes; return all that there are once the head is known, without file meta information.

        Raises HeadError if they cannot be a data set, or its head does not end, and NoRoom if too much is held already.
        """
        head = self.head
        if self.squeezed:  # looked at behind the head, which `squeeze` changes behind it
            raise NoRoom
        held = self._held
        if held is not None:
            held += piece
        data = piece if held is None else held
        if not self._proper and bytes(data[:2]) == _USUAL_BEGINNING:
            self._proper = True
        if not self._proper:
            self._meta, is_all = measure_file_meta(data, self._meta)
            self._proper = is_all or last
            if is_all and self._meta:
                data = held = self._held = bytearray(data[self._meta :])
        if self._proper and head.feed(data, len(data), last):
            if held is not None:
                self._room.leave(self)
            return data
        if held is None:
            self._held = held = bytearray(data)
        if len(held) > _CAP:
            raise HeadTooLong(f"Series Instance UID is not within the first {_CAP >> 20} MiB")
        plain = len(head.plain) if isinstance(head, DeflatedHead) else 0
        self._room.grow(self, len(held) + plain)
        return None

    def let_go(self) -> None:
        """Hold nothing any more."""
        if self._held is not None:
            self._held = None
            with contextlib.suppress(NoRoom):
                self._room.leave(self)

    def squeeze(self) -> None:
        """Lose what is held, to others; called on their threads. What comes next finds no room."""
        self.squeezed = True
        self._held = None
        self.head = Head(True, (), 0)


class HeadRoom:
    """How much all heads hold together. Whoever holds the most loses it when there is too much: a head is small."""

    def __init__(self, most: int = _TOGETHER) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._sizes: dict[HeldHead, int] = {}
        self._sum = 0

    def grow(self, head: HeldHead, size: int) -> None:
        """Let a head hold so many bytes; NoRoom if it is the one that holds too much."""
        with self._lock:
            if head.squeezed:
                raise NoRoom
            self._sum += size - self._sizes.get(head, 0)
            self._sizes[head] = size
            while self._sum > self._most:
                largest = max(self._sizes, key=self._sizes.__getitem__)
                self._sum -= self._sizes.pop(largest)
                largest.squeeze()
                if largest is head:
                    raise NoRoom

    def leave(self, head: HeldHead) -> None:
        """Take note that a head is known, or holds nothing any more; NoRoom if it has lost what it held."""
        with self._lock:
            if head.squeezed:
                raise NoRoom
            self._sum -= self._sizes.pop(head, 0)


def _head_for(transfer_syntax: str, wanted: frozenset[int]) -> Head:
    if transfer_syntax == DEFLATED:
        return DeflatedHead(wanted, LAST_TAG)
    encoding = BIG_ENDIAN if transfer_syntax == EXPLICIT_BIG_ENDIAN else LITTLE_ENDIAN
    return Head(transfer_syntax == IMPLICIT_LITTLE_ENDIAN, wanted, LAST_TAG, encoding)
