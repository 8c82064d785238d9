"""A folder's headers as a table."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dicomover import ConfigurationError, index
from dicomover.errors import NoSuchFileError
from dicomover.images import table as module
from dicomover.images.table import USUAL
from images_kit import make_slice, save


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five slices in two folders, and what lies about there."""
    save(tmp_path / "cohort" / "a", (make_slice(n, (0, 0, n)) for n in range(3)))
    save(tmp_path / "cohort" / "b", (make_slice(n, (0, 0, n), series="2.25.8") for n in range(2)))
    for name in ("notes.txt", "journal.db", "half.part", ".hidden"):
        (tmp_path / "cohort" / name).write_bytes(b"x" * 200)
    return tmp_path / "cohort"


def watch(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return which files are read from now on, as it grows."""
    asked: list[str] = []
    read = module.read_headers

    def watched(root: str, paths: list[str], names: list[str]) -> object:
        asked.extend(paths)
        return read(root, paths, names)

    monkeypatch.setattr(module, "read_headers", watched)
    return asked


def test_a_row_for_each_image(folder: Path) -> None:
    """Each DICOM file has a row with its path, size and keywords, in one dtype each; other files have none."""
    found = index(folder)
    assert [Path(path).relative_to(folder).as_posix() for path in found["path"]] == [
        *("a/000.dcm", "a/001.dcm", "a/002.dcm", "b/000.dcm", "b/001.dcm")
    ]
    assert found["size"].tolist() == [Path(path).stat().st_size for path in found["path"]]
    assert found["InstanceNumber"].tolist() == [0, 1, 2, 0, 1]
    assert found["error"].isna().all()
    assert list(found.columns) == ["path", "size", "TransferSyntaxUID", "error", "headers_only", *USUAL.split()]
    assert (str(found["Rows"].dtype), str(found["RescaleSlope"].dtype)) == ("Int64", "Float64")
    assert str(found["StudyDate"].dtype) == str(index(folder)["StudyDate"].dtype) == "string"


def test_only_what_has_changed_is_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second look opens no file; a file that is new, changed or gone changes its row alone."""
    first = index(folder)
    asked = watch(monkeypatch)
    assert index(folder).equals(first)
    assert asked == []
    save(folder / "c", [make_slice(9, (0, 0, 9))])
    (folder / "b" / "001.dcm").unlink()
    make_slice(7, (0, 0, 7)).save_as(folder / "a" / "001.dcm", enforce_file_format=True)
    os.utime(folder / "a" / "001.dcm", ns=(1, 1))
    assert index(folder)["InstanceNumber"].tolist() == [0, 7, 2, 0, 9]
    assert sorted(asked) == ["a/001.dcm", "c/000.dcm"]


def test_more_is_kept(folder: Path) -> None:
    """A keyword, a tag and a path are columns of their own, also where a table without them was kept."""
    index(folder)
    found = index(folder, keep=["HighBit", "0028,0101", "RequestAttributesSequence.StudyInstanceUID"])
    assert found["HighBit"].tolist() == [11] * 5
    assert found["BitsStored"].tolist() == [12] * 5
    assert found["RequestAttributesSequence.StudyInstanceUID"].isna().all()


def test_a_file_that_cannot_be_read_has_a_reason(folder: Path) -> None:
    """A broken DICOM file is a row that says so, and costs no other."""
    (folder / "a" / "broken.dcm").write_bytes(bytes(128) + b"DICM" + b"\xff" * 400)
    found = index(folder)
    assert len(found) == 6
    assert "cannot be read" in found.loc[found["path"].str.endswith("broken.dcm"), "error"].item()


def test_without_a_cache_nothing_is_written(folder: Path) -> None:
    """`cache=False` leaves the folder as it is."""
    before = sorted(folder.iterdir())
    index(folder, cache=False)
    assert sorted(folder.iterdir()) == before


def test_an_empty_folder_and_a_link_that_leads_back(tmp_path: Path) -> None:
    """No files are no rows with all columns; a folder that links to itself is read once."""
    assert index(tmp_path, cache=False)["path"].tolist() == []
    save(tmp_path, [make_slice(1, (0, 0, 0))])
    (tmp_path / "again").symlink_to(tmp_path)
    assert len(index(tmp_path)) == 1


@pytest.mark.parametrize("wrong", [{"keep": ["Rosw"]}, {"level": "STUDY"}])
def test_what_cannot_be_meant(wrong: dict[str, object], tmp_path: Path) -> None:
    """A name of no attribute and an unknown level are refused."""
    with pytest.raises(ConfigurationError):
        index(tmp_path, **wrong)  # type: ignore[arg-type]


def test_no_such_folder(tmp_path: Path) -> None:
    """A folder that is not there is named as such."""
    with pytest.raises(NoSuchFileError):
        index(tmp_path / "nowhere")


@pytest.mark.parametrize("at_once", [1, 2, 2000])
@pytest.mark.parametrize("parquet", [True, False])
def test_a_name_that_is_no_text_costs_no_other(
    folder: Path, parquet: bool, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file whose name is no UTF-8 has its row each time; the others are not read again for it."""
    monkeypatch.setattr(module, "_AT_ONCE", at_once)
    if parquet:
        pytest.importorskip("pyarrow")
    monkeypatch.setattr("dicomover.images.cache._has_pyarrow", lambda: parquet)
    (folder / "b" / "001.dcm").rename(folder / "b" / "na\udce9me.dcm")
    asked = watch(monkeypatch)
    for _ in range(2):
        found = index(folder)
        assert os.fspath(folder / "b" / "na\udce9me.dcm") in list(found["path"])
        assert found["path"].tolist() == sorted(found["path"])
        assert found["InstanceNumber"].tolist() == [0, 1, 2, 0, 1]
    assert asked[6:] == ["b/na\udce9me.dcm"]


def test_what_a_rerun_has_set_aside_is_no_image(folder: Path) -> None:
    """A version that was put away beside the new one is not counted twice."""
    save(folder / "d", [make_slice(7, (0, 0, 7))])
    (folder / "d" / "000.dcm").rename(folder / "a" / "000.dcm.changed-1")
    assert len(index(folder, cache=False)) == 5


def test_what_could_not_be_read_is_tried_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Permissions change without a trace in the file; a reason is not kept for ever."""
    (folder / "broken.dcm").write_bytes(bytes(128) + b"DICM" + b"\xff" * 400)
    asked = watch(monkeypatch)
    index(folder)
    index(folder)
    assert asked[7:] == ["broken.dcm"]
