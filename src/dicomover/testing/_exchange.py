"""What the services share: one request being answered on one association."""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import NoReturn, Protocol

from dicomover.errors import AssociationLost, LostBy
from dicomover.node import Node
from dicomover.testing._archive import Archive
from dicomover.testing._elements import decode
from dicomover.testing._misbehaviour import Misbehaviours
from dicomover.testing._raw import RawMessage, encode_fragments, join_command, split_command
from dicomover.testing._records import Records, Request
from dicomover.testing._script import Script
from dicomover.testing._server import LoopbackServer, pause, silence
from dicomover.testing._storing import DestinationAssociation, Destinations
from dicomover.wire import command_set
from dicomover.wire.command_set import C_CANCEL_RQ, NO_DATA_SET, RESPONSE, WITH_DATA_SET, Command
from dicomover.wire.connection import Connection
from dicomover.wire.messages import Message
from dicomover.wire.pdus import P_DATA, encode_pdu

_PENDING = (0xFF00, 0xFF01)


class Pacs(Protocol):
    """What an exchange asks of the archive that it belongs to; the public names are those of a `DemoPacs`."""

    ae_title: str
    models: Collection[str]
    get: bool
    without_bulk: bool
    strict: bool
    pending: bool
    always_unable: bool
    availability: dict[str, str]
    originator: bool
    store_associations: int
    reuse_store_associations: bool
    store_ae_title: str
    misbehave: Misbehaviours
    destinations: Destinations
    _archive: Archive
    _records: Records
    _server: LoopbackServer

    def restart(self, seconds: float = 0.0) -> None:
        """Drop every association and refuse connections for a while."""

    def _find_destination(self, ae_title: str) -> Node | None:
        """Return the Move Destination as it is spoken to, None if it is unknown."""

    def _heed(self, keys: Mapping[str, str], level: str) -> Mapping[str, str]:
        """Return the keys of a request that it takes notice of."""

    def _moving(self, exchange: Exchange) -> AbstractContextManager[Script | None]:
        """Count a C-MOVE until its final response goes out; give the script for one too many."""


@dataclass(slots=True, eq=False)
class Link:
    """An association that an archive serves."""

    pacs: Pacs
    connection: Connection
    number: int
    calling_ae_title: str
    stores: list[DestinationAssociation] = field(
        default_factory=list
    )  # kept open for the next move, if the archive does
    stored_classes: frozenset[str] = frozenset()  # whose instances the peer takes on this association, in a C-GET
    unread: list[Message] = field(default_factory=list)  # requests that came while an instance was under way to it

    def note(self, message: Message, kind: str, model: str = "", keys: Mapping[str, str] | None = None) -> Request:
        """Write down a request that came on it."""
        records = self.pacs._records
        return records.note_request(kind, model, keys or {}, message.command, self.calling_ae_title, self.number)

    def read_request(self) -> Message:
        """Return the next request; raises AssociationLost or ProtocolError if there is none."""
        return self.unread.pop(0) if self.unread else self.connection.read_message()

    def syntax(self, context_id: int) -> str:
        """Return the transfer syntax of a presentation context."""
        return self.connection.contexts[context_id].transfer_syntaxes[0]


class Exchange:
    """One request and the responses to it."""

    def __init__(self, link: Link, message: Message, script: Script | None = None) -> None:
        self.link = link
        self.pacs = link.pacs
        self.connection = link.connection
        self.context_id = message.context_id
        self.message_id = int(message.command.get("MessageID", 0))
        self.script = script or Script()
        self.before_final: Callable[[], None] = lambda: None
        self.is_over = False  # the final response has gone out
        self._is_cancelled = False
        self._held: list[bytes] = []  # fragments that wait for the last response
        self._sop_class = str(message.command.get("AffectedSOPClassUID", ""))
        self._command_field = int(message.command["CommandField"]) | RESPONSE

    def response(
        self, status: int, extra: Mapping[str, int] | Mapping[str, int | str] | None = None, *, data: bool = False
    ) -> Command:
        """Return the command set of a response."""
        return {
            "AffectedSOPClassUID": self._sop_class,
            "CommandField": self._command_field,
            "MessageIDBeingRespondedTo": (self.message_id + self.script.message_id_offset) & 0xFFFF,
            "CommandDataSetType": WITH_DATA_SET if data else NO_DATA_SET,
            "Status": status,
            **(extra or {}),
        }

    def answer(
        self, status: int, extra: Mapping[str, int] | Mapping[str, int | str] | None = None, data: bytes = b""
    ) -> None:
        """Send a response; before a final one, whoever asked to be told is told."""
        is_final = status not in _PENDING
        if is_final:
            self.is_over = True
            self.before_final()
        command = self.response(status, extra, data=bool(data))
        if self.script.response is None and not self.script.together:
            self.connection.send_message(self.context_id, command, data)
            return
        message = RawMessage(split_command(command_set.encode(command)), data)
        if self.script.response is not None:
            message = self.script.response(message)
        room = self.connection.peer_max_pdu - 6
        self._held += encode_fragments(self.context_id, join_command(message.command), message.data, room)
        if self.script.together and is_final:
            self.connection.send(encode_pdu(P_DATA, b"".join(self._held)))
        elif not self.script.together:
            self.connection.send(b"".join(encode_pdu(P_DATA, fragment) for fragment in self._held))
        if is_final or not self.script.together:
            self._held.clear()

    def cancelled(self) -> bool:
        """Tell, without waiting, whether a C-CANCEL for this request has come.

        Raises AssociationLost or ProtocolError if the peer has left, or sent another request before this one was
        answered.
        """
        while self.connection.is_stale():
            self.hear(self.connection.read_message())
        return self._is_cancelled

    def hear(self, message: Message) -> None:
        """Take in what comes before the request is answered; raises ProtocolError if it is not a C-CANCEL."""
        if self.is_over:
            self.link.unread.append(message)
            return
        if message.command.get("CommandField") != C_CANCEL_RQ:
            raise self.connection.refuse("a request before the one before was answered")
        self.link.note(message, "C-CANCEL")
        if message.command.get("MessageIDBeingRespondedTo") == self.message_id:
            self._is_cancelled = True

    def wait(self, seconds: float) -> bool:
        """Wait, and tell whether a C-CANCEL came meanwhile."""
        pause(self.connection, seconds)
        return self.cancelled()

    def break_off(self, how: str, seconds: float) -> NoReturn:
        """End in the middle, in one of the ways of `Script.breaks`; raises AssociationLost always."""
        connection = self.connection
        if how == "abort":
            connection.abort(source=2)
        elif how == "close":
            connection.close()
        elif how == "release":
            connection.release(2.0)
        else:
            if how == "half-pdu":
                pdu = self._pdu(command_set.encode(self.response(0xFF00)))
                connection.send(pdu[: len(pdu) // 2])
            elif how == "garbage":
                connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            elif how == "broken-command":
                connection.send(self._pdu(b"\x08\x00\x52\x00\xff\xff\x00\x00 no command set"))
            elif how == "restart":
                self.pacs.restart(seconds)
            silence(connection)
        raise AssociationLost("ended by the script", LostBy.STOPPED)

    def _pdu(self, command: bytes) -> bytes:
        item = struct.pack(">LBB", len(command) + 2, self.context_id, 3) + command
        return encode_pdu(P_DATA, item)


def read_identifier(link: Link, message: Message) -> dict[str, str]:
    """Return the identifier of a request, by keyword; empty if it cannot be read."""
    try:
        return decode(message.data, link.syntax(message.context_id))
    except ValueError:
        return {}
