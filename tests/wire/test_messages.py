"""Messages and their fragments."""

from __future__ import annotations

import struct

from dicomover.testing._elements import encode
from dicomover.wire import command_set as cs
from dicomover.wire.connection import Connection
from dicomover.wire.messages import Message
from dicomover.wire.pdus import P_DATA, PDU_HEAD
from wire_kit import (
    EXPLICIT,
    associated,
    counts,
    move,
    peer,
    response,
)


def test_a_response_in_many_pieces() -> None:
    """A command set and an identifier that are spread over many values and PDUs are put together."""

    def script(connection: Connection, message: Message) -> None:
        data = encode({"FailedSOPInstanceUIDList": "1.2.3.4\\1.2.3.5"}, EXPLICIT)
        parts = [(1, cs.encode(response(message, 0xB000, data, **counts(1, failed=2)))), (0, data)]
        for is_command, part in parts:
            for at in range(0, len(part), 7):
                last = 2 if at + 7 >= len(part) else 0
                piece = part[at : at + 7]
                item = struct.pack(">LBB", len(piece) + 2, message.context_id, is_command | last) + piece
                connection.send(PDU_HEAD.pack(P_DATA, len(item)) + item)

    with peer(script) as node, associated(node) as association:
        end = move(association)
    assert end.status_code == 0xB000
    assert end.failed_uids == ("1.2.3.4", "1.2.3.5")
