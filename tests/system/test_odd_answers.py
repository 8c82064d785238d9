"""Archives whose answers keep to no VR, number or character set: what is found, asked for and told."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pandas as pd
import pytest
from pydicom import Dataset

from dicomover import AnswerWarning, Mover, RequestError
from dicomover.attributes.attribute import attribute_of
from dicomover.attributes.framing import read_elements
from dicomover.attributes.reading import read_text
from dicomover.wire import command_set as cs
from dicomover.wire.connection import Connection
from dicomover.wire.messages import Message
from wire_kit import answer, counts, peer

LONG = ("OB", "OW", "SQ", "UC", "UN", "UR", "UT")
Element = tuple[str, str, bytes]


def element(name: str, vr: str, value: bytes) -> bytes:
    """Return an element in Explicit VR, whatever its VR should be."""
    tag = attribute_of(name).path[0]
    value += (b"\0" if vr == "UI" else b" ") * (len(value) % 2)
    size = b"\0\0" + struct.pack("<L", len(value)) if vr in LONG else struct.pack("<H", len(value))
    return struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode() + size + value


class Asked:
    """What an archive was asked for: its finds and its moves."""

    def __init__(self) -> None:
        self.finds: list[Dataset] = []
        self.moves: list[Dataset] = []


USUAL: dict[str, Element] = {
    "AccessionNumber": ("AccessionNumber", "SH", b"A1"),
    "QueryRetrieveLevel": ("QueryRetrieveLevel", "CS", b"STUDY"),
    "PatientID": ("PatientID", "LO", b"P1"),
    "StudyInstanceUID": ("StudyInstanceUID", "UI", b"1.2.3"),
    "NumberOfStudyRelatedInstances": ("NumberOfStudyRelatedInstances", "IS", b"3"),
}


def study(*changed: Element) -> bytes:
    """Return an answer about a study, with some elements otherwise."""
    elements = {**USUAL, **{each[0]: each for each in changed}}
    return b"".join(element(*each) for each in sorted(elements.values(), key=lambda each: attribute_of(each[0]).path))


@contextmanager
def archive(*answers: bytes) -> Iterator[tuple[Mover, Asked]]:
    """Run an archive that gives these answers to every find, and claims 3 of 3 for every move."""
    asked = Asked()

    def script(connection: Connection, message: Message) -> None:
        identifier = read_elements(message.data, implicit=False)
        if message.command["CommandField"] == cs.C_FIND_RQ:
            asked.finds.append(identifier)
            for data in answers:
                answer(connection, message, 0xFF00, data)
            answer(connection, message, 0x0000)
        else:
            asked.moves.append(identifier)
            answer(connection, message, 0x0000, **counts(3))

    with peer(script) as node, Mover(node, destination="WS", progress="none", retry="none") as mover:
        yield mover, asked


def row(table: pd.DataFrame) -> pd.Series:
    """Return the only row."""
    assert len(table) == 1
    assert "internal error" not in str(table["error"].iloc[0])
    return table.iloc[0]


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(("AccessionNumber", "UN", b"A1"), id="key-as-un"),
        pytest.param(("AccessionNumber", "OB", b"A1"), id="key-as-ob"),
        pytest.param(("AccessionNumber", "LO", b"A1\\A2"), id="key-of-two-values"),
        pytest.param(("AccessionNumber", "US", b"A1"), id="key-as-number"),
        pytest.param(("StudyInstanceUID", "LO", b"1.2.3"), id="uid-as-lo"),
        pytest.param(("StudyInstanceUID", "UN", b"1.2.3\0"), id="uid-as-un"),
        pytest.param(("StudyInstanceUID", "UI", b"1.2.3\\1.2.3"), id="uid-twice"),
        pytest.param(("NumberOfStudyRelatedInstances", "US", b"\x03\0"), id="count-as-us"),
        pytest.param(("NumberOfStudyRelatedInstances", "UL", b"\x03\0\0\0"), id="count-as-ul"),
        pytest.param(("NumberOfStudyRelatedInstances", "DS", b"3.0"), id="count-as-ds"),
        pytest.param(("PatientName", "SQ", b"no items"), id="name-as-a-broken-sequence"),
        pytest.param(("StudyDate", "FD", b"1234"), id="date-as-half-a-number"),
        pytest.param(("SpecificCharacterSet", "CS", b"ISO-IR 6"), id="ascii-by-another-name"),
        pytest.param(("SpecificCharacterSet", "OB", b"\xff\xff"), id="no-such-character-set"),
    ],
)
def test_an_odd_element_costs_nothing(odd: Element) -> None:
    """An element of another VR, number or length than it should have neither hides a study nor ends a row."""
    with archive(study(odd)) as (mover, asked):
        moved = row(mover.move({"AccessionNumber": "A1"}))
        assert (moved["status"], moved["expected"], moved["matches"]) == ("success", 3, 1)
        assert [read_text(each, "StudyInstanceUID") for each in asked.moves] == ["1.2.3"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AnswerWarning)
            assert len(mover.find({"AccessionNumber": "A1"})) == 1


@pytest.mark.parametrize("raw", [b"99999999999999999999", b"2147483648", b"-3", b"many", b"3\\4", b""])
def test_a_count_that_cannot_be_is_unknown(raw: bytes) -> None:
    """A count that no archive can hold is no count, for the row and for the others of the batch."""
    odd = study(("NumberOfStudyRelatedInstances", "IS", raw))
    with archive(odd) as (mover, _):
        moved = row(mover.move({"AccessionNumber": "A1"}))
        planned = row(mover.plan({"AccessionNumber": "A1"}))
    assert (moved["status"], moved["status_code"]) == ("success", "0x0000")
    assert moved["expected"] is pd.NA
    assert planned["decision"] == "move"


@pytest.mark.parametrize("named", [b"1.2.3\\1.2.4", b"*", b"1.2?", b"['1.2.3']", b"none", b"1.2.3 1.2.4"])
def test_what_is_no_uid_is_never_asked_for(named: bytes) -> None:
    """A StudyInstanceUID of several values, or of what can be none, refuses its row, and nothing is moved by it."""
    with archive(study(("StudyInstanceUID", "UI", named))) as (mover, asked):
        moved = row(mover.move({"AccessionNumber": "A1"}))
    assert moved["status"] == "failure"
    assert "answered with a StudyInstanceUID that can be none" in moved["error"]
    assert asked.moves == []


@pytest.mark.parametrize("named", ["1.02.3", "1.2.AF.3", "1." + "2" * 64, "1.2.x_3"])
@pytest.mark.filterwarnings("ignore::dicomover.RequestWarning")
def test_what_the_archive_named_can_be_asked_for(named: str) -> None:
    """A UID that is none by the Standard goes into the identifier as it came, from a find's table and dicts too."""
    with archive(study(("StudyInstanceUID", "UI", named.encode()))) as (mover, asked):
        assert row(mover.move({"AccessionNumber": "A1"}))["status"] == "success"
        found = mover.find({"AccessionNumber": "A1"})
        assert row(mover.move(found[["StudyInstanceUID"]]))["status"] == "success"
        assert row(mover.move({"StudyInstanceUID": str(found["StudyInstanceUID"].iloc[0])}))["status"] == "success"
        with pytest.raises(RequestError, match="is no valid UID"):
            mover.move({"StudyInstanceUID": f"{named}.x"})
    assert [read_text(each, "StudyInstanceUID") for each in asked.moves] == [named] * 3


NAME = "Müller^Jörg"


@pytest.mark.parametrize(
    ("declared", "codec"),
    [
        (None, "utf-8"),
        (None, "latin-1"),
        (None, "iso8859_15"),
        (b"ISO_IR 100", "latin-1"),
        (b"ISO_IR 100", "utf-8"),
        (b"ISO_IR 192", "latin-1"),
        (b"ISO_IR 6", "utf-8"),
        (b"ISO-IR 100", "latin-1"),
        (b"ISO 2022 IR 6\\ISO 2022 IR 100", "latin-1"),
        (b"MADE UP", "utf-8"),
    ],
)
@pytest.mark.parametrize("key", ["PatientName", "AccessionNumber"])
def test_letters_match_however_they_are_labelled(declared: bytes | None, codec: str, key: str) -> None:
    """An answer matches what was asked when its bytes, read in any set that the archive may mean, do."""
    label = [] if declared is None else [("SpecificCharacterSet", "CS", declared)]
    value = (key, "PN" if key == "PatientName" else "SH", NAME.encode(codec))
    with archive(study(*label, value)) as (mover, asked):
        assert row(mover.move({key: NAME}))["status"] == "success"
    assert {read_text(each, "SpecificCharacterSet") for each in asked.finds if key in each} == {"ISO_IR 192"}
    assert read_text(asked.finds[0], key) == NAME


def test_the_character_set_is_asked_for() -> None:
    """A find in plain ASCII asks which character set the answers are in; a C-MOVE asks for nothing but its keys."""
    with archive(study()) as (mover, asked):
        mover.find({"AccessionNumber": "A1"})
        mover.move({"StudyInstanceUID": "1.2.3"})
    assert all("SpecificCharacterSet" in each and not read_text(each, "SpecificCharacterSet") for each in asked.finds)
    assert [sorted(each.keys()) for each in asked.moves] == [[0x00080052, 0x0020000D]]


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        (b"ISO_IR 100", "it answers in ISO_IR 100, which cannot carry letters that were asked for"),
        (b"ISO 2022 IR 126", "it answers in ISO 2022 IR 126, which cannot carry letters that were asked for"),
        (b"ISO_IR 192", "letters beyond ASCII were sent as UTF-8 (ISO_IR 192), which not every archive reads"),
    ],
)
def test_an_archive_that_cannot_carry_the_key(declared: bytes, said: str) -> None:
    """Where nothing matches letters beyond ASCII, the row says what may have become of them, and no name."""
    with archive(study(("SpecificCharacterSet", "CS", declared), ("PatientName", "PN", b"??????"))) as (mover, _):
        moved = row(mover.move({"PatientName": "Иванов"}))
    assert moved["status"] == "not-found"
    assert said in moved["error"]
    assert "the archive sent 1 answer that does not match the request; it was left out" in moved["error"]
    assert "Иванов" not in moved["error"]


@pytest.mark.parametrize("strangers", [1, 2, 5])
def test_find_tells_what_it_leaves_out(strangers: int) -> None:
    """Answers that do not match are counted in a warning, which quotes none of them."""
    others = [study(("AccessionNumber", "SH", b"SECRET")) for _ in range(strangers)]
    with archive(study(), *others) as (mover, _), pytest.warns(AnswerWarning) as caught:
        assert len(mover.find({"AccessionNumber": "A1"})) == 1
    (warning,) = caught
    expected = f"{strangers} answer{'s' if strangers > 1 else ''} left out that"
    assert expected in str(warning.message)
    assert "SECRET" not in str(warning.message)
    assert warning.filename == __file__


ITEM = element("ScheduledProcedureStepID", "SH", b"S7")
NESTED = ("RequestAttributesSequence", "SQ", b"\xfe\xff\x00\xe0" + struct.pack("<L", len(ITEM)) + ITEM)


@pytest.mark.parametrize(
    ("key", "value", "answered", "shown"),
    [
        ("0009,1001:LO", "x", ("0009,1001:LO", "LO", b"x"), "x"),
        ("0009,1001", "x", ("0009,1001", "UN", b"x "), "eCA="),
        ("0008,9999:SH", "x*", ("0008,9999:SH", "SH", b"xyz"), "xyz"),
        ("0009,1001:US", "513", ("0009,1001:US", "US", b"\x01\x02"), "513"),
        ("0009,1001:LO", None, ("0009,1001:LO", "UN", b"x "), "x"),
        ("(0009,1001):LO", "", ("0009,1001:LO", "LO", b""), None),
    ],
)
def test_private_and_unknown_keys(key: str, value: str | None, answered: Element, shown: str | None) -> None:
    """A private or unknown tag, with its VR or without, is sent as a key of C-FIND, and its column comes back."""
    with archive(study(answered)) as (mover, asked):
        found = mover.find({key: value, "AccessionNumber": "A1"})
    name = attribute_of(key).name
    assert found[name].astype(object).where(found[name].notna(), None).tolist() == [shown]
    sent = asked.finds[0].get_item(attribute_of(key).path[0])
    assert sent is not None
    assert attribute_of(key).vr == sent.VR
    assert bool(sent.value) is bool(value)


@pytest.mark.parametrize(("value", "comes"), [("S7", 1), ("S*", 1), (None, 1), ("S8", 0)])
def test_keys_in_sequences(value: str | None, comes: int) -> None:
    """What is in a sequence is asked for in its one item, and matched in any item of the answers."""
    key = "RequestAttributesSequence.ScheduledProcedureStepID"
    keys = {"StudyInstanceUID": "1.2.3", key: value}
    series = study(("QueryRetrieveLevel", "CS", b"SERIES"), ("SeriesInstanceUID", "UI", b"1.2.3.4"), NESTED)
    with archive(series) as (mover, asked), warnings.catch_warnings():
        warnings.simplefilter("ignore", AnswerWarning)
        found = mover.find(keys, level="series")
        if value and "*" not in value:
            assert row(mover.move(keys, level="series"))["status"] == ("success" if comes else "not-found")
    assert len(found) == comes
    assert found[key].tolist() == ["S7"] * comes
    assert read_text(asked.finds[0], key) == (value or "")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"0009,0001": "x"}, "is no tag of DICOM's dictionary"),
        ({"0009,1001:XX": "x"}, "has a VR that DICOM does not know"),
        ({"AccessionNumber.PatientID": "SECRET"}, "leads through what is no sequence"),
        ({"RequestAttributesSequence": "SECRET"}, "the value of a sequence"),
        ({"RequestAttributeSequence.ScheduledProcedureStepID": "x"}, "did you mean 'RequestAttributesSequence'"),
        ({"0009,1001:US": "SECRET"}, "cannot be written as US"),
        ({"StudyInstanceUID": ["1.2", "1.x"]}, "is no valid UID"),
    ],
)
def test_keys_that_cannot_be_meant(keys: dict[str, object], said: str) -> None:
    """A name that none has, and a value that its VR cannot hold, are told before anything is sent."""
    with archive() as (mover, asked), pytest.raises(RequestError, match=said):
        mover.find(keys)
    assert asked.finds == []


def test_a_private_value_is_not_shown() -> None:
    """What stands in a private element may name a patient."""
    with archive() as (mover, _), pytest.raises(RequestError) as error:
        mover.find({"0009,1001:US": "SECRET"})
    assert "SECRET" not in str(error.value)
