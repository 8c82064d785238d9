"""A Storage SCP on loopback that counts what reaches it: a Move Destination for tests and demos."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from dicomover.dicomfile import encode_file_meta
from dicomover.node import Node
from dicomover.testing._acceptance import agree
from dicomover.testing._server import LoopbackServer
from dicomover.wire.command_set import C_ECHO_RQ, C_STORE_RQ, NO_DATA_SET, RESPONSE
from dicomover.wire.connection import Connection
from dicomover.wire.messages import Context
from dicomover.wire.negotiation import encode_reject, read_request


@dataclass(frozen=True, slots=True)
class Received:
    """One instance that reached a workstation.

    Attributes
    ----------
    sop_class_uid, sop_instance_uid, transfer_syntax_uid
        From the command set and the presentation context.
    size
        Bytes of the data set.
    status
        What the workstation answered.
    calling_ae_title, originator_ae_title, originator_message_id
        Who sent it, and for which C-MOVE, if the sender said so.
    data
        The data set, if the workstation keeps data sets.
    at
        `time.monotonic()` when it had come.
    """

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    size: int
    status: int
    calling_ae_title: str
    originator_ae_title: str
    originator_message_id: int | None
    data: bytes | None = field(repr=False)
    at: float


class Workstation:
    """A Storage SCP on loopback that takes every storage SOP class and transfer syntax.

    Parameters
    ----------
    ae_title
        What it is called; nobody is refused for calling it otherwise.
    folder
        Where to write what comes, as `<SOP Instance UID>.dcm`; by default nothing is written.
    keep
        Keep the data sets in memory, in `Received.data`.
    answer
        Gives the status of each C-STORE response; 0x0000 by default. May wait, to be slow.
    accepts
        The transfer syntaxes to accept; None accepts the first one proposed, whatever it is.
    reject
        Result, source and reason to reject every association with.

    Examples
    --------
    >>> with Workstation() as workstation:
    ...     workstation.received
    []
    """

    def __init__(
        self,
        ae_title: str = "WORKSTATION",
        *,
        folder: str | Path | None = None,
        keep: bool = False,
        answer: Callable[[Received], int] | None = None,
        accepts: frozenset[str] | None = None,
        reject: tuple[int, int, int] | None = None,
    ) -> None:
        self.ae_title = ae_title
        self.folder = None if folder is None else Path(folder)
        self.keep = keep
        self.answer = answer
        self.accepts = accepts
        self.reject = reject
        self.received: list[Received] = []
        self.associations = 0
        self._changed = threading.Condition()
        self._server = LoopbackServer(self._serve, f"workstation-{ae_title}")
        self.node = Node("127.0.0.1", self._server.port, ae_title=ae_title)

    @property
    def port(self) -> int:
        """The TCP port it listens on."""
        return self.node.port

    @property
    def sop_instance_uids(self) -> list[str]:
        """The SOP Instance UIDs of what it took, in the order in which they came, once for each time."""
        return [item.sop_instance_uid for item in self.received if item.status == 0]

    def wait_for(self, count: int, seconds: float = 10.0) -> bool:
        """Wait until so many instances have been received, and tell whether they have."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self.received) >= count, seconds)

    def clear(self) -> None:
        """Forget what was received."""
        with self._changed:
            self.received.clear()

    def close(self) -> None:
        """Stop; every association ends."""
        self._server.close()

    def __repr__(self) -> str:
        return f"<Workstation {self.node}, {len(self.received):,} received>"

    def __enter__(self) -> Workstation:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- serving

    def _serve(self, connection: Connection) -> None:
        request = read_request(connection)
        if self.reject is not None:
            connection.send(encode_reject(*self.reject))
            return
        self.associations += 1
        accepted = {
            context.id: next((s for s in context.transfer_syntaxes if self.accepts is None or s in self.accepts), "")
            for context in request.contexts
        }
        connection.send(agree(connection, request, accepted))
        while True:
            message = connection.read_message()
            command = message.command
            answer: dict[str, int | str] = {
                "AffectedSOPClassUID": command.get("AffectedSOPClassUID", ""),
                "CommandField": int(command.get("CommandField", 0)) | RESPONSE,
                "MessageIDBeingRespondedTo": command.get("MessageID", 0),
                "CommandDataSetType": NO_DATA_SET,
                "Status": 0x0000 if command.get("CommandField") == C_ECHO_RQ else 0x0211,
            }
            if command.get("CommandField") == C_STORE_RQ and message.context_id in connection.contexts:
                answer["AffectedSOPInstanceUID"] = command.get("AffectedSOPInstanceUID", "")
                answer["Status"] = self._take(
                    command, message.data, connection.contexts[message.context_id], request.calling_ae_title
                )
            connection.send_message(message.context_id, answer)

    def _take(self, command: dict[str, int | str], data: bytes, context: Context, calling: str) -> int:
        message_id = command.get("MoveOriginatorMessageID")
        item = Received(
            str(command.get("AffectedSOPClassUID", "")),
            str(command.get("AffectedSOPInstanceUID", "")),
            context.transfer_syntaxes[0],
            len(data),
            0,
            calling,
            str(command.get("MoveOriginatorApplicationEntityTitle", "")),
            None if message_id is None else int(message_id),
            data if self.keep else None,
            time.monotonic(),
        )
        status = 0 if self.answer is None else self.answer(item)
        if status:
            item = replace(item, status=status)
        elif self.folder is not None:
            self._write(item, data)
        with self._changed:
            self.received.append(item)
            self._changed.notify_all()
        return status

    def _write(self, item: Received, data: bytes) -> None:
        assert self.folder is not None
        name = item.sop_instance_uid
        assert set(name) <= set("0123456789."), "a workstation takes proper UIDs only"
        assert ".." not in name
        self.folder.mkdir(parents=True, exist_ok=True)
        head = encode_file_meta(item.sop_class_uid, name, item.transfer_syntax_uid)
        (self.folder / f"{name}.dcm").write_bytes(head + data)
