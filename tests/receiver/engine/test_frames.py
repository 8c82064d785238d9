"""What goes between the processes comes out as it went in."""

from __future__ import annotations

import io
import ssl

import pytest

from dicomover.errors import (
    AssociationLost,
    AssociationRejected,
    ConfigurationError,
    ContextRejected,
    LostBy,
    NodeUnreachable,
    ProtocolError,
    ReceiverError,
)
from dicomover.events import Admission, Refusal, Refused
from dicomover.node import Node, Quirks
from dicomover.outcome import Counters, Ended
from dicomover.receiver.engine.frames import (
    Writer,
    pack_admission,
    pack_end,
    pack_error,
    pack_event,
    pack_node,
    read_frame,
    unpack_admission,
    unpack_end,
    unpack_error,
    unpack_event,
    unpack_node,
)
from dicomover.security.identity import Identity
from dicomover.security.secret import Secret
from dicomover.security.tls import TLS
from dicomover.wire.responses import MoveEnd


def through_a_pipe(frame: dict[str, object]) -> dict[str, object] | None:
    """Write a frame and read it."""
    stream = io.BytesIO()
    Writer(stream).write(frame)
    stream.seek(0)
    return read_frame(stream)


@pytest.mark.parametrize("what", Refused)
def test_a_refusal_comes_out_as_it_went_in(what: Refused) -> None:
    """Every field of a refusal survives, and its kind is a kind again."""
    refusal = Refusal(1.5, "why \u00e9", None, "YOU", "1.2", "1.3", what, "mend", "127.0.0.1", "ME", 7)
    frame = through_a_pipe({"events": [pack_event(refusal), {"path": "a"}]})
    assert frame is not None
    got, arrival = map(unpack_event, frame["events"])  # type: ignore[call-overload]
    assert got == refusal
    assert got.what is what
    assert arrival == {"path": "a"}


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"\0\0", "ended inside a frame, after 2 bytes"),
        (b"\0\0\0\7{}", "ended inside a frame, after 6 bytes"),
        (b"\0\0\0\0", "ended inside a frame"),
        (b"\xff\xff\xff\xff{}", "a frame of 4,294,967,295 bytes"),
        (b"\0\0\0\2[]", "a list is no frame"),
        (b"\0\0\0\2{{", "Expecting property name"),
    ],
)
def test_what_is_no_frame_is_an_error(raw: bytes, why: str) -> None:
    """A pipe that ends in the middle, a frame that is too long and one that is none are told, not taken as the end."""
    with pytest.raises(ValueError, match=why):
        read_frame(io.BytesIO(raw))
    assert read_frame(io.BytesIO()) is None


def test_an_admission_comes_out_as_it_went_in() -> None:
    """Every field of an admission survives."""
    sets = {name: frozenset({name, "1.2"}) for name in ("patient_ids", "study_uids", "series_uids", "sop_uids")}
    admission = Admission(3, **sets, patient_study_uids=frozenset({"1.9"}))
    frame = through_a_pipe(pack_admission(admission))
    assert frame is not None
    assert unpack_admission(frame) == admission


SECURED = Node(
    "pacs.example.org",
    104,
    ae_title="ARCHIVE",
    name="main",
    tls=TLS(ca="/c/ca.pem", cert="/c/ours.pem", key="/c/ours.key", password=Secret.text("p"), peers=("A", "B")),
    identity=Identity.password("alice", Secret.env("PASSWORD")),
    quirks=Quirks(lists=False, roles="both", find_cap=7),
)


@pytest.mark.parametrize("node", [Node("::1", 104), SECURED])
def test_a_node_comes_out_as_it_went_in(node: Node) -> None:
    """Every field of a node survives, with its secrets."""
    frame = through_a_pipe({"node": pack_node(node)})
    assert frame is not None
    got = unpack_node(frame["node"])  # type: ignore[arg-type]
    assert (got, got.tls, got.identity, got.quirks) == (node, node.tls, node.identity, node.quirks)


def test_a_context_does_not_go_in() -> None:
    """A context of TLS that somebody has made cannot be given to another process; the message says what can."""
    node = Node("::1", 104, tls=ssl.create_default_context())
    with pytest.raises(ConfigurationError, match=r"write tls=TLS\("):
        pack_node(node)


@pytest.mark.parametrize(
    "end",
    [
        MoveEnd(Ended.ANSWERED, 0xB000, Counters(1, 2, 0), ("1.2", "1.3"), "(0010,0020)"),
        MoveEnd(Ended.LOST, None, Counters(), lost_by=LostBy.ABORT, why="the peer aborted"),
    ],
)
def test_an_end_comes_out_as_it_went_in(end: MoveEnd) -> None:
    """Every field survives, each in its type."""
    frame = through_a_pipe({"end": pack_end(end)})
    assert frame is not None
    got = unpack_end(frame["end"])  # type: ignore[arg-type]
    assert got == end
    assert (type(got.ended), type(got.counters)) == (Ended, Counters)
    assert got.lost_by is end.lost_by


@pytest.mark.parametrize(
    "error",
    [
        NodeUnreachable("no TCP connection", "check the port", 111),
        AssociationRejected("not now", 2, 3, 1, mend="later"),
        AssociationLost("gone", LostBy.TIMEOUT),
        ContextRejected("no C-GET", "ask for it"),
        ProtocolError("nonsense"),
        ConfigurationError("no such file", "name another"),
        OSError(24, "Too many open files"),
    ],
)
def test_an_error_comes_out_as_it_went_in(error: Exception) -> None:
    """Its class, its words and its fields survive."""
    frame = through_a_pipe({"trouble": pack_error(error)})
    assert frame is not None
    got = unpack_error(frame["trouble"])  # type: ignore[arg-type]
    assert (type(got), str(got), vars(got)) == (type(error), str(error), vars(error))
    assert getattr(got, "retriable", None) is getattr(error, "retriable", None)


def test_an_error_of_another_kind_says_no_more_than_that() -> None:
    """What is neither ours nor the system's may say anything, and so only its kind is told."""
    got = unpack_error(pack_error(ValueError("DOE^JOHN")))
    assert isinstance(got, ReceiverError)
    assert "ValueError" in str(got)
    assert "DOE" not in str(got)
