"""A cohort that is moved: exactly what was locked, with the rows of its requests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cohort_kit import SECRET, receiving
from dicomover import Cohort, ConfigurationError, Mover
from dicomover.cohort import resolver as pinned
from dicomover.testing import DemoPacs, Misbehaviour, Study, made_study


def uids(*studies: Study) -> set[str]:
    """Return the SOP Instance UIDs of studies."""
    return {instance.sop_instance_uid for study in studies for instance in study.instances()}


def uids_in(folder: Path) -> set[str]:
    """Return the SOP Instance UIDs of the files in a folder, by their names."""
    return {path.stem for path in folder.rglob("*.dcm")}


def grown(study: Study, **rest: int) -> Study:
    """Return the same study with another number of series or instances."""
    return made_study(study.accession_number, study_instance_uid=study.study_instance_uid, **rest)


def test_rows_are_those_of_the_requests(tmp_path: Path) -> None:
    """Labels and columns that ride along stay; what had no match when it was locked is not asked for again."""
    table = pd.DataFrame({"AccessionNumber": ["A", "4711", "TWO"], "split": ["x", "y", "z"]}, index=["a", "b", "c"])
    studies = [made_study("A"), made_study("TWO", number=1), made_study("TWO", number=2, instances=2)]
    with DemoPacs(studies) as pacs, receiving(pacs, tmp_path / "in") as mover:
        cohort = mover.lock(table, tmp_path / "c.json")
        pacs.add(made_study("4711"))
        plan = mover.plan(cohort)
        summary = mover.move(Cohort.load(tmp_path / "c.json"))
    assert plan["decision"].tolist() == ["move", "not-found", "several"]
    assert plan["expected"].tolist()[::2] == [3, 5]
    assert list(summary.index) == ["a", "b", "c"]
    assert summary["split"].tolist() == ["x", "y", "z"]
    assert summary["status"].tolist() == ["success", "not-found", "success"]
    assert summary["error"]["b"] == "no study has these keys; check them; that was so when the cohort was locked"
    assert summary["matches"].tolist() == [1, 0, 2]
    assert uids_in(tmp_path / "in") == uids(*studies)


def test_an_unchanged_study_is_moved_whole(tmp_path: Path) -> None:
    """One C-FIND and one C-MOVE at STUDY level are all that is asked of an archive that has not changed."""
    with DemoPacs([made_study("A", series=3)]) as pacs, receiving(pacs, tmp_path / "in") as mover:
        cohort = mover.lock({"AccessionNumber": "A"}, path=None)
        pacs.forget()
        assert mover.move(cohort)["status"].tolist() == ["success"]
        asked = [(request.kind, request.level) for request in pacs.requests if request.kind != "C-ECHO"]
    assert asked == [("C-FIND", "STUDY"), ("C-MOVE", "STUDY")]


def test_what_was_added_later_does_not_come(tmp_path: Path) -> None:
    """A study with further instances and series is asked for by what was locked of it."""
    study = made_study("A", series=2, instances=3)
    with DemoPacs([study]) as pacs, receiving(pacs, tmp_path / "in") as mover:
        cohort = mover.lock({"AccessionNumber": "A"}, path=None)
        pacs.remove(study)
        pacs.add(grown(study, series=3, instances=4))
        summary = mover.move(cohort)
        moves = [request for request in pacs.requests if request.kind == "C-MOVE"]
    assert summary["status"].tolist() == ["success"]
    assert summary[["expected", "received"]].to_numpy().tolist() == [[6, 6]]
    assert uids_in(tmp_path / "in") == uids(study)
    assert {move.level for move in moves} == {"IMAGE"}


def test_a_further_series_leaves_the_others_whole(tmp_path: Path) -> None:
    """Series that have not changed are moved as series."""
    study = made_study("A", series=2, instances=3)
    with DemoPacs([study]) as pacs, receiving(pacs, tmp_path / "in") as mover:
        cohort = mover.lock({"AccessionNumber": "A"}, path=None)
        pacs.remove(study)
        pacs.add(grown(study, series=3, instances=3))
        summary = mover.move(cohort)
        moves = [request for request in pacs.requests if request.kind == "C-MOVE"]
    assert summary["status"].tolist() == ["success"]
    assert uids_in(tmp_path / "in") == uids(study)
    assert [move.level for move in moves] == ["SERIES", "SERIES"]


def test_many_instances_are_asked_for_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No identifier has more UIDs than fit into the length field of Explicit VR."""
    assert pinned.UIDS_AT_ONCE * 65 < 1 << 16
    monkeypatch.setattr(pinned, "UIDS_AT_ONCE", 5)
    study = made_study("A", instances=11)
    with DemoPacs([study]) as pacs, receiving(pacs, tmp_path / "in") as mover:
        cohort = mover.lock({"AccessionNumber": "A"}, path=None)
        pacs.remove(study)
        pacs.add(grown(study, instances=12))
        summary = mover.move(cohort)
        sizes = [len(request.values("SOPInstanceUID")) for request in pacs.requests if request.kind == "C-MOVE"]
    assert summary["received"].tolist() == [11]
    assert sorted(sizes) == [1, 5, 5]


def test_an_instance_that_is_gone_is_missing(tmp_path: Path) -> None:
    """The row is partial, and the instance is named."""
    study = made_study("A", instances=3)
    with DemoPacs([study, made_study("B")]) as pacs, receiving(pacs, tmp_path / "in") as mover:
        cohort = mover.lock([{"AccessionNumber": "A"}, {"AccessionNumber": "B"}], path=None)
        pacs.remove(study)
        pacs.add(grown(study, instances=2))
        job = mover.job(cohort).run()
        summary = job.summary()
        gone = (uids(study) - uids(grown(study, instances=2))).pop()
    assert summary["status"].tolist() == ["partial", "success"], summary["error"].tolist()
    assert summary["expected"].tolist() == [3, 3]
    assert summary["received"].tolist() == [2, 3]
    assert job.failures()["SOPInstanceUID"].tolist() == [gone]


@pytest.mark.parametrize("verify", ["counts", "instances"])
def test_a_replaced_instance_is_missing_though_the_count_is_right(tmp_path: Path, verify: Any) -> None:
    """The archive has as many as were locked, but not the same: by number nothing is missing, by UID one is."""
    whole = made_study("A", series=2, instances=4)
    study = whole.only(lambda instance: int(instance.number) <= 2)
    other = whole.only(lambda instance: instance in whole.series[0].instances)
    with DemoPacs([study]) as pacs, receiving(pacs, tmp_path / "in", verify=verify) as mover:
        cohort = mover.lock({"AccessionNumber": "A"}, path=None)
        pacs.remove(study)
        pacs.add(other)
        job = mover.job(cohort).run()
    assert job.summary()["status"].tolist() == ["partial"]
    assert set(job.failures()["SOPInstanceUID"]) == uids(study) - uids(other)
    assert uids_in(tmp_path / "in") == (uids(other) if verify == "counts" else uids(study) & uids(other))


def test_a_study_that_is_gone_is_not_found(tmp_path: Path) -> None:
    """A study that was deleted is not found; one of two makes the row partial."""
    gone = made_study("TWO", number=2)
    with DemoPacs([made_study("A"), made_study("TWO"), gone]) as pacs, receiving(pacs, tmp_path / "in") as mover:
        cohort = mover.lock([{"AccessionNumber": "A"}, {"AccessionNumber": "TWO"}], path=None)
        pacs.remove(pacs.study("A"))
        pacs.remove(gone)
        summary = mover.move(cohort)
    assert summary["status"].tolist() == ["not-found", "partial"]
    assert summary["received"].tolist() == [0, 3]


def test_what_moved_to_another_series_comes_from_there(tmp_path: Path) -> None:
    """An instance is asked for where it is now."""
    from io import BytesIO

    from pydicom import dcmread

    from dicomover.testing._samples import read_sources

    study = made_study("A", series=2, instances=2)
    sets = [dcmread(BytesIO(instance.file_bytes())) for instance in study.instances()]
    sets[1].SeriesInstanceUID = f"{study.study_instance_uid}.9"
    (changed,) = read_sources(sets)
    with DemoPacs([study]) as pacs, receiving(pacs, tmp_path / "in") as mover:
        cohort = mover.lock({"AccessionNumber": "A"}, path=None)
        pacs.remove(study)
        pacs.add(changed)
        drift = mover.verify(cohort)
        pacs.add(made_study("OTHER"))
        summary = mover.move(cohort)
        check = cohort.check(tmp_path / "in")
    assert drift["kind"].tolist() == ["changed"]
    assert summary["status"].tolist() == ["success"]
    assert check["kind"].tolist() == ["changed"]
    assert check["SOPInstanceUID"].tolist() == [sets[1].SOPInstanceUID]


def test_levels_move_what_they_named(tmp_path: Path) -> None:
    """A series, and some images, and nothing else of their studies; a patient by the studies that it had."""
    first, second = made_study("A", series=2, instances=3), made_study("B", patient="P-2")
    above = {"StudyInstanceUID": first.study_instance_uid}
    one, two = first.series
    images = {
        **above,
        "SeriesInstanceUID": two.series_instance_uid,
        "SOPInstanceUID": two.instances[0].sop_instance_uid,
    }
    with DemoPacs([first, second]) as pacs, receiving(pacs, tmp_path / "in") as mover:
        cohort = mover.lock([{**above, "SeriesInstanceUID": one.series_instance_uid}, images], path=None)
        patient = mover.lock({"PatientID": "P-2"}, path=None, level="PATIENT")
        pacs.add(made_study("C", patient="P-2"))
        assert mover.move(cohort)["received"].tolist() == [3, 1]
        assert mover.move(patient)["received"].tolist() == [3]
    wanted = {instance.sop_instance_uid for instance in (*one.instances, two.instances[0])}
    assert uids_in(tmp_path / "in") == wanted | uids(second)


def test_too_many_and_refused_stay_that(tmp_path: Path) -> None:
    """What was not named when it was locked cannot be moved now, and the row says why."""
    studies = [made_study("TWO"), made_study("TWO", number=2), made_study("NO")]
    with DemoPacs(studies, misbehave={"NO": "find-refused"}) as pacs, receiving(pacs, tmp_path / "in") as mover:
        cohort = mover.lock([{"AccessionNumber": "TWO"}, {"AccessionNumber": "NO"}], path=None, max_matches=1)
        pacs.misbehave.clear()
        summary = mover.move(cohort)
    assert summary["status"].tolist() == ["failure", "failure"]
    assert "more than max_matches=1 studies match" in summary["error"][0]
    assert "when the cohort was locked the archive would not say" in summary["error"][1]


def test_a_rerun_moves_only_what_is_missing(tmp_path: Path) -> None:
    """The journal knows a locked request from the same one unlocked, and skips it once it is complete."""
    study = made_study("A", instances=3)
    with DemoPacs([study]) as pacs, receiving(pacs, tmp_path / "in") as mover:
        request = {"AccessionNumber": "A"}
        cohort = mover.lock(request, path=None)
        pacs.remove(study)
        pacs.add(grown(study, instances=2))
        assert mover.move(request)["status"].tolist() == ["success"]
        assert mover.move(cohort)["status"].tolist() == ["partial"], "two of three are not what was locked"
        pacs.remove(pacs.study("A"))
        pacs.add(study)
        assert mover.move(cohort)["status"].tolist() == ["success"]
        pacs.forget()
        assert mover.move(cohort)["status"].tolist() == ["skipped"]
        assert not [request for request in pacs.requests if request.kind == "C-MOVE"]
    assert cohort.check(tmp_path / "in").empty


def test_missing_rows_can_be_moved(tmp_path: Path) -> None:
    """What `check` misses is itself a valid input."""
    with DemoPacs([made_study("A", series=2)]) as pacs, receiving(pacs, tmp_path / "in") as mover:
        cohort = mover.lock({"AccessionNumber": "A"}, path=None)
        mover.move(cohort)
        lost = sorted((tmp_path / "in").rglob("*.dcm"))[::3]
        for path in lost:
            path.unlink()
        drift = cohort.check(tmp_path / "in")
        assert drift["kind"].tolist() == ["missing", "missing"]
        again = mover.move(drift[drift["kind"] == "missing"])
    assert again["status"].tolist() == ["success", "success"]
    assert cohort.check(tmp_path / "in").empty


def test_hashed_keys_move_without_the_secret(tmp_path: Path) -> None:
    """UIDs are enough, also where the patient was named; no key of a patient goes onto the wire."""
    path = tmp_path / "c.json"
    with DemoPacs([made_study("A", patient="P-1")]) as pacs, receiving(pacs, tmp_path / "in") as mover:
        mover.lock({"PatientID": "P-1", "AccessionNumber": "A"}, path, privacy="hashed", secret=SECRET)
        pacs.forget()
        summary = mover.move(Cohort.load(path))
        assert not [request for request in pacs.requests if "P-1" in request.keys.values()]
    assert summary["status"].tolist() == ["success"]
    assert "P-1" not in summary.to_string()


def test_a_third_party_receives_it() -> None:
    """By the archive's counts, since what arrives there is not seen; an instance that is gone makes it partial."""
    study = made_study("A", instances=3)
    with DemoPacs([study]) as pacs:
        mover = Mover(pacs.node, destination="WORKSTATION", progress="none", retry="none")
        cohort = mover.lock({"AccessionNumber": "A"}, path=None)
        assert mover.move(cohort)["status"].tolist() == ["success"]
        pacs.remove(study)
        pacs.add(grown(study, instances=2))
        with mover:
            job = mover.start(cohort)
            assert job.wait(60)
    assert job.summary()["status"].tolist() == ["partial"]
    assert job.summary()["completed"].tolist() == [2]


def test_keys_do_not_go_with_a_cohort() -> None:
    """A cohort has its keys already."""
    with DemoPacs([made_study("A")]) as pacs:
        mover = Mover(pacs.node, destination="WORKSTATION", progress="none")
        cohort = mover.lock({"AccessionNumber": "A"}, path=None)
        with pytest.raises(ConfigurationError, match="keys= names columns of a table"):
            mover.move(cohort, keys=["AccessionNumber"])


@pytest.mark.parametrize("verify", ["counts", "instances"])
def test_a_study_that_is_somebody_elses_now(tmp_path: Path, verify: Any) -> None:
    """What was locked of one patient is not moved once the archive has that study as another's."""
    study = made_study("A", patient="P-A")
    with DemoPacs([study]) as pacs, receiving(pacs, tmp_path / "in") as mover:
        cohort = mover.lock({"PatientID": "P-A", "StudyInstanceUID": study.study_instance_uid}, path=None)
        pacs.remove(study)
        pacs.add(made_study("A", patient="P-B", study_instance_uid=study.study_instance_uid))
        summary = mover.move(cohort, verify=verify)
    assert not summary["status"].isin(["success", "warning", "skipped"]).any(), summary["status"].tolist()
    assert uids_in(tmp_path / "in") == set()


def test_what_was_cut_short_when_it_was_locked_is_told(tmp_path: Path) -> None:
    """All that a lockfile names may come, and be less than what was asked for: the row says so."""
    with DemoPacs([made_study("A", instances=6)]) as pacs, receiving(pacs, tmp_path / "in") as mover:
        pacs.misbehave["A"] = Misbehaviour("find-capped", count=4)
        cohort = mover.lock({"AccessionNumber": "A"}, path=None)
        assert cohort.requests.state.tolist() == ["cut-short"]
        pacs.misbehave.clear()
        row = mover.move(cohort).loc[0]
    assert "when the cohort was locked this was not all that was asked for: the archive counts more" in row.error
