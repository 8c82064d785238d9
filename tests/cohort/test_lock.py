"""A lock at an archive: which file it leaves, and what of a patient is in it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cli_kit import wait_until
from cohort_kit import SECRET
from dicomover import Cohort, CohortError, ConfigurationError, Mover, NodeError, RequestError
from dicomover.testing import DemoPacs, Misbehaviour, made_study


def test_every_request_is_locked_whatever_it_comes_to(pacs: DemoPacs, tmp_path: Path) -> None:
    """Found, several studies, nothing, and too many have a row each, and the file says the same as the value."""
    table = pd.DataFrame(
        {"AccessionNumber": ["00123", "TWO", "4711", "B"], "age": [1.5, None, 3, 4]}, index=["w", "x", "y", "z"]
    )
    cohort = Mover(pacs.node, max_matches=2).lock(table, tmp_path / "c.json")
    rows = cohort.requests
    assert list(rows.index) == ["w", "x", "y", "z"]
    assert rows["state"].tolist() == ["found", "found", "not-found", "found"]
    assert rows["matches"].tolist() == [1, 2, 0, 1]
    assert rows["instances"].tolist() == [6, 3, 0, 2]
    assert rows["age"].isna().tolist() == [False, True, False, False]
    assert cohort.studies["series"].tolist() == [2, 1, 1, 1]
    assert sorted(cohort.series["instances"]) == [1, 2, 2, 3, 3]
    held = {instance.sop_instance_uid for each in pacs.studies for instance in each.instances()}
    assert set(cohort.instances["SOPInstanceUID"]) == held
    again = Cohort.load(tmp_path / "c.json")
    assert again == cohort
    pd.testing.assert_frame_equal(again.requests, rows)
    assert "P-1" not in repr(cohort)
    assert repr(cohort) == repr(again)
    narrow = Mover(pacs.node, max_matches=1).lock(table, path=None)
    assert narrow.requests["state"].tolist() == ["found", "too-many", "not-found", "found"]
    assert narrow.requests["matches"].isna().tolist() == [False, True, False, False]


def test_two_locks_have_the_same_hash(pacs: DemoPacs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In whichever order the archive answers, at whichever time, with or without a file there."""
    rows = [{"AccessionNumber": "TWO"}, {"AccessionNumber": "00123"}, {"AccessionNumber": "nobody"}]
    mover = Mover(pacs.node)
    first = mover.lock(rows, tmp_path / "c.json")
    hidden = mover.lock(rows, path=None, privacy="hashed", secret=SECRET)
    before = (tmp_path / "c.json").read_bytes()
    from dicomover.wire.lines import Line

    find = Line.find
    monkeypatch.setattr(Line, "find", lambda *args, **more: find(*args, **more)[::-1])
    second = mover.lock(rows, tmp_path / "c.json")
    assert second.hash == first.hash
    assert second.created == first.created, "the file that was there should be what is returned"
    assert (tmp_path / "c.json").read_bytes() == before
    assert mover.lock(rows, path=None, privacy="hashed", secret=SECRET).hash == hidden.hash != first.hash


def test_a_lockfile_that_says_otherwise_stays(pacs: DemoPacs, tmp_path: Path) -> None:
    """A changed archive does not replace what was locked, unless that is said."""
    mover, path = Mover(pacs.node), tmp_path / "c.json"
    first = mover.lock({"AccessionNumber": "TWO"}, path)
    pacs.add(made_study("TWO", number=3))
    with pytest.raises(CohortError, match=r"c\.json was locked on .* says otherwise"):
        mover.lock({"AccessionNumber": "TWO"}, path)
    assert Cohort.load(path) == first
    second = mover.lock({"AccessionNumber": "TWO"}, path, overwrite=True)
    assert Cohort.load(path) == second != first
    path.write_text("{}")
    asked = len(pacs.requests)
    with pytest.raises(CohortError, match="is no lockfile"):
        mover.lock({"AccessionNumber": "TWO"}, path)
    assert len(pacs.requests) == asked, "the archive was asked although the result could not be kept"


def test_hashed_keys_name_no_patient(pacs: DemoPacs, tmp_path: Path) -> None:
    """Neither keys, nor rows, nor labels can be read in the file; with the secret they come back."""
    table = pd.DataFrame({"PatientID": ["P-1", "P-3"], "name": ["Canary^One", "Canary^Two"]}, index=["mrn-1", "mrn-2"])
    path = tmp_path / "c.json"
    cohort = Mover(pacs.node).lock(table, path, privacy="hashed", secret=SECRET)
    text = path.read_text()
    for secret in ("P-1", "P-3", "Canary", "mrn-1", SECRET):
        assert secret not in text
    assert pacs.study("00123").study_instance_uid in text
    blind = Cohort.load(path)
    assert blind == cohort
    assert not blind.is_readable
    assert "P-1" not in blind.requests.to_string()
    assert blind.requests["instances"].tolist() == [6, 2]
    seeing = Cohort.load(path, secret=SECRET)
    pd.testing.assert_frame_equal(seeing.given, cohort.given)
    assert seeing.given["name"].tolist() == ["Canary^One", "Canary^Two"]
    assert list(seeing.given.index) == ["mrn-1", "mrn-2"]
    with pytest.raises(ConfigurationError, match="begun with another secret"):
        Cohort.load(path, secret="another good secret")
    Mover(pacs.node).lock(table, tmp_path / "plain.json")
    with pytest.raises(ConfigurationError, match="a secret was given"):
        Cohort.load(tmp_path / "plain.json", secret=SECRET)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"privacy": "hashed"}, "needs secret="),
        ({"privacy": "hashed", "secret": "short"}, "can be guessed"),
        ({"secret": SECRET}, "a secret was given"),
        ({"privacy": "none"}, "neither 'plain' nor 'hashed'"),
    ],
)
def test_privacy_that_cannot_be_meant(pacs: DemoPacs, options: dict[str, Any], says: str) -> None:
    """It is refused before the archive is asked."""
    with pytest.raises(ConfigurationError, match=says):
        Mover(pacs.node).lock({"AccessionNumber": "B"}, path=None, **options)
    assert not pacs.requests


def test_an_unknown_option_of_lock_is_an_error(pacs: DemoPacs) -> None:
    """As for every verb."""
    with pytest.raises(TypeError, match="cannot be said per call"):
        Mover(pacs.node).lock({"AccessionNumber": "A"}, path=None, unknown=1)  # type: ignore[call-arg]


def test_a_lock_works_side_by_side() -> None:
    """Over as many associations as are allowed, or as the archive takes; the hash is the same."""
    studies = [made_study(f"S{number}") for number in range(8)]
    rows = [{"AccessionNumber": study.accession_number} for study in studies]
    slow = {"*": Misbehaviour("find-slow", seconds=0.02)}
    hashes = set()
    for allowed, taken in ((None, 4), (2, 2), (1, 1)):
        with DemoPacs(studies, misbehave=slow, max_associations=allowed) as pacs:
            cohort = Mover(pacs.node, associations=4).lock(rows, path=None)
            assert pacs.most_associations == taken
            wait_until(lambda: not pacs.open_associations)
        hashes.add(cohort.hash)
    assert len(hashes) == 1


def test_what_stops_a_lock_stops_all_of_it() -> None:
    """An archive that aborts one C-FIND again and again is an error at once, though it never answers another one."""
    studies = [made_study("A"), made_study("B")]
    with DemoPacs(studies, misbehave={"A": "find-hangs", "B": "find-aborts"}) as pacs:
        begun = time.monotonic()
        with pytest.raises(NodeError):
            Mover(pacs.node).lock([{"AccessionNumber": "A"}, {"AccessionNumber": "B"}], path=None)
        assert time.monotonic() - begun < 20


@pytest.mark.parametrize("level", ["STUDY", "SERIES", "IMAGE"])
def test_what_is_another_patients_is_not_locked(level: str) -> None:
    """An archive that takes no notice of the PatientID is asked whose the study is, and believed."""
    study = made_study("00123", patient="P-1", instances=2)
    keys = {"StudyInstanceUID": study.study_instance_uid}
    if level != "STUDY":
        keys["SeriesInstanceUID"] = study.series[0].series_instance_uid
    if level == "IMAGE":
        keys["SOPInstanceUID"] = study.instances()[0].sop_instance_uid
    with DemoPacs([study], ignores_patient=True) as pacs:
        rows = Mover(pacs.node).lock([{"PatientID": name, **keys} for name in ("P-1", "NOBODY")], path=None).requests
    assert rows["state"].tolist() == ["found", "not-found"]


@pytest.mark.parametrize("hidden", [{}, {"privacy": "hashed", "secret": SECRET}], ids=["plain", "hashed"])
def test_a_bad_row_stops_no_lock(pacs: DemoPacs, tmp_path: Path, hidden: dict[str, Any]) -> None:
    """With invalid="record" it is locked as invalid, without its value, and moved, verified and listed as that."""
    table = pd.DataFrame({"AccessionNumber": ["MILLER*", "00123", None], "age": [1, 2, 3]}, index=["x", "y", "z"])
    path = tmp_path / "c.json"
    with Mover(pacs.node, receive=tmp_path / "in", port=0, progress="none") as mover:
        pacs.destinations["MOVESCU"] = mover.port or 0
        with pytest.raises(RequestError):
            mover.lock(table, path, **hidden)
        mover.lock(table, path, invalid="record", **hidden)
        cohort = Cohort.load(path, secret=hidden.get("secret"))
        rows = cohort.requests
        assert rows["state"].tolist() == ["invalid", "found", "invalid"]
        assert rows["matches"].isna().tolist() == [True, False, True]
        assert rows["age"].tolist() == [1, 2, 3]
        assert "MILLER" not in rows["note"].str.cat()
        assert "wildcards=True" in rows["note"]["x"]
        assert rows["note"]["z"] == "AccessionNumber is blank, fill it in, or drop the row"
        summary = mover.move(cohort)
        assert summary["status"].astype(str).tolist() == ["invalid", "success", "invalid"]
        assert summary["error"]["z"] == rows["note"]["z"]
        assert mover.plan(cohort)["decision"].tolist() == ["invalid", "skip", "invalid"]
        assert set(mover.files(cohort)["request"]) == {"y"}
        assert mover.verify(cohort).empty
        assert mover.verify(cohort, look_again=False).empty
        assert cohort.check(tmp_path / "in").empty
        assert mover.lock(table.iloc[[0]], path=None, invalid="record").requests["state"].tolist() == ["invalid"]


def test_a_file_that_is_no_lockfile_is_nobodys_to_replace(tmp_path: Path) -> None:
    """Whoever names a file of another kind is told so, and what to do; it stays as it is."""
    path = tmp_path / "notes.txt"
    path.write_text("my notes")
    with DemoPacs([made_study("A")]) as pacs, pytest.raises(CohortError) as caught:
        Mover(pacs.node).lock({"AccessionNumber": "A"}, path)
    assert "there is a file already, and notes.txt is no lockfile" in str(caught.value)
    assert "name another file" in str(caught.value)
    assert "overwrite=True" in str(caught.value)
    assert path.read_text() == "my notes"
