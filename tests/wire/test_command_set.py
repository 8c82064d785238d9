"""DIMSE command sets: encode, decode, and whatever a peer may send."""

from __future__ import annotations

import struct
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.datadict import keyword_for_tag
from pydicom.filereader import read_dataset

from dicomover.wire import command_set as cs

NUMBERS = [
    "CommandField", "MessageID", "MessageIDBeingRespondedTo", "Priority", "CommandDataSetType", "Status", "ErrorID",
    "NumberOfRemainingSuboperations", "NumberOfCompletedSuboperations", "NumberOfFailedSuboperations",
    "NumberOfWarningSuboperations", "MoveOriginatorMessageID",
]  # fmt: skip
UIDS = ["AffectedSOPClassUID", "RequestedSOPClassUID", "AffectedSOPInstanceUID", "RequestedSOPInstanceUID"]
TEXTS = ["MoveDestination", "ErrorComment", "MoveOriginatorApplicationEntityTitle"]

us = st.integers(0, 0xFFFF)
uids = st.from_regex(r"[0-2](\.(0|[1-9][0-9]{0,8})){1,6}", fullmatch=True)
texts = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="\\"), max_size=16)
commands = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(NUMBERS, us),
        **dict.fromkeys(UIDS, uids),
        **dict.fromkeys(TEXTS, texts),
        "OffendingElement": st.integers(0, 0xFFFFFFFF),
    },
)


@given(commands)
def test_round_trip(command: cs.Command) -> None:
    """What is encoded is decoded the same."""
    assert cs.decode(cs.encode(command)) == command


@given(commands)
def test_pydicom_reads_the_same(command: cs.Command) -> None:
    """The bytes are Implicit VR Little Endian, in order, and their group length is right (PS3.7 section 6.3.1)."""
    raw = cs.encode(command)
    dataset = read_dataset(BytesIO(raw), True, True, bytelength=len(raw))
    assert dataset.CommandGroupLength == len(raw) - 12
    tags = [int(element.tag) for element in dataset]
    assert tags == sorted(tags)
    assert {keyword_for_tag(tag) for tag in tags} == {"CommandGroupLength", *command}
    for keyword, value in command.items():
        read = dataset[keyword].value
        assert (int(read) if isinstance(value, int) else str(read or "")) == value


@given(st.binary(max_size=200))
def test_garbage_is_a_value_error(raw: bytes) -> None:
    """Bytes that are no command set are a ValueError and nothing else."""
    try:
        command = cs.decode(raw)
    except ValueError:
        return
    assert isinstance(command, dict)


@given(commands, st.data())
def test_a_damaged_command_is_a_value_error(command: cs.Command, data: st.DataObject) -> None:
    """A command set that was cut or has a wrong byte is a ValueError or another command, and nothing else."""
    raw = bytearray(cs.encode(command))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    for damaged in (raw, raw[: data.draw(st.integers(0, len(raw)))]):
        try:
            decoded = cs.decode(damaged)
        except ValueError:
            continue
        assert all(isinstance(value, int | str) for value in decoded.values())


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"\0" * 7, "ends inside an element"),
        (struct.pack("<HHL", 0, 0x0100, 4) + b"\0\0", "bad element"),
        (struct.pack("<HHL", 8, 0x0100, 0), "bad element"),
        (struct.pack("<HHL", 0, 0x0100, 0xFFFFFFFF), "bad element"),
    ],
)
def test_what_is_wrong_is_said(raw: bytes, says: str) -> None:
    """A command set that cannot be read says why."""
    with pytest.raises(ValueError, match=says):
        cs.decode(raw)


def test_absent_is_absent() -> None:
    """A counter that was sent empty or not at all is absent, never 0; elements that are not used are passed over."""
    empty = struct.pack("<HHL", 0, 0x1021, 0)
    other = struct.pack("<HHL", 0, 0x5110, 4) + b"abcd"
    assert cs.decode(empty + other + cs.encode({"Status": 0})) == {"Status": 0}


@pytest.mark.parametrize(
    ("element", "value", "expected"),
    [
        (0x1021, struct.pack("<L", 70000), {"NumberOfCompletedSuboperations": 70000}),
        (0x0110, struct.pack("<L", 7), {"MessageID": 7}),
        (0x0110, struct.pack("<L", 70000), {"MessageID": 70000 & 0xFFFF}),  # what we answer has room for two bytes
        (0x0900, b"\0\0\xff\0", {"Status": 0}),
        (0x0800, b"\1\1\1\1", {"CommandDataSetType": 0x0101}),
        (0x1021, b"\x05", {"NumberOfCompletedSuboperations": 5}),
        (0x1021, struct.pack("<HHH", 5, 6, 7), {"NumberOfCompletedSuboperations": 5}),
        (0x0901, bytes.fromhex("20000d00"), {"OffendingElement": 0x0020000D}),
        (0x0901, bytes.fromhex("20000d0020000e00"), {"OffendingElement": "0020000D\\0020000E"}),
        (0x0901, bytes.fromhex("20000d002000"), {"OffendingElement": 0x0020000D}),
        (0x0901, b"\x20\0", {}),
        (0x0903, b"", {}),
    ],
)
def test_values_of_any_length(element: int, value: bytes, expected: cs.Command) -> None:
    """A number of four bytes or of several values, and a tag of any number of values, are read where they can be."""
    assert cs.decode(struct.pack("<HHL", 0, element, len(value)) + value) == expected


def test_unknown_keywords_are_no_elements() -> None:
    """A keyword that is no command element is a KeyError."""
    with pytest.raises(KeyError):
        cs.encode({"PatientID": "1"})


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer(kind: type) -> None:
    """Any kind of buffer is read."""
    assert cs.decode(kind(cs.encode({"Status": 0xB000}))) == {"Status": 0xB000}


@pytest.mark.parametrize(
    ("keyword", "most"), [("MoveDestination", 256), ("ErrorComment", 256), ("OffendingElement", 576)]
)
def test_of_a_value_that_is_far_too_long_the_beginning_stands(keyword: str, most: int) -> None:
    """Sixty kilobytes of text, or of tags, where a few bytes belong do not come further than here."""
    element, _ = cs.ELEMENTS[keyword]
    raw = struct.pack("<HHL", 0, element, 60_000) + b"A\0" * 30_000 + cs.encode({"Status": 0xA801})
    command = cs.decode(raw)
    assert command["Status"] == 0xA801
    assert 0 < len(str(command[keyword])) <= most
