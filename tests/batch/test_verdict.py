"""The verdict on a C-MOVE in its words, and that the journal believes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from batch_kit import arrival
from dicomover.batch.evidence import Evidence
from dicomover.batch.ledger import Ledger
from dicomover.batch.resume import Resumption
from dicomover.batch.running import RunningMove
from dicomover.batch.verdict import Facts, judge_move
from dicomover.batch.work import OpenRow, SharedMove, Verdict
from dicomover.events import Refused
from dicomover.identifier import Identifier, Level, Model
from dicomover.journal import Journal, is_verified
from dicomover.outcome import SUCCESS, Counters, Ended, Status, settle, weigh
from dicomover.query.targets import Resolution, Target
from dicomover.requests.parse import parse_requests
from dicomover.summary import Result
from dicomover.wire.responses import MoveEnd
from test_outcome import TRUTH

HERE = Facts("ME", port=11112)
THERE = Facts("ELSEWHERE")


def move_of(expected: int | None = 3, instances: dict[str, list[str]] | None = None) -> SharedMove:
    """Return a C-MOVE of one study."""
    batch = parse_requests({"StudyInstanceUID": "1"})
    identifier = Identifier(Level.STUDY, Model.STUDY, study="1")
    target = Target(identifier, True, expected, instances=instances)
    return SharedMove(0, target, OpenRow(batch.requests[0]), RunningMove(0, identifier))


def judge(
    code: int | None,
    counters: Counters,
    present: int | None,
    *,
    facts: Facts = HERE,
    move: SharedMove | None = None,
    repeated: int = 0,
    twins: int = 0,
) -> Verdict:
    """Return the verdict where so many instances are there."""
    uids = None if present is None else [f"1.1.{number}" for number in range(present)]
    evidence = Evidence(uids, twins=twins)
    return judge_move(MoveEnd(Ended.ANSWERED, code, counters), move or move_of(), 1, repeated, evidence, facts)


# --- what judge calls complete, the journal calls complete


@pytest.mark.parametrize(
    ("code", "counters", "facts", "verdict"),
    [row[1:] for row in TRUTH if Status(row[4]).complete],
    ids=[row[0] for row in TRUTH if Status(row[4]).complete],
)
def test_the_journal_believes_what_is_complete(
    code: int, counters: Counters, facts: dict[str, int], verdict: str
) -> None:
    """Each complete row of the truth table is verified as the journal keeps it, here and at a third party."""
    expected, received = facts.get("expected"), facts.get("received")
    moved, _ = weigh(counters, expected=expected, received=received)
    assert moved
    for kept in {received, None if facts.get("listed") else received}:  # a third party's are not on our disk
        result = Result(Status(verdict), code, expected=expected, received=kept, counters=settle(counters, moved))
        assert is_verified(result)


@pytest.mark.parametrize("row", [row for row in TRUTH if not Status(row[4]).complete], ids=lambda row: str(row[0]))
def test_the_journal_believes_nothing_else(row: tuple[str, int | None, Counters, dict[str, int], str]) -> None:
    """No other row of the table is verified, whatever its numbers are."""
    _, code, counters, facts, verdict = row
    expected, received = facts.get("expected"), facts.get("received")
    assert not is_verified(Result(Status(verdict), code, expected=expected, received=received, counters=counters))


@pytest.mark.parametrize(
    ("counters", "expected", "present", "repeated"),
    [
        (Counters(4, 0, 0), 3, 3, 1),
        (Counters(), None, 3, 0),
        (Counters(65535, 0, 0), 70_000, None, 0),
        (Counters(4464, 0, 0), 70_000, None, 0),
    ],
    ids=["an image twice", "nobody counted", "counters stop", "counters begin anew"],
)
def test_what_was_complete_is_skipped(
    tmp_path: Path, counters: Counters, expected: int | None, present: int | None, repeated: int
) -> None:
    """A row that ends complete is recorded so that a rerun skips it."""
    batch = parse_requests({"StudyInstanceUID": "1"})
    facts = THERE if present is None else HERE
    resumption = Resumption(Journal(tmp_path / "journal.db"), "ARCHIVE", "ELSEWHERE", None, lambda: None)
    with resumption:
        ledger = Ledger(batch, lambda: 0, lambda _: None, record=resumption.record)
        row = ledger.next_work(0.0)
        assert isinstance(row, OpenRow)
        row.taken = taken = resumption.take(row.request)
        target = move_of(expected).target
        (move,) = ledger.claim(row, Resolution((target,)))
        ledger.conclude(move, judge(SUCCESS, counters, present, facts=facts, move=move, repeated=repeated))
        assert ledger.results()[0].status is Status.SUCCESS
        assert ledger.results()[0].counters == counters, "the summary says what the archive said"
    with resumption:
        assert is_verified(resumption._journal.entries([taken.asked.key])[taken.asked.key].result)


# --- counting


def test_twins_count_and_are_told() -> None:
    """One SOP Instance UID in two series is two instances; that is a remark, and no failure."""
    move = move_of(4)
    move.running.twins = {("1.2", "1.1.1")}
    verdict = judge(SUCCESS, Counters(4, 0, 0), 3, move=move, twins=1)
    assert (verdict.status, verdict.received) == (Status.SUCCESS, 4)
    assert "SOP Instance UID of another one in another series" in str(verdict.error)


@pytest.mark.parametrize(
    ("code", "counters", "status"),
    [
        (0xB000, Counters(0, 2, 0), Status.WARNING),
        (0xA702, Counters(0, 2, 0), Status.WARNING),
        (0xB000, Counters(1, 1, 0), Status.WARNING),
        (0xA801, Counters(), Status.FAILURE),
        (0xC000, Counters(0, 0, 0), Status.FAILURE),
    ],
)
def test_a_destination_that_took_what_is_counted_as_failed(code: int, counters: Counters, status: Status) -> None:
    """All that was listed is there: complete. Where nothing was sent, what is there was there before."""
    listed = {"1.1": ["1.1.0", "1.1.1"]}
    verdict = judge(code, counters, 2, facts=THERE, move=move_of(2, listed))
    assert verdict.status is status
    lacking = judge(code, counters, 1, facts=THERE, move=move_of(2, listed))
    assert not lacking.status.complete


# --- causes by evidence


REFUSED = (False, Refused.CONTEXT, "no transfer syntax that we take", "let it offer Explicit VR Little Endian")


@pytest.mark.parametrize("code", [0xA801, 0xA702, 0xC000, 0xC123])
@pytest.mark.parametrize("evidence", ["received", "refused", "unclear", "turned away", "earlier"])
def test_no_status_is_a_cause_against_evidence(code: int, evidence: str) -> None:
    """Where the archive has reached us, nobody is told to look after addresses, ports, firewalls or AE titles."""
    move, facts = move_of(), HERE
    move.running.is_called = evidence in ("refused", "unclear", "turned away")
    if evidence == "refused":
        move.running.refused[0xC000] = 3
    elif evidence == "unclear":
        move.running.unclear[0xC000] = 3
    elif evidence == "turned away":
        move.running.turned_away[REFUSED] = 2
    elif evidence == "earlier":
        facts = Facts("ME", port=11112, sends=True)
    verdict = judge(code, Counters(0, 3, 0), 1 if evidence == "received" else 0, facts=facts, move=move)
    said = str(verdict.error)
    assert not any(word in said for word in ("firewall", "address", "add the AE title", "is unknown to them"))
    if evidence in ("refused", "unclear"):
        assert "we refused 3" in said
    if evidence == "turned away":
        assert "we refused 2 presentation contexts meanwhile: no transfer syntax that we take" in said
        assert "let it offer Explicit VR Little Endian" in said
        assert verdict.tried is not None
        assert verdict.tried.has_reached_us


@pytest.mark.parametrize("is_called", [False, True])
def test_a_stranger_keeps_no_hopeless_batch_going(is_called: bool) -> None:
    """Of a destination that is unknown to the archive nothing is known by what we refused of somebody else."""
    move = move_of()
    move.running.turned_away[REFUSED] = 2
    move.running.is_called = is_called
    tried = judge(0xA801, Counters(), 0, move=move).tried
    assert tried is not None
    assert tried.has_reached_us == is_called


def test_what_names_another_patient_is_told_and_is_no_success() -> None:
    """All that was asked for is here, and something beside it: a warning, not counted, that names nobody."""
    move = move_of()
    move.running.doubt(arrival(patient_id="SOMEBODY"))
    verdict = judge(SUCCESS, Counters(3, 0, 0), 3, move=move)
    assert (verdict.status, verdict.received) == (Status.WARNING, 3)
    assert "1 came under these UIDs as another patient's" in str(verdict.error)
    assert "SOMEBODY" not in str(verdict.error)
    assert judge(SUCCESS, Counters(3, 0, 0), 2, move=move).status is Status.PARTIAL


@pytest.mark.parametrize("code", [0xA702, 0xC000])
@pytest.mark.parametrize(("bind", "where"), [(None, "every address of this machine"), ("10.1.2.3", "10.1.2.3")])
def test_where_nothing_came_it_says_where_we_listen(code: int, bind: str | None, where: str) -> None:
    """The addresses and the port stand in the advice."""
    verdict = judge(code, Counters(0, 3, 0), 0, facts=Facts("ME", port=11112, bind=bind))
    assert f"(we listen on port 11112 of {where})" in str(verdict.error)
    elsewhere = judge(SUCCESS, Counters(3, 0, 0), 0, facts=Facts("ME", port=11112, bind=bind))
    assert f"(we listen on port 11112 of {where})" in str(elsewhere.error)


def test_what_was_turned_away_is_no_remark_on_a_success() -> None:
    """A stranger who was turned away meanwhile spoils no row that is complete."""
    move = move_of()
    move.running.turned_away[REFUSED] = 2
    verdict = judge(SUCCESS, Counters(3, 0, 0), 3, move=move)
    assert (verdict.status, verdict.error) == (Status.SUCCESS, None)


def test_refusals_are_said_by_their_number() -> None:
    """Of many kinds of refusals the most frequent are said."""
    move = move_of()
    for number in range(9):
        move.running.turned_away[False, Refused.CONNECTION, f"kind {number}", ""] = number + 1
    move.running.turned_away[True, Refused.ASSOCIATION, "the archive's own", "do this"] = 1
    said = str(judge(0xA702, Counters(0, 3, 0), 0, move=move).error)
    assert said.index("the archive's own") < said.index("kind 8"), "whoever else called, and how often"
    assert "we refused 9 connections meanwhile: kind 8" in said
    assert "kind 2" not in said
