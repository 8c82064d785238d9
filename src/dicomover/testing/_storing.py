"""Move Destinations, and the sending side of C-STORE."""

from __future__ import annotations

import socket
from collections import UserDict
from collections.abc import Collection, Iterable

from pydicom.uid import ExplicitVRLittleEndian

from dicomover.node import Node
from dicomover.testing._raw import RawMessage, encode_fragments, join_command, split_command
from dicomover.testing._script import Storing
from dicomover.testing._server import LoopbackServer
from dicomover.testing._studies import Instance
from dicomover.wire import command_set
from dicomover.wire.command_set import C_STORE_RQ, RESPONSE, WITH_DATA_SET, Command
from dicomover.wire.connection import Connection, Until, wait_forever
from dicomover.wire.messages import Context, Message
from dicomover.wire.negotiation import request_association
from dicomover.wire.pdus import ASSOCIATE_RQ, P_DATA, encode_pdu
from dicomover.wire.transport import connect


class Destinations(UserDict[str, "int | tuple[str, int]"]):
    """Move Destinations by AE title: a port, or a loopback host and a port."""

    def __setitem__(self, ae_title: str, address: int | tuple[str, int]) -> None:
        if address is None:
            raise ValueError(f"{ae_title} has no port; a Mover has one while it listens: open it first")
        node = _destination(ae_title, address)
        if not node.is_loopback:
            raise ValueError(f"{node} is not on this machine; a demo archive never sends beyond it")
        super().__setitem__(ae_title, address)

    def node(self, ae_title: str) -> Node | None:
        """Return the destination, None if it is unknown."""
        address = self.data.get(ae_title)
        return None if address is None else _destination(ae_title, address)


def _destination(ae_title: str, address: int | tuple[str, int]) -> Node:
    host, port = ("127.0.0.1", address) if isinstance(address, int) else address
    return Node(host, port, ae_title=ae_title)


class DestinationConnection(Connection):
    """A connection to a Move Destination, over which the association is asked for in the way of the script."""

    def __init__(self, sock: socket.socket, how: Storing) -> None:
        super().__init__(sock)
        self._how = how

    def send(self, raw: bytes | bytearray | memoryview, seconds: float = 60.0, until: Until = wait_forever) -> None:
        """Write all bytes; an association request in the way of the script."""
        if raw[0] == ASSOCIATE_RQ and self._how.request is not None:
            raw = self._how.request(bytes(raw))
        super().send(self._how.first_bytes or raw, seconds, until)


class StoreAssociation:
    """An association over which an archive stores instances, in the way of the script."""

    def __init__(self, connection: Connection, how: Storing, stored_classes: Collection[str] | None = None) -> None:
        self.connection = connection
        self._how = how
        self._message_id = 0
        self._accepted = {
            (context.abstract_syntax, context.transfer_syntaxes[0]): context.id
            for context in connection.contexts.values()
            if stored_classes is None or context.abstract_syntax in stored_classes
        }

    def store(self, instance: Instance, originator: tuple[str, int] | None, *, is_repeated: bool = False) -> int | None:
        """Send one instance and return the status of the answer.

        It is None if no presentation context was accepted for it. Raises NodeError if the association ends first.
        """
        context_id = self._context_for(instance)
        if context_id is None:
            return None
        command, data = self._request(instance, originator)
        if self._how.instance is None and not self._how.excess and not self._how.interrupted:
            self.connection.send_message(context_id, command, data)
        else:
            message = RawMessage(split_command(command_set.encode(command)), data, is_repeated)
            if self._how.instance is not None:
                message = self._how.instance(message)
            room = self.connection.peer_max_pdu - 6 + self._how.excess
            if self._how.interrupted:
                room = min(room, len(data) // 2)
            self._send(encode_fragments(context_id, join_command(message.command), message.data, room))
        while True:
            answer = self.connection.read_message()
            if answer.command.get("CommandField") == C_STORE_RQ | RESPONSE:
                return int(answer.command.get("Status", 0x0110))
            self._hear(answer)

    def begin(self, instance: Instance) -> None:
        """Send an instance but for its end, if a presentation context was accepted for it."""
        context_id = self._context_for(instance)
        if context_id is not None:
            command, data = self._request(instance, None)
            room = min(self.connection.peer_max_pdu - 6, len(data) // 2)
            fragments = encode_fragments(context_id, command_set.encode(command), data, room)
            self.connection.send(b"".join(encode_pdu(P_DATA, fragment) for fragment in fragments[:-1]))

    def close(self, seconds: float = 5.0) -> None:
        """Release the association, if it is for storing alone."""

    def _context_for(self, instance: Instance) -> int | None:
        if self._how.no_context:
            return next((n for n in range(255, 0, -2) if n not in self.connection.contexts), 2)
        wanted = (instance.sop_class_uid, _syntax_of(instance, self._how))
        found = self._accepted.get(wanted)
        if found is None and self._how.any_context:
            found = next((id_ for (sop_class, _), id_ in self._accepted.items() if sop_class == wanted[0]), None)
        return found

    def _request(self, instance: Instance, originator: tuple[str, int] | None) -> tuple[Command, bytes]:
        self._message_id = self._message_id % 0xFFFF + 1
        command: Command = {
            "AffectedSOPClassUID": instance.sop_class_uid,
            "CommandField": C_STORE_RQ,
            "MessageID": self._message_id,
            "Priority": 0,
            "CommandDataSetType": WITH_DATA_SET,
            "AffectedSOPInstanceUID": instance.sop_instance_uid,
        }
        if originator is not None:
            command["MoveOriginatorApplicationEntityTitle"], command["MoveOriginatorMessageID"] = originator
        data = instance.data_set_bytes()
        return command, data if self._how.encode is None else self._how.encode(data)

    def _send(self, fragments: list[bytes]) -> None:
        self.connection.send(b"".join(encode_pdu(P_DATA, fragment) for fragment in fragments))

    def _hear(self, message: Message) -> None:
        """Take in what is no answer to a C-STORE; here it is passed over."""


class DestinationAssociation(StoreAssociation):
    """An association to a Move Destination on loopback.

    Raises NodeError if the destination does not answer, or rejects.
    """

    def __init__(
        self, server: LoopbackServer, node: Node, ae_title: str, instances: Iterable[Instance], how: Storing
    ) -> None:
        assert node.is_loopback, f"{node} is not on this machine; nothing is ever sent beyond it"
        pairs = _list_pairs(instances, how)
        offers = (
            [(uid, how.one_context) for uid in dict.fromkeys(uid for uid, _ in pairs)]
            if how.one_context
            else [(uid, (syntax,)) for uid, syntax in pairs]
        )
        contexts = [Context(2 * n + 1, sop_class, syntaxes) for n, (sop_class, syntaxes) in enumerate(offers[:128])]
        self.node = node
        self._server = server
        self._proposed = frozenset(pairs)
        self.connection = DestinationConnection(connect(node, 5.0), how)
        try:
            server.adopt(self.connection)
            request_association(self.connection, node, ae_title, contexts)
        except BaseException:
            self._end()
            raise
        super().__init__(self.connection, how)

    def fits(self, node: Node, instances: Iterable[Instance], how: Storing) -> bool:
        """Tell whether it is still open and good for these instances."""
        wanted = set(_list_pairs(instances, how))
        return node == self.node and how == self._how and wanted <= self._proposed and not self.connection.is_stale()

    def close(self, seconds: float = 5.0) -> None:
        """Release the association."""
        self.connection.release(seconds)
        self._end()

    def _end(self) -> None:
        self.connection.close()
        self._server.forget(self.connection)


def _list_pairs(instances: Iterable[Instance], how: Storing) -> list[tuple[str, str]]:
    pairs = list(dict.fromkeys((item.sop_class_uid, _syntax_of(item, how)) for item in instances))
    if not how.by_the_first:
        return pairs
    natively = [(uid, str(ExplicitVRLittleEndian)) for uid, _ in pairs]
    return list(dict.fromkeys([*pairs[:1], *natively]))


def _syntax_of(instance: Instance, how: Storing) -> str:
    return how.transfer_syntax or instance.transfer_syntax_uid
