"""One worker: what it sends, over which associations, how long it waits, and what it counts."""

from __future__ import annotations

import itertools
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from batch_kit import STUDIES, quiet, seen
from dicomover import (
    Mover,
    Timeouts,
)
from dicomover.errors import AssociationLost, LostBy
from dicomover.testing import DemoPacs, Misbehaviour, made_study
from peers import ONCE, data_sets_in


@pytest.fixture
def pacs() -> Iterator[DemoPacs]:
    """Run a well-behaved archive."""
    with DemoPacs(STUDIES) as archive:
        yield archive


def test_the_identifier_holds_unique_keys_only(pacs: DemoPacs) -> None:
    """A C-MOVE carries the level and its unique keys, priority MEDIUM, and nothing else; a strict archive agrees."""
    study = pacs.study("00007")
    series = study.series[0]
    summary = quiet(pacs).move(
        [
            {"AccessionNumber": "00123", "PatientName": "*", "StudyDate": "20240102"},
            {"PatientID": "P-7", "StudyInstanceUID": study.study_instance_uid, "AccessionNumber": "00007"},
            {"StudyInstanceUID": study.study_instance_uid, "SeriesInstanceUID": series.series_instance_uid},
        ]
    )
    assert summary["status"].tolist() == ["success"] * 3, summary["error"].tolist()
    moves = sorted(seen(pacs, "C-MOVE"), key=lambda item: item.level + item.model)
    assert [(item.level, item.model, sorted(item.keys)) for item in moves] == [
        ("SERIES", "STUDY", ["QueryRetrieveLevel", "SeriesInstanceUID", "StudyInstanceUID"]),
        ("STUDY", "PATIENT", ["PatientID", "QueryRetrieveLevel", "StudyInstanceUID"]),
        ("STUDY", "STUDY", ["QueryRetrieveLevel", "StudyInstanceUID"]),
    ]
    assert {item.priority for item in pacs.requests if item.kind in ("C-MOVE", "C-FIND")} == {0}


def test_message_ids_are_unique(pacs: DemoPacs) -> None:
    """No two requests of a Mover have the same Message ID, on whatever association."""
    with quiet(pacs, associations=3) as mover:
        for _ in range(2):
            mover.move([{"AccessionNumber": name} for name in ("00123", "00007", "TWO", "ONE")])
    ids = [item.message_id for item in pacs.requests]
    assert len(ids) == len(set(ids))


def test_a_patient_id_that_is_not_ascii(pacs: DemoPacs) -> None:
    """SpecificCharacterSet goes along where PatientID needs it, and only there."""
    pacs.add(made_study("UMLAUT", patient="Größe-7", instances=2))
    summary = quiet(pacs).move([{"PatientID": "Größe-7", "StudyInstanceUID": pacs.study("UMLAUT").study_instance_uid}])
    assert summary["status"].tolist() == ["success"], summary["error"].tolist()
    (move,) = seen(pacs, "C-MOVE")
    assert move.keys["SpecificCharacterSet"] == "ISO_IR 192"
    assert move.keys["PatientID"] == "Größe-7"
    quiet(pacs).move({"AccessionNumber": "00123"})
    assert "SpecificCharacterSet" not in seen(pacs, "C-MOVE")[-1].keys


def test_an_archive_that_drops_the_association_after_each_move(pacs: DemoPacs) -> None:
    """Each request gets a new association, and none is lost for it."""
    pacs.misbehave["*"] = "drops-association"
    with quiet(pacs, associations=1) as mover:
        summary = mover.move([{"AccessionNumber": name} for name in ("00123", "00007", "TWO", "ONE")])
    assert summary["status"].tolist() == ["success"] * 4, summary["error"].tolist()
    assert len(pacs.associations) >= 4


@pytest.mark.parametrize(
    ("timeouts", "sentence"),
    [
        (Timeouts(dimse=0.3), "no response for 0.3 s (the dimse timeout)"),
        (Timeouts(stall=0.3), "no response and no arrival for 0.3 s (the stall timeout)"),
    ],
)
def test_a_silent_archive_costs_one_row(pacs: DemoPacs, timeouts: Timeouts, sentence: str) -> None:
    """A request that is never answered is lost after the deadline; the others move."""
    pacs.misbehave["00123"] = "silence-at-once"
    summary = quiet(pacs, associations=1, timeouts=timeouts).move(
        [{"AccessionNumber": name} for name in ("00123", "00007")]
    )
    assert summary["status"].tolist() == ["lost", "success"]
    assert sentence in summary["error"][0]


def test_a_stall_is_held_off_by_arrivals(pacs: DemoPacs, tmp_path: Path) -> None:
    """While instances arrive a request goes on, though no response comes."""
    pacs.pending = False
    pacs.misbehave["00123"] = Misbehaviour("slow", seconds=0.3)
    with Mover(pacs.node, receive=tmp_path, port=0, progress="none", timeouts=Timeouts(stall=0.9)) as mover:
        pacs.destinations["MOVESCU"] = mover.port or 0
        summary = mover.move({"AccessionNumber": "00123"})
    assert summary["status"].tolist() == ["success"], summary["error"].tolist()


def test_only_what_is_asked_for_is_let_in(pacs: DemoPacs, tmp_path: Path) -> None:
    """What the archive sends of another study is refused where it does not come with our C-MOVE."""
    pacs.originator = False
    pacs.misbehave["00123"] = "foreign-instance"
    with Mover(pacs.node, receive=tmp_path, port=0, progress="none") as mover:
        pacs.destinations["MOVESCU"] = mover.port or 0
        summary = mover.move({"AccessionNumber": "00123"})
        assert [store.status for store in pacs.stores].count(0x0124) == 1
    assert summary["status"].tolist() == ["success"], summary["error"].tolist()
    assert set(data_sets_in(tmp_path)) == {item.sop_instance_uid for item in pacs.study("00123").instances()}


def test_stragglers_are_waited_for(pacs: DemoPacs, tmp_path: Path) -> None:
    """What comes after the final response is counted with its request."""
    pacs.misbehave["*"] = Misbehaviour("stragglers", count=2, seconds=0.5)
    with Mover(pacs.node, receive=tmp_path, port=0, progress="none") as mover:
        pacs.destinations["MOVESCU"] = mover.port or 0
        summary = mover.move([{"AccessionNumber": "00123"}, {"AccessionNumber": "00007"}])
    assert summary["status"].tolist() == ["success", "success"], summary["error"].tolist()
    assert summary["received"].tolist() == [4, 4]


def test_stragglers_that_nobody_counts(pacs: DemoPacs, tmp_path: Path) -> None:
    """Where neither C-FIND nor the archive says how many are due, silence tells that all are here."""
    pacs.add(made_study("MANY", instances=60))
    pacs.misbehave["*"] = Misbehaviour("success-without-counters")
    with Mover(pacs.node, receive=tmp_path, port=0, progress="none", verify="none") as mover:
        pacs.destinations["MOVESCU"] = mover.port or 0
        summary = mover.move({"StudyInstanceUID": pacs.study("MANY").study_instance_uid})
    assert summary["status"].tolist() == ["success"]
    assert summary["received"].tolist() == [60]


@pytest.mark.parametrize("comes", [False, True])
def test_an_archive_that_hangs_up_on_our_receiver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, comes: bool) -> None:
    """Where it had an association with us, the firewall that it passed is not named; where it had none, it is."""

    def fail(*_: object, **__: object) -> None:
        raise AssociationLost("the disk of the archive is gone", by=LostBy.CLOSED)

    monkeypatch.setattr("dicomover.testing._storing.DestinationConnection.send_message", fail)
    with DemoPacs(STUDIES) as pacs:
        if not comes:
            pacs.misbehave["*"] = "out-of-resources"
        with Mover(pacs.node, receive=tmp_path, port=0, progress="none", journal=None, **ONCE) as mover:
            pacs.destinations["MOVESCU"] = mover.port
            row = mover.move({"AccessionNumber": "00123"}).iloc[0]
    assert (row["status"], row["status_code"], row["received"]) == ("failure", "0xA702", 0)
    assert ("firewall" not in row["error"]) == comes, row["error"]
    assert ("something does reach 'MOVESCU'" in row["error"]) == comes


FAULTS = {
    "resolve": "dicomover.query.resolve.resolve",
    "claim": "dicomover.batch.ledger.Ledger.claim",
    "pace": "dicomover.policy.pace.Pace.ended",
    "judge the exchange": "dicomover.batch.exchange.judge_exchange",
    "judge": "dicomover.batch.worker.judge_move",
    "explain": "dicomover.batch.verdict.explain",
    "name what is missing": "dicomover.batch.worker.Worker._name_missing",
    "schedule": "dicomover.batch.ledger.schedule_retry",
    "hopeless": "dicomover.batch.ledger.find_hopeless_cause",
    "sum up": "dicomover.batch.ledger.judge_all",
    "add what is kept": "dicomover.batch.ledger.add_kept",
    "write down": "dicomover.batch.resume.Resumption.record",
    "count": "dicomover.batch.arrivals.Tally.begin",
    "wait": "dicomover.batch.arrivals.Tally.wait",
    "fold": "dicomover.progress.fold",
    "time": "dicomover.progress.timeline.Timeline.take",
    "draw": "dicomover.progress.views.NullView.show",
    "draw the end": "dicomover.progress.views.NullView.close",
    "show": "dicomover.summary._hexadecimal",
}


@pytest.mark.parametrize("when", [1, 2])
@pytest.mark.parametrize("stage", FAULTS)
def test_a_fault_of_ours_costs_one_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str, when: int) -> None:
    """Whatever breaks in us once, at any stage, ends that row at most: the others succeed, and the summary comes."""
    calls = itertools.count(1)
    target = FAULTS[stage]
    whole = pkgutil.resolve_name(target)

    def breaks_once(*arguments: object, **options: object) -> object:
        if next(calls) == when:
            raise ZeroDivisionError("a fault of ours")
        return whole(*arguments, **options)

    requests = [{"AccessionNumber": each} for each in ("ONE", "00123", "00007")]
    with DemoPacs(STUDIES) as pacs:
        where: dict[str, object] = {"destination": "WORKSTATION"}
        if stage in ("count", "wait"):
            where = {"receive": tmp_path, "port": 0}
        with Mover(pacs.node, journal=tmp_path / "a.db", progress="none", retry="none", **where) as mover:  # type: ignore[arg-type]
            if mover.port is not None:
                pacs.destinations["MOVESCU"] = mover.port
            monkeypatch.setattr(target, breaks_once)
            summary = mover.move(requests)
    assert next(calls) > when or stage.startswith("draw"), "it was never called"
    assert summary.status.notna().all()
    assert (summary.status == "success").sum() >= 2, summary[["status", "error"]].to_string()
    assert not summary.error.astype(str).str.contains("a fault of ours|not sent").any()


@pytest.mark.parametrize("key", ["AccessionNumber", "StudyInstanceUID"])
def test_what_the_archive_has_to_fetch_moves_last(key: str) -> None:
    """In a plan it is told; in a batch it moves after the others, and is told where it did not become complete."""
    studies = [made_study(f"S{number}", instances=2) for number in range(5)]
    availability = {"S0": "OFFLINE", "S1": "NEARLINE", "S2": "NEARLINE"}
    with DemoPacs(studies, availability=availability, misbehave={"S2": "out-of-resources"}) as pacs:
        uids = [study.study_instance_uid for study in studies]
        names = [study.accession_number if key == "AccessionNumber" else study.study_instance_uid for study in studies]
        mover = quiet(pacs, associations=1)
        plan = mover.plan([{key: name} for name in names])
        summary = mover.move([{key: name} for name in names])
        sent = [request.keys["StudyInstanceUID"] for request in seen(pacs, "C-MOVE")]
    assert sent == [uids[number] for number in (3, 4, 1, 2, 0)]
    assert [word in said for word, said in zip(("OFFLINE", "NEARLINE"), plan["error"], strict=False)] == [True, True]
    assert plan["error"].isna().tolist() == [False] * 3 + [True] * 2
    assert summary["status"].tolist() == ["success", "success", "failure", "success", "success"]
    assert summary["error"].isna().tolist() == [True, True, False, True, True]
    assert "the archive has it NEARLINE" in summary["error"][2]


def test_what_a_list_names_beside_other_keys_is_told_and_never_moved(pacs: DemoPacs, tmp_path: Path) -> None:
    """A study that has not these keys does not move with the others, and its row is no success; one alone does move."""
    first, second = (pacs.study(number).study_instance_uid for number in ("00123", "00007"))
    both = {"StudyInstanceUID": [first, second], "AccessionNumber": "00123"}
    with Mover(pacs.node, receive=tmp_path, port=0, progress="none", retry="none") as mover:
        pacs.destinations["MOVESCU"] = mover.port
        plan, rows = mover.plan([both]), [both, {"StudyInstanceUID": second}]
        summary = mover.move(rows[:1])
        sent = [request.keys["StudyInstanceUID"] for request in seen(pacs, "C-MOVE")]
        later = mover.move(rows)
    assert sent == [first]
    assert (summary["status"][0], summary["matches"][0], plan["matches"][0]) == ("partial", 1, 1)
    assert "not all of the studies that are named have these keys" in summary["error"][0]
    assert later["status"][1] == "success"
