"""A find of series or images by keys of their study: the studies are looked up first."""

from __future__ import annotations

import json

import pytest

from cli_kit import Shell, peer
from dicomover import ConfigurationError, Mover, RequestError
from dicomover.query import drilldown
from dicomover.testing import DemoPacs, made_study


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Shell:
    """Run a command in this process."""
    return Shell(capsys)


@pytest.fixture
def pacs() -> DemoPacs:
    """Start an archive with two studies."""
    with DemoPacs([made_study("00123", instances=4), made_study("00124", instances=2)]) as archive:
        yield archive


@pytest.mark.parametrize("level", ["PATIENT", "study", "Series", "IMAGE", "instance"])
def test_find_works_at_every_level(run: Shell, pacs: DemoPacs, level: str) -> None:
    """-L takes any level in any case, INSTANCE too."""
    study = pacs.study("00123")
    keys = ["-k", f"PatientID={study.patient_id}"] if level == "PATIENT" else []
    if level not in ("PATIENT", "study"):
        keys += ["-k", f"StudyInstanceUID={study.study_instance_uid}"]
    if level in ("IMAGE", "instance"):
        keys += ["-k", f"SeriesInstanceUID={study.series[0].series_instance_uid}"]
    ran = run("find", "-L", level, *(keys or ["-k", "AccessionNumber=00123"]), *peer(pacs))
    assert ran.code == 0
    assert len(ran.out.splitlines()) == (5 if level in ("IMAGE", "instance") else 2)


def test_find_refuses_a_key_of_a_level_below(run: Shell, pacs: DemoPacs) -> None:
    """Modality is no key of a study: that is an error, as for a move, and no empty answer."""
    ran = run("find", "-k", "Modality=CT", *peer(pacs))
    assert (ran.code, ran.out, pacs.requests) == (2, "", [])
    assert "belongs to level SERIES, below level STUDY; ask at level SERIES, or use ModalitiesInStudy" in ran.err
    assert run("find", "-k", "Modality", "-k", "AccessionNumber=00123", *peer(pacs)).code == 0


def test_find_looks_up_the_studies_of_a_find_below(run: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Series and images are found by keys of their study, as a move finds them."""
    studies = [made_study("TWO", series=2, instances=3, number=n) for n in (1, 2)]
    asked = ["-k", "AccessionNumber=TWO"]
    with DemoPacs([*studies, made_study("ONE")]) as pacs:
        ran = run("find", "-L", "SERIES", *asked, "--json", *peer(pacs))
        assert ran.code == 0
        assert {row["StudyInstanceUID"] for row in json.loads(ran.out)} == {one.study_instance_uid for one in studies}
        assert {row["AccessionNumber"] for row in json.loads(ran.out)} == {"TWO"}
        assert "4 series found" in ran.err
        assert "12 images found" in run("find", "-L", "IMAGE", *asked, *peer(pacs)).err
        assert (
            "5 images (--limit 5; there may be more) found"
            in run("find", "-L", "IMAGE", *asked, "--limit", 5, *peer(pacs)).err
        )
        assert "0 series found" in run("find", "-L", "SERIES", *asked, "-k", "Modality=XX", *peer(pacs)).err
        assert run("find", "-L", "SERIES", "-k", "AccessionNumber=NONE", *peer(pacs)).code == 1
        ran = run("find", "-P", "-L", "SERIES", "-k", "PatientID=DEMO-TWO", *peer(pacs))
        assert "4 series found" in ran.err
        monkeypatch.setattr(drilldown, "MOST", 1)
        ran = run("find", "-L", "SERIES", *asked, *peer(pacs))
        assert ran.code == 2
        assert "more than 1 studies match; narrow the keys" in ran.err


def test_a_mover_finds_below_as_the_command_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """`Mover.find` at SERIES and IMAGE looks up the study by whatever key it has, however the key is written."""
    studies = [made_study("TWO", series=2, instances=3, number=n) for n in (1, 2)]
    with DemoPacs([*studies, made_study("ONE")]) as pacs, Mover(pacs.node) as mover:
        series = mover.find({"0008,0050": "TWO"}, level="SERIES", returned=["StationName"])
        assert len(series) == 4
        assert set(series["AccessionNumber"]) == {"TWO"}
        assert "StationName" in series.columns
        assert len(mover.find({"AccessionNumber": "TWO"}, level="IMAGE")) == 12
        assert len(mover.find({"AccessionNumber": "TWO"}, level="IMAGE", limit=5)) == 5
        nothing = mover.find({"AccessionNumber": "NONE"}, level="SERIES", returned=["StationName"])
        assert (len(nothing), set(series.columns) - {"AccessionNumber"} <= set(nothing.columns)) == (0, True)
        assert len(mover.find({"PatientID": "DEMO-TWO"}, level="SERIES", model="patient")) == 4
        before = len(pacs.requests)
        with pytest.raises(RequestError, match="StudyInstanceUID"):
            mover.find({"Modality": "CT"}, level="SERIES")
        assert len(pacs.requests) == before
        monkeypatch.setattr(drilldown, "MOST", 1)
        with pytest.raises(ConfigurationError, match="more than 1 studies match; narrow the keys"):
            mover.find({"AccessionNumber": "TWO"}, level="SERIES")
