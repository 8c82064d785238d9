"""What the receiver's process and its parent say to each other: JSON values, each with its length before it."""

from __future__ import annotations

import contextlib
import json
import math
import queue
import ssl
import struct
import threading
import time
from dataclasses import asdict, astuple, fields, replace
from typing import IO, Any

from dicomover import errors
from dicomover.errors import ConfigurationError, DicomoverError, LostBy, ReceiverError
from dicomover.events import Admission, Refusal, Refused
from dicomover.node import Node, Quirks
from dicomover.outcome import Counters, Ended
from dicomover.receiver.scp.store import Fields
from dicomover.security.identity import Identity
from dicomover.security.secret import Secret
from dicomover.security.tls import TLS
from dicomover.wire.responses import MoveEnd

__all__ = [
    "NoFrame",
    "Reply",
    "Writer",
    "pack_admission",
    "pack_end",
    "pack_error",
    "pack_event",
    "pack_node",
    "read_frame",
    "unpack_admission",
    "unpack_end",
    "unpack_error",
    "unpack_event",
    "unpack_node",
]

_LENGTH = struct.Struct(">L")
_LONGEST = 1 << 28

Frame = dict[str, Any]


class NoFrame(ValueError):
    """What came on a pipe is no frame."""


class Reply:
    """What somebody waits for who has sent an order."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.number = 0
        self.begun = time.monotonic()
        self.limit = math.inf  # until when it is waited for; whoever loses patience brings it forward, from any thread
        self.said: queue.SimpleQueue[Any] = queue.SimpleQueue()  # before the answer; None once it came, or never will
        self.frame: dict[str, Any] = {}


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

    def write_all(self, frames: list[Frame]) -> None:
        """Write frames; that nobody reads any more is seen by whoever listens to the other side."""
        with contextlib.suppress(OSError, ValueError):
            for frame in frames:
                self.write(frame)

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


def pack_node(node: Node) -> dict[str, Any]:
    """Make plain values of a node, its secrets among them; raises ConfigurationError if it has what is none."""
    tls, identity = node.tls, node.identity
    if isinstance(tls, ssl.SSLContext):
        why = "an ssl.SSLContext cannot be given to the receiver's process, which a C-GET's images come to"
        raise ConfigurationError(why, "write tls=TLS(ca=..., cert=..., key=...) for the node")
    plain = {each.name: getattr(node, each.name) for each in fields(node)}
    if identity is not None:
        values = {each.name: getattr(identity, each.name) for each in fields(identity)}
        plain["identity"] = {**values, "secret": identity.secret and identity.secret.to_plain()}
    return {**plain, "tls": tls and tls.to_plain(), "quirks": asdict(node.quirks)}


def unpack_node(plain: dict[str, Any]) -> Node:
    """Undo `pack_node`."""
    tls, identity = plain["tls"], plain["identity"]
    return Node(
        **{
            **plain,
            "tls": tls and TLS.from_plain(tls),
            "identity": identity
            and Identity(**{**identity, "secret": identity["secret"] and Secret(*identity["secret"])}),
            "quirks": Quirks(**plain["quirks"]),
        }
    )


def pack_end(end: MoveEnd) -> dict[str, Any]:
    """Make plain values of how a C-GET has ended."""
    return asdict(end)


def unpack_end(plain: dict[str, Any]) -> MoveEnd:
    """Undo `pack_end`."""
    by = plain["lost_by"]
    return MoveEnd(
        **{
            **plain,
            "ended": Ended(plain["ended"]),
            "counters": Counters(**plain["counters"]),
            "failed_uids": tuple(plain["failed_uids"]),
            "lost_by": by and LostBy(by),
        }
    )


def pack_error(error: Exception) -> list[Any]:
    """Make plain values of an error: its class, its arguments and its fields.

    One that is neither ours nor the system's becomes a ReceiverError, without what it says.
    """
    if isinstance(error, OSError) and not isinstance(error, DicomoverError):
        return ["OSError", [error.errno, error.strerror or type(error).__name__], {}]
    if not isinstance(error, DicomoverError):
        error = ReceiverError(f"an error of ours in the receiver's process ({type(error).__name__})")
    return [type(error).__name__, [str(each) for each in error.args], vars(error)]


def unpack_error(plain: list[Any]) -> Exception:
    """Undo `pack_error`."""
    name, arguments, values = plain
    if name == "OSError":
        return OSError(*arguments)
    kind: type[DicomoverError] = getattr(errors, name)
    error = kind.__new__(kind, *arguments)
    vars(error).update({**values, "by": LostBy(values["by"])} if "by" in values else values)
    return error
