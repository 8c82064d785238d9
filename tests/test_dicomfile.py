"""What a DICOM file is made of: file meta information out and in, and the head of a data set as its bytes come."""

from __future__ import annotations

from io import BytesIO

import pytest
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicomover.dicomfile import (
    IMPLEMENTATION_CLASS_UID,
    Head,
    HeadError,
    decode_text,
    encode_file_meta,
    read_file_meta,
)

PATIENT, STUDY, SERIES = 0x00100020, 0x0020000D, 0x0020000E
WANTED = {0x00080005, PATIENT, STUDY, SERIES}


def data_set(depth: int = 0, *, undefined: bool = True) -> Dataset:
    """Make a data set whose UIDs come after sequences that are nested so deep."""
    made = Dataset()
    made.SpecificCharacterSet = "ISO_IR 192"
    made.SOPClassUID = CTImageStorage
    made.PatientID = "Müller 7"
    inner = made
    for _ in range(depth):
        item = Dataset()
        inner.ReferencedSeriesSequence = Sequence([item, Dataset()])
        inner["ReferencedSeriesSequence"].is_undefined_length = undefined
        item.is_undefined_length_sequence_item = undefined
        inner = item
    inner.SeriesInstanceUID = "9.9"
    made.StudyInstanceUID, made.SeriesInstanceUID = "1.2.3", "1.2.3.4"
    made.SeriesNumber = 5
    return made


def encode(dataset: Dataset, *, implicit: bool) -> bytes:
    """Return a data set as its bytes."""
    out = DicomBytesIO()
    out.is_implicit_VR, out.is_little_endian = implicit, True
    write_dataset(out, dataset)
    return out.getvalue()


@pytest.mark.parametrize("source", ["", "ARCHIVE", "ODD"])
def test_file_meta_is_read_by_pydicom_as_it_was_meant(source: str) -> None:
    """A file of ours is a DICOM file, with a true group length and our implementation in it."""
    raw = encode_file_meta(CTImageStorage, "1.2.3", ExplicitVRLittleEndian, source)
    read = dcmread(BytesIO(raw + encode(data_set(), implicit=False)))
    assert read.file_meta.MediaStorageSOPInstanceUID == "1.2.3"
    assert read.file_meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert read.file_meta.get("SourceApplicationEntityTitle", "") == source
    assert read.StudyInstanceUID == "1.2.3"
    assert read_file_meta(raw) == (ExplicitVRLittleEndian, len(raw))


def test_file_meta_of_others_is_read() -> None:
    """What pydicom writes is read as well, up to where its data set begins."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, "1.2"
    meta.TransferSyntaxUID = ImplicitVRLittleEndian
    meta.PrivateInformationCreatorUID, meta.PrivateInformation = "1.2.3", b"\1\2\3\4"
    out = BytesIO()
    dataset = data_set()
    dataset.file_meta = meta
    dcmwrite(out, dataset, enforce_file_format=True)
    syntax, begins = read_file_meta(out.getvalue())
    assert syntax == ImplicitVRLittleEndian
    assert out.getvalue()[begins:] == encode(dataset, implicit=True)


def test_what_is_no_file_meta_is_told_from_it() -> None:
    """Something else, and half of a header, have no transfer syntax and begin nowhere."""
    raw = encode_file_meta(CTImageStorage, "1.2.3", ExplicitVRLittleEndian)
    assert read_file_meta(b"") == read_file_meta(b"\0" * 400) == ("", 0)
    assert {read_file_meta(raw[:end]) for end in range(len(raw))} == {("", 0)}
    assert read_file_meta(raw[:132] + raw[144:]) == ("", 0)


@pytest.mark.parametrize("implicit", [True, False], ids=["implicit", "explicit"])
@pytest.mark.parametrize("undefined", [True, False], ids=["undefined", "defined"])
@pytest.mark.parametrize("depth", [0, 1, 40])
def test_values_are_those_of_the_top_level(implicit: bool, undefined: bool, depth: int) -> None:
    """Sequences are passed over, however deep and however their lengths are given."""
    raw = encode(data_set(depth, undefined=undefined), implicit=implicit)
    head = Head(implicit, WANTED, SERIES)
    assert head.feed(raw, len(raw), complete=True)
    assert [head.text(tag) for tag in (PATIENT, STUDY, SERIES)] == ["Müller 7", "1.2.3", "1.2.3.4"]


@pytest.mark.parametrize("implicit", [True, False], ids=["implicit", "explicit"])
def test_pieces_make_no_difference(implicit: bool) -> None:
    """A head that comes byte by byte ends at the same byte, with the same values, as one that comes at once."""
    raw = encode(data_set(2), implicit=implicit)
    whole = Head(implicit, WANTED, SERIES)
    assert whole.feed(raw, len(raw))
    slow = Head(implicit, WANTED, SERIES)
    sizes = [size for size in range(len(raw) + 1) if slow.feed(raw, size)]
    assert (slow.values, slow.offset) == (whole.values, whole.offset)
    assert sizes[0] == whole.offset + 8  # the next tag has to be seen, and no more


def test_a_data_set_may_end_before_the_last_tag() -> None:
    """Without any further element the end completes the head; in the middle of an element it breaks it."""
    dataset = Dataset()
    dataset.PatientID = "4711"
    raw = encode(dataset, implicit=True)
    head = Head(True, WANTED, SERIES)
    assert not head.feed(raw, len(raw))
    assert head.feed(raw, len(raw), complete=True)
    for end in range(1, len(raw)):
        with pytest.raises(HeadError, match="ends inside an element"):
            Head(True, WANTED, SERIES).feed(raw, end, complete=True)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"\x10\x00\x20\x00??\x04\x004711", "no valid VR"),
        (b"\x10\x00\x20\x00UT\x00\x00\xff\xff\xff\xff", "no length"),
        (b"\x10\x00\x20\x00UT\x00\x00\x00\x10\x00\x00", "4096 bytes"),
        (b"\x10\x00\x20\x00LO\x04\x004711\x10\x00\x20\x00LO\x04\x004712", "stands twice"),
        (b"\xfe\xff\x00\xe0UN\x00\x00\xff\xff\xff\xff", None),
    ],
)
def test_what_cannot_be_read_says_where(raw: bytes, why: str | None) -> None:
    """A head that is none names the element, never a value."""
    head = Head(False, WANTED, SERIES)
    if why is None:  # beyond the last tag: nothing of it is looked at
        assert head.feed(raw, len(raw))
        return
    with pytest.raises(HeadError, match=why) as caught:
        head.feed(raw, len(raw))
    assert "(0010,0020)" in str(caught.value)
    assert "4711" not in str(caught.value)


def test_text_is_decoded_by_its_character_set() -> None:
    """The first character set decides; where it does not fit, the text is stable all the same."""
    assert decode_text("Äneas ".encode(), {0x00080005: b"ISO_IR 192"}) == "Äneas"
    assert decode_text("Äneas".encode("iso8859"), {}) == "Äneas"
    assert decode_text("Äneas".encode("iso8859"), {0x00080005: b"ISO_IR 192"}) == "Äneas"
    assert decode_text("Иван".encode("iso8859_5"), {0x00080005: b"ISO_IR 144\\"}) == "Иван"
    assert decode_text(b"\xc4", {0x00080005: b"nobody's set"}) == "Ä"
