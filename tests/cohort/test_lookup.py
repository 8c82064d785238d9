"""What requests come to at an archive, down to the instances."""

from __future__ import annotations

from dicomover import Mover
from dicomover.testing import DemoPacs, Misbehaviour, made_study


def test_levels_lock_what_they_name(pacs: DemoPacs) -> None:
    """A patient locks all studies, a series and an image only themselves; a UID that is not there is told."""
    first = pacs.study("00123")
    one, two = first.series
    above = {"StudyInstanceUID": first.study_instance_uid}
    keys = [
        {**above, "SeriesInstanceUID": one.series_instance_uid},
        {
            **above,
            "SeriesInstanceUID": two.series_instance_uid,
            "SOPInstanceUID": [two.instances[0].sop_instance_uid, "1.2.3"],
        },
        {"StudyInstanceUID": [first.study_instance_uid, "1.2.3"]},
        {"StudyInstanceUID": "1.2.3"},
    ]
    cohort = Mover(pacs.node).lock(keys, path=None)
    assert cohort.requests["state"].tolist() == ["found", "incomplete", "incomplete", "not-found"]
    assert cohort.requests["instances"].tolist() == [3, 1, 6, 0]
    assert cohort.requests["note"][1] == "1 of the images that it names are not in the archive"
    patient = Mover(pacs.node, level="PATIENT").lock({"PatientID": "P-2"}, path=None)
    assert patient.requests["instances"].tolist() == [3]
    assert len(patient.studies) == 2


def test_a_wrong_patient_hides_no_study_from_others(pacs: DemoPacs) -> None:
    """A study that is not found under one patient is found by another row that does not name the patient."""
    study = {"StudyInstanceUID": pacs.study("00123").study_instance_uid}
    cohort = Mover(pacs.node, associations=1).lock([{"PatientID": "P-9", **study}, study], path=None)
    assert cohort.requests["state"].tolist() == ["not-found", "found"]


def test_an_archive_that_names_less_than_it_counts() -> None:
    """The request is locked as cut short, not as found."""
    with DemoPacs([made_study("A")], misbehave={"A": "find-counts-more"}) as pacs:
        cohort = Mover(pacs.node).lock({"AccessionNumber": "A"}, path=None)
    assert cohort.requests["state"].tolist() == ["cut-short"]
    assert "counts more instances than it names" in cohort.requests["note"][0]


def test_an_archive_that_refuses_one_request() -> None:
    """The request is locked as refused, the others as found."""
    with DemoPacs([made_study("A"), made_study("B")], misbehave={"A": "find-refused"}) as pacs:
        cohort = Mover(pacs.node).lock([{"AccessionNumber": "A"}, {"AccessionNumber": "B"}], path=None)
    assert cohort.requests["state"].tolist() == ["refused", "found"]


def test_an_association_that_is_lost_while_locking() -> None:
    """It is opened again, and the cohort is whole."""
    once = Misbehaviour("find-aborts", times=1)
    with DemoPacs([made_study("A"), made_study("B")], misbehave={"B": once}) as pacs:
        cohort = Mover(pacs.node).lock([{"AccessionNumber": "A"}, {"AccessionNumber": "B"}], path=None)
    assert cohort.requests["instances"].tolist() == [3, 3]
