"""A C-MOVE under way counts the images of its patient, and nobody else's."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_kit import STUDIES, arrival, running
from dicomover import Mover
from dicomover.batch.arrivals import Tally
from dicomover.batch.running import RunningMove
from dicomover.outcome import Counters, Status, judge
from dicomover.query.matching import is_of_patient
from dicomover.testing import DemoPacs, Misbehaviour
from peers import ONCE
from receiver_kit import Peer, data_set


class Nowhere:
    """A receiver that nobody calls."""

    last_activity = 0.0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("00123", "00123", True),
        ("00123 ", " 00123", True),
        ("ab1", "AB1\0", True),
        ("1^^^HOSP", "1", True),
        ("1", "1^^^HOSP&1.2.3&ISO", True),
        ("1^^^", "1^^^HOSP", True),
        ("1^^^HOSP", "1^^^OTHER", False),
        ("00123", "123", False),
        ("1", "", False),
        ("", "", False),
        ("^^^HOSP", "^^^HOSP", False),
        ("12", "123", False),
        ("STRASSE", "straße", False),
    ],
)
def test_what_is_the_same_patient(one: str, other: str, same: bool) -> None:
    """Blanks, case and an issuer on one side make no difference; digits and two issuers do, and nothing is nobody."""
    assert is_of_patient(one, [other]) == is_of_patient(other, [one]) == same


HIS = ("P", "p ", "P^^^HOSP")
strangers = st.sampled_from(["Q", "", "PP", "0P", "Q^^^HOSP"])
images = st.lists(st.tuples(st.integers(1, 6), st.sampled_from(HIS) | strangers), max_size=12)


@given(images, st.sets(st.integers(1, 6)), st.booleans(), st.booleans())
def test_success_only_with_the_patients_own_images(
    sent: list[tuple[int, str]], listed: set[int], is_answered: bool, comes_late: bool
) -> None:
    """What counts is the patient's or listed, whoever sends what in whatever order; what does not spoils a success."""
    move = running()
    move.whose = ("P",)
    tally = Tally("ME", Nowhere())  # type: ignore[arg-type]
    tally.begin(move)
    half = len(sent) // 2 if comes_late else len(sent)
    answer = {"1.1": [f"1.1.{number}" for number in listed]} if is_answered else None
    for number, patient in sent[:half]:
        tally.add(arrival(f"1.1.{number}", patient_id=patient))
    tally.settle(move, answer)
    for number, patient in sent[half:]:
        tally.add(arrival(f"1.1.{number}", patient_id=patient))
    tally.settle(move, answer)
    certain = {number for number, patient in sent if patient in HIS}
    vouched = {number for number, _ in sent if is_answered and number in listed}
    assert move.received == len(certain | vouched)
    unlisted = sum(number not in vouched and patient not in HIS for number, patient in sent)
    beneath = {number: {"P" if patient in HIS else patient for n, patient in sent if n == number} for number in vouched}
    assert (move.strange > unlisted) if any(len(whose) > 1 for whose in beneath.values()) else move.strange == unlisted
    status = judge(0, Counters(6, 0, 0), expected=3, received=move.received, strange=move.strange)
    assert status is not Status.SUCCESS or (move.received >= 3 and not move.strange)


@pytest.mark.parametrize("order", ["QP", "PQ"])
@pytest.mark.parametrize("is_late", [False, True])
def test_one_place_holds_the_image_of_one_patient(order: str, is_late: bool) -> None:
    """Whose comes first, before the archive was asked or after: beside the patient's own another's is strange."""
    move, tally = running(), Tally("ME", Nowhere())  # type: ignore[arg-type]
    move.whose = ("P",)
    tally.begin(move)
    if is_late:
        tally.settle(move, {"1.1": ["1.1.1"]})
    for patient in order:
        tally.add(arrival("1.1.1", patient_id=patient))
        tally.add(arrival("1.1.1", patient_id=patient))
    tally.settle(move, {"1.1": ["1.1.1"]})
    assert move.received == 1
    assert move.strange


def test_a_listed_image_that_comes_again_is_no_strangers() -> None:
    """What counts since the archive lists it may come twice, and in each attempt."""
    move, tally = running(), Tally("ME", Nowhere())  # type: ignore[arg-type]
    for _ in range(2):
        move.whose = ("P",)
        tally.begin(move)
        for _ in range(2):
            tally.add(arrival("1.1.1", patient_id="OLD"))
        tally.settle(move, {"1.1": ["1.1.1"]})
        tally.add(arrival("1.1.1", patient_id="OLD"))
        assert (move.received, move.strange) == (1, 0)
        tally.end(move)


def test_a_uid_that_was_named_does_not_outdo_the_patient_who_was_named() -> None:
    """An image that was asked for by its UID counts for whoever it is of, unless the request says of whom."""
    tally = Tally("ME", Nowhere())  # type: ignore[arg-type]
    for patient, received in (("", 1), ("P", 0)):
        move = running(1, level="IMAGE", patient=patient, series="1.1", instance="1.1.1")
        move.whose = ("P",)
        tally.begin(move)
        tally.add(arrival("1.1.1", patient_id="Q"))
        tally.settle(move, {})
        assert (move.received, move.strange) == (received, 1 - received)
        tally.end(move)


@pytest.mark.parametrize(
    ("level", "verify"),
    [("PATIENT", "counts"), ("STUDY", "counts"), ("SERIES", "counts"), ("STUDY", "none"), ("SERIES", "none")],
)
def test_a_stranger_who_knows_the_uids(tmp_path: Path, level: str, verify: str) -> None:
    """An image of somebody else under the UIDs that were asked for does not count; it is told, and no success.

    With `verify="none"` that is so where the request says whose the images are.
    """
    with DemoPacs(STUDIES, originator=False) as pacs:
        study = pacs.study("00123")
        series = study.series[0].series_instance_uid
        keys = {
            "PATIENT": {"PatientID": "P-1"},
            "STUDY": {"StudyInstanceUID": study.study_instance_uid},
            "SERIES": {"StudyInstanceUID": study.study_instance_uid, "SeriesInstanceUID": series},
        }[level]
        if verify == "none":
            keys["PatientID"] = "P-1"
        pacs.misbehave["*"] = Misbehaviour("slow", seconds=0.2)
        with Mover(
            pacs.node, receive=tmp_path, port=0, progress="none", retry="none", journal=None, verify=verify
        ) as mover:
            pacs.destinations["MOVESCU"] = mover.port or 0
            job = mover.start(keys, level=level.lower())
            until = time.monotonic() + 20
            while not any(request.kind == "C-MOVE" for request in list(pacs.requests)):
                assert time.monotonic() < until
                time.sleep(0.01)
            with Peer(mover.port or 0, called="MOVESCU", calling="STRANGER") as peer:
                image = data_set("6.6.6", study=study.study_instance_uid, series=series, patient="SOMEBODY")
                assert peer.store("6.6.6", image) == 0
                peer.release()
            assert job.wait(60)
            row = job.summary().iloc[0]
    assert (row["status"], row["received"]) == (
        "warning",
        row["expected"] if verify == "counts" else study.number_of_instances,
    )
    assert "1 came under these UIDs as another patient's" in row["error"]
    assert "SOMEBODY" not in row["error"]


def test_a_stranger_of_an_earlier_attempt_is_remembered() -> None:
    """His file lies in the folder still when the next attempt brings all of the patient's."""
    move, tally = running(), Tally("ME", Nowhere())  # type: ignore[arg-type]
    for patient in ("Q", "P"):
        move.whose = ("P",)
        tally.begin(move)
        tally.add(arrival("1.1.1", patient_id=patient))
        tally.settle(move, {})
        tally.end(move)
    assert (move.strange, move.most_strange) == (0, 1)


def test_a_stranger_holds_no_wait_once_he_is_known() -> None:
    """What is known to be another patient's moves no clock."""
    move, tally = running(), Tally("ME", Nowhere())  # type: ignore[arg-type]
    move.whose = ("P",)
    tally.begin(move)
    tally.settle(move, {})
    tally.add(arrival("1.1.1", patient_id="Q", at=50.0))
    assert (move.strange, move.last_arrival) == (1, 0.0)


@pytest.mark.parametrize("level", ["STUDY", "SERIES", "IMAGE"])
@pytest.mark.parametrize("here", [True, False])
@pytest.mark.parametrize(("verify", "models"), [("counts", "SP"), ("instances", "SP"), ("counts", "P")])
def test_the_patient_who_was_named_has_his_own_images_or_none(
    tmp_path: Path, level: str, here: bool, verify: str, models: str
) -> None:
    """Rows of two patients under the same UIDs share no C-MOVE where the archive takes no notice of the PatientID."""
    offered = ("STUDY", "PATIENT") if models == "SP" else ("PATIENT",)
    with DemoPacs(STUDIES, ignores_patient=True, models=offered) as pacs:
        study = pacs.study("00123")
        uids = {"StudyInstanceUID": study.study_instance_uid}
        if level != "STUDY":
            uids["SeriesInstanceUID"] = study.series[0].series_instance_uid
        if level == "IMAGE":
            uids["SOPInstanceUID"] = study.instances()[0].sop_instance_uid
        where = {"receive": tmp_path, "port": 0} if here else {"destination": "WORKSTATION"}
        rows = [{"PatientID": "P-1", **uids}, {"PatientID": "NOBODY", **uids}]
        with Mover(pacs.node, progress="none", journal=None, retry="none", verify=verify, **where) as mover:  # type: ignore[arg-type]
            if here:
                pacs.destinations["MOVESCU"] = mover.port or 0
            for requests in (rows, rows[::-1]):
                summary = mover.move(requests, model="patient")
                status = dict(zip([row["PatientID"] for row in requests], summary["status"], strict=True))
                assert status["P-1"] == "success"
                assert status["NOBODY"] == "not-found"


@pytest.mark.parametrize("reads", [False, True])
def test_what_is_gone_again_at_the_end_of_its_row_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: bool
) -> None:
    """Whoever takes away a folder that came is told, and the archive is not blamed; not where files were handed out."""
    end = Tally.end

    def take_away(self: Tally, move: RunningMove) -> None:
        end(self, move)
        if move.arrivals and move.arrivals[0].patient_id == "P-1":
            shutil.rmtree(move.arrivals[0].path.parent)

    monkeypatch.setattr(Tally, "end", take_away)
    with (
        DemoPacs(STUDIES) as pacs,
        Mover(pacs.node, receive=tmp_path, port=0, progress="none", **ONCE) as mover,  # type: ignore[arg-type]
    ):
        pacs.destinations["MOVESCU"] = mover.port or 0
        job = mover.start([{"AccessionNumber": "00123"}, {"AccessionNumber": "00007"}])
        if reads:
            list(job.arrivals())
        assert job.wait(30)
        rows = job.summary()
    assert rows["status"].tolist() == ["success" if reads else "lost", "success"]
    assert rows["received"].tolist() == [4 if reads else 0, 4]
    if not reads:
        assert rows["error"][0] == "4 of those that came are gone with their folder, which was here; run it again"
        assert rows["bytes"][0] == 0


def test_what_is_left_of_a_move_is_counted_anew(tmp_path: Path) -> None:
    """Instances in folders that are there still count, one UID in two series too, each with the bytes of its file."""
    move, tally = running(), Tally("ME", Nowhere())  # type: ignore[arg-type]
    tally.begin(move)
    for series in ("1.1", "1.2", "1.3"):
        for instance in ("1", "2"):
            path = tmp_path / series / instance
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"x" * 7)
            tally.add(arrival(instance, series_instance_uid=series, path=path))
    tally.end(move)
    assert (move.lose(), move.received, move.bytes) == (0, 6, 42)
    shutil.rmtree(tmp_path / "1.1")
    assert (move.lose(), move.received, move.bytes) == (2, 4, 28)


@pytest.mark.parametrize("level", ["STUDY", "SERIES"])
def test_that_nothing_shows_whose_it_is_is_told(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive that takes no notice of the PatientID and never names one is not believed without a word."""
    monkeypatch.setattr(DemoPacs, "_heed", lambda _, keys, __: {key: keys[key] for key in keys if key != "PatientID"})
    with DemoPacs(STUDIES) as pacs, Mover(pacs.node, destination="WORKSTATION", progress="none", **ONCE) as mover:  # type: ignore[arg-type]
        study = pacs.study("00123")
        keys = {"StudyInstanceUID": study.study_instance_uid}
        if level == "SERIES":
            keys["SeriesInstanceUID"] = study.series[0].series_instance_uid
        rows = mover.move([{"PatientID": "NOBODY", **keys}, keys], model="auto")
    assert rows["status"].tolist() == ["success", "success"]
    assert "does not say whose it is" in rows["error"][0]
    assert rows["error"].isna().tolist() == [False, True]


def test_what_counts_under_another_name_is_counted_so(tmp_path: Path) -> None:
    """What the archive lists and names another patient is told, also once some of it is gone with its folder."""
    move, tally = running(), Tally("ME", Nowhere())  # type: ignore[arg-type]
    move.whose = ("P",)
    tally.begin(move)
    for number, patient in ((1, "P"), (2, "OLD"), (3, "")):
        path = tmp_path / str(number) / "x"
        path.parent.mkdir()
        path.write_bytes(b"x")
        tally.add(arrival(f"1.1.{number}", patient_id=patient, path=path))
    tally.settle(move, {"1.1": ["1.1.1", "1.1.2", "1.1.3"]})
    assert (move.received, move.strange, move.renamed) == (3, 0, 2)
    tally.end(move)
    shutil.rmtree(tmp_path / "3")
    assert (move.lose(), move.received, move.renamed) == (1, 2, 1)
