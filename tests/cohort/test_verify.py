"""What has changed in an archive since a cohort was locked."""

from __future__ import annotations

from pathlib import Path

import pytest

from cohort_kit import SECRET, kinds
from dicomover import Cohort, ConfigurationError, Mover, NodeUnreachable
from dicomover.testing import DemoPacs, Misbehaviour, made_study


def test_a_path_is_no_cohort() -> None:
    """A lockfile has to be loaded before it is compared."""
    with pytest.raises(ConfigurationError, match=r"takes a Cohort, not str; read a lockfile with Cohort.load\(path\)"):
        Mover("DEMO@127.0.0.1:1").verify("cohort.lock.json")  # type: ignore[arg-type]


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
