"""What has changed since a cohort was locked: the pure comparison, and at a demo archive."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohort_kit import SECRET, kinds, locked, study
from dicomover import Cohort, ConfigurationError, Mover, NodeUnreachable
from dicomover.cohort.content import LockedRequest, LockState
from dicomover.cohort.drift import Change, Kind, compare, drift_table
from dicomover.identifier import Level
from dicomover.testing import DemoPacs, Misbehaviour, made_study

A = study("1", {"1.1": ["1.1.1", "1.1.2"], "1.2": ["1.2.1"]})
B = study("2", {"2.1": ["2.1.1"]})


def said(changes: list[Change]) -> list[tuple[str, str, str, str, tuple[str, ...], int | None, int | None]]:
    """Return changes without their sentences, which must be there."""
    assert all(change.note for change in changes)
    return [(str(c.kind), str(c.level), c.study, c.series, tuple(c.instances), c.expected, c.found) for c in changes]


def test_a_path_is_no_cohort() -> None:
    """A lockfile has to be loaded before it is compared."""
    with pytest.raises(ConfigurationError, match=r"takes a Cohort, not str; read a lockfile with Cohort.load\(path\)"):
        Mover("DEMO@127.0.0.1:1").verify("cohort.lock.json")  # type: ignore[arg-type]


@pytest.mark.parametrize("state", [state for state in LockState if state is not LockState.FOUND])
def test_the_same_is_no_change(state: LockState) -> None:
    """Whatever a request came to, coming to it again is no change, although the note says otherwise."""
    assert compare(locked(A, B), locked(A, B, note="x"), {}) == []
    assert compare(locked(state=state), locked(state=state, note="x"), {}) == []


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


# --- at an archive


def test_drift_at_a_demo_archive() -> None:
    """A study changed, one deleted, one added under a locked accession number, one relabelled: told exactly."""
    changed, gone, two, moved = (
        made_study("CHANGED", instances=3),
        made_study("GONE"),
        made_study("TWO"),
        made_study("MOVED"),
    )
    keys = ["CHANGED", "GONE", "TWO", "MOVED", "NEW", "SAME"]
    with DemoPacs([changed, gone, two, moved, made_study("SAME")]) as pacs:
        mover = Mover(pacs.node)
        cohort = mover.lock([{"AccessionNumber": key} for key in keys], path=None)
        assert mover.verify(cohort).empty
        for each in (changed, gone, moved):
            pacs.remove(each)
        pacs.add(
            made_study("CHANGED", instances=4, study_instance_uid=changed.study_instance_uid),
            made_study("TWO", number=2),
            made_study("MOVED-2", study_instance_uid=moved.study_instance_uid),
            made_study("NEW"),
        )
        drift = mover.verify(cohort)
        unasked = mover.verify(cohort, look_again=False)
    assert kinds(drift) == [
        (0, "IMAGE", "gained"),
        (1, "STUDY", "lost"),
        (2, "STUDY", "ambiguous"),
        (3, "STUDY", "not-found"),
        (4, "STUDY", "gained"),
    ]
    assert drift["expected"].tolist() == [3, 3, 0, 3, 0]
    assert drift["found"].tolist() == [4, 0, 3, 0, 3]
    assert drift["StudyInstanceUID"][1] == gone.study_instance_uid
    assert drift["SOPInstanceUID"][0] == f"{changed.study_instance_uid}.1.4"
    assert kinds(unasked) == [(0, "IMAGE", "gained"), (1, "STUDY", "lost")]


def test_levels_compare_what_they_named() -> None:
    """What else a study has gained is no change for a request at level SERIES or IMAGE."""
    first = made_study("A", series=2, instances=3)
    above = {"StudyInstanceUID": first.study_instance_uid}
    one, two = first.series
    with DemoPacs([first]) as pacs:
        mover = Mover(pacs.node)
        requests = [
            {**above, "SeriesInstanceUID": one.series_instance_uid},
            {
                **above,
                "SeriesInstanceUID": two.series_instance_uid,
                "SOPInstanceUID": [instance.sop_instance_uid for instance in two.instances[1:]],
            },
        ]
        cohort = mover.lock(requests, path=None)
        pacs.remove(first)
        pacs.add(made_study("A", series=3, instances=3, study_instance_uid=first.study_instance_uid))
        assert mover.verify(cohort).empty
        pacs.remove(pacs.study("A"))
        pacs.add(made_study("A", series=2, instances=2, study_instance_uid=first.study_instance_uid))
        drift = mover.verify(cohort)
    assert kinds(drift) == [(0, "IMAGE", "lost"), (1, "IMAGE", "lost")]
    assert drift["found"].tolist() == [2, 1]


def test_a_cohort_with_hashed_keys(tmp_path: Path) -> None:
    """With the secret it is looked up again; without, only what was locked, if that is asked for."""
    path = tmp_path / "c.json"
    with DemoPacs([made_study("A", patient="P-1")]) as pacs:
        mover = Mover(pacs.node)
        mover.lock({"AccessionNumber": "A"}, path, privacy="hashed", secret=SECRET)
        pacs.add(made_study("A", patient="P-1", number=2))
        asked = len(pacs.requests)
        with pytest.raises(ConfigurationError, match="are hashed"):
            mover.verify(Cohort.load(path))
        assert not [request for request in pacs.requests[asked:] if request.kind == "C-FIND"]
        assert mover.verify(Cohort.load(path), look_again=False).empty
        assert kinds(mover.verify(Cohort.load(path, secret=SECRET))) == [(0, "STUDY", "ambiguous")]


def test_an_archive_that_will_not_say() -> None:
    """One request that is refused is unknown, the others are told; one that is out of reach is an error."""
    with DemoPacs([made_study("A"), made_study("B")]) as pacs:
        mover = Mover(pacs.node)
        cohort = mover.lock([{"AccessionNumber": "A"}, {"AccessionNumber": "B"}], path=None)
        pacs.remove(pacs.study("B"))
        pacs.misbehave["A"] = "find-refused"
        assert kinds(mover.verify(cohort)) == [(0, "STUDY", "unknown"), (1, "STUDY", "lost")]
        pacs.misbehave["A"] = Misbehaviour("find-refused", times=1)
        assert kinds(mover.verify(cohort))[0] == (0, "STUDY", "unknown")
    with pytest.raises(NodeUnreachable):
        mover.verify(cohort)


def test_an_archive_that_caps_its_answers() -> None:
    """What it no longer names may still be there: that is unknown, not lost; what was locked moves all the same."""
    with DemoPacs([made_study("A", instances=6)]) as pacs:
        mover = Mover(pacs.node, destination="WORKSTATION", progress="none", retry="none")
        cohort = mover.lock({"AccessionNumber": "A"}, path=None)
        pacs.misbehave["A"] = Misbehaviour("find-capped", count=4)
        assert kinds(mover.verify(cohort)) == [(0, "STUDY", "unknown")]
        summary = mover.move(cohort, verify="instances")
    assert summary[["status", "completed"]].to_numpy().tolist() == [["success", 6]]
