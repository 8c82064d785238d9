"""A data set that ends inside an element is found out, in whatever pieces it comes, and no other one is."""

from __future__ import annotations

import random
import struct

import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence

from dicomover.dicomfile import HeadError
from dicomover.receiver.scp.elements import ElementWalk, HeaderWalk, Mislabelled

IMPLICIT, EXPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
JPEG, J2K = "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.90"


def data_set(*, undefined: bool, compressed: bool) -> Dataset:
    """Make a data set with sequences in one another, long values, and pixel data."""
    made = Dataset()
    made.SeriesInstanceUID = "1.2.3"
    item = Dataset()
    item.CodeValue, item.CodeMeaning = "1", "an item"
    inner = Dataset()
    inner.TextString = "deep"
    item.ReferencedSeriesSequence = Sequence([inner, Dataset()])
    made.RequestAttributesSequence = Sequence([item, Dataset()])
    for each in (made["RequestAttributesSequence"], item["ReferencedSeriesSequence"]):
        each.is_undefined_length = undefined
    for each in (item, inner):
        each.is_undefined_length_sequence_item = undefined
    made.Rows, made.Columns, made.BitsAllocated = 2, 2, 16
    made.add_new(0x00291010, "OB", bytes(30))
    made.add_new(0x00291011, "UN", b"private")
    made.add_new(0x7FE00010, "OW", bytes(range(8)))
    if compressed:
        made["PixelData"].VR = "OB"
        made.PixelData = encapsulate([bytes(10), bytes(20)])
        made["PixelData"].is_undefined_length = True
    return made


def encode(made: Dataset, syntax: str) -> bytes:
    """Return a data set as its bytes."""
    out = DicomBytesIO()
    out.is_implicit_VR, out.is_little_endian = syntax == IMPLICIT, syntax != BIG_ENDIAN
    write_dataset(out, made)
    return out.getvalue()


def boundaries(made: Dataset, syntax: str) -> set[int]:
    """Return where its top-level elements begin and end."""
    ends = {0}
    for tag in sorted(made.keys()):
        part = Dataset()
        part.add(made[tag])
        ends.add(max(ends) + len(encode(part, syntax)))
    return ends


CASES = [
    pytest.param(syntax, undefined, syntax == JPEG, id=f"{name}-{'undefined' if undefined else 'explicit-lengths'}")
    for syntax, name in ((IMPLICIT, "implicit"), (EXPLICIT, "explicit"), (BIG_ENDIAN, "big-endian"), (JPEG, "jpeg"))
    for undefined in (False, True)
]


@pytest.mark.parametrize(("syntax", "undefined", "compressed"), CASES)
def test_an_end_inside_an_element_is_found_wherever_it_is(syntax: str, undefined: bool, compressed: bool) -> None:
    """Of all prefixes of a data set those are taken that end between two elements, or in zeros that pad the end."""
    made = data_set(undefined=undefined, compressed=compressed)
    raw, ends = encode(made, syntax), boundaries(made, syntax)
    assert max(ends) == len(raw)
    for end in range(len(raw) + 1):
        walk = ElementWalk(syntax)
        if end in ends:
            walk.take(raw[:end], last=True)
        elif any(not raw[begin:end].strip(b"\0") and end - begin < 8 for begin in ends if begin < end):
            continue
        else:
            with pytest.raises(HeadError, match="ends inside an element"):
                walk.take(raw[:end], last=True)


@pytest.mark.parametrize(("syntax", "undefined", "compressed"), CASES)
def test_any_pieces_come_to_the_same(syntax: str, undefined: bool, compressed: bool) -> None:
    """Byte by byte or in pieces of any size, also empty ones, the whole is taken and a part of it is not."""
    raw = encode(data_set(undefined=undefined, compressed=compressed), syntax)
    chance = random.Random(7)
    for trial in range(40):
        whole, cut, begin = ElementWalk(syntax), ElementWalk(syntax), 0
        while begin < len(raw):
            end = begin + (1 if not trial else chance.randrange(0, 30))
            whole.take(memoryview(raw)[begin:end], last=end >= len(raw))
            cut.take(raw[begin : min(end, len(raw) - 1)], last=False)
            begin = end
        with pytest.raises(HeadError, match="ends inside an element"):
            cut.take(b"", last=True)


@pytest.mark.parametrize(("syntax", "undefined", "compressed"), CASES)
def test_what_stands_before_the_pixels_is_kept_in_any_pieces(syntax: str, undefined: bool, compressed: bool) -> None:
    """The data set without its pixels is kept, the rest is counted, and an end inside the pixels is found."""
    made = data_set(undefined=undefined, compressed=compressed)
    raw = encode(made, syntax)
    del made[0x7FE00010]
    headers, chance = encode(made, syntax), random.Random(7)
    for trial in range(40):
        whole, cut, kept, begin = HeaderWalk(syntax), HeaderWalk(syntax), b"", 0
        while begin < len(raw):
            end = begin + (1 if not trial else chance.randrange(0, 30))
            whole.take(memoryview(raw)[begin:end], last=end >= len(raw))
            kept += b"".join(whole.kept)
            cut.take(raw[begin : min(end, len(raw) - 1)], last=False)
            begin = end
        assert (kept, whole.left_out, whole.cut is None) == (headers, len(raw) - len(headers), False)
        with pytest.raises(HeadError, match="ends inside an element"):
            cut.take(b"", last=True)


@pytest.mark.parametrize("padding", [b"\0", b"\0\0", bytes(7)])
def test_zeros_at_the_end_are_padding(padding: bytes) -> None:
    """A sender that makes everything even, or appends a NUL, has sent a whole data set."""
    ElementWalk(EXPLICIT).take(encode(data_set(undefined=False, compressed=False), EXPLICIT) + padding, last=True)


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
def test_compressed_pixels_where_none_were_agreed_on(syntax: str) -> None:
    """Encapsulated pixel data in an uncompressed transfer syntax make a file that nobody can read: it is told."""
    raw = encode(data_set(undefined=False, compressed=True), syntax)
    with pytest.raises(HeadError, match="pixel data are compressed, though"):
        ElementWalk(syntax).take(raw, last=True)


@pytest.mark.parametrize("table", [b"", bytes(8)])
@pytest.mark.parametrize(("syntax", "held"), [(EXPLICIT, "4.91"), (JPEG, "4.91"), (J2K, "")])
def test_pixels_in_another_compression_than_was_agreed_on(table: bytes, syntax: str, held: str) -> None:
    """What surely is something else is refused in whatever pieces it comes, and told what it is; the rest is taken."""
    made = data_set(undefined=False, compressed=True)
    frame = bytes.fromhex("ff4fff5100040000ff5200040000") + bytes(30_000)
    made.PixelData = b"".join(b"\xfe\xff\0\xe0" + struct.pack("<L", len(item)) + item for item in (table, frame))
    made.add_new(0xFFFCFFFC, "OB", bytes(2))
    raw = encode(made, JPEG)
    for size in (1, 17, 8192, len(raw)):
        if not held:
            take_in_pieces(ElementWalk(syntax), raw, size)
            continue
        with pytest.raises(Mislabelled, match=r"its pixel data are (JPEG 2000|compressed), though") as refused:
            take_in_pieces(ElementWalk(syntax), raw, size)
        assert refused.value.syntax == f"1.2.840.10008.1.2.{held}"


def test_pixels_without_a_frame_where_none_were_agreed_on() -> None:
    """A table alone, or nothing at all, is still encapsulated."""
    for items in (b"", bytes.fromhex("feff00e000000000")):
        raw = bytes.fromhex("e07f10004f420000ffffffff") + items + bytes.fromhex("feffdde000000000")
        with pytest.raises(Mislabelled, match="compressed, though") as refused:
            ElementWalk(EXPLICIT).take(raw, last=True)
        assert refused.value.syntax == ""
        ElementWalk(JPEG).take(raw, last=True)


def take_in_pieces(walk: ElementWalk, raw: bytes, size: int) -> None:
    """Let a data set pass in pieces of so many bytes."""
    for begin in range(0, len(raw), size):
        walk.take(raw[begin : begin + size], last=begin + size >= len(raw))


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.5"])
def test_plain_pixels_where_compressed_ones_were_agreed_on(syntax: str) -> None:
    """Pixel data that are not encapsulated in a compressed transfer syntax make such a file too, however they come."""
    head = struct.pack("<HH2s2xL", 0x7FE0, 0x0010, b"OW", 64)
    for size in (1, 7, 12, 15, 64, 76):
        with pytest.raises(HeadError, match="pixel data are not compressed, though"):
            take_in_pieces(ElementWalk(syntax), head + bytes(64), size)


@pytest.mark.parametrize("value", [b"", struct.pack("<HHL", 0xFFFE, 0xE000, 0) * 2])
def test_pixels_that_are_empty_or_encapsulated_with_a_length(value: bytes) -> None:
    """What has no pixels, or has them in items although the element has a length, can be read."""
    head = struct.pack("<HH2s2xL", 0x7FE0, 0x0010, b"OB", len(value))
    ElementWalk("1.2.840.10008.1.2.4.90").take(head + value, last=True)


@pytest.mark.parametrize(
    ("vr", "head"),
    [
        (b"ZZ", struct.pack("<HHBB", 0x0029, 0x1010, 90, 90) + struct.pack("<HL", 0, 4)),
        (b"??", struct.pack("<HH", 0x0029, 0x1010) + b"??" + struct.pack("<H", 4)),
        (b"\0\0", struct.pack("<HH", 0x0029, 0x1010) + b"\0\0" + struct.pack("<H", 4)),
    ],
    ids=["newer-than-we-are", "question-marks", "zeros"],
)
def test_an_unknown_vr_ends_nothing(vr: bytes, head: bytes) -> None:
    """A VR that we do not know is passed over as readers pass it over, and the end is still found."""
    assert vr in head
    ElementWalk(EXPLICIT).take(head + b"abcd", last=True)
    with pytest.raises(HeadError):
        ElementWalk(EXPLICIT).take(head + b"abc", last=True)


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG_ENDIAN])
@pytest.mark.parametrize("tag", [0x00100020, 0x0020000D])
def test_who_it_is_about_stands_once(syntax: str, tag: int) -> None:
    """A PatientID or a UID that comes again, or late, is told at the top of a data set, and not inside a sequence."""
    read = frozenset({0x00100020, 0x0020000D})
    vr = "LO" if tag == 0x00100020 else "UI"
    item, again, inside = Dataset(), Dataset(), Dataset()
    item.add_new(tag, vr, "1.2")
    again.add_new(tag, vr, "1.2")
    inside.add_new(0x00400275, "SQ", Sequence([item]))
    for undefined in (False, True):
        inside[0x00400275].is_undefined_length = item.is_undefined_length_sequence_item = undefined
        ElementWalk(syntax, read=read).take(encode(inside, syntax), last=True)
    raw = encode(data_set(undefined=False, compressed=False), syntax)
    for size in (len(raw) + 100, 5):
        walk = ElementWalk(syntax, read=read)
        whole = raw + encode(again, syntax)
        begins = range(0, len(whole), size)
        with pytest.raises(HeadError, match=f"{tag >> 16:04X},{tag & 0xFFFF:04X}.* stands behind its place"):
            [walk.take(whole[at : at + size], last=at == begins[-1]) for at in begins]


def test_nested_sequences_cost_no_recursion() -> None:
    """Very deep sequences are walked, and an open one at the end is found."""
    head = (
        struct.pack("<HH", 0x0040, 0x0275) + b"SQ\0\0" + b"\xff" * 4 + struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
    )
    ends = struct.pack("<HHL", 0xFFFE, 0xE00D, 0) + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    ElementWalk(EXPLICIT).take(head * 50_000 + ends * 50_000, last=True)
    with pytest.raises(HeadError):
        ElementWalk(EXPLICIT).take(head * 50_000 + ends * 49_999, last=True)


@pytest.mark.parametrize(
    "raw",
    [
        struct.pack("<HH", 0x0040, 0x0275) + b"SQ\0\0" + b"\xff" * 4 + struct.pack("<HH2sH", 0x28, 0x10, b"US", 0),
        struct.pack("<HH", 0x0040, 0x0275) + b"SQ\0\0" + b"\xff" * 4 + struct.pack("<HHL", 0xFFFE, 0xE00D, 0),
        struct.pack("<HH", 0x0040, 0x0275) + b"OB\0\0" + b"\xff" * 4,
        struct.pack("<HH", 0xFFFE, 0xE000) + b"UN\0\0" + b"\xff" * 4,
    ],
    ids=["no-item", "wrong-delimiter", "no-length", "item-at-the-top"],
)
def test_what_cannot_be_a_data_set_is_said(raw: bytes) -> None:
    """Delimiters, items and lengths where they cannot stand refuse the data set at once."""
    with pytest.raises(HeadError, match=r"\([0-9A-F]{4},[0-9A-F]{4}\)"):
        ElementWalk(EXPLICIT).take(raw + bytes(20), last=False)
