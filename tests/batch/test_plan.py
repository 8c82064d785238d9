"""A plan: what the archive was asked before, what the journal would skip, what an earlier row moves already."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pydicom
import pytest

from dicomover import Mover, read_requests
from dicomover.batch.plan import Planned, tabulate_plan
from dicomover.identifier import Identifier, Level, Model
from dicomover.query.targets import Resolution, Target
from dicomover.requests.parse import Batch, parse_requests
from dicomover.summary import PLAN_COLUMNS, PLAN_SCHEMA
from dicomover.testing import DemoPacs, Misbehaviour, made_study
from peers import ONCE, files_in

STUDIES = (made_study("00123", instances=4), made_study("00007", instances=2), made_study("00009", instances=3))
REQUESTS = [{"AccessionNumber": study.accession_number} for study in STUDIES]


@pytest.fixture
def pacs() -> Iterator[DemoPacs]:
    """Run a well-behaved archive."""
    with DemoPacs(STUDIES) as archive:
        yield archive


def receiving(pacs: DemoPacs, folder: Path, **options: object) -> Mover:
    """Return an open Mover that receives."""
    options = {**ONCE, **options}
    mover = Mover(replace(pacs.node, name="archive"), receive=folder, port=0, progress="none", **options).open()  # type: ignore[arg-type]
    pacs.destinations["MOVESCU"] = mover.port
    return mover


def finds(pacs: DemoPacs) -> int:
    """Return how many C-FINDs the archive has seen."""
    return sum(request.kind == "C-FIND" for request in list(pacs.requests))


# --- asked once


def test_a_second_plan_does_not_ask_again(pacs: DemoPacs) -> None:
    """What was answered within ten minutes is believed, row by row, and the table is the same."""
    mover = Mover(pacs.node, destination="WORKSTATION")
    first = mover.plan([*REQUESTS, {"AccessionNumber": "no such study"}])
    asked = finds(pacs)
    again = mover.plan([*REQUESTS, {"AccessionNumber": "no such study"}])
    pd.testing.assert_frame_equal(first, again)
    assert finds(pacs) == asked
    mover.plan([{"AccessionNumber": "another"}, *REQUESTS])
    assert finds(pacs) == asked + 1


def test_an_answer_that_is_too_old_is_asked_for_again(pacs: DemoPacs) -> None:
    """After `max_age` seconds, or at once with 0, the archive is asked anew; so is it with other options."""
    mover = Mover(pacs.node, destination="WORKSTATION")
    mover.plan(REQUESTS[0])
    assert finds(pacs) == 1
    mover.plan(REQUESTS[0], max_age=0)
    assert finds(pacs) == 2
    mover.plan(REQUESTS[0], verify="instances")
    assert finds(pacs) > 3
    asked = finds(pacs)
    mover._answers._known = {key: (at - 599, item) for key, (at, item) in mover._answers._known.items()}
    mover.plan(REQUESTS[0])
    assert finds(pacs) == asked
    mover._answers._known = {key: (at - 2, item) for key, (at, item) in mover._answers._known.items()}
    mover.plan(REQUESTS[0])
    assert finds(pacs) == asked + 1


def test_a_refusal_is_not_remembered(pacs: DemoPacs) -> None:
    """An archive that could not answer is asked again."""
    pacs.misbehave["00123"] = Misbehaviour("find-unable", times=1)
    mover = Mover(pacs.node, destination="WORKSTATION")
    assert mover.plan(REQUESTS[0]).decision.tolist() == ["refused"]
    assert mover.plan(REQUESTS[0]).decision.tolist() == ["move"]


def test_move_asks_anew(pacs: DemoPacs) -> None:
    """A plan may be old: what moves is looked up when it moves."""
    mover = Mover(pacs.node, destination="WORKSTATION", progress="none")
    mover.plan(REQUESTS[0])
    asked = finds(pacs)
    mover.move(REQUESTS[0])
    assert finds(pacs) == asked + 1


# --- the journal


def test_what_the_journal_would_skip(pacs: DemoPacs, tmp_path: Path) -> None:
    """What is complete is skipped, what is partly here says how much of it is, the rest moves; then it is true."""
    pacs.misbehave["00007"] = Misbehaviour("some-failed", times=1)
    mover = receiving(pacs, tmp_path)
    with mover:
        assert mover.move(REQUESTS[:2]).status.tolist() == ["success", "partial"]
        plan = mover.plan(REQUESTS)
        assert plan.decision.tolist() == ["skip", "move", "move"]
        assert plan.here.tolist() == [4, 1, pd.NA]
        assert mover.move(REQUESTS).status.tolist() == ["skipped", "success", "success"]
        assert mover.plan(REQUESTS).decision.tolist() == ["skip"] * 3


def test_files_that_are_gone_are_not_skipped(pacs: DemoPacs, tmp_path: Path) -> None:
    """A plan looks at the files, as a rerun does."""
    with receiving(pacs, tmp_path) as mover:
        mover.move(REQUESTS[0])
        files_in(tmp_path)[0].unlink()
        plan = mover.plan(REQUESTS[0])
    assert (plan.decision[0], plan.here[0]) == ("move", 3)


def test_a_plan_that_is_moved_is_known_again(pacs: DemoPacs, tmp_path: Path) -> None:
    """A plan names UIDs, but what it moved is what its requests had asked for."""
    with receiving(pacs, tmp_path) as mover:
        mover.move(mover.plan(REQUESTS))
        assert mover.plan(REQUESTS).decision.tolist() == ["skip"] * 3


def test_a_row_after_one_that_is_skipped(pacs: DemoPacs, tmp_path: Path) -> None:
    """A row is no duplicate of one that does not move, and is skipped as that one is."""
    rows = [REQUESTS[0], {"StudyInstanceUID": STUDIES[0].study_instance_uid}]
    with receiving(pacs, tmp_path) as mover:
        mover.move(rows[0])
        plan = mover.plan(rows)
        assert plan.decision.tolist() == ["skip", "skip"]
        assert mover.move(rows).attempts.tolist() == [0, 0]


def test_a_plan_that_was_saved_is_valid_input(pacs: DemoPacs, tmp_path: Path) -> None:
    """A plan comes back from a CSV as it was, its rows that were not found included."""
    mover = Mover(pacs.node, destination="WORKSTATION", progress="none")
    mover.plan([*REQUESTS, {"AccessionNumber": "absent"}]).to_csv(tmp_path / "plan.csv", index=False)
    summary = mover.move(read_requests(tmp_path / "plan.csv"))
    assert summary.status.tolist() == ["success"] * 3 + ["not-found"]


def test_a_plan_writes_nothing(pacs: DemoPacs, tmp_path: Path) -> None:
    """A folder without a journal has none afterwards."""
    mover = Mover(pacs.node, receive=tmp_path / "cohort", port=0)
    assert mover.plan(REQUESTS).decision.tolist() == ["move"] * 3
    assert not (tmp_path / "cohort").exists()


# --- what has grown


def test_a_study_that_has_grown(pacs: DemoPacs, tmp_path: Path) -> None:
    """It is skipped, unless the archive is to be asked again: then only what is new moves, and is recorded."""
    grown = made_study("00123", instances=6)
    uid = grown.study_instance_uid
    with DemoPacs([grown.only(lambda item: int(item.number) <= 4)]) as first, receiving(first, tmp_path) as mover:
        mover.move(REQUESTS[0])
    with DemoPacs([grown]) as later, receiving(later, tmp_path) as mover:
        plan = mover.plan(REQUESTS[0])
        assert plan.decision.tolist() == ["skip"]
        assert "recheck=True" in plan.error[0]
        assert mover.move(REQUESTS[0]).status.tolist() == ["skipped"]
        assert not later.moves_of(uid)
        row = mover.move(REQUESTS[0], recheck=True).loc[0]
        assert (row.status, row.expected, row.received, row.attempts) == ("success", 6, 6, 1)
        assert len(later.stores) == 2, "only what is new"
        row = mover.move(REQUESTS[0], recheck=True).loc[0]
        assert (row.status, row.received, row.attempts) == ("skipped", 6, 0)
    assert len(files_in(tmp_path)) == 6


def test_a_plan_that_rechecks(tmp_path: Path) -> None:
    """What is to be rechecked and has grown would move, and does; another row for it would only repeat that."""
    grown = made_study("00123", instances=6)
    with DemoPacs([grown.only(lambda item: int(item.number) <= 4)]) as first, receiving(first, tmp_path) as mover:
        mover.move(REQUESTS[0])
    with DemoPacs([grown]) as later, receiving(later, tmp_path, recheck=True) as mover:
        plan = mover.plan([REQUESTS[0], {"StudyInstanceUID": grown.study_instance_uid}])
        assert plan.decision.tolist() == ["move", "duplicate"]
        assert plan.here[0] == 4
        assert mover.move(REQUESTS[0]).status.tolist() == ["success"]


def test_a_plan_does_what_a_move_does_by_other_keys(tmp_path: Path) -> None:
    """What has grown since it was moved by its UID moves by its accession number, and the plan says so beforehand."""
    grown = made_study("00123", instances=6)
    by_uid = {"StudyInstanceUID": grown.study_instance_uid}
    with DemoPacs([grown.only(lambda item: int(item.number) <= 4)]) as first, receiving(first, tmp_path) as mover:
        mover.move(by_uid)
        assert mover.plan(REQUESTS[0]).decision.tolist() == ["skip"]
    with DemoPacs([grown]) as later, receiving(later, tmp_path) as mover:
        plan = mover.plan(REQUESTS[0])
        assert (plan.decision[0], plan.here[0]) == ("move", 4)
        row = mover.move(REQUESTS[0]).loc[0]
        assert (row.status, row.received, row.attempts) == ("success", 6, 1)
        assert len(later.stores) == 2, "only what is new"


def test_what_was_completed_by_other_keys_is_skipped_in_a_plan_too(pacs: DemoPacs, tmp_path: Path) -> None:
    """A row that was left partial and completed by its UID is complete, for a plan as for a move."""
    pacs.misbehave["00123"] = Misbehaviour("some-failed", times=1)
    with receiving(pacs, tmp_path) as mover:
        assert mover.move(REQUESTS[0]).status.tolist() == ["partial"]
        assert mover.move({"StudyInstanceUID": STUDIES[0].study_instance_uid}).status.tolist() == ["success"]
        assert mover.plan(REQUESTS[0]).decision.tolist() == ["skip"]
        assert mover.move(REQUESTS[0]).status.tolist() == ["skipped"]


def test_a_study_whose_instances_were_replaced(tmp_path: Path) -> None:
    """As many instances as before, but others: comparing by instance finds them."""
    study = made_study("00123", instances=4)
    old, new = (study.only(lambda item, n=n: int(item.number) in n) for n in ((1, 2), (2, 3)))
    with DemoPacs([old]) as first, receiving(first, tmp_path) as mover:
        mover.move(REQUESTS[0])
    with DemoPacs([new]) as later, receiving(later, tmp_path, recheck=True) as mover:
        assert mover.move(REQUESTS[0]).status.tolist() == ["skipped"]
        row = mover.move(REQUESTS[0], verify="instances").loc[0]
        assert (row.status, row.attempts) == ("success", 1)
        assert len(later.stores) == 1


@pytest.mark.parametrize("verify", ["counts", "instances"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_what_is_of_somebody_else_by_now(tmp_path: Path, depth: int, verify: str) -> None:
    """A file of the patient whose it was is none of the one whom the archive names today, at any level."""
    before = made_study("00123", instances=2, patient="P-1")
    after = replace(before, patient_id="P-9")
    series, image = before.series[0], before.instances()[0]
    uids = (before.study_instance_uid, series.series_instance_uid, image.sop_instance_uid)
    request = dict(zip(("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"), uids[:depth], strict=False))
    with DemoPacs([before]) as first, receiving(first, tmp_path) as mover:
        assert mover.move(request).status.tolist() == ["success"]
    with DemoPacs([after]) as later, receiving(later, tmp_path, recheck=True, verify=verify) as mover:
        assert mover.plan(request).decision.tolist() == ["move"]
        summary = mover.move(request)
        assert summary.status.tolist() == ["success"]
        assert {pydicom.dcmread(path).PatientID for path in mover.files(summary).path} == {"P-9"}
        assert mover.move(request).status.tolist() == ["skipped"]


def test_a_recheck_that_fails_takes_nothing_back(pacs: DemoPacs, tmp_path: Path) -> None:
    """What was complete stays so in the journal, whatever the archive says today; nobody is kept from it."""
    with receiving(pacs, tmp_path) as mover:
        mover.move(REQUESTS[0])
        pacs.misbehave["00123"] = Misbehaviour("find-unable", times=1)
        assert mover.move(REQUESTS[0], recheck=True).status.tolist() == ["failure"]
        pacs.misbehave["00123"] = Misbehaviour("find-no-match", times=1)
        row = mover.move(REQUESTS[0], recheck=True).loc[0]
        assert (row.status, row.received, row.matches) == ("skipped", 4, 0)
        assert pd.isna(row.expected)
        assert row.error.startswith("the archive has nothing with these keys any more")
        row = mover.move(REQUESTS[0]).loc[0]
        assert (row.status, row.expected) == ("skipped", 4)
        assert pd.isna(row.error)


@pytest.mark.parametrize("level", ["PATIENT", "STUDY"])
def test_a_recheck_of_what_the_archive_has_no_more(tmp_path: Path, level: str) -> None:
    """A patient or study that is gone stays skipped while its files are here, and says so; else it is missing."""
    request = {"PatientID": STUDIES[0].patient_id}
    if level == "STUDY":
        request = {"StudyInstanceUID": STUDIES[0].study_instance_uid}
    with DemoPacs([STUDIES[0]]) as first, receiving(first, tmp_path, level=level) as mover:
        assert mover.move([request]).status.tolist() == ["success"]
    with DemoPacs([]) as later, receiving(later, tmp_path, level=level, recheck=True) as mover:
        plan, row = mover.plan([request]), mover.move([request]).loc[0]
        assert (row.status, row.received) == ("skipped", 4)
        assert row.error.startswith("the archive has nothing with these keys any more")
        assert (plan.decision[0], plan.error[0]) == ("skip", row.error)
        assert mover.plan([request], recheck=False).decision[0] == "skip", "as a move does, which asks nobody"
        for path in tmp_path.rglob("*.dcm"):
            path.unlink()
        plan, row = mover.plan([request]), mover.move([request]).loc[0]
        assert plan.decision[0] == "not-found"
        assert row.status != "skipped"
        assert pd.isna(row.received) or not row.received


# --- the same twice


def test_a_row_that_stands_twice_is_counted_once(pacs: DemoPacs) -> None:
    """A row whose studies all move for earlier rows says so; one that brings something new moves."""
    mover = Mover(pacs.node, destination="WORKSTATION")
    uids = [study.study_instance_uid for study in STUDIES]
    both, more = "\\".join(uids[:2]), "\\".join(uids[1:])
    rows = [REQUESTS[0], REQUESTS[0], REQUESTS[1], {"StudyInstanceUID": both}, {"StudyInstanceUID": more}]
    plan = mover.plan(rows)
    assert plan.decision.tolist() == ["move", "duplicate", "move", "duplicate", "several"]
    assert plan.expected.tolist() == [4, 4, 2, 6, 5]


def test_a_part_of_what_an_earlier_row_moves_is_a_duplicate(pacs: DemoPacs, tmp_path: Path) -> None:
    """A series, or an image, of a study that moves before it is here by then; the other way round the rest moves."""
    study = STUDIES[0]
    series, image = study.series[0], study.series[0].instances[0]
    whole = {"StudyInstanceUID": study.study_instance_uid}
    part = {**whole, "SeriesInstanceUID": series.series_instance_uid}
    rows = [part, whole, part, {**part, "SOPInstanceUID": image.sop_instance_uid}]
    with receiving(pacs, tmp_path, associations=1) as mover:
        plan = mover.plan(rows)
        assert plan.decision.tolist() == ["move", "move", "duplicate", "duplicate"]
        assert mover.move(rows).status.isin(["success", "skipped"]).all()
        assert len({store.sop_instance_uid for store in pacs.stores}) == len(list(pacs.stores)) == 4, (
            "nothing came twice"
        )
    third = Mover(pacs.node, destination="WORKSTATION").plan(rows)
    assert third.decision.tolist() == ["move", "move", "duplicate", "move"]


# --- as a table


def found(*studies: str, expected: int | None = 3, matches: int | None = 1) -> Resolution:
    """Return the resolution to some studies."""
    return Resolution(
        tuple(Target(Identifier(Level.STUDY, Model.STUDY, study=s), True, expected, 2, ("CT", "SR")) for s in studies),
        matches,
    )


def planned(requests: object, *plans: Planned) -> tuple[Batch, pd.DataFrame]:
    """Return the batch and its plan."""
    batch = parse_requests(requests, invalid="record")  # type: ignore[arg-type]
    return batch, tabulate_plan(batch, plans)


@pytest.mark.parametrize(
    "plans",
    [
        [],
        [Planned("invalid", error="AccessionNumber is blank")],
        [Planned("not-found", Level.STUDY, Resolution((), 0))],
        [Planned("move", Level.STUDY, found("1.2"))],
        [Planned("too-many", Level.STUDY, matches=101, error="more")],
    ],
    ids=["no row", "invalid", "not found", "found", "too many"],
)
def test_plan_has_always_the_same_columns(plans: list[Planned]) -> None:
    """A plan's own columns are all there, with their dtypes."""
    _, plan = planned([{"AccessionNumber": "00123"} for _ in plans], *plans)
    assert list(plan.columns[-len(PLAN_COLUMNS) :]) == list(PLAN_COLUMNS)
    assert {name: str(plan[name].dtype) for name in PLAN_COLUMNS} == PLAN_SCHEMA


def test_values_of_a_plan() -> None:
    """What would move is counted; what is not known is <NA>."""
    plans = [
        Planned("several", Level.STUDY, found("1.2", "1.3", matches=2)),
        Planned("move", Level.STUDY, found("1.4", expected=None)),
        Planned("too-many", Level.STUDY, matches=101, error="more"),
    ]
    _, plan = planned([{"AccessionNumber": text} for text in ("001", "2", "3")], *plans)
    several, move, many = plan.astype(object).where(plan.notna(), None).to_dict("records")
    assert several == {
        "AccessionNumber": "001", "StudyInstanceUID": "1.2\\1.3", "decision": "several", "level": "STUDY", "matches": 2,
        "series": 4, "expected": 6, "here": None, "modalities": "CT\\SR",
        "estimated_bytes": None, "estimated_minutes": None, "error": None,
    }  # fmt: skip
    assert (move["StudyInstanceUID"], move["series"], move["expected"]) == ("1.4", 2, None)
    assert (many["StudyInstanceUID"], many["matches"], many["error"]) == (None, 101, "more")


def test_a_plan_is_valid_input() -> None:
    """A plan can be given to move: the UIDs that were found are keys, our own columns are not."""
    requests = pd.DataFrame({"AccessionNumber": ["001", "2", "3"], "label": [1, 2, 3]}, index=["a", "a", "b"])
    plans = [
        Planned("several", Level.STUDY, found("1.2", "1.3", matches=2)),
        Planned("move", Level.STUDY, found("1.4")),
        Planned("not-found", Level.STUDY, Resolution((), 0)),
    ]
    batch, plan = planned(requests, *plans)
    assert plan.index.tolist() == ["a", "a", "b"]
    assert plan["label"].tolist() == [1, 2, 3]
    assert list(batch.given.columns) == ["AccessionNumber", "label"], "the input is left as it was"
    again = parse_requests(plan)
    assert [dict(request.keys) for request in again.requests] == [
        {"AccessionNumber": "001", "StudyInstanceUID": "1.2\\1.3"},
        {"AccessionNumber": "2", "StudyInstanceUID": "1.4"},
        {"AccessionNumber": "3"},
    ]
    assert list(tabulate_plan(again, plans).columns) == list(plan.columns)


def test_a_plan_does_not_widen() -> None:
    """A patient of whom nothing was found is not asked for as a whole when the plan is moved."""
    resolution = Resolution((Target(Identifier(Level.STUDY, Model.PATIENT, patient="A", study="1.2"), True),), 1)
    plans = [Planned("move", Level.STUDY, resolution), Planned("not-found", Level.STUDY, Resolution((), 0))]
    _, plan = planned([{"PatientID": "A"}, {"PatientID": "B"}], *plans)
    with pytest.raises(ValueError, match="whole patient"):
        parse_requests(plan)
    (request,) = parse_requests(plan[plan.decision == "move"]).requests
    assert dict(request.keys) == {"PatientID": "A", "StudyInstanceUID": "1.2"}


def test_plan_of_columns_with_one_name() -> None:
    """Two columns of one name stay two."""
    table = pd.DataFrame([["1", "a", "b"]], columns=["AccessionNumber", "label", "label"])
    _, plan = planned(table, Planned("move", Level.STUDY, found("1.2")))
    assert list(plan.columns[:4]) == ["AccessionNumber", "label", "label", "StudyInstanceUID"]


def test_plan_of_dates() -> None:
    """A table whose index is of dates keeps its order."""
    index = pd.DatetimeIndex(["2024-01-03", "2024-01-01"])
    table = pd.DataFrame({"AccessionNumber": ["1", "2"]}, index=index)
    _, plan = planned(table, *[Planned("not-found", Level.STUDY, Resolution((), 0))] * 2)
    assert plan.index.equals(index)
