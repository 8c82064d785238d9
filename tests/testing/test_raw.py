"""Bytes by hand: what is taken apart is put together as it was."""

from __future__ import annotations

import pytest

from dicomover.testing import made_study
from dicomover.testing._raw import (
    encode_element,
    encode_fragments,
    join_command,
    join_items,
    put_element,
    split_command,
    split_data_set,
    split_items,
)
from dicomover.wire import command_set
from dicomover.wire.messages import Assembly
from testing_kit import MOVE, make_acceptance


def test_items_there_and_back() -> None:
    """An association PDU has its application context, its contexts and its user information, in this order."""
    raw = make_acceptance()
    assert [kind for kind, _ in split_items(raw)] == [0x10, 0x21, 0x50]
    assert join_items(raw, split_items(raw)) == raw


def test_command_there_and_back() -> None:
    """A command set is the same again, with its group length."""
    raw = command_set.encode({"CommandField": 0x8021, "Status": 0xFF00, "AffectedSOPClassUID": MOVE})
    assert split_command(raw)[0x0900] == b"\x00\xff"
    assert join_command(split_command(raw)) == raw


def test_data_set_there_and_back() -> None:
    """Each element of a made image is found; one more goes to its place."""
    data = made_study("A").instances()[0].data_set_bytes()
    elements = split_data_set(data)
    assert b"".join(raw for _, raw in elements) == data
    more = put_element(data, 0x00080050, encode_element(0x00080050, "UN", b"odd"))
    assert [tag for tag, _ in split_data_set(more)] == [tag for tag, _ in elements]
    assert b"UN\0\0\x04\0\0\0odd\0" in more


@pytest.mark.parametrize("room", [16, 1 << 14])
def test_fragments_make_a_message(room: int) -> None:
    """However small its fragments are, a message comes together again."""
    assembly = Assembly()
    for fragment in encode_fragments(3, b"c" * 40, b"d" * 40, room):
        assembly.add(memoryview(fragment))
    assert [(part.is_command, bytes(part.data)) for part in assembly.parts] == [(True, b"c" * 40), (False, b"d" * 40)]
