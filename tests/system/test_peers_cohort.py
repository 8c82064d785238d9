"""The lockfile at real archives, DCMTK's dcmqrscp and Orthanc: locked, changed in between, verified, moved, checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cohort_kit import kinds
from dicomover import Cohort, Mover, Timeouts
from dicomover.testing import Instance, made_study
from peers import HERE, ONCE, THERE, Archive, data_sets_in, dcmqrscp, need, orthanc, storescp

KEYS = ("CHANGED", "GONE", "TWO", "SAME", "NEW", "REPLACED")


def up_to(number: int) -> Callable[[Instance], bool]:
    """Leave the first instances of each series."""
    return lambda instance: int(instance.number) <= number


GROWN = made_study("CHANGED", series=2, instances=4, patient="P-1")
CHANGED = GROWN.only(up_to(3))
GONE = made_study("GONE", instances=2, patient="P-2")
TWO = made_study("TWO", instances=2, patient="P-3")
SAME = made_study("SAME", series=2, instances=2, patient="P-4", modality=("CT", "MR"))
WHOLE = made_study("REPLACED", series=2, instances=4, patient="P-5")
REPLACED = WHOLE.only(up_to(2))
BEFORE = (CHANGED, GONE, TWO, SAME, REPLACED)
AFTER = (
    GROWN,  # one instance more in each series
    made_study("TWO", instances=3, patient="P-3", number=2),  # a second study of this accession number
    TWO,
    SAME,
    WHOLE.only(set(WHOLE.series[0].instances).__contains__),  # as many instances, but not the same
    made_study("NEW", instances=1, patient="P-6"),
)


@pytest.fixture(params=["dcmqrscp", "orthanc"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Archive]:
    """Run a real archive with the studies as they were."""
    need("dcmqrscp" if request.param == "dcmqrscp" else "Orthanc", "storescp")
    make = dcmqrscp if request.param == "dcmqrscp" else orthanc
    running = make(tmp_path / "archive", BEFORE)
    yield running
    running.stop()


def mover_of(archive: Archive, **how: object) -> Mover:
    """Return a Mover for an archive."""
    timeouts = Timeouts(connect=10, acse=10, stall=20)
    return Mover(archive.node, ae_title=HERE, progress="none", timeouts=timeouts, **{**ONCE, **how})  # type: ignore[arg-type]


def test_the_lockfile_a_year_later(archive: Archive, tmp_path: Path) -> None:
    """A study changed, one deleted, one added, one replaced: told exactly; what is left of the cohort moves."""
    requests = [{"AccessionNumber": key} for key in KEYS]
    path = tmp_path / "cohort.lock.json"
    with mover_of(archive, receive=tmp_path / "then", port=archive.ports[HERE]) as mover:
        cohort = mover.lock(requests, path)
        assert mover.lock(requests, path=None).hash == cohort.hash
        assert cohort.requests["state"].tolist() == ["found"] * 4 + ["not-found", "found"]
        assert cohort.requests["instances"].tolist() == [6, 2, 2, 4, 0, 4]
        assert cohort.series["Modality"].notna().all()
        assert mover.verify(cohort).empty
        summary = mover.move(cohort)
        assert summary["status"].tolist() == ["success"] * 4 + ["not-found", "success"], summary["error"].tolist()
    assert data_sets_in(tmp_path / "then") == archive.holding.of(*KEYS)
    cohort = cohort.seal(tmp_path / "then")
    cohort.save(path)
    then = dict(archive.holding.data_sets)

    archive.hold(AFTER)
    cohort = Cohort.load(path)
    with mover_of(archive, receive=tmp_path / "now", port=archive.ports[HERE]) as mover:
        drift = mover.verify(cohort)
        job = mover.job(cohort).run()
    summary = job.summary()

    one, two = (series.series_instance_uid for series in CHANGED.series)
    assert kinds(drift) == [
        (0, "IMAGE", "gained"),
        (0, "IMAGE", "gained"),
        (1, "STUDY", "lost"),
        (2, "STUDY", "ambiguous"),
        (4, "STUDY", "gained"),
        (5, "SERIES", "lost"),
        (5, "IMAGE", "gained"),
    ]
    assert drift["SeriesInstanceUID"].tolist()[:2] == sorted((one, two))
    assert drift["SOPInstanceUID"].tolist()[:2] == [f"{uid}.4" for uid in sorted((one, two))]
    assert drift[["expected", "found"]].to_numpy().tolist() == [[3, 4], [3, 4], [2, 0], [0, 3], [0, 1], [2, 0], [2, 4]]
    assert drift["StudyInstanceUID"][2] == GONE.study_instance_uid

    assert summary["status"].tolist() == ["success", "not-found", "success", "success", "not-found", "partial"]
    assert summary["expected"].tolist()[:4] == [6, 2, 2, 4]
    assert summary["received"].tolist()[:4] == [6, 0, 2, 4]
    lost = {instance.sop_instance_uid for instance in REPLACED.series[1].instances}
    assert set(job.failures()["SOPInstanceUID"]) >= lost
    check = cohort.check(tmp_path / "now")
    missing = lost | {instance.sop_instance_uid for instance in GONE.instances()}
    assert set(check[check["kind"] == "missing"]["SOPInstanceUID"]) == missing
    extra = check[check["kind"] != "missing"]
    # Where the archive counted as many as were locked, the study came whole.
    assert set(extra["kind"]) <= {"gained"}
    assert set(extra["StudyInstanceUID"]) <= {REPLACED.study_instance_uid}
    found = data_sets_in(tmp_path / "now")
    assert {uid: data for uid, data in found.items() if uid in then} == {
        uid: data for uid, data in then.items() if uid not in missing
    }


def test_a_third_party_gets_what_was_locked(archive: Archive, tmp_path: Path) -> None:
    """Exactly the locked instances reach DCMTK's storescp from an archive that has more by now."""
    with mover_of(archive, destination=THERE) as mover:
        cohort = mover.lock([{"AccessionNumber": "CHANGED"}, {"AccessionNumber": "SAME"}], path=None)
        archive.hold(AFTER)
        with storescp(tmp_path, archive.ports[THERE]) as incoming:
            summary = mover.move(cohort)
    assert summary["status"].tolist() == ["success", "success"], summary["error"].tolist()
    assert cohort.check(incoming).empty
    wanted = {instance.sop_instance_uid for study in (CHANGED, SAME) for instance in study.instances()}
    assert set(data_sets_in(incoming)) == wanted


def test_patient_root_at_every_level(archive: Archive, tmp_path: Path) -> None:
    """A patient, and a series and images of Patient Root, are locked, verified and moved."""
    one, two = CHANGED.series
    above = {"PatientID": "P-1", "StudyInstanceUID": CHANGED.study_instance_uid}
    requests = [
        {**above, "SeriesInstanceUID": one.series_instance_uid},
        {
            **above,
            "SeriesInstanceUID": two.series_instance_uid,
            "SOPInstanceUID": [instance.sop_instance_uid for instance in two.instances[:2]],
        },
    ]
    with mover_of(archive, receive=tmp_path / "in", port=archive.ports[HERE]) as mover:
        cohort = mover.lock(requests, path=None)
        patient = mover.lock({"PatientID": "P-4"}, path=None, level="PATIENT")
        assert cohort.requests["instances"].tolist() == [3, 2]
        assert patient.requests["instances"].tolist() == [4]
        assert mover.verify(cohort).empty
        assert mover.verify(patient).empty
        assert mover.move(cohort)["status"].tolist() == ["success", "success"]
        assert mover.move(patient)["status"].tolist() == ["success"]
    held = {instance.sop_instance_uid for instance in (*one.instances, *two.instances[:2], *SAME.instances())}
    assert set(data_sets_in(tmp_path / "in")) == held
