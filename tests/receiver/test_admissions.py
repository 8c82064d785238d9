"""Only what a running C-MOVE has asked for is let in."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from dicomover.events import Admission, Refusal
from dicomover.receiver.admissions import Admissions
from receiver_kit import (
    STUDY,
    Start,
    data_set,
)


def test_only_what_was_asked_for_is_let_in(start: Start) -> None:
    """Restricted, instances come in by identifiers, and nothing else does: no Move Originator either."""
    with start(restrict=True) as run, run.peer() as peer:
        ours = {"MoveOriginatorApplicationEntityTitle": "ME", "MoveOriginatorMessageID": 9}
        assert peer.store("1.2.3.1.1.1") == 0x0124
        run.receiver.admit(Admission(1, study_uids=frozenset({STUDY})))
        assert peer.store("1.2.3.1.1.1") == 0
        run.receiver.admit(Admission(2, study_uids=frozenset({"1.9"}), patient_ids=frozenset({"4712"})))
        other = data_set("1.2.4", study="1.9")
        assert peer.store("1.2.4", other) == 0x0124
        run.receiver.admit(Admission(3))
        assert peer.store("1.2.4", other, **ours) == 0x0124
        run.receiver.admit(Admission(3, study_uids=frozenset({"1.9"})))
        assert peer.store("1.2.4", other, **ours) == 0
        run.receiver.dismiss(3)
        run.receiver.dismiss(3)
        assert peer.store("1.2.5", data_set("1.2.5", study="1.9"), **ours) == 0x0124
        run.receiver.dismiss(1)
        assert peer.store("1.2.6") == 0x0124
        peer.release()
        assert [event.status for event in run.wait(7) if isinstance(event, Refusal)] == [0x0124] * 5
        refusal = run.refusals[0]
        assert (refusal.calling_ae_title, refusal.sop_instance_uid, refusal.study_instance_uid) == (
            "YOU",
            "1.2.3.1.1.1",
            STUDY,
        )
        assert not any("4711" in refusal.why for refusal in run.refusals)
        assert len(run.files()) == 2


@pytest.mark.parametrize(
    ("patient", "study", "let_in"),
    [
        ("4711", "1.2.1", True),
        ("OLD", "1.2.1", True),
        ("4711^^^HOSP", "1.2.2", True),
        ("ab-4711", "1.2.2", True),
        ("", "1.2.2", True),
        ("4711", "1.2.9", True),  # new since the archive was asked
        ("OLD", "1.2.9", False),
    ],
)
def test_a_patients_study_vouches_for_its_images(patient: str, study: str, let_in: bool) -> None:
    """At level PATIENT an image comes in by its PatientID or by its study, and by neither no longer than it runs."""
    admissions = Admissions()
    admissions.admit(
        Admission(1, patient_ids=frozenset({"4711"}), patient_study_uids=frozenset({"1.2.1", "1.2.2"})),
    )
    assert bool(admissions.lets_in(patient, study, "1.3", "1.4")) is let_in
    admissions.dismiss(1)
    assert not admissions.lets_in(patient, study, "1.3", "1.4")


def test_matching_does_not_grow_with_the_number_of_admissions(tmp_path: Path) -> None:
    """With 100,000 admissions an instance is matched as quickly as with one."""
    admissions = Admissions()
    for move in range(100_000):
        admissions.admit(Admission(move, study_uids=frozenset({f"1.2.{move}"})))
    begun = time.perf_counter()
    for move in range(0, 100_000, 100):
        assert admissions.lets_in("", f"1.2.{move}", "1.2", "1.3")
        assert not admissions.lets_in("", f"1.3.{move}", "1.2", "1.3")
    assert (time.perf_counter() - begun) / 2000 < 0.0001
    for move in range(100_000):
        admissions.dismiss(move)
    assert len(admissions) == 0
    assert not admissions.lets_in("", "1.2.0", "1.2", "1.3")


def test_many_admissions_do_not_slow_the_process(start: Start) -> None:
    """Admitting is in force at once, also when an admission names very many instances."""
    many = frozenset(f"1.2.{number}" for number in range(20_000))
    with start(restrict=True) as run, run.peer() as peer:
        run.receiver.admit(Admission(1, sop_uids=many))
        assert peer.store("1.2.77") == 0
        assert peer.store("1.3") == 0x0124
        for move in range(2, 300):
            run.receiver.admit(Admission(move, study_uids=frozenset({f"1.2.{move}"})))
        peer.release()


def test_what_came_already_is_no_news() -> None:
    """Since it was admitted, each instance is news a few times at most, and in all no more than there can be."""
    admissions = Admissions()
    admission = Admission(1, study_uids=frozenset({STUDY}), most=20)
    admissions.admit(admission)
    assert sum(admissions.is_news(admission, "1.2", "1.2.1") for _ in range(1000)) < 30
    assert admissions.is_news(admission, "1.2", "1.2.2")
    assert admissions.is_news(admission, "1.3", "1.2.1")
    admissions.admit(admission)
    assert admissions.is_news(admission, "1.2", "1.2.1"), "it is asked for anew"
    assert sum(admissions.is_news(admission, "1.2", f"1.2.{n}") for n in range(1000)) < 100
    admissions.dismiss(1)
    assert not admissions.is_news(admission, "1.2", "1.2.1")
