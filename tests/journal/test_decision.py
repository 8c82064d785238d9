"""What a rerun decides, and what it asks for."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomover.journal import Decision, FileCheck, Manifest, Missing, decide, is_verified, list_missing
from dicomover.outcome import Counters, Status
from dicomover.summary import Result
from journal_kit import DONE, files


@pytest.mark.parametrize(
    ("verified", "result"),
    [
        # we receive
        (True, Result(Status.SUCCESS, expected=3, received=3)),
        (True, Result(Status.WARNING, expected=3, received=3)),
        (True, Result(Status.SUCCESS, expected=3, received=4)),
        (True, Result(Status.SUCCESS, counters=Counters(2, 0, 1), received=3)),
        (False, Result(Status.SUCCESS, expected=3, received=2)),
        (False, Result(Status.SUCCESS, counters=Counters(3), received=2)),
        (False, Result(Status.SUCCESS, expected=3, counters=Counters(4), received=3)),
        (False, Result(Status.SUCCESS, received=3)),  # nobody counted
        (False, Result(Status.SUCCESS, expected=0, received=0)),
        (False, Result(Status.SUCCESS, expected=3, received=3, counters=Counters(3, 1))),
        # a third party receives
        (True, Result(Status.SUCCESS, 0, expected=3, counters=Counters(3, 0, 0))),
        (True, Result(Status.WARNING, 0, expected=3, counters=Counters(2, 0, 1))),
        (True, Result(Status.SUCCESS, 0, expected=3, counters=Counters(2, 0, 0, 1))),  # its last word did not count
        (True, Result(Status.SUCCESS, 0, counters=Counters(3, 0, 0))),
        (True, Result(Status.SUCCESS, 0, counters=Counters(3))),
        (False, Result(Status.SUCCESS, 0, expected=3, counters=Counters(2))),
        (False, Result(Status.SUCCESS, 0, counters=Counters(2, 0, 0, 1))),
        (False, Result(Status.SUCCESS, 0, counters=Counters(0, 0, 0))),
        (False, Result(Status.SUCCESS, 0, expected=3)),
        (False, Result(Status.SUCCESS, 0)),
        (False, Result(Status.SUCCESS, 0, counters=Counters(3, 1))),
        *((False, Result(status, 0, expected=3, received=3)) for status in Status if not status.complete),
        (False, Result(None, 0, expected=3, received=3)),
        (False, Result(Status.SKIPPED, 0, expected=3, received=3)),
    ],
)
def test_verified_means_that_a_number_shows_it(verified: bool, result: Result) -> None:
    """A status alone is not believed: what should have come must be known, and met."""
    assert is_verified(result) is verified


HERE = FileCheck(Manifest(files("1", "2", "3")))
SOME_GONE = FileCheck(Manifest(files("1", "2")), files("3"))
SOME_CHANGED = FileCheck(Manifest(files("1", "2")), (), files("3"))
FEWER = FileCheck(Manifest(files("1", "2")))
TWICE = FileCheck(Manifest((*files("1", "2"), files("2")[0]._replace(path="P/1/2~1.dcm"))))
ALL_GONE = FileCheck(Manifest(), files("1", "2", "3"))
ALL_CHANGED = FileCheck(Manifest(), (), files("1", "2", "3"))
NONE = FileCheck()
PART = Result(Status.PARTIAL, expected=3, received=2)
UNKNOWN = Result(Status.NOT_FOUND)
THIRD = Result(Status.SUCCESS, 0, expected=3, counters=Counters(3, 0, 0))


@pytest.mark.parametrize(
    ("decision", "result", "check", "expected"),
    [
        # never seen
        ("move", None, None, None),
        ("move", None, HERE, 3),
        # a third party receives
        ("skip", THIRD, None, None),
        ("skip", THIRD, None, 3),
        ("skip", THIRD, None, 2),
        ("retry", THIRD, None, 4),
        ("retry", Result(Status.SUCCESS, 0), None, None),
        *(("retry", Result(status), None, None) for status in Status if not status.complete),
        # we receive, and it was complete
        ("skip", DONE, HERE, None),
        ("skip", DONE, HERE, 3),
        ("retry", DONE, HERE, 4),
        ("retry", DONE, SOME_GONE, None),
        ("retry", DONE, SOME_CHANGED, None),
        ("retry", DONE, FEWER, None),
        ("retry", DONE, TWICE, None),
        ("move", DONE, ALL_GONE, None),
        ("move", DONE, ALL_CHANGED, None),
        ("move", DONE, NONE, None),
        # we receive, and it was not
        ("retry", PART, FEWER, None),
        ("retry", PART, SOME_GONE, None),
        ("retry", PART, HERE, None),
        ("move", PART, ALL_GONE, None),
        ("retry", PART, NONE, None),
        ("retry", UNKNOWN, NONE, None),
    ],
)
def test_the_decision_follows_the_table(
    decision: str, result: Result | None, check: FileCheck | None, expected: int | None
) -> None:
    """Never seen or nothing left: move; not complete: retry; complete, verified and untouched: skip."""
    assert decide(result, check, expected=expected) is Decision(decision)


def test_nothing_is_skipped_that_is_not_verified_and_untouched() -> None:
    """Over every combination of statuses, numbers and files, skip means verified with every file intact."""
    numbers = (None, 0, 2, 3)
    checks = (None, HERE, SOME_GONE, SOME_CHANGED, FEWER, TWICE, ALL_GONE, ALL_CHANGED, NONE)
    seen = set()
    for status, expected, received, moved, check in itertools.product(Status, numbers, numbers, numbers, checks):
        result = Result(status, 0, expected=expected, received=received, counters=Counters(moved))
        decision = decide(result, check)
        seen.add(decision)
        if decision is Decision.SKIP:
            assert status in (Status.SUCCESS, Status.WARNING)
            assert expected is not None or moved
            if check is not None:
                assert not check.missing
                assert not check.changed
                assert len(check.intact.instances) >= max(expected or 0, received or 0)
    assert seen == set(Decision)


@pytest.mark.parametrize(
    ("here", "archive", "asks"),
    [
        ("", {}, []),
        ("", {"s": ""}, []),
        ("", {"s": "ab"}, [("s", "", 2)]),
        ("ab", {"s": "ab"}, []),
        ("abc", {"s": "abcd"}, [("s", "d", 1)]),
        ("ab", {"s": "abcd"}, [("s", "cd", 2)]),
        ("a", {"s": "abcd"}, [("s", "", 3)]),
        ("ab", {"s": "ab", "t": "c"}, [("t", "", 1)]),
        ("abx", {"s": "abc", "t": "de"}, [("s", "c", 1), ("t", "", 2)]),
        ("abcdef", {"s": "abcdefghij"}, [("s", "gh", 2), ("s", "ij", 2)]),
        ("ab", {"s": "abcc"}, [("s", "c", 1)]),
    ],
)
def test_what_is_missing_is_asked_for_by_series_or_by_instance(here: str, archive: dict[str, str], asks: list) -> None:
    """A series of which most is missing is asked for as a whole, another by its instances, not too many at once."""
    assert list_missing(set(here), archive, at_once=2) == tuple(Missing(s, tuple(uids), n) for s, uids, n in asks)


@given(
    st.sets(st.integers(0, 30).map(str)),
    st.dictionaries(st.sampled_from("stuv"), st.lists(st.integers(0, 30).map(str))),
    st.floats(0, 1),
    st.integers(1, 7),
)
def test_what_is_asked_for_covers_what_is_missing(here: set[str], archive: dict, most: float, at_once: int) -> None:
    """Everything that is missing is asked for, and by instance nothing that is here."""
    asks = list_missing(here, archive, most=most, at_once=at_once)
    brought = set()
    for ask in asks:
        assert ask.count > 0
        assert len(ask.instances) <= at_once
        assert not here.intersection(ask.instances)
        brought |= set(ask.instances or archive[ask.series])
    assert set().union(*archive.values()) <= here | brought
