"""The header of one file, read by its lengths or by pydicom."""

from __future__ import annotations

import os
import struct
import time
import tracemalloc
import zlib
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from dicomover.attributes.attribute import NoKey
from dicomover.attributes.reading import read_text
from dicomover.dicomfile import DEFLATED, EXPLICIT_LITTLE_ENDIAN, HeadError, encode_file_meta, read_file_meta
from dicomover.images import headers
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


@pytest.mark.timeout(20)
def test_what_is_long_is_passed_over_unread(tmp_path: Path) -> None:
    """Three gigabytes before the patient cost neither time nor memory, unless they are not there."""
    (path,) = save(tmp_path, [make_slice(1, (0, 0, 0))])
    data = path.read_bytes()
    at = data.index(b"\x10\x00\x20\x00LO")
    with path.open("wb") as file:
        file.write(data[:at] + struct.pack("<HH2sHL", 0x000B, 0x1001, b"UN", 0, 3 << 30))
        file.seek(3 << 30, os.SEEK_CUR)
        file.write(data[at:])
    wanted = Wanted(["PatientID", "Rows"])
    tracemalloc.start()
    try:
        header = read_header(str(path), wanted, strict=True)
        assert header is not None
        assert header.values == ["P-0042", "4"]
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()
    os.truncate(path, 1 << 30)
    with pytest.raises(HeadError, match="inside an element"):
        read_header(str(path), wanted, strict=True)


def bomb(path: Path, before: bytes) -> None:
    """Make of a file a deflated one, with 16 MiB before its patient or as its pixels."""
    made = dcmread(path)
    made.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    made.save_as(path, enforce_file_format=True)
    start = read_file_meta(path.read_bytes())[1]
    plain = zlib.decompress(path.read_bytes()[start:], -zlib.MAX_WBITS)
    at = plain.index(before)
    tag = (0x000B, 0x1001) if before.endswith(b"LO") else (0x7FE0, 0x0010)
    long = struct.pack("<HH2sHL", *tag, b"OB", 0, 16 << 20) + bytes(16 << 20)
    path.write_bytes(path.read_bytes()[:start] + zlib.compress(plain[:at] + long + plain[at:], wbits=-zlib.MAX_WBITS))


@pytest.mark.parametrize("odd", [False, True])
@pytest.mark.parametrize("where", [b"\xe0\x7f\x10\x00", b"\x10\x00\x20\x00LO"])
def test_no_more_is_inflated_than_a_head_may_have(
    where: bytes, odd: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what a small file becomes only a beginning is held: its head is read, or is too long."""
    monkeypatch.setattr(headers, "_MOST", 1 << 20)
    (path,) = save(tmp_path, [make_slice(1, (0, 0, 0))])
    bomb(path, where)
    if odd:  # its file meta information begins without its length, so that pydicom alone can read it
        path.write_bytes(path.read_bytes()[:132] + path.read_bytes()[144:])
    if where.startswith(b"\xe0") and not odd:
        header = read_header(str(path), Wanted(["PatientID", "Rows"]))
        assert header is not None
        assert (header.transfer_syntax, header.values) == (DeflatedExplicitVRLittleEndian, ["P-0042", "4"])
    else:
        with pytest.raises(HeadError, match="too much"):
            read_header(str(path), Wanted(["PatientID", "Rows"]))


@pytest.mark.parametrize("way", ["zeros", "deflated zeros", "tiny elements"])
def test_a_file_of_millions_of_elements_is_given_up(way: str, tmp_path: Path) -> None:
    """What takes pydicom hours, of a file that takes no disk, is named after a moment; zeros are no element."""
    syntax = EXPLICIT_LITTLE_ENDIAN if way == "zeros" else DEFLATED
    meta, path = encode_file_meta("1.2", "1.3", syntax), tmp_path / "x.dcm"
    body = struct.pack("<HH2sH", 9, 0x1001, b"LO", 0) * (1 << 19) if way == "tiny elements" else bytes(1 << 22)
    path.write_bytes(meta + (zlib.compress(body, wbits=-zlib.MAX_WBITS) if syntax == DEFLATED else body))
    if way == "zeros":
        os.truncate(path, 1 << 34)
    begun = time.process_time()
    with pytest.raises(HeadError, match="too much"):
        read_header(str(path), Wanted(["PatientID", "Rows"]))
    assert time.process_time() - begun < 20
    path.write_bytes(encode_file_meta("1.2", "1.3", EXPLICIT_LITTLE_ENDIAN) + bytes(800))
    with pytest.raises(HeadError, match="no element"):
        read_header(str(path), Wanted(["PatientID"]))


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
