"""A cohort held against a folder: presence, content, and files that are odd."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pandas as pd
import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from cohort_kit import cohort_of, locked
from dicomover import Cohort, CohortError, Mover
from dicomover.cohort.content import LockedSeries, LockedStudy, LockState
from dicomover.cohort.folder import digest_file, index_folder, read_file
from dicomover.testing import DemoPacs, Study, made_study, sample_studies

A = made_study("A", series=2, instances=2)


def of(*studies: Study) -> Cohort:
    """Lock studies without an archive, one request each."""
    requests = []
    for label, each in enumerate(studies):
        parts = tuple(
            LockedSeries(part.series_instance_uid, "CT", tuple(i.sop_instance_uid for i in part.instances))
            for part in each.series
        )
        requests.append(locked(LockedStudy(each.study_instance_uid, parts), label=label))
    return cohort_of(*requests)


def written(folder: Path, *studies: Study) -> dict[str, Path]:
    """Write studies into a folder, and return the files by SOP Instance UID."""
    paths = {}
    for each in studies:
        for instance in each.instances():
            path = folder / each.patient_id / f"{instance.sop_instance_uid}.dcm"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(instance.file_bytes())
            paths[instance.sop_instance_uid] = path
    return paths


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the study A."""
    written(tmp_path, A)
    return tmp_path


def files(folder: Path) -> list[Path]:
    """Return the DICOM files of a folder, in order."""
    return sorted(folder.rglob("*.dcm"))


# --- presence


def test_a_folder_that_is_as_locked(folder: Path) -> None:
    """Nothing is said of files that are no DICOM, nor of what a receiver has not finished."""
    (folder / "journal.db").write_bytes(b"SQLite")
    (folder / "notes.txt").write_text("DICM")
    shutil.copy(files(folder)[0], folder / "1-2-3.part")
    table = of(A).check(folder)
    assert table.empty
    assert list(table.columns) == [
        "request",
        "kind",
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "SOPInstanceUID",
        "path",
        "note",
    ]


def test_missing_and_gained(folder: Path) -> None:
    """An instance that is not there, and one that nobody locked."""
    gone = files(folder)[0]
    gone.unlink()
    written(folder, made_study("B", instances=1))
    table = of(A).check(folder)
    assert table["kind"].tolist() == ["missing", "gained"]
    assert table["SOPInstanceUID"][0] == gone.stem
    assert table["request"].tolist() == [0, None]
    assert table["path"].isna().tolist() == [True, False]
    assert (folder / table["path"][1]).is_file()


def test_the_name_of_a_file_does_not_matter(folder: Path) -> None:
    """Files are known by what stands in them, wherever they lie."""
    for number, path in enumerate(files(folder)):
        (folder / f"deep/{number}").mkdir(parents=True)
        path.rename(folder / f"deep/{number}/IM{number:06d}")
    assert of(A).check(folder).empty


def test_one_instance_of_two_requests(folder: Path) -> None:
    """What several rows have locked is missing in each of them."""
    files(folder)[0].unlink()
    assert of(A, A).check(folder)["request"].tolist() == [0, 1]


def test_a_file_of_another_study(folder: Path) -> None:
    """An instance whose header names another series or study is changed."""
    for path, keyword in zip(files(folder), ("SeriesInstanceUID", "StudyInstanceUID"), strict=False):
        data = dcmread(path)
        setattr(data, keyword, "1.2.3")
        data.save_as(path)
    table = of(A).check(folder)
    assert table["kind"].tolist() == ["changed", "changed"]
    assert [note.rsplit(" ", 1)[1] for note in table["note"]] == ["series", "study"]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """It is an error, not a folder without files."""
    with pytest.raises(FileNotFoundError):
        of(A).check(tmp_path / "nope")


@pytest.mark.parametrize("raw", [b"", b"no DICOM", bytes(128) + b"DICM", bytes(128) + b"DICM" + b"\xff" * 400])
def test_a_file_that_should_be_dicom(folder: Path, raw: bytes) -> None:
    """A `.dcm` file that cannot be read is corrupt, even if nobody knows what it was."""
    (folder / "broken.dcm").write_bytes(raw)
    table = of(A).check(folder)
    assert table["kind"].tolist() == ["corrupt"]
    assert table["path"].tolist() == ["broken.dcm"]


def test_a_file_that_ends_in_its_head(folder: Path) -> None:
    """What is left of an instance is corrupt, and the instance missing."""
    path = files(folder)[0]
    path.write_bytes(path.read_bytes()[:500])
    assert sorted(of(A).check(folder)["kind"]) == ["corrupt", "missing"]


# --- content


def test_a_seal_finds_what_has_changed(folder: Path) -> None:
    """A flipped bit, a lost end and another transfer syntax; the file meta information does not matter."""
    cohort = of(A).seal(folder)
    assert cohort.is_sealed
    assert cohort.hash == of(A).hash
    assert cohort.check(folder).empty
    flipped, cut, other, meta = files(folder)
    raw = bytearray(flipped.read_bytes())
    raw[-7] ^= 1
    flipped.write_bytes(raw)
    cut.write_bytes(cut.read_bytes()[:-100])
    data = dcmread(other)
    data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    data.save_as(other, implicit_vr=True, little_endian=True)
    data = dcmread(meta)
    data.file_meta.SourceApplicationEntityTitle = "ELSEWHERE"
    data.save_as(meta)
    assert of(A).check(folder).empty, "without a seal nothing is known of the content"
    assert cohort.check(folder, content=False).empty
    table = cohort.check(folder)
    found = {row.SOPInstanceUID: (row.kind, row.note) for row in table.itertuples()}
    assert set(found) == {flipped.stem, cut.stem, other.stem}
    assert found[flipped.stem] == (
        "corrupt",
        "the bytes of the data set are not those that were recorded (SHA-256)",
    )
    assert found[cut.stem][0] == "corrupt"
    assert "bytes" in found[cut.stem][1]
    assert found[other.stem][0] == "changed"
    assert "transfer syntax" in found[other.stem][1]


def test_two_files_of_one_instance(folder: Path) -> None:
    """A copy is no change; other bytes under the same UID are a conflict, sealed or not."""
    path = files(folder)[0]
    shutil.copy(path, folder / "copy.dcm")
    assert of(A).check(folder).empty
    cohort = of(A).seal(folder)
    raw = bytearray(path.read_bytes())
    raw[-7] ^= 1
    (folder / "copy.dcm").write_bytes(raw)
    assert of(A).check(folder)["kind"].tolist() == ["conflict"]
    assert sorted(cohort.check(folder)["kind"]) == ["conflict", "corrupt"]
    with pytest.raises(CohortError, match="1 conflict; check"):
        of(A).seal(folder)


def test_a_seal_needs_all_of_it(folder: Path) -> None:
    """What is missing is refused, unless that is said; what nobody locked does not matter."""
    written(folder, made_study("B"))
    files(folder)[0].unlink()
    with pytest.raises(CohortError, match="1 missing; move the cohort again, or say partial=True"):
        of(A).seal(folder)
    cohort = of(A).seal(folder, partial=True)
    assert len(cohort.document.digests) == 3
    assert sorted(cohort.check(folder)["kind"]) == ["gained"] * 3 + ["missing"]


def test_a_seal_is_not_broken_by_another_one(folder: Path) -> None:
    """What was recorded stays recorded: other bytes are refused, and what is gone by now keeps its digest."""
    cohort = of(A).seal(folder)
    files(folder)[0].unlink()
    assert cohort.seal(folder, partial=True) == cohort
    path = files(folder)[0]
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CohortError, match="1 corrupt"):
        cohort.seal(folder, partial=True)


def test_a_seal_is_saved(folder: Path, tmp_path: Path) -> None:
    """Digests stand in the file and in the table of instances."""
    cohort = of(A).seal(folder)
    cohort.save(tmp_path / "c.json")
    again = Cohort.load(tmp_path / "c.json")
    assert again == cohort
    assert again.instances["sha256"].str.len().tolist() == [64] * 4
    assert of(A).instances["sha256"].isna().all()
    instance = A.instances()[0]
    assert again.instances["size"][0] == len(instance.data_set_bytes())


def test_what_arrives_has_the_digest_that_was_sent(tmp_path: Path) -> None:
    """The seal is over the bytes of the data set as the archive sent them."""
    with DemoPacs([A]) as pacs, Mover(pacs.node, receive=tmp_path / "in", port=0, progress="none") as mover:
        pacs.destinations["MOVESCU"] = mover.port
        cohort = mover.lock({"AccessionNumber": "A"}, path=None)
        mover.move(cohort)
    sealed = cohort.seal(tmp_path / "in")
    for instance in A.instances():
        digest = sealed.document.digests[instance.sop_instance_uid]
        assert digest.sha256 == hashlib.sha256(instance.data_set_bytes()).hexdigest()


# --- reading files


@pytest.mark.parametrize("each", sample_studies(), ids=lambda each: each.study_instance_uid[-12:])
def test_heads_are_read_as_pydicom_reads_them(tmp_path: Path, each: Study) -> None:
    """UIDs and transfer syntax of every sample file are those that pydicom finds."""
    for number, instance in enumerate(each.instances()):
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(instance.file_bytes())
        found = read_file(str(path))
        data = dcmread(path, stop_before_pixels=True)
        assert found is not None
        assert found.sop == data.SOPInstanceUID
        assert found.study == data.get("StudyInstanceUID", "")
        assert found.series == data.get("SeriesInstanceUID", "")
        assert found.transfer_syntax == data.file_meta.TransferSyntaxUID
        assert digest_file(found).size == len(instance.data_set_bytes())


@pytest.mark.parametrize("syntax", [DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_odd_transfer_syntaxes(tmp_path: Path, syntax: str) -> None:
    """Deflated and big endian files are read too."""
    names = {DeflatedExplicitVRLittleEndian: "image_dfl.dcm", ExplicitVRBigEndian: "MR_small_bigendian.dcm"}
    path = tmp_path / "odd.dcm"
    shutil.copy(str(get_testdata_file(names[syntax])), path)
    found = read_file(str(path))
    assert found is not None
    assert (found.sop, found.transfer_syntax) == (dcmread(path).SOPInstanceUID, syntax)


def test_a_long_head(tmp_path: Path) -> None:
    """A private sequence of 3 MB before the UIDs is passed over."""
    data = dcmread(BytesIO(A.instances()[0].file_bytes()))
    block = data.private_block(0x0009, "TEST", create=True)
    item = Dataset()
    item.add_new(0x00091001, "OB", bytes(3 << 20))
    block.add_new(2, "SQ", Sequence([item]))
    data.save_as(tmp_path / "long.dcm")
    found = read_file(str(tmp_path / "long.dcm"))
    assert found is not None
    assert found.series == data.SeriesInstanceUID


def test_a_folder_of_links(tmp_path: Path) -> None:
    """Links are followed to files and folders, and nowhere else; a folder that leads to itself ends all the same."""
    written(tmp_path / "store", A)
    (tmp_path / "view").mkdir()
    apart = files(tmp_path / "store")[0].rename(tmp_path / "apart.dcm")
    (tmp_path / "view" / "one.dcm").symlink_to(apart)
    (tmp_path / "view" / "zero.dcm").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "view" / "pipe.dcm").symlink_to(tmp_path / "pipe")
    (tmp_path / "view" / "patients").symlink_to(tmp_path / "store", target_is_directory=True)
    (tmp_path / "store" / "again").symlink_to(tmp_path / "view", target_is_directory=True)
    (tmp_path / "view" / "dead.dcm").symlink_to(tmp_path / "nowhere")
    assert of(A).check(tmp_path / "view").empty
    assert [len(found) for found in index_folder(tmp_path / "view").files.values()] == [1] * 4


def test_no_path_is_shown(folder: Path) -> None:
    """A path may name a patient, so neither a repr nor a note has one; the column `path` does."""
    (folder / A.patient_id / "broken.dcm").touch()
    files(folder)[0].unlink()
    table = of(A).check(folder)
    assert table["path"].str.contains(A.patient_id).tolist() == [pd.NA, True]
    assert not table["note"].str.contains(A.patient_id).any()
    found = read_file(str(files(folder)[0]))
    assert A.patient_id not in repr(found)


def test_a_request_without_studies(tmp_path: Path) -> None:
    """Nothing is missing of what had no match."""
    assert cohort_of(locked()).check(tmp_path).empty


@pytest.mark.parametrize("state", [LockState.REFUSED, LockState.CUT_SHORT])
def test_nobody_knows_what_an_archive_never_named(folder: Path, state: LockState) -> None:
    """A folder does not agree with a list that was refused or cut short; what was named is sealed all the same."""
    one, two = of(A, made_study("B")).locked
    unsaid = replace(two, state=state, studies=(), note="the archive has said no")
    cohort = cohort_of(one, unsaid).seal(folder)
    assert cohort.is_sealed
    drift = cohort.check(folder)
    assert drift[["request", "kind"]].to_numpy().tolist() == [[1, "unknown"]]
    assert drift["note"].tolist() == ["when it was locked: the archive has said no"]
