"""What an archive does otherwise than most, found out without moving anything."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from dicomover import Node, Quirks, Timeouts
from dicomover.doctor import Check, Setup
from dicomover.doctor.quirks import check_services, examine, learn_quirks
from dicomover.testing import DemoPacs, Misbehaviour, Study, made_study
from dicomover.testing._elements import encode
from dicomover.testing._exchange import Exchange
from peers import dcmqrscp, free_port, orthanc


def studies(count: int) -> list[Study]:
    """Return studies over a year, of one image each."""
    days = (date(2023, 1, 1) + timedelta(days=number % 365) for number in range(count))
    return [made_study(f"A{number:03d}", instances=1, date=f"{day:%Y%m%d}") for number, day in enumerate(days)]


def learn(node: Node) -> tuple[dict[str, Check], dict[str, Any]]:
    """Return the findings by their names, and the quirks."""
    checks, quirks = learn_quirks(Setup(node, "MOVESCU", Timeouts(dimse=20)), itertools.count(1).__next__)
    return {check.check: check for check in checks}, quirks


@pytest.mark.parametrize(
    ("behaviour", "count", "quirks"),
    [
        (None, 4, {}),
        (None, 310, {}),
        ("find-takes-no-lists", 4, {"lists": False}),
        ("find-closes-on-lists", 4, {"lists": False}),
        (Misbehaviour("find-takes-no-lists", status=0xA900), 4, {"lists": False}),
        (Misbehaviour("find-capped", count=50), 130, {"find_cap": 50}),
        (Misbehaviour("find-capped-closes", count=50), 130, {"find_cap": 50}),
        (Misbehaviour("find-capped-cancelled", count=50), 130, {"find_cap": 50}),
        (Misbehaviour("find-capped", count=50), 50, {}),
        (Misbehaviour("find-too-many", count=50), 130, {}),
        ("find-refused", 4, {}),
        ("find-no-match", 4, {}),
        ("find-ignores-keys", 4, {}),
        ("find-omits-key", 4, {}),
        ("find-aborts", 4, {}),
        ("find-breaks", 4, {}),
        ("find-duplicates", 4, {}),
        ("find-two-study-uids", 4, {}),
    ],
    ids=str,
)
def test_only_what_shows_is_kept(behaviour: Any, count: int, quirks: dict[str, Any]) -> None:
    """A quirk is kept with its evidence beside it, and none where an archive does something else wrong."""
    with DemoPacs(studies(count), misbehave={"*": behaviour} if behaviour else {}) as pacs:
        checks, found = learn(pacs.node)
        assert {request.kind for request in pacs.requests} <= {"C-ECHO", "C-FIND", "C-CANCEL"}
    assert found == quirks
    assert Quirks(**found)
    assert [check.check for check in checks.values() if "kept as" in check.advice] == [
        {"lists": "lists of UIDs", "find_cap": "most answers"}[name] for name in quirks
    ]
    assert checks["side by side"].result == "skipped"


def test_nothing_of_a_patient_is_told() -> None:
    """Findings have no UID, no number and no date of what was answered."""
    held = studies(12)
    with DemoPacs(held) as pacs:
        checks, _ = learn(pacs.node)
    said = " ".join(f"{check.found} {check.advice}" for check in checks.values())
    assert not [each for study in held for each in (study.study_instance_uid, study.patient_id) if each in said]


@pytest.mark.parametrize(
    ("obeys", "seconds", "grace", "results", "quirks"),
    [
        (True, 0.0, 5.0, {"ok", "unclear"}, {}),  # if it had sent all that it has before it read the C-CANCEL
        (False, 0.0, 5.0, {"unclear"}, {}),  # which looks the same
        (False, 0.003, 5.0, {"ok"}, {"cancels": False}),
        (False, 0.003, 1.0, {"ok"}, {"cancels": False}),  # we have left before it is at its end
    ],
)
def test_whether_it_obeys_a_cancel(
    monkeypatch: pytest.MonkeyPatch,
    obeys: bool,
    seconds: float,
    grace: float,
    results: set[str],
    quirks: dict[str, Any],
) -> None:
    """Who makes answers long after a C-CANCEL ignores it; answers that were on their way by then say nothing."""
    hear = Exchange.cancelled

    def go_on(exchange: Exchange) -> bool:
        time.sleep(seconds if hear(exchange) else 0)
        return False

    if not obeys:
        monkeypatch.setattr(Exchange, "cancelled", go_on)
    monkeypatch.setattr("dicomover.wire.responses.CANCEL_GRACE", grace)
    monkeypatch.setattr("dicomover.doctor.quirks._LONG", 0.3 if seconds else 60)
    with DemoPacs(studies(500)) as pacs:
        checks, found = learn(pacs.node)
    assert found == quirks, checks
    assert checks["C-CANCEL"].result in results, checks["C-CANCEL"]


@pytest.mark.parametrize("is_same", [True, False])
def test_answers_without_end(monkeypatch: pytest.MonkeyPatch, is_same: bool) -> None:
    """No C-FIND is read on after 2,000 answers, whatever it asks for, and nothing is learned of them."""

    def pour(exchange: Exchange, answers: Iterator[dict[str, str]], _: object, syntax: str) -> bool:
        said = next(answers, {"QueryRetrieveLevel": "STUDY"})
        for number in range(20_000):
            said |= {} if is_same and "StudyInstanceUID" in said else {"StudyInstanceUID": f"1.2.{number}"}
            exchange.answer(0xFF00, data=encode(said, syntax))
        ended.append(True)
        return False

    ended: list[bool] = []
    monkeypatch.setattr("dicomover.testing._finds._send", pour)
    monkeypatch.setattr("dicomover.wire.responses.CANCEL_GRACE", 0.1)
    with DemoPacs(studies(3)) as pacs:
        checks, found = learn(pacs.node)
    assert found == {}
    assert checks["C-CANCEL"].result == "unclear"
    assert not ended


@pytest.mark.parametrize(
    ("behaviour", "result", "quirks"),
    [
        (None, "ok", {}),
        ("associate-without-roles", "ok", {}),
        ("associate-wants-both-roles", "ok", {"roles": "both"}),
        ("associate-refuses-roles", "unclear", {}),
    ],
)
def test_roles_in_c_get(behaviour: str | None, result: str, quirks: dict[str, Any]) -> None:
    """Which roles an archive accepts images in shows when they are proposed; who says nothing may send all the same."""
    with DemoPacs(studies(2), on_associate=behaviour) as pacs:
        checks, found = learn(pacs.node)
    assert (checks["roles in C-GET"].result, found) == (result, quirks)


def test_patient_root_alone() -> None:
    """An archive that wants the PatientID is found out where it has no other model."""
    with DemoPacs(studies(3), models=["PATIENT"]) as pacs:
        checks, found = learn(pacs.node)
    assert found == {"patient_id": True}
    assert "only with its PatientID" in checks["PatientID"].found


def test_an_archive_that_is_not_there() -> None:
    """It is told what stands in the way, and nothing is kept."""
    setup = Setup(Node("127.0.0.1", free_port()), "MOVESCU", Timeouts())
    (check,), quirks = learn_quirks(setup, itertools.count(1).__next__)
    assert (check.result, quirks) == ("failed", {})
    assert [each.result for each in examine(setup, itertools.count(1).__next__)] == ["failed"]
    assert check_services(setup).result == "failed"


def test_examined() -> None:
    """What a test of a node asks, and what it says of the services."""
    with DemoPacs(studies(1), models=["STUDY"]) as pacs:
        checks = examine(Setup(pacs.node, "MOVESCU", Timeouts()), itertools.count(1).__next__)
    assert [check.check for check in checks] == ["association", "C-ECHO", "C-FIND", "services"]
    assert checks[-1].found.startswith("it offers C-ECHO, C-FIND (Study Root), C-MOVE (Study Root)")


def test_real_archives(tmp_path: Path) -> None:
    """DCMTK's and Orthanc's take lists and need no PatientID; Orthanc's cap is found."""
    archive = dcmqrscp(tmp_path / "dcmtk", studies(4))
    try:
        assert learn(archive.node)[1] == {}
    finally:
        archive.stop()
    archive = orthanc(tmp_path / "orthanc", studies(23), LimitFindResults=11)
    try:
        assert learn(archive.node)[1] == {"find_cap": 11}
    finally:
        archive.stop()
