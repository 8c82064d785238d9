"""The header of one file, read by its lengths or by pydicom."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from dicomover.attributes.attribute import NoKey
from dicomover.attributes.reading import read_text
from dicomover.dicomfile import HeadError
from dicomover.images.headers import Wanted, read_header
from dicomover.images.order import sort_files
from dicomover.images.table import USUAL
from images_kit import make_slice, save

FILES = (
    *("CT_small.dcm", "MR_small.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm", "image_dfl.dcm"),
    *("JPEG2000.dcm", "rtdose.dcm", "rtplan.dcm", "reportsi.dcm", "test-SR.dcm", "examples_palette.dcm"),
    *("nested_priv_SQ.dcm", "UN_sequence.dcm", "SC_rgb_jpeg.dcm", "waveform_ecg.dcm", "no_meta_group_length.dcm"),
)


@pytest.mark.filterwarnings("ignore:Expected explicit VR")
@pytest.mark.parametrize("name", FILES)
def test_it_says_what_pydicom_says(name: str) -> None:
    """Of files of every kind each usual keyword has the value that pydicom finds."""
    path = get_testdata_file(name)
    header = read_header(path, Wanted(USUAL.split()))
    assert header is not None
    dataset = dcmread(path, stop_before_pixels=True)
    if "bigendian" in name:
        dataset.decode()  # else its numbers stay bytes
    assert header.transfer_syntax == dataset.file_meta.TransferSyntaxUID
    for keyword, value in zip(USUAL.split(), header.values, strict=True):
        assert (value or "") == read_text(dataset, keyword), keyword
    assert any(header.values) or name in ("nested_priv_SQ.dcm", "UN_sequence.dcm")


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_every_transfer_syntax_is_read(syntax: str, tmp_path: Path) -> None:
    """Binary numbers and texts come out alike, whatever the file is written in."""
    made = make_slice(3, (0, 0, 1))
    made.file_meta.TransferSyntaxUID = syntax
    (path,) = save(tmp_path, [made])
    header = read_header(str(path), Wanted(["Rows", "PatientID", "InstanceNumber"]))
    assert header is not None
    assert header.values == ["4", "P-0042", "3"]


def test_a_name_in_another_script(tmp_path: Path) -> None:
    """Text is decoded by the file's own character set."""
    path = save(tmp_path, [make_slice(1, (0, 0, 0), SpecificCharacterSet="ISO_IR 144", StudyDescription="Голова")])[0]
    header = read_header(str(path), Wanted(["StudyDescription"]))
    assert header is not None
    assert header.values == ["Голова"]


def test_what_is_no_dicom_and_what_is_broken(tmp_path: Path) -> None:
    """A file without the prefix is none of ours; one that has it and makes no sense is an error."""
    other, broken = tmp_path / "notes.txt", tmp_path / "broken.dcm"
    other.write_text("a,b\n")
    broken.write_bytes(bytes(128) + b"DICM" + b"\xff" * 400)
    assert read_header(str(other), Wanted(["Rows"])) is None
    with pytest.raises(HeadError):
        read_header(str(broken), Wanted(["Rows"]))


@pytest.mark.timeout(20)
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """What is no file, by now or by a link, is no DICOM file; the order of the others stands."""
    (path,) = save(tmp_path, [make_slice(1, (0, 0, 0))])
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    for odd in (tmp_path / "pipe", tmp_path / "link", tmp_path):
        assert read_header(str(odd), Wanted(["Rows"])) is None
        assert sort_files([odd, path]) == [path, odd]


def test_names_that_are_none() -> None:
    """What names no attribute is refused before a file is opened."""
    with pytest.raises(NoKey):
        Wanted(["Rosw"])


def test_what_is_private_or_in_a_sequence() -> None:
    """Private elements and paths through sequences are read too."""
    header = read_header(
        get_testdata_file("CT_small.dcm"), Wanted(["0019,1011:SS", "OtherPatientIDsSequence.PatientID"])
    )
    assert header is not None
    assert header.values == ["2", "ABCD1234\\1234ABCD"]
