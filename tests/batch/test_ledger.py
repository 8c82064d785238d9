"""The ledger: every row ends exactly once, and the same C-MOVE is sent once."""

from __future__ import annotations

import itertools
import random
import threading
from collections import Counter
from dataclasses import replace

import pytest

from dicomover.batch.ledger import Ledger
from dicomover.batch.work import OpenRow, SharedMove, Verdict
from dicomover.errors import ReceiverError
from dicomover.events import RequestEnded
from dicomover.identifier import Identifier, Level, Model
from dicomover.outcome import Counters, Ended, Status
from dicomover.query.targets import Resolution, Target
from dicomover.requests.parse import parse_requests
from dicomover.summary import Result
from dicomover.wire.responses import MoveEnd


def ledger_of(rows: int, invalid: tuple[int, ...] = ()) -> tuple[Ledger, list[RequestEnded]]:
    """Return the ledger of so many requests and the list that its events go to."""
    keys = [{"AccessionNumber": " bad" if row in invalid else f"{row}"} for row in range(rows)]
    events: list = []
    return Ledger(parse_requests(keys, invalid="record"), itertools.count().__next__, events.append), events


def target(
    study: str, expected: int | None = 3, model: Model = Model.STUDY, patient: str = "", *patients: str
) -> Target:
    """Return the target of one study, of the patients whom the archive names."""
    return Target(Identifier(Level.STUDY, model, patient=patient, study=study), True, expected, patients=patients)


def resolution(*studies: str, **how: object) -> Resolution:
    """Return the resolution to some studies."""
    return Resolution(tuple(target(study) for study in studies), len(studies), **how)  # type: ignore[arg-type]


def outcome(status: str = "success", completed: int = 3, **how: object) -> Verdict:
    """Return the outcome of one C-MOVE."""
    code = {"success": 0, "partial": 0xB000, "failure": 0xA702}.get(status)
    uids = how.pop("failed_uids", ())
    end = MoveEnd(Ended.ANSWERED, code, Counters(completed, 0, 0), uids)  # type: ignore[arg-type]
    return Verdict(Status(status), end, attempts=1, **how)  # type: ignore[arg-type]


def begun(ledger: Ledger) -> OpenRow:
    """Begin the next request."""
    row = ledger.next_work(0.0)
    assert row is not None
    return row


def statuses(ledger: Ledger) -> list[str | None]:
    """Return the statuses of all rows."""
    return [None if result.status is None else str(result.status) for result in ledger.results()]


def test_rows_come_once_in_order() -> None:
    """Each request that can be sent is begun once, in order."""
    ledger, _ = ledger_of(4, invalid=(1,))
    assert [begun(ledger).request.position for _ in range(3)] == [0, 2, 3]
    assert ledger.next_work(0.0) is None
    assert ledger.next_work(0.0) is None


def test_invalid_rows_are_over_at_once() -> None:
    """A row that cannot be sent has its verdict and its mend from the start; the others have none."""
    ledger, events = ledger_of(3, invalid=(1,))
    assert statuses(ledger) == [None, "invalid", None]
    assert "take the space away" in str(ledger.results()[1].error)
    assert events == []


def test_one_row_one_move() -> None:
    """A row ends with its C-MOVE, and its result has everything."""
    ledger, events = ledger_of(1)
    row = begun(ledger)
    (move,) = ledger.claim(row, resolution("1"))
    assert statuses(ledger) == [None]
    ledger.conclude(move, outcome("partial", 2, received=2, bytes=200, error="some failed", failed_uids=("9",)))
    (result,) = ledger.results()
    assert (result.status, result.status_code, result.matches, result.expected) == (Status.PARTIAL, 0xB000, 1, 3)
    assert (result.counters, result.received, result.bytes) == (Counters(2, 0, 0), 2, 200)
    assert (result.attempts, result.error, result.failed_uids) == (1, "some failed", ("9",))
    assert result.started == row.started
    assert result.seconds is not None
    assert [(event.request, event.status) for event in events] == [(0, Status.PARTIAL)]


def test_one_row_several_moves() -> None:
    """A row of several C-MOVEs ends with the last one; counts are added, and the worst status code is shown."""
    ledger, events = ledger_of(1)
    row = begun(ledger)
    first, second, third = ledger.claim(row, resolution("1", "2", "3", note="left some out"))
    ledger.conclude(first, outcome("success", 3, received=3, bytes=300))
    ledger.conclude(third, outcome("failure", 0, received=0, bytes=0, error="short of resources"))
    assert events == []
    ledger.conclude(second, outcome("success", 3, received=3, bytes=300))
    (result,) = ledger.results()
    assert (result.status, result.status_code, result.attempts) == (Status.PARTIAL, 0xA702, 3)
    assert (result.counters.completed, result.received, result.bytes, result.expected) == (6, 6, 600, 9)
    assert result.error == "2 of 3 C-MOVEs complete; short of resources; left some out"
    assert len(events) == 1


@pytest.mark.parametrize(("ways", "named"), [([True, True], "C-GETs"), ([False, True], "retrievals")])
def test_one_row_names_the_way_that_its_requests_went(ways: list[bool], named: str) -> None:
    """What came by C-GET is not called a C-MOVE, and where both were sent the sentence is true of both."""
    ledger, _ = ledger_of(1)
    first, second = ledger.claim(begun(ledger), resolution("1", "2"))
    ledger.conclude(first, replace(outcome("success", 3), by_get=ways[0]))
    ledger.conclude(second, replace(outcome("failure", 3, error="short of resources"), by_get=ways[1]))
    assert ledger.results()[0].error == f"1 of 2 {named} complete; short of resources"


def test_what_was_not_sent_is_no_c_move() -> None:
    """A row of which a part was moved and another is absent, and so never sent, counts no C-MOVEs."""
    ledger, _ = ledger_of(1)
    moved, absent = ledger.claim(begun(ledger), resolution("1", "2"))
    ledger.conclude(moved, outcome("success", 3))
    ledger.conclude(absent, replace(outcome("not-found", error="one is not there"), attempts=0))
    (result,) = ledger.results()
    assert (result.status, result.error) == (Status.PARTIAL, "one is not there")


def test_a_long_sentence_is_said_once() -> None:
    """C-MOVEs of one row that failed for the same reason say it once, whatever their numbers."""
    ledger, _ = ledger_of(1)
    for number, move in enumerate(ledger.claim(begun(ledger), resolution("1", "2", "3"))):
        error = f"0xA702 (no room), {number + 4} failed: the archive could not send to 'ME'; check port 104 there"
        ledger.conclude(move, outcome("failure", 0, error=error))
    (result,) = ledger.results()
    assert result.error == (
        "0 of 3 C-MOVEs complete; 0xA702 (no room), 4 to 6 failed: the archive could not send to 'ME'; "
        "check port 104 there"
    )


@pytest.mark.parametrize("late", [True, False], ids=["begun after its end", "begun before its end"])
def test_rows_share_a_move(late: bool) -> None:
    """The same study asked for in two rows moves once and is reported in both."""
    ledger, events = ledger_of(2)
    one = begun(ledger)
    other = begun(ledger)
    (move,) = ledger.claim(one, Resolution((target("1", 3, Model.STUDY, "", "P"),), 1))
    if late:
        ledger.conclude(move, outcome())
    in_patient = Resolution((target("1", 3, Model.PATIENT, "P", "P"),), 1)
    assert ledger.claim(other, in_patient) == [], "however it is asked for"
    if not late:
        assert events == []
        ledger.conclude(move, outcome())
    assert statuses(ledger) == ["success", "success"]
    assert [event.request for event in events] == [0, 1]


@pytest.mark.parametrize("found", [False, None, True], ids=["denied by C-FIND", "not asked", "found, of nobody"])
def test_a_wrong_patient_shares_nothing(found: bool | None) -> None:
    """A study under a patient whom no C-FIND has confirmed is another request than the study alone."""
    ledger, _ = ledger_of(2)
    wrong = replace(target("1", None, model=Model.PATIENT, patient="WRONG"), found=found)
    assert len(ledger.claim(begun(ledger), Resolution((wrong,)))) == 1
    assert len(ledger.claim(begun(ledger), resolution("1"))) == 1


def test_rows_share_some_moves() -> None:
    """A row ends when the last of its C-MOVEs has, whoever sent it."""
    ledger, events = ledger_of(2)
    (first, second) = ledger.claim(begun(ledger), resolution("1", "2"))
    (third,) = ledger.claim(begun(ledger), resolution("2", "3"))
    ledger.conclude(first, outcome())
    ledger.conclude(third, outcome())
    assert events == []
    ledger.conclude(second, outcome("failure", 0))
    assert statuses(ledger) == ["partial", "partial"]
    assert sorted(event.request for event in events) == [0, 1]


def test_one_move_twice_in_one_row() -> None:
    """A row that names the same study twice sends it once and ends once."""
    ledger, events = ledger_of(1)
    row = begun(ledger)
    twice = Resolution((target("1", 3, Model.STUDY, "", "P"), target("1", 3, Model.PATIENT, "P", "P")), 2)
    (move,) = ledger.claim(row, twice)
    ledger.conclude(move, outcome())
    assert len(events) == 1
    assert ledger.results()[0].counters.completed == 3


def test_giving_up_before_anything_was_claimed() -> None:
    """A row that is given up before it is resolved has the result that was given."""
    ledger, events = ledger_of(1)
    ledger.give_up(begun(ledger), Result(Status.CANCELLED, error="cancelled"))
    assert statuses(ledger) == ["cancelled"]
    assert len(events) == 1


def test_giving_up_in_the_middle() -> None:
    """What a row had sent stays; what it should have sent for others ends with it; what others send goes on."""
    ledger, events = ledger_of(3)
    one, two, three = begun(ledger), begun(ledger), begun(ledger)
    first, second = ledger.claim(one, resolution("1", "2"))
    (theirs,) = ledger.claim(two, resolution("2", "3"))
    assert ledger.claim(three, resolution("1")) == []
    ledger.conclude(first, outcome())
    ledger.give_up(one, Result(Status.LOST, error="no association"))
    assert statuses(ledger) == ["lost", None, "success"]
    assert second.verdict is not None
    assert second.verdict.attempts == 0
    ledger.conclude(theirs, outcome())
    assert statuses(ledger) == ["lost", "lost", "success"]
    assert len(events) == 3


def test_giving_up_after_the_end_changes_nothing() -> None:
    """A row that is over stays as it is."""
    ledger, events = ledger_of(1)
    row = begun(ledger)
    (move,) = ledger.claim(row, resolution("1"))
    ledger.conclude(move, outcome())
    ledger.give_up(row, Result(Status.CANCELLED))
    assert statuses(ledger) == ["success"]
    assert len(events) == 1


@pytest.mark.parametrize("seed", range(5))
def test_many_threads(seed: int) -> None:
    """With many threads and shared studies each C-MOVE is sent once, and each row ends exactly once, as it should."""
    rows, studies = 300, 60
    chance = random.Random(seed)
    wanted = [chance.sample(range(studies), chance.randint(1, 4)) for _ in range(rows)]
    bad = set(chance.sample(range(studies), 5))
    ledger, events = ledger_of(rows)
    sent: list[str] = []

    def work() -> None:
        while (row := ledger.next_work(0.0)) is not None:
            mine = ledger.claim(row, resolution(*(f"1.{study}" for study in wanted[row.request.position])))
            for move in mine:
                conclude(move)

    def conclude(move: SharedMove) -> None:
        study = move.target.identifier.study
        sent.append(study)
        ledger.conclude(move, outcome("failure", 0) if int(study[2:]) in bad else outcome())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sent) == len(set(sent)) == len({study for row in wanted for study in row})
    assert Counter(event.request for event in events) == Counter(range(rows))
    for position, result in enumerate(ledger.results()):
        failed = [study for study in wanted[position] if study in bad]
        right = "success" if not failed else "failure" if len(failed) == len(wanted[position]) else "partial"
        assert result.status == right
        assert result.counters.completed == 3 * (len(wanted[position]) - len(failed))


def test_numbers_of_all_moves() -> None:
    """The C-MOVEs are numbered without a gap, each once."""
    ledger, _ = ledger_of(2)
    ledger.claim(begun(ledger), resolution("1", "2"))
    ledger.claim(begun(ledger), resolution("2", "3"))
    assert ledger.numbers() == [0, 1, 2]


def test_what_could_not_be_made_safe_stands_in_its_row() -> None:
    """A row whose images came keeps its verdict, and says so if the receiver cannot tell whether they are safe."""

    def record(*_: object) -> None:
        raise ReceiverError("the receiver's process does not answer", "run it again")

    batch = parse_requests([{"StudyInstanceUID": "1.2.1"}])
    ledger = Ledger(batch, itertools.count().__next__, lambda _: None, record=record)
    row = begun(ledger)
    with pytest.raises(ReceiverError):
        ledger.end(row, Result(Status.SUCCESS))
    (result,) = ledger.results()
    assert result.status is Status.SUCCESS
    assert result.error == "perhaps not yet safe on disk: the receiver's process does not answer"


def test_what_has_to_be_fetched_first_comes_last() -> None:
    """After all that is not begun, the longest delay last, and no second time; a retry that is due goes before."""
    ledger, _ = ledger_of(4)
    offline, nearline = begun(ledger), begun(ledger)
    assert ledger.put_last(offline, 2)
    assert ledger.put_last(nearline, 1)
    assert [begun(ledger).request.position for _ in range(2)] == [2, 3]
    assert not ledger.is_used_up()
    assert [begun(ledger) for _ in range(2)] == [nearline, offline]
    assert ledger.is_used_up()
    assert not ledger.put_last(offline, 2)
