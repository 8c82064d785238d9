"""What the log shows of messages: the field's own words, and nothing of a patient unless that very log is asked for."""

from __future__ import annotations

import logging

import pytest

from dicomover.identifier import Level, query_dataset
from dicomover.outcome import Counters
from dicomover.wire import command_set as cs
from dicomover.wire.dump import dump_command, dump_contexts, dump_counters, log_identifier, name_message
from dicomover.wire.messages import Context


@pytest.mark.parametrize(
    ("field", "name"),
    [
        (0x0001, "C-STORE-RQ"),
        (0x8001, "C-STORE-RSP"),
        (0x0FFF, "C-CANCEL-RQ"),
        (0x0150, "a message with Command Field 336"),
        ("x", "a message with Command Field 'x'"),
    ],
)
def test_a_message_has_its_name(field: int | str, name: str) -> None:
    """Each Command Field that we know is called as the Standard does; any other is told as it came."""
    assert name_message({"CommandField": field}) == name


def test_a_command_set_has_a_line_for_each_element() -> None:
    """Tags in their order, VR, keyword, and the value with its meaning."""
    command: cs.Command = {
        "Status": 0xB000,
        "AffectedSOPClassUID": "1.2.840.10008.5.1.4.1.2.2.2",
        "CommandField": 0x8021,
        "CommandDataSetType": cs.WITH_DATA_SET,
        "NumberOfFailedSuboperations": 2,
    }
    lines = [" ".join(line.split()) for line in dump_command(command, 1234).splitlines()]
    assert lines[0] == "C-MOVE-RSP"
    assert lines[1].startswith("(0000,0002) UI AffectedSOPClassUID 1.2.840.10008.5.1.4.1.2.2.2 (Study Root")
    assert lines[2:4] == [
        "(0000,0100) US CommandField 0x8021 (C-MOVE-RSP)",
        "(0000,0800) US CommandDataSetType 0x0001 (a data set follows)",
    ]
    assert lines[4].startswith("(0000,0900) US Status 0xB000 (")
    assert lines[5:] == ["(0000,1022) US NumberOfFailedSuboperations 2", "and 1,234 bytes of identifier"]


@pytest.mark.parametrize("value", [7, 0x10000, "two\\values", "", "\x1b[2J"])
def test_any_value_of_any_element_can_be_shown(value: int | str) -> None:
    """Whatever a peer sent is shown in one line for each element, with nothing that a terminal would obey."""
    dump = dump_command(dict.fromkeys(cs.ELEMENTS, value))
    assert len(dump.splitlines()) == len(cs.ELEMENTS) + 1
    assert "\x1b" not in dump


def test_a_comment_is_not_shown() -> None:
    """What a peer writes in its own words may quote a patient's keys."""
    assert "SECRET" not in dump_command({"CommandField": 0x8021, "ErrorComment": "no SECRET here"})


def test_contexts_have_their_result() -> None:
    """Accepted with its transfer syntax, refused with the reason, or not answered at all."""
    echo, move = "1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.2.2.2"
    proposed = [
        Context(1, echo, ("1.2.840.10008.1.2",)),
        Context(3, move, ("1.2.840.10008.1.2.1",)),
        Context(5, echo, ()),
    ]
    lines = dump_contexts(proposed, {1: 0, 3: 4}, {1: "1.2.840.10008.1.2"}).splitlines()
    assert lines[0] == "  context 1: Verification SOP Class: accepted, Implicit VR Little Endian"
    assert lines[1].endswith("MOVE: refused: transfer syntax not supported, Explicit VR Little Endian")
    assert "no word of it" in lines[2]


def test_counters_that_are_unknown_are_left_out() -> None:
    """None is not 0."""
    assert dump_counters(Counters(completed=1_000, remaining=0)) == "1,000 completed, 0 remaining"
    assert dump_counters(Counters()) == "without a count"


def test_identifiers_are_logged_only_to_whom_asks(caplog: pytest.LogCaptureFixture) -> None:
    """Setting our root logger to DEBUG shows no identifier; setting that of the identifiers does."""
    identifier = query_dataset(Level.STUDY, {"PatientID": "SECRET"})
    with caplog.at_level(logging.DEBUG, logger="dicomover"):
        log_identifier("the identifier of message %d", 7, identifier)
    assert not caplog.records
    with caplog.at_level(logging.DEBUG, logger="dicomover.identifiers"):
        log_identifier("the identifier of message %d", 7, identifier)
    assert "the identifier of message 7" in caplog.text
    assert "'SECRET'" in caplog.text
