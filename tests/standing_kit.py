"""States in which something of a batch stands still, and the ends that a person puts to it; each state in a process.

`python standing_kit.py` brings about each state anew for each end, puts it, and prints as a line of JSON how many
seconds that took and what came of the row. All states at once, since most of them only wait.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import sqlite3
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dicomover import Mover, NodeError
from dicomover.errors import Interrupted, ReceiverError
from dicomover.node import Node
from dicomover.testing._elements import encode
from dicomover.testing._server import silence
from dicomover.wire import command_set as cs
from dicomover.wire.connection import Connection
from dicomover.wire.messages import Message, encode_message
from dicomover.wire.negotiation import parse_request
from dicomover.wire.pdus import P_DATA, PDU_HEAD
from peers import receiver_pid
from receiver_kit import (
    DEFLATED_ONLY,
    Peer,
    children,
    data_set,
    deflate,
    element,
    is_alive,
    stopped_at_birth,
    wait_for,
)
from wire_kit import EXPLICIT, accept, answer, counts, listening, pdu, pour, response

BOUNDS = {"cancel": 7.0, "close": 10.0, "interrupt": 7.0, "twice": 2.0}
"""Seconds in which a batch is over after each end, whatever its state."""

STUDY = "1.2.3"
IMAGES = [f"{STUDY}.1.{number}.{'1' * 40}" for number in range(900)]


class Stage:
    """What one state is made of: an archive that follows its script, and a Mover that has been told to ask it.

    Attributes
    ----------
    reached
        Set once the batch is in the state.
    go_on
        Set at the end, for whatever waits in this process.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reached = threading.Event()
        self.go_on = threading.Event()
        self.options: dict[str, Any] = {"destination": "NOBODY"}
        self.request: dict[str, object] = {"StudyInstanceUID": STUDY}
        self.mover: Mover | None = None
        self.is_kept_open = True
        self.stack = contextlib.ExitStack()
        self.stack.callback(self.go_on.set)

    # --- what an archive does with each message

    def follow(self, connection: Connection, message: Message) -> None:
        """Answer as an archive would that has one study."""
        command = message.command["CommandField"]
        if command == cs.C_FIND_RQ:
            found = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": f"{STUDY}.1", "SOPInstanceUID": f"{STUDY}.1.1"}
            answer(connection, message, 0xFF00, encode({**found, "NumberOfStudyRelatedInstances": "1"}, EXPLICIT))
        answer(connection, message, 0x0000, **counts(3) if command == cs.C_MOVE_RQ else {})

    def on(self, command: int, do: Callable[[Connection, Message], None]) -> Callable[[Connection], None]:
        """Return what serves a connection: as an archive would, until a request comes that makes it do otherwise."""

        def serve(connection: Connection) -> None:
            connection.send(accept(connection, parse_request(connection.read_pdu()[1])))
            while True:
                message = connection.read_message()
                if message.command["CommandField"] == command:
                    self.reached.set()
                    do(connection, message)
                else:
                    self.follow(connection, message)

        return serve

    def keep(self, node: Node | Callable[[Connection], None]) -> Node:
        """Let an archive listen until the end."""
        return node if isinstance(node, Node) else self.stack.enter_context(listening(node))


def _find_pending(message: Message) -> bytes:
    data = encode({"StudyInstanceUID": STUDY}, EXPLICIT)
    pieces = encode_message(message.context_id, response(message, 0xFF00, data), data, 1 << 14)
    return b"".join(map(bytes, pieces))


def _nothing(connection: Connection, _: Message) -> None:
    silence(connection)


# --- the states


def find_flood(stage: Stage) -> Node:
    """Let the answers to a C-FIND never end."""
    return stage.keep(stage.on(cs.C_FIND_RQ, lambda connection, message: pour(connection, _find_pending(message))))


def find_silent(stage: Stage) -> Node:
    """Answer no C-FIND."""
    return stage.keep(stage.on(cs.C_FIND_RQ, _nothing))


def move_flood(stage: Stage) -> Node:
    """Let pending responses to a C-MOVE never end."""
    return stage.keep(stage.on(cs.C_MOVE_RQ, lambda connection, message: pour(connection, pdu(message, 0xFF00))))


def move_silent(stage: Stage) -> Node:
    """Answer no C-MOVE."""
    return stage.keep(stage.on(cs.C_MOVE_RQ, _nothing))


def trickle(stage: Stage) -> Node:
    """Let a response come byte by byte."""

    def drip(connection: Connection, message: Message) -> None:
        while True:
            for byte in pdu(message, 0xFF00):
                connection.send(bytes([byte]))
                stage.go_on.wait(0.02)

    return stage.keep(stage.on(cs.C_MOVE_RQ, drip))


def half_a_pdu(stage: Stage) -> Node:
    """Begin a response and never end it."""

    def begin(connection: Connection, message: Message) -> None:
        connection.send(pdu(message, 0xFF00)[:20])
        silence(connection)

    return stage.keep(stage.on(cs.C_MOVE_RQ, begin))


def endless_message(stage: Stage) -> Node:
    """Let a message have ever more parts, all of them empty."""
    return stage.keep(
        stage.on(cs.C_MOVE_RQ, lambda connection, _: pour(connection, PDU_HEAD.pack(P_DATA, 6) + b"\0\0\0\2\1\1"))
    )


def release_flood(stage: Stage) -> Node:
    """Let data come instead of the answer to a release."""
    stage.request = {"AccessionNumber": "NONE"}
    stage.is_kept_open = False  # else the association is kept too

    def find_none(connection: Connection, message: Message) -> None:
        answer(connection, message, 0x0000)
        connection.read_pdu()
        pour(connection, PDU_HEAD.pack(P_DATA, 6) + b"\0\0\0\2\1\0")

    return stage.keep(stage.on(cs.C_FIND_RQ, find_none))


def unread(stage: Stage) -> Node:
    """Take nothing of what is sent."""
    stage.request = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": f"{STUDY}.1", "SOPInstanceUID": IMAGES}
    stage.options["verify"] = "none"
    import dicomover.wire.transport as transport

    def keep_small(sock: socket.socket) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)

    transport._keep_alive = keep_small

    def serve(connection: Connection) -> None:
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.send(accept(connection, parse_request(connection.read_pdu()[1])))
        stage.reached.set()
        stage.go_on.wait(60)

    return stage.keep(serve)


def unanswered(stage: Stage) -> Node:
    """Answer no association request."""

    def serve(connection: Connection) -> None:
        connection.read_pdu()
        stage.reached.set()
        silence(connection)

    return stage.keep(serve)


def tls(stage: Stage) -> Node:
    """Say nothing to a TLS handshake."""

    def serve(connection: Connection) -> None:
        stage.reached.set()
        stage.go_on.wait(60)

    node = stage.keep(serve)
    return Node(node.host, node.port, ae_title="SCRIPTED", tls=ssl.create_default_context())


def name(stage: Stage) -> Node:
    """Let no name server answer."""
    look_up = socket.getaddrinfo

    def never(host: str, *arguments: Any, **options: Any) -> Any:
        if host == "pacs.example.org" and not options.get("flags"):
            stage.reached.set()
            stage.go_on.wait(60)
        return look_up(host, *arguments, **options)

    socket.getaddrinfo = never
    stage.stack.callback(setattr, socket, "getaddrinfo", look_up)
    return Node("pacs.example.org", 104)


def connection(stage: Stage) -> Node:
    """Let no TCP connection come about, as a firewall does that drops."""
    listener = stage.stack.enter_context(socket.socket())
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    for _ in range(4):  # until it is full
        other = stage.stack.enter_context(socket.socket())
        other.setblocking(False)
        other.connect_ex(listener.getsockname())
    stage.reached.set()
    return Node("127.0.0.1", listener.getsockname()[1])


def gone(stage: Stage) -> Node:
    """Let the archive go away, so that it is tried again and again."""
    there = contextlib.ExitStack()
    node = there.enter_context(listening(stage.on(cs.C_FIND_RQ, lambda connection, _: connection.close())))

    def leave() -> None:
        stage.reached.wait(10)
        with contextlib.suppress(AssertionError):
            there.close()

    stage.options["retry"] = "overnight"
    threading.Thread(target=leave, daemon=True).start()
    return node


def witness(stage: Stage) -> Node:
    """Let the destination not answer what it has."""
    stage.options = {"destination": stage.keep(stage.on(cs.C_FIND_RQ, _nothing)), "verify": "destination"}
    return stage.keep(stage.on(0, _nothing))


def stragglers(stage: Stage) -> Node:
    """Let nothing come of what the archive says that it has sent."""
    stage.options = {"receive": stage.folder, "port": 0}

    def say(connection: Connection, message: Message) -> None:
        answer(connection, message, 0x0000, **counts(3))
        silence(connection)

    return stage.keep(stage.on(cs.C_MOVE_RQ, say))


def journal(stage: Stage) -> Node:
    """Let another program hold the journal."""
    stage.options = {"receive": stage.folder, "port": 0}

    def hold(connection: Connection, message: Message) -> None:
        file = next(stage.folder.rglob("*.db"))
        other = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        stage.stack.callback(other.close)
        stage.follow(connection, message)

    return stage.keep(stage.on(cs.C_FIND_RQ, hold))


def _signal(stage: Stage, number: signal.Signals, at: int) -> Node:
    stage.options = {"receive": stage.folder, "port": 0}

    def strike(connection: Connection, message: Message) -> None:
        assert stage.mover is not None
        pid = receiver_pid(stage.mover)
        os.kill(pid, number)
        if number is signal.SIGSTOP:
            stage.stack.callback(_let_go, pid)
        stage.follow(connection, message) if number is signal.SIGSTOP else silence(connection)

    return stage.keep(stage.on(at, strike))


def _let_go(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def starting(stage: Stage) -> Node:
    """Stop the receiver's process before it listens."""
    stage.options = {"receive": stage.folder, "port": 0}
    stage.is_kept_open = False
    stage.stack.enter_context(stopped_at_birth(stage.reached.set))
    return stage.keep(stage.on(0, _nothing))


def stopped_before(stage: Stage) -> Node:
    """Stop the receiver's process before it admits anything."""
    return _signal(stage, signal.SIGSTOP, cs.C_FIND_RQ)


def stopped_after(stage: Stage) -> Node:
    """Stop the receiver's process before the end of a C-MOVE."""
    return _signal(stage, signal.SIGSTOP, cs.C_MOVE_RQ)


def killed(stage: Stage) -> Node:
    """Kill the receiver's process while a C-MOVE runs that does not end."""
    return _signal(stage, signal.SIGKILL, cs.C_MOVE_RQ)


def inflating(stage: Stage) -> Node:
    """Send an image of a few kilobytes that inflates to a gibibyte of elements."""
    stage.options = {"receive": stage.folder, "port": 0}

    def send(connection: Connection, _: Message) -> None:
        assert stage.mover is not None and stage.mover.port is not None  # noqa: PT018
        raw = deflate(data_set("1.2.3.4", study=STUDY), element(0x00290010, "SH", b"") * (1 << 17), 1 << 10)
        with contextlib.suppress(NodeError), Peer(stage.mover.port, "MOVESCU", contexts=DEFLATED_ONLY) as peer:
            peer.store("1.2.3.4", raw)
        silence(connection)

    return stage.keep(stage.on(cs.C_MOVE_RQ, send))


class _Blind:
    """A view that stands still, as a terminal does whose other end does not read."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def show(self, *_: object) -> None:
        """Never return."""
        self._stage.reached.set()
        self._stage.go_on.wait(60)

    def close(self, *_: object) -> None:
        """Never return."""
        self._stage.go_on.wait(60)


def view(stage: Stage) -> Node:
    """Let what draws stand still; a Ctrl-C reaches it."""
    stage.options["progress"] = _Blind(stage)
    return stage.keep(stage.on(cs.C_MOVE_RQ, _nothing))


STATES = {
    each.__name__.replace("_", "-"): each
    for each in (
        find_flood, find_silent, move_flood, move_silent, trickle, half_a_pdu, endless_message, release_flood, unread,
        unanswered, tls, name, connection, gone, witness, stragglers, journal, starting, stopped_before, stopped_after,
        killed, inflating, view,
    )
}  # fmt: skip


# --- the ends


@contextlib.contextmanager
def _set_up(state: str) -> Iterator[tuple[Mover, Stage]]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        stage = Stage(Path(folder))
        with stage.stack:
            node = STATES[state](stage)
            stage.mover = Mover(node, **{"progress": "none", "retry": "none", **stage.options})
            if stage.is_kept_open:
                stage.mover.open()
            try:
                yield stage.mover, stage
            finally:
                stage.go_on.set()
                stage.mover.close()


def put_end(state: str, how: str) -> dict[str, object]:
    """Put an end to a batch in a state; return how long that took and what came of it."""
    with _set_up(state) as (mover, stage):
        job = mover.job(stage.request)
        at: list[float] = []

        def reach() -> None:
            assert stage.reached.wait(20), "the state was not reached"
            time.sleep(0.3)
            at.append(time.monotonic())

        def interrupt() -> None:
            reach()
            os.kill(os.getpid(), signal.SIGINT)
            if how == "twice":
                time.sleep(0.5)
                if not job.done:
                    at.append(time.monotonic())
                    os.kill(os.getpid(), signal.SIGINT)

        if how in ("cancel", "close"):
            threading.Thread(target=_start, args=(job,), daemon=True).start()
            reach()
            job.cancel() if how == "cancel" else mover.close()
            is_over = job.wait(20)
        else:
            interrupting = threading.Thread(target=interrupt)
            interrupting.start()
            with contextlib.suppress(Interrupted, NodeError, ReceiverError):
                job.run()
            is_over = job.done
        seconds = time.monotonic() - at[-1]
        if how not in ("cancel", "close"):
            interrupting.join()
        row = job.summary().iloc[0]
        return {"over": is_over, "seconds": round(seconds, 2), "status": str(row.status), "error": str(row.error)}


def _start(job: Any) -> None:
    with contextlib.suppress(NodeError, ReceiverError):
        job.start()


def _put_ends(state: str) -> None:
    """Put each end to a state, and print what came of them."""
    logging.disable(logging.CRITICAL)
    for how in BOUNDS:
        try:
            told = put_end(state, how)
            wait_for(lambda: not any(map(is_alive, children())))
        except BaseException as error:  # noqa: BLE001 - it is told
            told = {"over": False, "seconds": 99, "status": "", "error": repr(error)}
        line = json.dumps([state, how, told]) + "\n"
        os.write(1, line.encode())


if __name__ == "__main__":
    # What is imported is imported once: each state has a process of its own, and most of them only wait.
    forked = []
    for state in sys.argv[1:] or STATES:
        if (child := os.fork()) == 0:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell runs beside it may ignore it
            try:
                _put_ends(state)
            finally:
                os._exit(0)
        forked.append(child)
    for child in forked:
        os.waitpid(child, 0)
