"""Each misbehaviour of DemoPacs, seen on the wire."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from dicomover.errors import AssociationLost, AssociationRejected, LostBy, NodeUnreachable, ProtocolError
from dicomover.testing import MISBEHAVIOURS, Misbehaviour
from dicomover.testing._courses import COURSES
from dicomover.testing._details import DETAILS
from dicomover.wire.command_set import C_FIND_RQ, C_GET_RQ, C_MOVE_RQ
from dicomover.wire.transport import connect
from testing_kit import ACCESSION, Client, Seen, archive, client_of, move_keys

FIND_KEYS = {
    "QueryRetrieveLevel": "STUDY",
    "AccessionNumber": ACCESSION,
    "StudyInstanceUID": "",
    "NumberOfStudyRelatedInstances": "",
}
WAYS = pytest.mark.parametrize("way", [C_MOVE_RQ, C_GET_RQ], ids=["move", "get"])
NONE, ZERO = (None, None, None), (0, 0, 0)

# name: final status; completed, failed, warning; failed instances listed; arrived; pending responses
FINALS: dict[str, tuple[int, tuple[int | None, ...], int, int, int]] = {
    "success-with-failures": (0x0000, (3, 1, 0), 0, 3, 3),
    "success-all-failed": (0x0000, (0, 4, 0), 0, 0, 3),
    "empty-success": (0x0000, ZERO, 0, 0, 0),
    "empty-success-without-counters": (0x0000, NONE, 0, 0, 0),
    "success-without-counters": (0x0000, NONE, 0, 4, 3),
    "zero-counters-at-end": (0x0000, ZERO, 0, 4, 3),
    "takes-no-lists": (0x0000, (4, 0, 0), 0, 4, 3),
    "no-pending": (0x0000, (4, 0, 0), 0, 4, 0),
    "unable-after-sending": (0xC000, ZERO, 0, 4, 3),
    "claims-without-sending": (0x0000, (4, 0, 0), 0, 0, 3),
    "claims-some-without-sending": (0x0000, (4, 0, 0), 0, 3, 3),
    "success-with-warnings": (0x0000, (3, 0, 1), 0, 4, 3),
    "warnings": (0xB000, (3, 0, 1), 0, 4, 3),
    "some-failed": (0xB000, (3, 1, 0), 1, 3, 3),
    "some-failed-without-list": (0xB000, (3, 1, 0), 0, 3, 3),
    "some-failed-half-listed": (0xB000, (2, 2, 0), 1, 2, 3),
    "unknown-status": (0x1234, (4, 0, 0), 0, 4, 3),
    "out-of-resources": (0xA702, (0, 4, 0), 4, 0, 3),
    "out-of-resources-some": (0xA702, (3, 1, 0), 1, 3, 3),
    "busy": (0xA702, NONE, 0, 0, 0),
    "cannot-count": (0xA701, NONE, 0, 0, 0),
    "destination-unknown": (0xA801, NONE, 0, 0, 0),
    "identifier-mismatch": (0xA900, NONE, 0, 0, 0),
    "unable": (0xC000, ZERO, 0, 0, 0),
    "unable-with-comment": (0xC001, NONE, 0, 0, 0),
    "processing-failure": (0x0110, NONE, 0, 0, 0),
    "missing-attribute": (0x0120, NONE, 0, 0, 0),
    "sop-class-not-supported": (0x0122, NONE, 0, 0, 0),
    "not-authorized": (0x0124, NONE, 0, 0, 0),
    "duplicate-invocation": (0x0210, NONE, 0, 0, 0),
    "unrecognized-operation": (0x0211, NONE, 0, 0, 0),
    "mistyped-argument": (0x0212, NONE, 0, 0, 0),
    "duplicate-stores": (0x0000, (4, 0, 0), 0, 8, 3),
    "foreign-instance": (0x0000, (4, 0, 0), 0, 5, 3),
    "wrong-study": (0x0000, (4, 0, 0), 0, 4, 3),
}
# name: how the association ends, after one instance and one pending response
BREAKS = {
    "abort": "abort",
    "close": "closed",
    "release": "release",
    "silence": "timeout",
    "silence-at-once": "timeout",
    "silence-in-pdu": "timeout",
    "abort-in-store": "abort",
    "close-in-store": "closed",
    "silence-in-store": "timeout",
    "garbage": "protocol",
    "broken-command": "protocol",
    "restart": "closed",
}
# name: final status, answers
FINDS = {
    "find-refused": (0xA700, 0),
    "find-mismatch": (0xA900, 0),
    "find-unable": (0xC001, 0),
    "find-no-match": (0x0000, 0),
    "find-ignores-keys": (0x0000, 2),
    "find-omits-key": (0x0000, 1),
    "find-omits-counts": (0x0000, 1),
    "find-counts-more": (0x0000, 1),
    "find-counts-less": (0x0000, 1),
    "find-duplicates": (0x0000, 2),
    "find-breaks": (0xC001, 0),
    "find-slow": (0x0000, 1),
    "find-takes-no-lists": (0x0000, 1),
    "find-closes-on-lists": (0x0000, 1),
    "find-capped": (0x0000, 1),
    "find-capped-cancelled": (0x0000, 1),
    "find-capped-closes": (0x0000, 1),
    "find-too-many": (0x0000, 1),
}
FIND_BREAKS = {"find-hangs": "timeout", "find-aborts": "abort", "find-closes": "closed"}
OTHERS = {
    "final-twice",
    "stops-at-first-failure",
    "stragglers",
    "slow",
    "slow-start",
    "sends-after-abort",
    "endless-pending",
    "drops-association",
    "wrong-message-id",
    "ignores-cancel",
    "cancelled-as-success",
    "associate-silence",
    "associate-abort",
    "associate-close",
    "associate-garbage",
    "associate-congestion",
    "associate-no-reason",
    "associate-no-context",
    "associate-no-storage",
    "associate-refuses-roles",
    "associate-wants-both-roles",
}


def test_every_misbehaviour_is_tested_and_described() -> None:
    """No name is missing here, and each has one line of description."""
    assert set(COURSES) == set(FINALS) | set(BREAKS) | set(FINDS) | set(FIND_BREAKS) | OTHERS
    assert set(MISBEHAVIOURS) == set(COURSES) | set(DETAILS)
    assert all(line and "\n" not in line for line in MISBEHAVIOURS.values())


@WAYS
@pytest.mark.parametrize("name", FINALS)
def test_a_final_response(name: str, way: int) -> None:
    """A scripted retrieval ends with the status, counters, list and arrivals of the table, by either way."""
    status, counters, listed, arrived, pending = FINALS[name]
    with archive(name) as pacs, client_of(pacs) as client:
        seen = client.ask(way, move_keys(pacs))
        assert (seen.status, seen.counters, seen.listed) == (status, counters, listed)
        assert (len(seen.stored) + len(pacs.workstation.received), len(seen.pending)) == (arrived, pending)
        assert way == C_MOVE_RQ or not pacs.workstation.received
        assert all(command["MessageIDBeingRespondedTo"] == client.message_id for command in seen.pending)
        well = client.ask(way, move_keys(pacs, "B-1"))
        assert (well.status, well.counters) == (0, (2, 0, 0)), "other studies are not concerned"


def test_comments_come_along() -> None:
    """ErrorComment and OffendingElement are sent where the name says so."""
    with archive("identifier-mismatch") as pacs, client_of(pacs) as client:
        final = client.ask(C_MOVE_RQ, move_keys(pacs)).final
        assert final is not None
        assert (final["OffendingElement"], final["ErrorComment"]) == (0x00080050, "refused as asked for")


def test_foreign_instances_are_of_another_study() -> None:
    """What is sent too, or instead, belongs to the other study."""
    for name, expected in (("foreign-instance", {ACCESSION: 4, "B-1": 1}), ("wrong-study", {"B-1": 4})):
        with archive(name) as pacs, client_of(pacs) as client:
            client.ask(C_MOVE_RQ, move_keys(pacs))
            owners = [pacs._archive.instance(uid)[0].accession_number for uid in pacs.workstation.sop_instance_uids]
            assert {owner: owners.count(owner) for owner in owners} == expected


@WAYS
@pytest.mark.parametrize("name", BREAKS)
def test_an_end_in_the_middle(name: str, way: int) -> None:
    """A scripted break shows itself as the kind of loss that the table says, and what arrived stays arrived."""
    at_once = name == "silence-at-once"
    with archive(name) as pacs:
        client = Client(pacs)
        seen = client.ask(way, move_keys(pacs), seconds=0.8)
        assert (seen.ended, seen.final) == (BREAKS[name], None)
        arrived = len(seen.stored) + len(pacs.workstation.received)
        assert (len(seen.pending), arrived) == ((0, 0) if at_once else (1, 1))


def test_a_restart_comes_back_on_the_same_port() -> None:
    """While it restarts, connections are refused and other associations are dropped; then all is well again."""
    with archive(Misbehaviour("restart", times=1, seconds=1)) as pacs:
        other, client = Client(pacs), Client(pacs)
        assert client.ask(C_MOVE_RQ, move_keys(pacs)).ended == "closed"
        with pytest.raises(AssociationLost):
            other.connection.read_message(lambda: time.monotonic() + 2)
        with pytest.raises(NodeUnreachable):
            connect(pacs.node, 1)
        begun = time.monotonic()
        while pacs.open_associations or time.monotonic() - begun < 1.1:
            time.sleep(0.05)
        with client_of(pacs) as again:
            assert again.ask(C_MOVE_RQ, move_keys(pacs)).counters == (4, 0, 0)


@pytest.mark.parametrize("name", FINDS)
def test_a_query(name: str) -> None:
    """A scripted C-FIND ends with the status and the number of answers of the table."""
    with archive(name) as pacs, client_of(pacs) as client:
        seen = client.ask(C_FIND_RQ, FIND_KEYS)
        assert (seen.status, len(seen.answers)) == FINDS[name]
        if name == "find-omits-key":
            assert "AccessionNumber" not in seen.answers[0]
        if name == "find-omits-counts":
            assert "NumberOfStudyRelatedInstances" not in seen.answers[0]
        if name in ("find-counts-more", "find-counts-less"):
            assert seen.answers[0]["NumberOfStudyRelatedInstances"] == ("5" if name == "find-counts-more" else "3")
        if name == "find-slow":
            assert seen.seconds >= 0.09, "counted from when the request has gone"
        by_uid = client.ask(C_FIND_RQ, {**FIND_KEYS, "AccessionNumber": "", **move_keys(pacs)})
        assert by_uid.status == FINDS[name][0], "the study is known by its UID too"


@pytest.mark.parametrize("name", FIND_BREAKS)
def test_a_query_that_ends_in_the_middle(name: str) -> None:
    """A scripted break of a C-FIND shows itself as the kind of loss that the table says."""
    with archive(name) as pacs:
        assert Client(pacs).ask(C_FIND_RQ, FIND_KEYS, seconds=0.8).ended == FIND_BREAKS[name]


def test_half_of_the_answers() -> None:
    """With several matches, half of them come before the failure."""
    with archive() as pacs, client_of(pacs) as client:
        pacs.misbehave["*"] = "find-breaks"
        seen = client.ask(C_FIND_RQ, {**FIND_KEYS, "AccessionNumber": "*"})
        assert (seen.status, len(seen.answers)) == (0xC001, 1)


# name: final status, or how the association ends; answers
CAPS = {
    "find-capped": (0x0000, 1),
    "find-capped-cancelled": (0xFE00, 1),
    "find-capped-closes": ("closed", 1),
    "find-too-many": (0xA700, 0),
}


@pytest.mark.parametrize("name", CAPS)
def test_more_matches_than_the_archive_answers(name: str) -> None:
    """With more matches than the cap, the answers end as the name says; with as many, as if there were none."""
    with archive() as pacs, client_of(pacs) as client:
        for count, wanted in ((2, (0x0000, 2)), (1, CAPS[name])):
            pacs.misbehave["*"] = Misbehaviour(name, count=count)
            seen = client.ask(C_FIND_RQ, {**FIND_KEYS, "AccessionNumber": "*"})
            assert (seen.ended if seen.final is None else seen.status, len(seen.answers)) == wanted


def test_the_final_response_comes_twice() -> None:
    """The second one meets the next request."""
    with archive("final-twice") as pacs, client_of(pacs) as client:
        first = client.ask(C_MOVE_RQ, move_keys(pacs))
        assert client.read().final == first.final


def test_stragglers_come_after_the_final_response() -> None:
    """The last instance counts as completed, and arrives later."""
    with archive(Misbehaviour("stragglers", count=2, seconds=0.2)) as pacs, client_of(pacs) as client:
        seen = client.ask(C_MOVE_RQ, move_keys(pacs))
        assert (seen.status, seen.counters, len(pacs.workstation.received)) == (0, (4, 0, 0), 2)
        assert pacs.workstation.wait_for(4, 3)


def test_stragglers_do_not_outlive_the_archive() -> None:
    """What would come later does not come after close."""
    with archive(Misbehaviour("stragglers", seconds=60)) as pacs, client_of(pacs) as client:
        assert client.ask(C_MOVE_RQ, move_keys(pacs)).status == 0


def test_slow_instances_can_be_cancelled() -> None:
    """A C-CANCEL ends a slow move at once with 0xFE00 and the counters so far."""
    with archive(Misbehaviour("slow", seconds=0.5)) as pacs, client_of(pacs) as client:
        seen = client.ask(C_MOVE_RQ, move_keys(pacs), cancel_after=1)
        assert (seen.status, seen.counters) == (0xFE00, (1, 0, 0))
        assert seen.final is not None
        assert seen.final["NumberOfRemainingSuboperations"] == 3
        assert [request.kind for request in pacs.requests] == ["C-MOVE", "C-CANCEL"]
        assert len(pacs.workstation.received) == 1


def test_a_slow_start_pends_before_the_first_instance() -> None:
    """Pending responses come without progress, and then everything comes; a C-CANCEL works meanwhile."""
    with archive(Misbehaviour("slow-start", seconds=0.25)) as pacs, client_of(pacs) as client:
        seen = client.ask(C_MOVE_RQ, move_keys(pacs))
        assert seen.seconds >= 0.25
        assert seen.counters == (4, 0, 0)
        assert [command["NumberOfCompletedSuboperations"] for command in seen.pending[:2]] == [0, 0]
        assert client.ask(C_MOVE_RQ, move_keys(pacs), cancel_after=1).status == 0xFE00


@pytest.mark.parametrize(("name", "arrived"), [("sends-after-abort", 4), ("slow", 1)])
def test_what_an_abort_of_ours_does(name: str, arrived: int) -> None:
    """One archive goes on sending after our abort, another stops."""
    with archive(Misbehaviour(name, seconds=0.3)) as pacs:
        client = Client(pacs)
        client.send(C_MOVE_RQ, move_keys(pacs))
        client.connection.read_message()
        client.connection.abort()
        assert pacs.workstation.wait_for(arrived, 5)
        time.sleep(0.5)
        assert len(pacs.workstation.received) == arrived


def test_pending_for_ever_until_cancelled() -> None:
    """Pending responses come without progress until a C-CANCEL ends them."""
    with archive(Misbehaviour("endless-pending", seconds=0.01)) as pacs, client_of(pacs) as client:
        seen = client.ask(C_MOVE_RQ, move_keys(pacs), cancel_after=10)
        assert seen.status == 0xFE00
        assert {command["NumberOfCompletedSuboperations"] for command in seen.pending} == {1}


def test_the_association_is_dropped_after_each_move() -> None:
    """The final response is whole, and the connection is closed behind it."""
    with archive("drops-association") as pacs:
        client = Client(pacs)
        assert client.ask(C_MOVE_RQ, move_keys(pacs)).counters == (4, 0, 0)
        assert client.read(seconds=1).ended == "closed"


def test_responses_to_another_message() -> None:
    """The Message ID Being Responded To is not that of the request."""
    with archive("wrong-message-id") as pacs, client_of(pacs) as client:
        seen = client.ask(C_MOVE_RQ, move_keys(pacs))
        assert seen.final is not None
        assert seen.final["MessageIDBeingRespondedTo"] == client.message_id + 1


@WAYS
@pytest.mark.parametrize(
    ("name", "seconds", "status", "completed"),
    [("ignores-cancel", 0.05, 0, 4), ("cancelled-as-success", 0.5, 0, 1), ("slow", 0.5, 0xFE00, 1)],
)
def test_answers_to_a_cancel(name: str, seconds: float, status: int, completed: int, way: int) -> None:
    """A C-CANCEL is obeyed, ignored, or obeyed with a success."""
    with archive(Misbehaviour(name, seconds=seconds)) as pacs, client_of(pacs) as client:
        seen = client.ask(way, move_keys(pacs), cancel_after=1)
        assert (seen.status, seen.counters) == (status, (completed, 0, 0))


@pytest.mark.parametrize(
    ("name", "ended"),
    [("associate-silence", LostBy.TIMEOUT), ("associate-abort", LostBy.ABORT), ("associate-close", LostBy.CLOSED)],
)
def test_associations_that_come_to_nothing(name: str, ended: LostBy) -> None:
    """An association request is left alone, aborted or cut off."""
    with archive(on_associate=name) as pacs, pytest.raises(AssociationLost) as caught:
        Client(pacs, 0.8)
    assert caught.value.by is ended


def test_other_answers_to_an_association_request() -> None:
    """It is answered with garbage, rejected for now or for good, or accepted without a presentation context."""
    with archive(on_associate="associate-garbage") as pacs, pytest.raises(ProtocolError):
        Client(pacs)
    for name, reason in (("associate-congestion", (2, 3, 1)), ("associate-no-reason", (1, 1, 1))):
        with archive(on_associate=name) as pacs, pytest.raises(AssociationRejected) as caught:
            Client(pacs)
        assert (caught.value.result, caught.value.source, caught.value.reason) == reason
    with archive(on_associate="associate-no-context") as pacs, client_of(pacs) as client:
        assert client.connection.contexts == {}
        pacs.on_associate = Misbehaviour("associate-congestion", times=1)
        with pytest.raises(AssociationRejected):
            Client(pacs)
        with client_of(pacs) as well:
            assert len(well.connection.contexts) == 4


def test_a_misbehaviour_that_passes() -> None:
    """`times` counts how often it happens; afterwards the archive is well."""
    passing = [Misbehaviour("busy", times=2), Misbehaviour("find-no-match", times=1)]
    with archive(passing) as pacs, client_of(pacs) as client:
        statuses = [client.ask(C_MOVE_RQ, move_keys(pacs)).status for _ in range(3)]
        assert statuses == [0xA702, 0xA702, 0]
        assert [len(client.ask(C_FIND_RQ, FIND_KEYS).answers) for _ in range(2)] == [0, 1]
        pacs.misbehave[ACCESSION] = "unable"
        assert client.ask(C_MOVE_RQ, move_keys(pacs)).status == 0xC000
        del pacs.misbehave[ACCESSION]
        assert client.ask(C_MOVE_RQ, move_keys(pacs)).status == 0


def test_unknown_names_are_refused() -> None:
    """A name that is none is an error that lists the names."""
    with pytest.raises(ValueError, match="no place here"), archive(on_associate="abort"):
        pass
    with pytest.raises(ValueError, match="no place here"), archive("associate-abort"):
        pass
    with pytest.raises(ValueError, match=r"'abrot' is unknown; one of .*abort"):
        Misbehaviour("abrot")


def test_knobs_that_turn_nothing_are_refused() -> None:
    """A knob that the name does not have is an error."""
    for name, knob in (("abort", "count"), ("warnings", "after"), ("busy", "seconds"), ("find-hangs", "status")):
        with pytest.raises(ValueError, match=f"has no {knob}"):
            Misbehaviour(name, **{knob: 1})  # type: ignore[arg-type]


def test_the_first_failure_ends_it() -> None:
    """What the destination refuses ends the move with 0xC000 and zeros; what came before stays there."""
    with archive("stops-at-first-failure") as pacs, client_of(pacs) as client:
        pacs.workstation.answer = lambda item: 0xA700 if item.sop_instance_uid.endswith(".2.1") else 0
        seen = client.ask(C_MOVE_RQ, move_keys(pacs))
        assert (seen.status, seen.counters, seen.listed) == (0xC000, (0, 0, 0), 0)
        assert len(pacs.workstation.sop_instance_uids) == 2


def test_knobs() -> None:
    """`count`, `after` and `status` change what a name does."""
    with archive(Misbehaviour("success-with-failures", count=2)) as pacs, client_of(pacs) as client:
        assert client.ask(C_MOVE_RQ, move_keys(pacs)).counters == (2, 2, 0)
        pacs.misbehave[ACCESSION] = Misbehaviour("unknown-status", status=0xB123)
        assert client.ask(C_MOVE_RQ, move_keys(pacs)).status == 0xB123
        pacs.misbehave[ACCESSION] = Misbehaviour("abort", after=3)
        seen = client.ask(C_MOVE_RQ, move_keys(pacs))
        assert (seen.ended, len(seen.pending)) == ("abort", 3)


def test_congestion() -> None:
    """Associations and moves beyond a limit are rejected or refused, and the limits are counted."""
    slow = Misbehaviour("slow", seconds=0.25)
    with archive(slow, max_associations=2, max_moves=1) as pacs, client_of(pacs) as one, client_of(pacs) as two:
        with pytest.raises(AssociationRejected) as caught:
            Client(pacs)
        assert (caught.value.result, caught.value.source, caught.value.reason) == (2, 3, 2)
        assert caught.value.retriable
        results: list[Seen] = []
        thread = threading.Thread(target=lambda: results.append(one.ask(C_MOVE_RQ, move_keys(pacs))))
        thread.start()
        assert pacs.workstation.wait_for(1)
        assert two.ask(C_MOVE_RQ, move_keys(pacs, "B-1")).status == 0xA702
        thread.join()
        assert results[0].status == 0
        assert two.ask(C_MOVE_RQ, move_keys(pacs, "B-1")).status == 0
        assert (pacs.most_associations, pacs.most_moves) == (2, 2)


def test_silence_ends_when_the_archive_is_closed() -> None:
    """Nobody waits for a silent exchange, nor for a half-open connection."""
    with archive("silence") as pacs:
        client = Client(pacs)
        thread = threading.Thread(target=lambda: client.ask(C_MOVE_RQ, move_keys(pacs), seconds=30))
        idle = socket.create_connection(("127.0.0.1", pacs.node.port))
        thread.start()
        assert pacs.workstation.wait_for(1)
        pacs.close()
        thread.join(5)
        assert not thread.is_alive()
        idle.close()
