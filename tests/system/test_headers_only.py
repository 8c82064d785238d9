"""What is moved without its pixels says so everywhere, and is never taken for an image."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydicom import dcmread

from dicomover import Mover, index, to_nifti, volume
from dicomover.errors import ConfigurationError, SeriesError
from dicomover.testing import DemoPacs, data_set_of_file, made_study, sample_studies
from dicomover.testing import _moves as moves
from dicomover.testing._storing import StoreAssociation
from dicomover.wire.command_set import Command

REQUEST = {"AccessionNumber": "00123"}


def mover_for(pacs: DemoPacs, folder: Path, **options: Any) -> Mover:
    """Make a Mover that receives into a folder, open, and known to the archive."""
    mover = Mover(pacs.node, receive=folder, port=0, progress="none", **options).open()
    if mover.port:
        pacs.destinations[mover.ae_title] = mover.port
    return mover


@pytest.mark.parametrize("via", ["move", "get"])
def test_headers_come_first_and_images_later(tmp_path: Path, via: Any) -> None:
    """Headers are a success, read by anybody, skipped by a rerun for headers, and replaced by a move of the images."""
    with (
        DemoPacs([made_study("00123", instances=3)]) as pacs,
        mover_for(pacs, tmp_path, via=via, headers_only=True) as mover,
    ):
        first = mover.move([REQUEST])
        files = mover.files(first)
        assert first[["status", "expected", "received"]].values.tolist() == [["success", 3, 3]]
        assert files["headers_only"].all()
        assert files["intact"].all()
        header = dcmread(files["path"][0])
        assert "PixelData" not in header
        assert header.Rows == 32
        assert mover.move([REQUEST])["status"].tolist() == ["skipped"]
        with pytest.raises(SeriesError, match="headers only"):
            volume(files)
        assert index(tmp_path)["headers_only"].tolist() == [True] * 3
        assert index(tmp_path, level="SERIES")["irregular"].tolist() == ["3 of its files are headers only"]
        assert mover.plan([REQUEST])["decision"].tolist() == ["skip"]
        assert mover.plan([REQUEST], headers_only=False)["decision"].tolist() == ["move"]

        second = mover.move([REQUEST], headers_only=False)
        images = mover.files(second)
        assert second[["status", "received"]].values.tolist() == [["success", 3]]
        assert sorted(images["path"]) == sorted(files["path"])
        assert not images["headers_only"].any()
        assert second["bytes"][0] > first["bytes"][0]
        assert volume(images).array.shape == (3, 32, 32)
        assert mover.move([REQUEST])["status"].tolist() == ["skipped"]
        assert mover.move([REQUEST], headers_only=False)["status"].tolist() == ["skipped"]
        assert len(list(tmp_path.rglob("*.dcm"))) == 3


@pytest.mark.parametrize("accession", ["DEMO0024", "DEMO0025"])
def test_what_has_no_pixels_is_whole(accession: str, tmp_path: Path) -> None:
    """A report or a plan that was asked for as headers is here as the archive has it, and says so."""
    studies = sample_studies()
    held = {each.sop_instance_uid: each.data_set_bytes() for study in studies for each in study.instances()}
    with DemoPacs(studies) as pacs, mover_for(pacs, tmp_path, headers_only=True) as mover:
        files = mover.files(mover.move([{"AccessionNumber": accession}]))
        kept = [data_set_of_file(Path(path).read_bytes()) for path in files["path"]]
        is_whole = [data == held[uid] for data, uid in zip(kept, files["SOPInstanceUID"], strict=True)]
        assert any(is_whole)
        assert files["headers_only"].tolist() == [not each for each in is_whole]
        told = index(tmp_path).set_index("path")["headers_only"]
        assert told[files["path"]].tolist() == [not each for each in is_whole]
        again = mover.move([{"AccessionNumber": accession}], headers_only=False)
        assert again["status"].tolist() == ["skipped" if all(is_whole) else "success"]


def test_no_other_program_is_given_headers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lacks its pixels is refused before dcm2niix could make nothing of it."""
    monkeypatch.setitem(sys.modules, "dcm2niix", SimpleNamespace(bin="/no/such/program"))
    with DemoPacs([made_study("00123")]) as pacs, mover_for(pacs, tmp_path / "in", headers_only=True) as mover:
        files = mover.files(mover.move([REQUEST]))
    with pytest.raises(SeriesError, match="headers only"):
        to_nifti(files, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_headers_take_no_image_away(tmp_path: Path) -> None:
    """Where the images are here, headers that come once more change nothing, and count as what is here."""
    with DemoPacs([made_study("00123", instances=2)]) as pacs:
        with mover_for(pacs, tmp_path, journal=None) as mover:
            images = mover.move([REQUEST])
        with mover_for(pacs, tmp_path, journal=None, headers_only=True) as mover:
            headers = mover.move([REQUEST])
        assert headers[["status", "bytes"]].values.tolist() == images[["status", "bytes"]].values.tolist()
        assert not index(tmp_path)["headers_only"].any()


def test_a_cohort_misses_the_images_of_headers(tmp_path: Path) -> None:
    """A lockfile finds no image in a file that lacks the pixels."""
    with DemoPacs([made_study("00123", instances=2)]) as pacs, mover_for(pacs, tmp_path, headers_only=True) as mover:
        cohort = mover.lock([REQUEST], path=None)
        mover.move(cohort)
        assert cohort.check(tmp_path)["kind"].tolist() == ["missing"] * 2
        mover.move(cohort, headers_only=False)
        assert cohort.check(tmp_path).empty


def test_nobody_else_is_asked_for_headers_alone() -> None:
    """What a third party keeps is not ours to say."""
    with pytest.raises(ConfigurationError, match="is for receiving"):
        Mover("ARCHIVE@localhost:11112", destination="WORKSTATION", headers_only=True)


@pytest.fixture
def crossed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the bytes of each data set that the archive sends."""
    sizes: list[int] = []
    request = StoreAssociation._request

    def count(self: StoreAssociation, *about: Any) -> tuple[Command, bytes]:
        command, data = request(self, *about)
        sizes.append(len(data))
        return command, data

    monkeypatch.setattr(StoreAssociation, "_request", count)
    return sizes


def test_pixels_do_not_cross_the_wire_where_the_archive_can_leave_them_out(tmp_path: Path, crossed: list[int]) -> None:
    """Headers alone come by retrieval without bulk data, are marked as such, and images take their place later."""
    studies = [made_study("00123", series=2, instances=3, size=1 << 20)]
    with (
        DemoPacs(studies, without_bulk=True) as pacs,
        mover_for(pacs, tmp_path, via="get", headers_only=True) as mover,
    ):
        first = mover.move([REQUEST])
        assert first[["status", "expected", "received"]].values.tolist() == [["success", 6, 6]], first["error"][0]
        assert len(crossed) == 6
        assert sum(crossed) < 10_000
        files = mover.files(first)
        assert files["headers_only"].all()
        assert all("PixelData" not in dcmread(path) for path in files["path"])
        gets = [request for request in pacs.requests if request.kind == "C-GET"]
        assert [(request.model, request.level) for request in gets] == [("IMAGE", "IMAGE")] * 2
        assert {frozenset(request.keys) for request in gets} == {frozenset({"QueryRetrieveLevel", "SOPInstanceUID"})}
        assert mover.move([REQUEST])["status"].tolist() == ["skipped"]

        second = mover.move([REQUEST], headers_only=False)
        assert second[["status", "received"]].values.tolist() == [["success", 6]]
        assert sum(crossed) > 6 << 20
        assert not mover.files(second)["headers_only"].any()
        assert len(list(tmp_path.rglob("*.dcm"))) == 6


@pytest.mark.parametrize("accession", ["DEMO0024", "DEMO0025"])
def test_whatever_comes_without_bulk_is_headers(accession: str, tmp_path: Path) -> None:
    """Nobody can see of a data set whether something was left out: what was asked for so is no image later."""
    with (
        DemoPacs(sample_studies(), without_bulk=True) as pacs,
        mover_for(pacs, tmp_path, via="get", headers_only=True) as mover,
    ):
        first = mover.move([{"AccessionNumber": accession}])
        assert first["status"].tolist() == ["success"], first["error"][0]
        assert mover.files(first)["headers_only"].all()
        again = mover.move([{"AccessionNumber": accession}], headers_only=False)
        assert again["status"].tolist() == ["success"], again["error"][0]
        assert not mover.files(again)["headers_only"].any()


def test_what_does_not_come_without_bulk_comes_as_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive that accepts it and then cannot is asked for the rest, whose pixels are thrown away here."""
    strip = moves.strip_bulk
    monkeypatch.setattr(
        moves,
        "strip_bulk",
        lambda instance: (
            replace(strip(instance), transfer_syntax_uid="1.2.3") if instance.number == "2" else strip(instance)
        ),
    )
    with (
        DemoPacs([made_study("00123", instances=3)], without_bulk=True) as pacs,
        mover_for(pacs, tmp_path, via="get", headers_only=True) as mover,
    ):
        (row,) = mover.move([REQUEST]).to_dict("records")
        assert (row["status"], row["received"], row["failed"], row["attempts"]) == ("success", 3, 0, 2), row["error"]
        assert [request.model for request in pacs.requests if request.kind == "C-GET"] == ["IMAGE", "STUDY"]
        assert index(tmp_path)["headers_only"].tolist() == [True] * 3
