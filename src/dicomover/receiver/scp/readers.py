"""Who a file is about for others, held against who it is about for us, where readers are known to differ.

pydicom stands for them: users read by it, and so does what we lend them. Few files ever come here.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from dicomover.dicomfile import DEFLATED, read_file_meta
from dicomover.images.beginnings import inflate_file
from dicomover.text.hush import hush_pydicom

if TYPE_CHECKING:
    from pydicom.tag import BaseTag

__all__ = ["is_read_alike"]

_META = 1 << 16  # bytes that hold any file meta information of ours
_MOST_READS, _MOST_BYTES = 1_000_000, 64 << 20  # for one file: a second or two
_LONG = 4096  # bytes of a value that is passed over
_turn = threading.Lock()  # one file at a time, so that what one takes of memory is all that they take


class _Bounded:
    """A file that can be read so often and so much, and then no more."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._reads, self._bytes = file, _MOST_READS, _MOST_BYTES
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(min(size, self._bytes + 1) if size >= 0 else self._bytes + 1)
        self._reads -= 1
        self._bytes -= len(data)
        if self._reads < 0 or self._bytes < 0:
            raise EOFError("too much of it has to be read")
        return data


def is_read_alike(file: BinaryIO, values: Mapping[int, bytes], wanted: frozenset[int]) -> bool:
    """Tell whether pydicom finds these values, of all those wanted, in a file of ours, and each of them once.

    False if it cannot read the file. Runs on the thread of an association.
    """
    from pydicom.filereader import read_partial  # seldom, and pydicom is slow to import

    seen: list[int] = []

    def note(tag: BaseTag, _vr: str | None, _length: int) -> bool:
        if tag in wanted:
            seen.append(int(tag))
        return False

    with _turn, hush_pydicom():
        try:
            if _begins_with_a_command_set(file):
                return False
            bounded = cast("BinaryIO", _Bounded(inflate_file(file, _MOST_BYTES)))
            found = read_partial(bounded, note, defer_size=_LONG, specific_tags=[*wanted])
            return sorted(seen) == sorted(values) and all(
                _split(found.get_item(tag).value) == _split(value) for tag, value in values.items()
            )
        except Exception:  # noqa: BLE001 - whatever it is, others cannot read it
            return False


def _split(value: Any) -> list[bytes]:
    """Return the parts of a value without padding; it is bytes, but for character sets, which pydicom decodes."""
    if value is not None and not isinstance(value, bytes):
        value = "\\".join([value] if isinstance(value, str) else value).encode("iso8859")
    return [part.strip(b" \0") for part in (value or b"").split(b"\\")]


def _begins_with_a_command_set(file: BinaryIO) -> bool:
    """Tell whether a deflated file has a group 0000 for readers that look for it before they inflate."""
    syntax, start = read_file_meta(file.read(_META))
    file.seek(start)
    begins = syntax == DEFLATED and file.read(2) == b"\0\0"
    file.seek(0)
    return begins
