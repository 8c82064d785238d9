"""What the receiver's process and its parent say to each other: JSON values, each with its length before it."""

from __future__ import annotations

import json
import struct
import threading
from typing import IO, Any

from dicomover.events import Refusal
from dicomover.receiver.scp.store import Fields

__all__ = ["Writer", "pack_event", "read_frame", "unpack_event"]

_LENGTH = struct.Struct(">L")
_LONGEST = 1 << 28

Frame = dict[str, Any]


class Writer:
    """Writes frames to a pipe, from any thread."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def write(self, frame: Frame) -> None:
        """Write one frame; OSError if nobody reads any more."""
        raw = json.dumps(frame, separators=(",", ":")).encode("ascii")
        with self._lock:
            self._stream.write(_LENGTH.pack(len(raw)) + raw)
            self._stream.flush()

    def close(self) -> None:
        """Close the pipe."""
        with self._lock:
            self._stream.close()


def read_frame(stream: IO[bytes]) -> Frame | None:
    """Return the next frame; None at the end, or if what comes is no frame."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    length = _LENGTH.unpack(head)[0]
    if length > _LONGEST:
        return None
    raw = stream.read(length)
    if len(raw) < length:
        return None
    frame = json.loads(raw)
    assert isinstance(frame, dict)
    return frame


def pack_event(event: Fields | Refusal) -> list[Any] | Fields:
    """Make plain values of an event: a mapping is an arrival, a list a refusal."""
    if isinstance(event, Refusal):
        return [
            event.at,
            event.why,
            event.status,
            event.calling_ae_title,
            event.sop_instance_uid,
            event.study_instance_uid,
        ]
    return event


def unpack_event(plain: list[Any] | Fields) -> Fields | Refusal:
    """Undo `pack_event`."""
    return Refusal(*plain) if isinstance(plain, list) else plain
