"""Move Destinations, and the sending side of C-STORE."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Iterable

from dicomover.node import Node
from dicomover.testing._server import LoopbackServer
from dicomover.testing._studies import Instance
from dicomover.wire.command_set import C_STORE_RQ, RESPONSE, WITH_DATA_SET
from dicomover.wire.connection import Connection
from dicomover.wire.messages import Context
from dicomover.wire.negotiation import request_association
from dicomover.wire.transport import connect

__all__ = ["Destinations", "StoreAssociation"]


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


class StoreAssociation:
    """An association over which an archive stores instances at a Move Destination on loopback.

    Raises
    ------
    NodeError
        If the destination does not answer, or rejects.
    """

    def __init__(self, server: LoopbackServer, node: Node, ae_title: str, instances: Iterable[Instance]) -> None:
        assert node.is_loopback, f"{node} is not on this machine; nothing is ever sent beyond it"
        pairs = dict.fromkeys((item.sop_class_uid, item.transfer_syntax_uid) for item in instances)
        contexts = [Context(2 * n + 1, sop_class, (syntax,)) for n, (sop_class, syntax) in enumerate(list(pairs)[:128])]
        self.node = node
        self._server = server
        self._message_id = 0
        self.connection = Connection(connect(node, 5.0))
        try:
            server.adopt(self.connection)
            request_association(self.connection, node, ae_title, contexts)
        except BaseException:
            self._end()
            raise
        self._accepted = {
            (context.abstract_syntax, context.transfer_syntaxes[0]): context.id
            for context in self.connection.contexts.values()
        }
        self._proposed = frozenset(pairs)

    def fits(self, node: Node, instances: Iterable[Instance]) -> bool:
        """Tell whether it is still open and good for these instances."""
        wanted = {(item.sop_class_uid, item.transfer_syntax_uid) for item in instances}
        return node == self.node and wanted <= self._proposed and not self.connection.is_stale()

    def store(self, instance: Instance, originator: tuple[str, int] | None) -> int | None:
        """Send one instance and return the status of the answer.

        It is None if no presentation context was accepted for it.

        Raises
        ------
        NodeError
            If the association ends first.
        """
        self._message_id = self._message_id % 0xFFFF + 1
        context_id = self._accepted.get((instance.sop_class_uid, instance.transfer_syntax_uid))
        if context_id is None:
            return None
        command: dict[str, int | str] = {
            "AffectedSOPClassUID": instance.sop_class_uid,
            "CommandField": C_STORE_RQ,
            "MessageID": self._message_id,
            "Priority": 0,
            "CommandDataSetType": WITH_DATA_SET,
            "AffectedSOPInstanceUID": instance.sop_instance_uid,
        }
        if originator is not None:
            command["MoveOriginatorApplicationEntityTitle"], command["MoveOriginatorMessageID"] = originator
        self.connection.send_message(context_id, command, instance.data_set_bytes())
        while True:
            answer = self.connection.read_message().command
            if answer.get("CommandField") == C_STORE_RQ | RESPONSE:
                return int(answer.get("Status", 0x0110))

    def close(self, seconds: float = 5.0) -> None:
        """Release the association."""
        self.connection.release(seconds)
        self._end()

    def _end(self) -> None:
        self.connection.close()
        self._server.forget(self.connection)
