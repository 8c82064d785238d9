"""Details as they come over the wire, read by hand: our own reader is lenient."""

from __future__ import annotations

import struct
import time

import pytest

from dicomover.testing._details import DETAILS
from dicomover.testing._raw import split_command
from dicomover.wire.command_set import C_FIND_RQ, C_MOVE_RQ
from testing_kit import ACCESSION, Client, archive, client_of, move_keys

KEYS = {"QueryRetrieveLevel": "STUDY", "AccessionNumber": ACCESSION, "StudyInstanceUID": ""}


def read_by_hand(client: Client, seconds: float = 5.0) -> tuple[list[dict[int, bytes]], list[bytes], int]:
    """Return command sets and data sets as they come, to the final status or the end, and the number of PDUs."""
    limit = time.monotonic() + seconds
    commands: list[dict[int, bytes]] = []
    data: list[bytes] = []
    pdus = 0
    while not commands or commands[-1][0x0900] in (b"\x00\xff", b"\x01\xff"):
        body = bytes(client.connection.read_pdu(lambda: limit)[1])
        pdus += 1
        while body:
            length, _, flags = struct.unpack_from(">LBB", body)
            value, body = body[6 : 4 + length], body[4 + length :]
            if flags & 1:
                commands.append(split_command(value))
            else:
                data.append(value)
    return commands, data, pdus


def ask(name: str) -> tuple[list[dict[int, bytes]], list[bytes], int]:
    """Return what one misbehaviour sends."""
    kind = C_FIND_RQ if name.startswith("find") else C_MOVE_RQ
    with archive(name) as pacs, client_of(pacs) as client:
        client.send(kind, KEYS if kind == C_FIND_RQ else move_keys(pacs))
        return read_by_hand(client)


def test_announcements_are_untrue() -> None:
    """Three pending responses and a final one; what they announce does not come, what comes was not announced."""
    commands, data, _ = ask("pending-announces-identifier")
    assert [command[0x0800] for command in commands] == [b"\x02\x01"] * 3 + [b"\x01\x01"]
    assert data == []
    commands, data, _ = ask("unannounced-identifier")
    assert ([command[0x0800] for command in commands], len(data)) == ([b"\x01\x01"] * 4, 3)


@pytest.mark.parametrize(("name", "messages"), [("responses-in-one-pdu", 4), ("find-responses-in-one-pdu", 2)])
def test_all_in_one_pdu(name: str, messages: int) -> None:
    """All responses come at once."""
    commands, _, pdus = ask(name)
    assert (len(commands), pdus) == (messages, 1)


@pytest.mark.parametrize(("name", "last"), [("counters-wrap", 4), ("counters-stop", 65535)])
def test_counters_of_sixteen_bits(name: str, last: int) -> None:
    """The counters climb to what 16 bits can say, and begin again or stay there."""
    commands, _, _ = ask(name)
    counted = [struct.unpack("<H", command[0x1021])[0] for command in commands]
    assert counted[:8] == [8192 * n for n in range(8)]
    assert counted[-1] == last
    assert 0x1020 not in commands[-1]


@pytest.mark.parametrize("name", ["sent-and-counted-twice", "sent-twice-with-other-bytes", "one-uid-in-two-series"])
def test_instances_that_come_again(name: str) -> None:
    """One instance more than there are, or one SOP Instance UID less."""
    with archive(name) as pacs, client_of(pacs) as client:
        pacs.workstation.keep = True
        seen = client.ask(C_MOVE_RQ, move_keys(pacs))
        received = pacs.workstation.received
        assert len({item.sop_instance_uid for item in received}) == (3 if name == "one-uid-in-two-series" else 4)
        assert seen.counters == (len(received), 0, 0) == ((4, 0, 0) if name == "one-uid-in-two-series" else (5, 0, 0))
        assert len({item.data for item in received}) == (4 if name == "sent-and-counted-twice" else len(received))


def test_charsets_are_labelled_as_the_script_says() -> None:
    """The label and the bytes of an answer need not agree."""
    for name, (_, script) in DETAILS.items():
        if script.charset is not None:
            _, (answer,), _ = ask(name)
            assert script.charset[0].encode() in answer
            assert (b"\x08\x00\x05\x00CS" in answer) == bool(script.charset[0])
