"""No image is filed that other readers take for another patient's, and odd ones that all read alike are filed."""

from __future__ import annotations

import io
import logging
import struct

import pytest
from pydicom import dcmread

from dicomover.dicomfile import DEFLATED, EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN, Head, encode_file_meta
from dicomover.receiver.layout import LAST_TAG
from dicomover.receiver.scp import readers
from dicomover.receiver.scp.elements import ElementWalk
from dicomover.receiver.scp.readers import is_read_alike
from receiver_kit import CT, DEFLATED_ONLY, Peer, Start, data_set, deflate, element

JPEG = "1.2.840.10008.1.2.4.70"
ITEM_END, SEQUENCE_END = struct.pack("<HHL", 0xFFFE, 0xE00D, 0), struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
OPEN = 0xFFFFFFFF
WANTED = frozenset({0x00080005, 0x00080016, 0x00080018, 0x00100020, 0x0020000D, 0x0020000E})


def item(content: bytes, length: int | None = None) -> bytes:
    """Make an item, of undefined length if none is given."""
    if length is None:
        return struct.pack("<HHL", 0xFFFE, 0xE000, OPEN) + content + ITEM_END
    return struct.pack("<HHL", 0xFFFE, 0xE000, length) + content


def long_form(tag: int, vr: bytes, length: int, reserved: int = 0) -> bytes:
    """Make the header of an element in Explicit VR that has four bytes of length."""
    return struct.pack("<HH2sHL", tag >> 16, tag & 0xFFFF, vr, reserved, length)


def short_form(tag: int, length: int) -> bytes:
    """Make the header of an element in Implicit VR."""
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, length)


def other(explicit: bool = True) -> bytes:
    """Make the data set of another patient."""
    return data_set("1.9", study="1.9.1", series="1.9.2", patient="9999", explicit=explicit)


def swallowed(size: int, content: bytes, rest: int) -> bytes:
    """Make a value of so many bytes: what content there is, and an element that swallows what follows, and more."""
    fill = size - len(content) - 12
    return content + long_form(0xFFFCFFFC, b"OB", fill + rest) + bytes(fill)


def spelling(rest: bytes = b"") -> bytes:
    """Make a sequence of VR UN whose item begins with a length that spells a VR."""
    ends = ITEM_END + SEQUENCE_END
    value = swallowed(0x424F, bytes(4) + ends + other(), len(ends) + len(rest))
    return long_form(0x00091010, b"UN", OPEN) + item(short_form(0x00091011, 0x424F) + value) + SEQUENCE_END


def first_length_spells_a_vr() -> bytes:
    """Make a data set in Implicit VR that goes on in Explicit VR for whoever looks at its first element."""
    ours = data_set("1.2", explicit=False)
    return short_form(0x00080000, 0x44C55) + swallowed(0x44C55, bytes(4) + other(), len(ours)) + ours


def searched(tag: int) -> bytes:
    """Make an element in Implicit VR that ends for some readers where the first delimiter's bytes are."""
    tail = ITEM_END + SEQUENCE_END
    hidden = SEQUENCE_END + other(False) + short_form(0xFFFCFFFC, len(tail))
    return short_form(tag, OPEN) + item(short_form(0x00291010, len(hidden)) + hidden) + SEQUENCE_END


def hiding(explicit: bool) -> bytes:
    """Make a sequence whose item is shorter than its element, which passes over the delimiter into what follows."""
    cover = 8 + (12 if explicit else 8)  # the delimiter, and the header that hides the other data set from us
    value = struct.pack("<HH2sH", 8, 0x100, b"SH", cover) if explicit else short_form(0x00080100, cover)
    head = long_form(0x00082218, b"SQ", OPEN) if explicit else short_form(0x00082218, OPEN)
    hidden = SEQUENCE_END + other(explicit)
    private = long_form(0x00291010, b"OB", len(hidden)) if explicit else short_form(0x00291010, len(hidden))
    return head + item(value, 8) + SEQUENCE_END + private + hidden


def ours(explicit: bool = True) -> bytes:
    """Make the data set that was asked for, without pixels that end it."""
    return data_set("1.2", explicit=explicit)


def no_letters() -> bytes:
    """Make an element whose length has two bytes for us and four for others."""
    hidden = bytes(4) + other()
    return struct.pack("<HHHH", 0x29, 0x1010, 0x10, 0) + long_form(0x00291011, b"OB", len(hidden)) + hidden


LIES = {
    "first-length-spells-a-vr": (3, first_length_spells_a_vr()),
    "no-letters": (1, ours() + no_letters()),
    "unknown-vr": (1, ours() + long_form(0x00291010, b"ZX", len(other()), 4) + other()),
    "searched-for": (3, ours(False) + searched(0x00283006)),
    "un-item-spells-a-vr": (1, ours() + spelling()),
    "un-item-in-the-head": (
        1,
        data_set("1.2", before=spelling(rest=ours()[ours().index(element(0x00100020, "LO", "4711")) :])),
    ),
    "item-overrun": (1, ours() + hiding(True)),
    "item-overrun-implicit": (3, ours(False) + hiding(False)),
}


@pytest.mark.filterwarnings("ignore:Expected implicit VR")
@pytest.mark.parametrize("chunk", [777, 1 << 14])
@pytest.mark.parametrize("name", LIES)
def test_what_readers_take_for_another_patients_is_refused(start_one: Start, name: str, chunk: int) -> None:
    """Where pydicom finds another patient than we do, by how it steps over something, nothing is filed: 0xC000."""
    context, data = LIES[name]
    meta = encode_file_meta(CT, "1.2", EXPLICIT_LITTLE_ENDIAN if context == 1 else IMPLICIT_LITTLE_ENDIAN)
    assert dcmread(io.BytesIO(meta + data)).PatientID == "9999"
    with start_one() as run, run.peer() as peer:
        assert peer.store("1.2", data, context_id=context, chunk=chunk) == 0xC000
        run.wait(1)
        assert "take it for somebody else's" in run.refusals[0].why
        assert run.files() == []
        peer.release()


@pytest.mark.parametrize("name", ["no-letters", "unknown-vr", "un-item-spells-a-vr", "item-overrun"])
def test_the_same_deflated(start_one: Start, name: str) -> None:
    """Deflating hides nothing."""
    with start_one() as run, Peer(run.port, contexts=DEFLATED_ONLY) as peer:
        assert peer.store("1.2", deflate(LIES[name][1])) == 0xC000
        run.wait(1)
        assert "take it for somebody else's" in run.refusals[0].why
        peer.release()


def test_a_delimiter_at_the_top_is_refused(start_one: Start) -> None:
    """Readers end at an item's delimiter, before the pixels, whatever VR it claims to have."""
    with start_one() as run, run.peer() as peer:
        for end in (ITEM_END, struct.pack("<HH2sH", 0xFFFE, 0xE00D, b"UL", 4) + bytes(4)):
            assert peer.store("1.2", data_set("1.2") + end + element(0x7FE00010, "OW", bytes(8))) == 0xC000
        assert peer.store("1.2", data_set("1.2", explicit=False) + ITEM_END, context_id=3) == 0xC000
        run.wait(3)
        assert all("stands where it cannot" in refusal.why for refusal in run.refusals)
        assert run.files() == []
        peer.release()


CODE = element(0x00080100, "SH", "A-1 ", explicit=False)
HONEST = {
    "unknown-vr": (1, ours() + long_form(0x00291010, b"ZX", 4) + b"abcd"),
    "no-letters": (1, ours() + struct.pack("<HHHH", 0x29, 0x1010, 0, 0)),
    "zeros-at-the-end": (1, ours() + bytes(64)),
    "un-sequence": (1, ours() + long_form(0x00291010, b"UN", OPEN) + item(CODE) + item(CODE, len(CODE)) + SEQUENCE_END),
    "un-sequence-in-the-head": (
        1,
        data_set(
            "1.2", before=long_form(0x00091010, b"UN", OPEN) + item(CODE) * 2 + SEQUENCE_END, charset="ISO_IR 192"
        ),
    ),
    "two-character-sets": (1, data_set("1.2", charset=" \\ISO 2022 IR 87") + bytes(8)),
    "private-sequence": (3, ours(False) + short_form(0x00291010, OPEN) + item(CODE) + item(b"", 0) + SEQUENCE_END),
    "no-sequence-to-the-dictionary": (3, ours(False) + short_form(0x00283006, OPEN) + item(bytes(8), 8) + SEQUENCE_END),
    "command-set": (3, short_form(0x00000000, 4) + bytes(4) + ours(False)),
}


@pytest.mark.parametrize("chunk", [33, 1 << 14])
@pytest.mark.parametrize("name", HONEST)
def test_odd_ones_that_all_read_alike_are_filed(start_one: Start, name: str, chunk: int) -> None:
    """A sender may be odd: as long as readers find the same patient, it goes on as before."""
    context, data = HONEST[name]
    with start_one() as run, run.peer() as peer:
        assert peer.store("1.2", data, context_id=context, chunk=chunk) == 0
        run.wait(1)
        assert len(run.files()) == 1
        peer.release()


def walked(syntax: str, raw: bytes, size: int = 1 << 16) -> bool:
    """Walk over a data set in pieces and return whether it is ambiguous."""
    walk = ElementWalk(syntax)
    for start in range(0, len(raw), size):
        walk.take(raw[start : start + size], start + size >= len(raw))
    return walk.ambiguous


@pytest.mark.parametrize("size", [1, 50, 1 << 16])
def test_what_is_usual_is_looked_at_once(size: int) -> None:
    """Sequences in all their lengths and encapsulated pixels cost no second reading."""
    explicit = element(0x00080100, "SH", "A-1 ")
    for length in (None, len(explicit)):
        sequence = long_form(0x00082218, b"SQ", OPEN) + item(explicit, length) * 3 + SEQUENCE_END
        assert not walked(EXPLICIT_LITTLE_ENDIAN, sequence, size)
        assert not walked(
            IMPLICIT_LITTLE_ENDIAN, short_form(0x00082218, OPEN) + item(CODE, length) + SEQUENCE_END, size
        )
    icon = long_form(0x7FE00010, b"OB", OPEN) + item(b"", 0) + item(bytes(40), 40) + SEQUENCE_END
    nested = long_form(0x00880200, b"SQ", OPEN) + item(icon) + SEQUENCE_END
    assert not walked(JPEG, icon, size)
    assert not walked(JPEG, nested + icon, size)


@pytest.mark.parametrize("size", [1, 1 << 16])
@pytest.mark.parametrize(
    ("syntax", "raw"),
    [
        (JPEG, long_form(0x7FE00010, b"OB", OPEN) + item(CODE) + SEQUENCE_END),
        (JPEG, long_form(0x7FE00010, b"UN", OPEN) + item(CODE) + SEQUENCE_END),
        (EXPLICIT_LITTLE_ENDIAN, long_form(0x00082218, b"SQ", OPEN) + item(CODE[:-1], 11) + SEQUENCE_END),
        (EXPLICIT_LITTLE_ENDIAN, long_form(0x00082218, b"SQ", OPEN) + item(ITEM_END, 8) + SEQUENCE_END),
        (IMPLICIT_LITTLE_ENDIAN, short_form(0x00082218, OPEN) + item(bytes(20_000) + b"\1", 20_001) + SEQUENCE_END),
    ],
    ids=["item-in-pixels", "pixels-of-no-vr", "item-that-is-no-data-set", "delimiter-in-an-item", "long-item"],
)
def test_what_readers_may_step_over_otherwise_is_ambiguous(syntax: str, raw: bytes, size: int) -> None:
    """It is looked at again, in whatever pieces it comes."""
    assert walked(syntax, raw, size)


def read(data: bytes, syntax: str = EXPLICIT_LITTLE_ENDIAN, plain: bytes = b"") -> bool:
    """Return whether pydicom reads a file as its head was read."""
    head = Head(syntax == IMPLICIT_LITTLE_ENDIAN, WANTED, LAST_TAG)
    head.feed(plain or data, len(plain or data))
    return is_read_alike(io.BytesIO(encode_file_meta(CT, "1.2", syntax) + data), head.values, WANTED)


def test_a_second_reading_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes too many bytes, or too many steps, or too much when inflated, is read by nobody."""
    long = long_form(0x00291010, b"UN", OPEN) + item(CODE * 500) + SEQUENCE_END
    assert read(ours() + long)
    assert read(deflate(ours() + long), DEFLATED, ours())
    monkeypatch.setattr(readers, "_MOST_READS", 600)
    assert read(ours())
    assert not read(ours() + long)
    monkeypatch.setattr(readers, "_MOST_READS", 100_000)
    monkeypatch.setattr(readers, "_MOST_BYTES", 4000)
    assert read(ours())
    assert not read(ours() + long)
    assert not read(deflate(ours() + long), DEFLATED, ours())


def test_what_ends_a_reader_is_refused() -> None:
    """What pydicom breaks off at, or what only others take for a command set, is not alike."""
    deep = long_form(0x00291010, b"UN", OPEN) + (short_form(0xFFFEE000, OPEN) + short_form(0x00291010, OPEN)) * 5000
    assert not read(ours() + deep + (SEQUENCE_END + ITEM_END) * 5000 + SEQUENCE_END)
    stored = b"\0" + struct.pack("<HH", 0x1000, 0xEFFF) + bytes(4096)  # not compressed, and 4096 bytes long
    assert not read(stored, DEFLATED, ours())


def test_nothing_is_said_of_it(recwarn: pytest.WarningsRecorder, caplog: pytest.LogCaptureFixture) -> None:
    """The words of pydicom go nowhere, and its logger speaks again afterwards."""
    assert not read(first_length_spells_a_vr(), IMPLICIT_LITTLE_ENDIAN)
    assert not recwarn.list
    assert not caplog.records
    logging.getLogger("pydicom").warning("again")
    assert [record.message for record in caplog.records] == ["again"]
