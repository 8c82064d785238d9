"""The connection of a C-GET: responses are told from what is stored, however archives mix them up."""

from __future__ import annotations

import contextlib
import socket
import time
from types import SimpleNamespace
from typing import Any

import pytest

from dicomover.errors import AssociationLost, LostBy
from dicomover.identifier import Level, query_dataset
from dicomover.node import Timeouts
from dicomover.outcome import Ended
from dicomover.receiver import Limits
from dicomover.receiver.scp.requested import RequestedConnection
from dicomover.receiver.scp.store import Caller
from dicomover.wire import command_set as cs
from dicomover.wire.connection import Connection, Waker, wait_forever
from dicomover.wire.identifiers import encode_identifier
from dicomover.wire.messages import Message
from receiver_kit import EXPLICIT, VERIFICATION, Start, command, data_set, pdu, pdv
from retrieving_kit import FINAL, PENDING, STORING, get, pour, read_status, retriever, store
from wire_kit import answer, counts, peer, response

FAILED = query_dataset(Level.STUDY, {})
FAILED.FailedSOPInstanceUIDList = ["1.2.3.2"]
RAW = encode_identifier(FAILED, EXPLICIT)
QUICK = Timeouts(stall=10)


def announce(connection: Connection, request: Message, status: int, **more: int | str) -> None:
    """Send the command of a response that says that a data set follows, and none."""
    full = {**response(request, status, b"x"), **more}
    connection.send_message(request.context_id, full)


def run_script(start_one: Start, script: object, timeouts: Timeouts = QUICK) -> tuple[Any, int, bool]:
    """Run it; return how the C-GET ended, how many instances arrived, and whether the association is usable."""
    with start_one() as run, peer(script) as node, retriever(run, node, timeouts) as one:  # type: ignore[arg-type]
        end = get(one)
        return end, len(run.arrivals), one.is_usable()


def test_everything_in_one_piece(start_one: Start) -> None:
    """A response, instances and the end that come in one piece are taken in their order."""

    def script(connection: Connection, request: Message) -> None:
        parts = []
        for number in (1, 2):
            sop = f"1.2.3.{number}"
            parts += [pdu(pdv(STORING, 3, command(sop))), pdu(pdv(STORING, 2, data_set(sop)))]
            raw = cs.encode(response(request, PENDING, **counts(number, remaining=2 - number)))
            parts.append(pdu(pdv(request.context_id, 3, raw)))
        raw = cs.encode(response(request, FINAL, **counts(2)))
        connection.send(
            b"".join(parts) + pdu(pdv(request.context_id, 1, raw[:20]), pdv(request.context_id, 3, raw[20:]))
        )
        assert [read_status(connection) for _ in range(2)] == [0, 0]

    end, arrived, usable = run_script(start_one, script)
    assert (end.status_code, end.counters.completed, arrived, usable) == (FINAL, 2, 2, True)


@pytest.mark.parametrize("how", ["announced", "not announced", "announced and late", "with a pending one"])
def test_a_data_set_of_a_response(how: str, start_one: Start) -> None:
    """The list of those that failed is read if it comes, announced or not; that of a pending response means nothing."""

    def script(connection: Connection, request: Message) -> None:
        if how == "with a pending one":
            announce(connection, request, PENDING, **counts(0, remaining=2))
            assert store(connection, "1.2.3.1") == 0
            answer(connection, request, PENDING, RAW, **counts(1, remaining=1))
            assert store(connection, "1.2.3.4") == 0
        data = pdu(pdv(request.context_id, 0, RAW[:11]), pdv(request.context_id, 2, RAW[11:]))
        if how == "not announced":
            raw = cs.encode(response(request, 0xB000, **counts(0, failed=1)))
            connection.send(pdu(pdv(request.context_id, 3, raw)) + data)
            return
        announce(connection, request, 0xB000, **counts(0, failed=1))
        time.sleep(0.3 if how == "announced and late" else 0)
        connection.send(data)

    end, _, usable = run_script(start_one, script)
    assert (end.status_code, end.failed_uids, usable) == (0xB000, ("1.2.3.2",), True)


@pytest.mark.parametrize("then", ["nothing", "close", "abort", "nonsense"])
def test_a_final_response_counts(then: str, start_one: Start) -> None:
    """What is announced and never comes is not waited for, and an end behind the final response changes nothing."""

    def script(connection: Connection, request: Message) -> None:
        assert store(connection, "1.2.3.1") == 0
        if then != "nothing":
            answer(connection, request, PENDING, **counts(1, remaining=0))
        announce(connection, request, FINAL, **counts(1))
        if then == "close":
            connection.close()
        elif then == "abort":
            connection.abort()
        elif then == "nonsense":
            connection.send(b"\x99\0\0\0\0\0")

    begun = time.monotonic()
    end, arrived, usable = run_script(start_one, script)
    assert (end.ended, end.status_code, arrived) == (Ended.ANSWERED, FINAL, 1)
    assert usable is (then == "nothing")
    assert time.monotonic() - begun < 9


def test_the_data_set_that_nobody_waited_for(start_one: Start) -> None:
    """What a response has announced and what comes long after is not taken for something of the next request."""
    requests = []

    def script(connection: Connection, request: Message) -> None:
        requests.append(request)
        if len(requests) == 1:
            announce(connection, request, FINAL, **counts(0))
            return
        connection.send(pdu(pdv(requests[0].context_id, 2, RAW)))
        assert store(connection, "1.2.3.1") == 0
        answer(connection, request, FINAL, **counts(1))

    with start_one() as run, peer(script) as node, retriever(run, node, QUICK) as one:
        assert get(one, 7).failed_uids == ()
        end = get(one, 8)
        assert (end.status_code, end.failed_uids, end.counters.completed) == (FINAL, (), 1)


def test_what_else_a_peer_asks(start_one: Start) -> None:
    """A C-ECHO in the middle is answered, and so is what is not served, as unrecognised."""

    def script(connection: Connection, request: Message) -> None:
        for kind, status in ((cs.C_ECHO_RQ, 0), (cs.C_FIND_RQ, 0x0211)):
            fields = {"CommandField": kind, "MessageID": 9, "CommandDataSetType": cs.NO_DATA_SET}
            connection.send_message(STORING, {"AffectedSOPClassUID": VERIFICATION, **fields})
            reply = connection.read_message().command
            assert (reply["CommandField"], reply["Status"]) == (kind | cs.RESPONSE, status)
        answer(connection, request, FINAL, **counts(0))

    end, _, usable = run_script(start_one, script)
    assert (end.status_code, usable) == (FINAL, True)


BROKEN = {
    "an instance in a context that was not accepted": (
        lambda connection, request: pour(connection, "1.2.3.1", data_set("1.2.3.1"), context_id=99),
        "presentation context 99",
    ),
    "the data set of a response in another context": (
        lambda connection, request: (
            announce(connection, request, PENDING, **counts(0)),
            connection.send(pdu(pdv(STORING, 2, b"x"))),
        ),
        "in another presentation context than its command",
    ),
    "the answer to another message": (
        lambda connection, request: answer(connection, request, PENDING, MessageIDBeingRespondedTo=9, **counts(0)),
        "another message than ours",
    ),
    "an answer of another kind": (
        lambda connection, request: answer(connection, request, PENDING, CommandField=0x8021),
        "no answer to our request",
    ),
    "an answer in the context of the images": (
        lambda connection, request: connection.send_message(STORING, response(request, FINAL)),
        "another presentation context",
    ),
    "a command set that is none": (
        lambda connection, request: connection.send(pdu(pdv(STORING, 3, b"\x08\0\0\0\1\0\0\0x"))),
        "a bad element",
    ),
    "a PDU that is too long": (
        lambda connection, request: connection.send(b"\4\0\x10\0\0\0"),
        "at most were agreed on",
    ),
    "a second association request": (
        lambda connection, request: connection.send(b"\1\0\0\0\0\4" + bytes(4)),
        "a PDU of type 1",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_the_standard_does_not_allow(name: str, start_one: Start) -> None:
    """It ends the association, which is told with its reason; what was whole before stays."""
    spoil, why = BROKEN[name]

    def script(connection: Connection, request: Message) -> None:
        assert store(connection, "1.2.3.1") == 0
        answer(connection, request, PENDING, **counts(1, remaining=1))
        spoil(connection, request)
        connection.read_message()

    end, arrived, usable = run_script(start_one, script)
    assert (end.ended, end.counters.completed, end.lost_by) == (Ended.LOST, 1, None)
    assert why in end.why
    assert (arrived, usable) == (1, False)


def test_a_peer_that_reads_no_answers(start_one: Start) -> None:
    """A peer that sends and sends and reads nothing is given up when its time is over, and keeps nobody for longer."""

    def script(connection: Connection, _: Message) -> None:
        raw = pdu(
            pdv(STORING, 3, cs.encode({"CommandField": cs.C_ECHO_RQ, "MessageID": 1, "CommandDataSetType": 0x101}))
        )
        while True:
            connection.send(raw * 1000)

    begun = time.monotonic()
    end, _, usable = run_script(start_one, script, Timeouts(stall=1))
    assert (end.ended, end.lost_by) == (Ended.LOST, LostBy.TIMEOUT), end.why
    assert not usable
    assert time.monotonic() - begun < 9


def test_an_answer_has_no_more_time_than_the_request() -> None:
    """One that the peer does not take is given up with the request, and not after the time that a PDU has."""
    settings = SimpleNamespace(max_pdu=1 << 16, limits=Limits(pdu=60))
    ours, theirs = socket.socketpair()
    with theirs, contextlib.closing(Waker()) as waker:
        connection = RequestedConnection(
            ours,
            waker,
            SimpleNamespace(settings=settings),  # type: ignore[arg-type]
            Caller("ARCHIVE", "127.0.0.1", is_asked=True),
            lambda: None,
            wait_forever,
            lambda: None,
        )
        begun = connection._over_at = time.monotonic()
        with pytest.raises(AssociationLost) as caught:
            connection._reply(bytes(1 << 24))  # more than what lies between the two takes
        assert caught.value.by is LostBy.TIMEOUT
        assert time.monotonic() - begun < 20
