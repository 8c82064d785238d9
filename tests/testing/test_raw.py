"""Bytes by hand: what is taken apart is put together as it was."""

from __future__ import annotations

import pytest

from dicomover.testing._raw import (
    FIXED,
    encode_fragments,
    join_command,
    join_items,
    split_command,
)
from dicomover.wire import command_set
from dicomover.wire.messages import Assembly
from dicomover.wire.pdus import split_items
from testing_kit import MOVE, make_acceptance


def test_items_there_and_back() -> None:
    """An association PDU has its application context, its contexts and its user information, in this order."""
    raw = make_acceptance()
    assert [kind for kind, _ in split_items(raw, FIXED)] == [0x10, 0x21, 0x50]
    assert join_items(raw, split_items(raw, FIXED)) == raw


def test_command_there_and_back() -> None:
    """A command set is the same again, with its group length."""
    raw = command_set.encode({"CommandField": 0x8021, "Status": 0xFF00, "AffectedSOPClassUID": MOVE})
    assert split_command(raw)[0x0900] == b"\x00\xff"
    assert join_command(split_command(raw)) == raw


@pytest.mark.parametrize("room", [16, 1 << 14])
def test_fragments_make_a_message(room: int) -> None:
    """However small its fragments are, a message comes together again."""
    assembly = Assembly()
    for fragment in encode_fragments(3, b"c" * 40, b"d" * 40, room):
        assembly.add(memoryview(fragment))
    assert [(part.is_command, bytes(part.data)) for part in assembly.parts] == [(True, b"c" * 40), (False, b"d" * 40)]
