"""How long the next response is waited for, and what a response says."""

from __future__ import annotations

import itertools
import time

import pytest

from dicomover.errors import (
    AssociationLost,
    LostBy,
)
from dicomover.identifier import Model
from dicomover.node import Timeouts
from dicomover.outcome import Counters, Ended
from dicomover.testing._elements import encode
from dicomover.testing._server import silence
from dicomover.wire.association import Association
from dicomover.wire.connection import Connection
from dicomover.wire.messages import Message, encode_message
from wire_kit import (
    EXPLICIT,
    STUDY,
    answer,
    associated,
    counts,
    in_a_thread,
    move,
    pdu,
    peer,
    pour,
    response,
)


def test_the_largest_counters_stand() -> None:
    """Counters keep the largest number seen, and are unknown, not zero, where none came."""
    progress: list[Counters] = []

    def script(connection: Connection, message: Message) -> None:
        answer(connection, message, 0xFF00)
        answer(connection, message, 0xFF00, **counts(3, failed=1, remaining=2))
        answer(connection, message, 0xC000, **counts(0))

    with peer(script) as node, associated(node) as association:
        end = move(association, on_progress=progress.append)
    assert progress[0] == Counters()
    assert end.counters == Counters(3, 1, 0, 2), "what was announced is accounted for by nothing since"


def test_dimse_deadline() -> None:
    """`dimse` counts from response to response, and arrivals do not hold it off."""

    def script(connection: Connection, message: Message) -> None:
        for number in range(4):
            time.sleep(0.15)
            answer(connection, message, 0xFF00, **counts(number, remaining=9))
        silence(connection)

    with peer(script) as node, associated(node, Timeouts(dimse=0.4, stall=30)) as association:
        end = move(association, last_arrival=time.monotonic)
    assert (end.lost_by, end.counters.completed) == (LostBy.TIMEOUT, 3)
    assert end.why == "no response for 0.4 s (the dimse timeout)"


def test_stall_deadline_counts_arrivals() -> None:
    """An arrival holds the stall deadline off; once they cease too, it passes."""
    begun = time.monotonic()

    def arrival() -> float:
        return min(time.monotonic(), begun + 0.8)

    with (
        peer(lambda connection, message: silence(connection)) as node,
        associated(node, Timeouts(stall=0.3)) as association,
    ):
        end = move(association, last_arrival=arrival)
    assert end.why == "no response and no arrival for 0.3 s (the stall timeout)"
    assert time.monotonic() - begun >= 1.0


def test_progress_deadline() -> None:
    """Pending responses for ever are no progress; a counter that moves and an arrival are."""
    begun = time.monotonic()

    def pending(connection: Connection, message: Message) -> None:
        for number in itertools.count():
            time.sleep(0.02)
            completed = min(number, 20)
            answer(connection, message, 0xFF00, NumberOfCompletedSuboperations=completed)

    with peer(pending) as node, associated(node, Timeouts(stall=5, progress=0.3)) as association:
        end = move(association, last_arrival=lambda: min(time.monotonic(), begun + 0.6))
    assert end.why == "the archive answers, but nothing has moved for 0.3 s (the progress timeout)"
    assert (end.ended, end.counters.completed) == (Ended.LOST, 20)
    assert 0.7 <= time.monotonic() - begun < 5


def test_total_deadline() -> None:
    """A C-MOVE that goes on and on ends at its total, whatever moves."""

    def progressing(connection: Connection, message: Message) -> None:
        for number in itertools.count():
            time.sleep(0.02)
            answer(connection, message, 0xFF00, NumberOfCompletedSuboperations=number)

    with peer(progressing) as node, associated(node, Timeouts(total=0.3)) as association:
        end = move(association)
    assert end.why == "not at its end after 0.3 s (the total timeout)"


def _pending_finds(message: Message) -> bytes:
    """Return a pending answer to C-FIND, whole."""
    data = encode({"StudyInstanceUID": "1.2.3"}, EXPLICIT)
    command = response(message, 0xFF00, data)
    return b"".join(map(bytes, encode_message(message.context_id, command, data, 1 << 14)))


@pytest.mark.parametrize("way", ["total", "cancel", "kill"])
@pytest.mark.parametrize("verb", ["find", "move"])
def test_what_comes_without_a_pause_holds_off_no_end(verb: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive that never lets us wait is held to every limit, and a cancel and a kill reach us."""
    monkeypatch.setattr("dicomover.wire.responses.CANCEL_GRACE", 0.3)

    def flood(connection: Connection, message: Message) -> None:
        pour(connection, pdu(message, 0xFF00, **counts(1)) if verb == "move" else _pending_finds(message))

    def ask(association: Association) -> object:
        if verb == "move":
            return move(association).ended
        with pytest.raises(AssociationLost) as caught:
            for _ in association.find(STUDY, Model.STUDY, 1):
                pass
        return caught.value.by

    timeouts = Timeouts(total=0.3 if way == "total" else None)
    with peer(flood) as node, associated(node, timeouts) as association:
        begun = time.monotonic()
        with in_a_thread(lambda: ask(association)) as ended:
            time.sleep(0.2)
            if way != "total":
                getattr(association, way)()
    assert time.monotonic() - begun < 5
    assert ended == [LostBy.TIMEOUT if verb == "find" else Ended.LOST if way == "total" else Ended.CANCELLED]


@pytest.mark.parametrize("how", ["floods", "aborts", "closes"])
def test_enough_is_enough(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an archive does instead of ending a C-FIND that has brought all that is wanted takes nothing away."""
    monkeypatch.setattr("dicomover.wire.responses.CANCEL_GRACE", 0.3)

    def script(connection: Connection, message: Message) -> None:
        if how == "floods":
            pour(connection, _pending_finds(message))
        connection.send(_pending_finds(message) * 2)
        connection.read_message()
        connection.abort() if how == "aborts" else connection.close()

    begun = time.monotonic()
    with peer(script) as node, associated(node) as association:
        assert len(list(association.find(STUDY, Model.STUDY, 1, limit=2))) == 2
        assert not association.is_usable()
    assert time.monotonic() - begun < 5


def test_counting_for_ever_is_no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counters that go up and begin anew, and others that come and go, are progress up to a bound."""
    monkeypatch.setattr("dicomover.wire.responses._MOST_COUNTED", 30)

    def counting(connection: Connection, message: Message) -> None:
        for number in itertools.count():
            answer(connection, message, 0xFF00, **counts(number % 60_000, remaining=7 + number % 3))

    begun = time.monotonic()
    with peer(counting) as node, associated(node, Timeouts(stall=5, progress=0.3)) as association:
        end = move(association)
    assert end.why == "the archive answers, but nothing has moved for 0.3 s (the progress timeout)"
    assert time.monotonic() - begun < 5
