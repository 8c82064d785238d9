"""What has changed between what was locked and what is there now: the pure comparison."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohort_kit import locked, study
from dicomover.cohort.content import LockedRequest, LockState
from dicomover.cohort.drift import Change, Kind, compare, drift_table
from dicomover.identifier import Level

A = study("1", {"1.1": ["1.1.1", "1.1.2"], "1.2": ["1.2.1"]})
B = study("2", {"2.1": ["2.1.1"]})


def said(changes: list[Change]) -> list[tuple[str, str, str, str, tuple[str, ...], int | None, int | None]]:
    """Return changes without their sentences, which must be there."""
    assert all(change.note for change in changes)
    return [(str(c.kind), str(c.level), c.study, c.series, tuple(c.instances), c.expected, c.found) for c in changes]


@pytest.mark.parametrize("state", [state for state in LockState if state is not LockState.FOUND])
def test_the_same_is_no_change(state: LockState) -> None:
    """Whatever a request came to, coming to it again is no change; what the archive did not say is unknown still."""
    assert compare(locked(A, B), locked(A, B, note="x"), {}) == []
    changes = compare(locked(state=state), locked(state=state, note="x"), {})
    unsaid = state in (LockState.REFUSED, LockState.CUT_SHORT)
    assert [(change.kind, change.note) for change in changes] == [(Kind.UNKNOWN, "x")] * unsaid


@pytest.mark.parametrize(
    ("now", "change"),
    [
        (study("1", {"1.1": ["1.1.1", "1.1.2"]}), ("lost", "SERIES", "1", "1.2", (), 1, 0)),
        (study("1", {"1.1": ["1.1.2"], "1.2": ["1.2.1"]}), ("lost", "IMAGE", "1", "1.1", ("1.1.1",), 2, 1)),
        (study("1", {**A.by_series, "1.3": ["1.3.1"]}), ("gained", "SERIES", "1", "1.3", (), 0, 1)),
        (study("1", {**A.by_series, "1.2": ["1.2.1", "9"]}), ("gained", "IMAGE", "1", "1.2", ("9",), 1, 2)),
        (
            study("1", {"1.1": ["1.1.1"], "1.2": ["1.1.2", "1.2.1"]}),
            ("changed", "IMAGE", "1", "1.1", ("1.1.2",), 2, 1),
        ),
        (study("1", {"1.1": ["1.1.1", "1.1.2"], "1.9": ["1.2.1"]}), ("changed", "IMAGE", "1", "1.2", ("1.2.1",), 1, 0)),
        (study("1", {"1.1": [], "1.2": ["1.2.1"]}), ("lost", "IMAGE", "1", "1.1", ("1.1.1", "1.1.2"), 2, 0)),
    ],
)
def test_one_change_in_a_study_is_one_row(now: object, change: object) -> None:
    """A series or instances of it, gained, lost or moved to another series."""
    assert said(compare(locked(A), locked(now), {})) == [change]  # type: ignore[arg-type]


def test_everything_at_once() -> None:
    """An instance is replaced and another one moved: three rows, none twice."""
    now = study("1", {"1.1": ["1.1.2", "1.1.3"], "1.2": ["1.1.1"]})
    assert said(compare(locked(A), locked(now), {})) == [
        ("changed", "IMAGE", "1", "1.1", ("1.1.1",), 2, 2),
        ("lost", "IMAGE", "1", "1.2", ("1.2.1",), 1, 1),
        ("gained", "IMAGE", "1", "1.1", ("1.1.3",), 2, 2),
    ]


@pytest.mark.parametrize(
    ("before", "now", "elsewhere", "changes"),
    [
        (locked(A), locked(A, B), {}, [("ambiguous", "STUDY", "2", "", (), 0, 1)]),
        (locked(A), locked(), {}, [("lost", "STUDY", "1", "", (), 3, 0)]),
        (locked(A), locked(), {"1": A}, [("not-found", "STUDY", "", "", (), 3, 0)]),
        (locked(A, B), locked(A), {"2": B}, [("changed", "STUDY", "2", "", (), None, None)]),
        (
            locked(A),
            locked(B),
            {},
            [("changed", "STUDY", "2", "", (), 0, 1), ("lost", "STUDY", "1", "", (), 3, 0)],
        ),
        (locked(), locked(A), {}, [("gained", "STUDY", "1", "", (), 0, 3)]),
        (
            locked(A, keys={"PatientID": "1"}),
            locked(A, B, keys={"PatientID": "1"}),
            {},
            [("gained", "STUDY", "2", "", (), 0, 1)],
        ),
        (
            locked(A),
            locked(state=LockState.TOO_MANY, more_than=1),
            {"1": A},
            [("ambiguous", "STUDY", "", "", (), 3, None)],
        ),
        (
            locked(A),
            locked(state=LockState.TOO_MANY, more_than=1),
            {},
            [("ambiguous", "STUDY", "", "", (), 3, None), ("lost", "STUDY", "1", "", (), 3, 0)],
        ),
        (locked(state=LockState.TOO_MANY, more_than=1), locked(A), {}, [("changed", "STUDY", "", "", (), None, 3)]),
        (locked(state=LockState.REFUSED), locked(A), {}, [("changed", "STUDY", "", "", (), None, 3)]),
        (locked(A), locked(state=LockState.REFUSED, note="no"), {}, [("unknown", "STUDY", "", "", (), None, None)]),
        (
            locked(A),
            locked(study("1", {"1.1": ["1.1.1", "9"], "1.2": ["1.2.1"]}), state=LockState.CUT_SHORT, note="capped"),
            {},
            [("gained", "IMAGE", "1", "1.1", ("9",), 2, 2), ("unknown", "STUDY", "", "", (), None, None)],
        ),
        (
            locked(A),
            locked(A, state=LockState.CUT_SHORT, note="capped"),
            {},
            [("unknown", "STUDY", "", "", (), None, None)],
        ),
        (locked(A, state=LockState.CUT_SHORT), locked(A), {}, []),
    ],
)
def test_what_a_request_leads_to(
    before: LockedRequest, now: LockedRequest, elsewhere: dict[str, object], changes: list[object]
) -> None:
    """Further studies, fewer, others, too many, or an answer that cannot be believed."""
    assert said(compare(before, now, elsewhere)) == changes  # type: ignore[arg-type]


places = st.dictionaries(st.sampled_from(["1.1", "1.2", "1.3"]), st.sets(st.sampled_from("abcdefg")), max_size=3)


def once(series: dict[str, set[str]]) -> dict[str, list[str]]:
    """Leave every instance in one series only, and no series empty."""
    seen: set[str] = set()
    kept = {}
    for name, uids in sorted(series.items()):
        rest = sorted(uids - seen)
        seen |= uids
        if rest:
            kept[name] = rest
    return kept


@given(places, places)
def test_the_rows_say_all_of_the_difference(before: dict[str, set[str]], now: dict[str, set[str]]) -> None:
    """Whoever applies the rows to what was locked comes to what is there, and no row if both are the same."""
    was, there = once(before), once(now)
    changes = compare(locked(study("1", was)), locked(study("1", there)), {})
    assert bool(changes) == (was != there)
    home = {uid: name for name, uids in was.items() for uid in uids}
    for change in changes:
        if change.kind is Kind.LOST:
            gone = change.instances or [uid for uid, name in home.items() if name == change.series]
            for uid in gone:
                del home[uid]
        elif change.kind is Kind.CHANGED:
            for uid in change.instances:
                home[uid] = change.note.rsplit(" ", 1)[1]
        elif change.kind is Kind.GAINED:
            new = change.instances or [uid for uid in there[change.series] if uid not in home]
            home |= dict.fromkeys(new, change.series)
    assert home == {uid: name for name, uids in there.items() for uid in uids}


def test_an_empty_table_has_its_columns() -> None:
    """No drift is a table without rows, of the same dtypes."""
    empty, full = (
        drift_table([]),
        drift_table([Change("x", Level.STUDY, Kind.LOST, "1", expected=3, found=0, note="y")]),
    )
    assert list(empty.columns) == list(full.columns)
    assert empty.dtypes.equals(full.dtypes)
    assert full["expected"].tolist() == [3]
