"""Elements found in the bytes of an identifier, however deep, broken or mislabelled."""

from __future__ import annotations

import struct
import time

import pytest

from dicomover.attributes.framing import read_elements, read_items
from dicomover.attributes.reading import read_text

ITEM = b"\xfe\xff\x00\xe0"
ITEM_END, SEQUENCE_END = b"\xfe\xff\x0d\xe0" + bytes(4), b"\xfe\xff\xdd\xe0" + bytes(4)
ENDLESS = b"\xff\xff\xff\xff"
ACCESSION = b"\x08\x00\x50\x00SH\x02\x00A1"
STUDY = b"\x20\x00\x0d\x00UI\x06\x001.2.3\x00"


def implicit(tag: int, value: bytes) -> bytes:
    """Return an element in Implicit VR."""
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(value)) + value


@pytest.mark.parametrize(
    "between",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x08\x00\x10\x11SQ\0\0" + ENDLESS + SEQUENCE_END, id="empty-sequence"),
        pytest.param(
            b"\x08\x00\x10\x11SQ\0\0" + ENDLESS + ITEM + ENDLESS + ACCESSION + ITEM_END + SEQUENCE_END, id="undefined"
        ),
        pytest.param(b"\x08\x00\x10\x11SQ\0\0\x12\0\0\0" + ITEM + b"\x0a\0\0\0" + ACCESSION, id="defined"),
        pytest.param(
            b"\x09\x00\x10\x11UN\0\0"
            + ENDLESS
            + ITEM
            + ENDLESS
            + implicit(0x00091111, b"xy")
            + ITEM_END
            + SEQUENCE_END,
            id="unknown-in-implicit",
        ),
        pytest.param(b"\x09\x00\x10\x11ZZ\0\0\x02\0\0\0ab", id="vr-yet-to-come"),
        pytest.param(b"\x09\x00\x10\x11OB\0\0\x00\0\1\0" + bytes(65536), id="over-64-KiB"),
    ],
)
def test_what_stands_between_is_passed_over(between: bytes) -> None:
    """Whatever sequence or VR stands between, the elements after it are found."""
    found = read_elements(ACCESSION + between + STUDY, implicit=False)
    assert (read_text(found, "AccessionNumber"), read_text(found, "StudyInstanceUID")) == ("A1", "1.2.3")


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(b"\x20\x00\x0d\x00UI\x40\x001.2", id="value-cut"),
        pytest.param(b"\x20\x00\x0d", id="head-cut"),
        pytest.param(b"\x20\x00\x0d\x00\x01\x02\x03\x04", id="no-vr"),
        pytest.param(b"\x20\x00\x0d\x00SQ\0\0" + ENDLESS, id="no-end"),
        pytest.param(b"\x20\x00\x0d\x00SQ\0\0" + ENDLESS + ITEM + b"\xff\xff\xff\x7f", id="item-too-long"),
        pytest.param(ITEM + bytes(4), id="item-outside"),
        pytest.param(b"\x20\x00\x0d\x00OB\0\0\xff\xff", id="long-head-cut"),
    ],
)
def test_what_comes_before_a_break_is_kept(broken: bytes) -> None:
    """Where the bytes break off, what stands before is read all the same."""
    found = read_elements(ACCESSION + broken, implicit=False)
    assert read_text(found, "AccessionNumber") == "A1"
    assert read_text(found, "StudyInstanceUID") == ""


@pytest.mark.parametrize("negotiated", [True, False])
def test_the_bytes_say_whether_they_are_implicit(negotiated: bool) -> None:
    """An archive that answers in the other VR encoding than was negotiated is read as what it wrote."""
    assert read_text(read_elements(ACCESSION + STUDY, implicit=negotiated), "StudyInstanceUID") == "1.2.3"
    raw = implicit(0x00080050, b"A1") + implicit(0x0020000D, b"1.2.3\0")
    assert read_text(read_elements(raw, implicit=negotiated), "StudyInstanceUID") == "1.2.3"


def test_depth_takes_no_recursion_and_no_time() -> None:
    """Ten thousand sequences within one another are passed over at once."""
    level = b"\x08\x00\x10\x11SQ\0\0" + ENDLESS + ITEM + ENDLESS
    deep = level * 10_000 + (ITEM_END + SEQUENCE_END) * 10_000
    begun = time.perf_counter()
    assert read_text(read_elements(deep + STUDY, implicit=False), "StudyInstanceUID") == "1.2.3"
    assert time.perf_counter() - begun < 5


def test_items_of_a_sequence() -> None:
    """Items of defined and of undefined length stand side by side; what is no item ends them."""
    raw = ITEM + b"\x0a\0\0\0" + ACCESSION + ITEM + ENDLESS + ACCESSION + ITEM_END + ITEM + bytes(4)
    assert [read_text(item, "AccessionNumber") for item in read_items(raw, implicit=False)] == ["A1", "A1", ""]
    assert read_items(b"no items here", implicit=False) == []
    assert len(read_items(ITEM + b"\x0a\0\0\0" + ACCESSION + ITEM + ENDLESS, implicit=False)) == 1
