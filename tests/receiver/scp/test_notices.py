"""What callers make us say: the first at once, and of very many a number that is right."""

from __future__ import annotations

import logging
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from dicomover.events import Admission, Refusal, Refused
from dicomover.receiver.scp.notices import Notices
from receiver_kit import STUDY, Start, data_set, running, wait_for


class Clock:
    """Goes as it is told."""

    now = 100.0

    def __call__(self) -> float:
        """Return what it shows."""
        return self.now


def refusal(study: str = "1", status: int | None = 0x0124, what: Refused = Refused.INSTANCE) -> Refusal:
    """Return a refusal."""
    return Refusal(1.0, "no", status, "YOU", "1.2", study, what=what)


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands."""
    return Clock()


@pytest.fixture
def told() -> list[Refusal]:
    """Return what was told."""
    return []


@pytest.fixture
def notices(told: list[Refusal], clock: Clock, caplog: pytest.LogCaptureFixture) -> Notices:
    """Return what says it."""
    caplog.set_level(logging.INFO, "dicomover.receiver")
    return Notices(told.append, clock)


def test_lines_of_a_kind_are_counted(notices: Notices, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """The first lines are logged as they are, then one now and then with the number of those before it."""
    for number in range(1223):
        notices.log(logging.WARNING, "%s said %d", "YOU", number)
    notices.log(logging.INFO, "another kind")
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [*(f"YOU said {number}" for number in range(20)), "another kind"]
    assert notices.owes
    notices.flush()
    assert len(caplog.records) == 21
    clock.now += 10
    notices.flush()
    assert caplog.records[-1].getMessage() == "YOU said 1222 ... and 1,202 more like it"
    assert caplog.records[-1].levelname == "WARNING"
    assert not notices.owes
    notices.log(logging.WARNING, "%s said %d", "YOU", 7)
    notices.flush(ending=True)
    assert caplog.records[-1].getMessage() == "YOU said 7"


def test_what_nobody_reads_is_not_counted(notices: Notices, caplog: pytest.LogCaptureFixture) -> None:
    """Below the level of the logger nothing is kept."""
    for _ in range(100):
        notices.log(logging.DEBUG, "something")
    assert not notices.owes
    assert not caplog.records


def test_refusals_are_counted_by_kind(notices: Notices, told: list[Refusal], clock: Clock) -> None:
    """What is told late is told with its number, apart for what differs in what a row is judged by."""
    kinds = [refusal(), refusal("2"), refusal(status=0xC000), refusal("", None, Refused.ASSOCIATION)]
    for _ in range(1000):
        for each in kinds:
            notices.tell(each)
    assert len(told) == 300
    notices.flush()
    assert len(told) == 304
    counted = Counter[tuple[object, ...]]()
    for each in told:
        counted[each.what, each.status, each.study_instance_uid] += each.count
    assert set(counted.values()) == {1000}
    clock.now += 60
    notices.tell(kinds[0])
    assert told[-1] is kinds[0]


def test_kinds_without_end_are_no_hoard(notices: Notices, told: list[Refusal]) -> None:
    """Whatever strangers think of, so many kinds are told apart; of the rest nobody claims to know whose they are."""
    for number in range(10_000):
        notices.tell(refusal(f"1.{number}"))
    notices.flush()
    assert len(told) < 400
    assert sum(each.count for each in told) == 10_000
    assert told[-1].study_instance_uid == ""
    assert told[-1].sop_instance_uid == ""


def test_what_the_archive_is_refused_is_not_lost_in_a_flood(told: list[Refusal], clock: Clock) -> None:
    """It is told at once, and as its own, whatever strangers have filled; also it has an end."""
    notices = Notices(told.append, clock, {"10.1.2.3"})
    for number in range(10_000):
        notices.tell(refusal(f"1.{number}"))
    own = replace(refusal("1.2.3", None, Refused.ASSOCIATION), peer="10.1.2.3")
    notices.tell(own)
    assert told[-1] is own
    for number in range(10_000):
        notices.tell(replace(own, why=f"another {number}", study_instance_uid=str(number)))
    notices.flush()
    assert len(told) < 1000


def test_a_flood_of_refused_images_is_told_as_a_number(start: Start) -> None:
    """Thousands of images that nobody asked for are a few events, and as many as they are in sum."""
    count = 1500
    with start(restrict=True) as run, run.peer() as peer:
        run.receiver.admit(Admission(1, study_uids=frozenset({STUDY})))
        data = data_set("1.9", study="1.9", pixels=bytes(10))
        begun = time.monotonic()
        assert {peer.store("1.9", data) for _ in range(count)} == {0x0124}
        seconds = time.monotonic() - begun
        wait_for(lambda: sum(event.count for event in run.refusals) == count)
        assert len(run.refusals) < 350 + 25 * (seconds + 1)
        assert peer.store("1.2") == 0
        peer.release()


def test_what_was_asked_for_is_told_one_by_one(tmp_path: Path) -> None:
    """However many images of a request have to be refused, each is told: it is missing somewhere."""
    with running(tmp_path, False, restrict=True, existing="error") as run, run.peer() as peer:
        run.receiver.admit(Admission(1, study_uids=frozenset({STUDY})))
        assert peer.store("1.2") == 0
        other = data_set("1.2", pixels=b"other")
        assert {peer.store("1.2", other) for _ in range(500)} == {0x0111}
        run.wait(501)
        assert [event.count for event in run.refusals] == [1] * 500
        peer.release()
