"""What the receiver's process and its parent say to each other: JSON values, each with its length before it."""

from __future__ import annotations

import json
import struct
import threading
from dataclasses import astuple, fields, replace
from typing import IO, Any

from dicomover.events import Admission, Refusal, Refused
from dicomover.receiver.scp.store import Fields

__all__ = ["NoFrame", "Writer", "pack_admission", "pack_event", "read_frame", "unpack_admission", "unpack_event"]

_LENGTH = struct.Struct(">L")
_LONGEST = 1 << 28

Frame = dict[str, Any]


class NoFrame(ValueError):
    """What came on a pipe is no frame."""


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
    """Return the next frame; None at the end.

    Raises NoFrame if it ends inside a frame, or what comes is none.
    """
    head = stream.read(_LENGTH.size)
    if not head:
        return None
    length = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else 0
    if length > _LONGEST:
        raise NoFrame(f"a frame of {length:,} bytes")
    raw = stream.read(length)
    if not length or len(raw) < length:
        raise NoFrame(f"the pipe ended inside a frame, after {len(head) + len(raw):,} bytes")
    frame = json.loads(raw)
    if not isinstance(frame, dict):
        raise NoFrame(f"a {type(frame).__name__} is no frame")
    return frame


def pack_admission(admission: Admission) -> dict[str, Any]:
    """Make plain values of an admission."""
    values = {field.name: getattr(admission, field.name) for field in fields(admission)}
    return {name: list(value) if isinstance(value, frozenset) else value for name, value in values.items()}


def unpack_admission(plain: dict[str, Any]) -> Admission:
    """Undo `pack_admission`."""
    values: dict[str, Any] = {
        name: frozenset(value) if isinstance(value, list) else value for name, value in plain.items()
    }
    return Admission(**values)


def pack_event(event: Fields | Refusal) -> list[Any] | Fields:
    """Make plain values of an event: a mapping is an arrival, a list a refusal."""
    if isinstance(event, Refusal):
        return list(astuple(event))
    return event


def unpack_event(plain: list[Any] | Fields) -> Fields | Refusal:
    """Undo `pack_event`."""
    if not isinstance(plain, list):
        return plain
    refusal = Refusal(*plain)
    return replace(refusal, what=Refused(refusal.what))
