"""What the tests of the receiver share: a peer that can misbehave, data sets made by hand, and a look for leaks."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from dicomover.dicomfile import DEFLATED
from dicomover.events import Arrival, Refusal
from dicomover.node import Node
from dicomover.receiver import Limits, Receiver
from dicomover.wire import command_set
from dicomover.wire.command_set import C_ECHO_RQ, C_STORE_RQ, NO_DATA_SET, WITH_DATA_SET
from dicomover.wire.connection import Connection
from dicomover.wire.messages import Context
from dicomover.wire.negotiation import request_association
from dicomover.wire.pdus import ABORT, P_DATA, PDU_HEAD

CT = "1.2.840.10008.5.1.4.1.1.2"
VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
ENGINES: dict[str, dict[str, Any]] = {"threads": {"own_process": False}, "process": {"own_process": True}}
if os.name == "posix":
    ENGINES["workers"] = {"own_process": True, "workers": 2}
STUDY, SERIES = "1.2.3.1", "1.2.3.1.1"
HANDFUL = (Context(1, CT, (EXPLICIT,)), Context(3, CT, (IMPLICIT,)), Context(5, VERIFICATION, (IMPLICIT,)))

DEFLATED_ONLY = (Context(1, CT, (DEFLATED,)),)

HASTY = Limits(opening=0.5, pdu=0.5, idle=2.0, closing=0.3, finishing=1.0)


def need(program: str) -> str:
    """Return the path of a program; without it the test is skipped, or fails where CI is set."""
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{program} is not installed")
        pytest.skip(f"{program} is not installed")
    return found


def certificate(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return contexts for both sides, with a certificate made on the spot."""
    openssl = need("openssl")
    key, cert = folder / "key.pem", folder / "cert.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-keyout", str(key), "-out", str(cert)]
    subprocess.run([openssl, "req", "-x509", *kind, *files, "-days", "2", *subject], check=True, capture_output=True)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(cert, key)
    client = ssl.create_default_context(cafile=cert)
    return server, client


def element(tag: int, vr: str, value: bytes | str, explicit: bool = True) -> bytes:
    """Encode one element."""
    raw = value.encode("utf-8") if isinstance(value, str) else value
    raw += (b"\0" if vr == "UI" else b" ") * (len(raw) % 2)
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    if not explicit:
        return head + struct.pack("<L", len(raw)) + raw
    if vr in ("OB", "OW", "SQ", "UN", "UT"):
        return head + vr.encode() + struct.pack("<HL", 0, len(raw)) + raw
    return head + vr.encode() + struct.pack("<H", len(raw)) + raw


def data_set(
    sop: str,
    *,
    study: str = STUDY,
    series: str = SERIES,
    patient: bytes | str = "4711",
    sop_class: str = CT,
    explicit: bool = True,
    before: bytes = b"",
    pixels: bytes = bytes(2000),
    charset: str = "",
) -> bytes:
    """Return a small data set; `before` stands in front of PatientID."""
    parts = [
        element(0x00080005, "CS", charset, explicit) if charset else b"",
        element(0x00080016, "UI", sop_class, explicit),
        element(0x00080018, "UI", sop, explicit),
        element(0x00080060, "CS", "CT", explicit),
        before,
        element(0x00100020, "LO", patient, explicit),
        element(0x0020000D, "UI", study, explicit),
        element(0x0020000E, "UI", series, explicit),
        element(0x00280010, "US", b"\x20\0", explicit),
        element(0x7FE00010, "OW", pixels, explicit),
    ]
    return b"".join(parts)


def deflate(raw: bytes, more: bytes = b"", times: int = 0) -> bytes:
    """Deflate a data set as the Standard has it, without a zlib header, with more at its end, so many times."""
    stream = zlib.compressobj(wbits=-15)
    start = stream.compress(raw) + stream.flush(zlib.Z_FULL_FLUSH)
    again = stream.compress(more) + stream.flush(zlib.Z_FULL_FLUSH) if times else b""
    return start + again * times + stream.flush()


def command(sop: str, *, sop_class: str = CT, message_id: int = 1, **more: int | str) -> bytes:
    """Encode a C-STORE-RQ; what is not ASCII in the UID goes out as UTF-8."""
    raw_uid = sop.encode("utf-8")
    stand_in = "?" * len(raw_uid) if not sop.isascii() else sop
    encoded = command_set.encode(
        {
            "AffectedSOPClassUID": sop_class,
            "CommandField": C_STORE_RQ,
            "MessageID": message_id,
            "Priority": 0,
            "CommandDataSetType": WITH_DATA_SET,
            "AffectedSOPInstanceUID": stand_in,
            **more,
        }
    )
    return encoded if sop.isascii() else encoded.replace(stand_in.encode(), raw_uid)


def pdv(context_id: int, flags: int, piece: bytes) -> bytes:
    """Encode a presentation data value; flags: 1 command, 2 last."""
    return struct.pack(">LBB", len(piece) + 2, context_id, flags) + piece


def pdu(*values: bytes) -> bytes:
    """Encode a P-DATA-TF PDU."""
    body = b"".join(values)
    return PDU_HEAD.pack(P_DATA, len(body)) + body


class Peer:
    """A Storage SCU on a socket, that can also send whatever it likes."""

    def __init__(
        self,
        port: int,
        called: str = "ME",
        calling: str = "YOU",
        contexts: tuple[Context, ...] = HANDFUL,
        tls: Any = None,
        source: str = "",
    ) -> None:
        sock = socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(source, 0) if source else None)
        if tls is not None:
            sock = tls.wrap_socket(sock, server_hostname="localhost")
        self.connection = Connection(sock)
        self.message_id = 0
        limit = time.monotonic() + 10
        node = Node("127.0.0.1", port, ae_title=called)
        try:
            request_association(self.connection, node, calling, contexts, lambda: limit)
        except BaseException:
            self.connection.close()
            raise

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def send(self, raw: bytes) -> None:
        """Send raw bytes."""
        self.connection.send(raw)

    def answer(self, seconds: float = 10) -> dict[str, int | str]:
        """Return the command set of the next response."""
        limit = time.monotonic() + seconds
        return self.connection.read_message(lambda: limit).command

    def store(self, sop: str, data: bytes | None = None, context_id: int = 1, chunk: int = 1 << 14, **more: Any) -> int:
        """Store an instance and return the status."""
        self.message_id += 1
        data = data_set(sop) if data is None else data
        self.send(pdu(pdv(context_id, 3, command(sop, message_id=self.message_id, **more))))
        for start in range(0, max(len(data), 1), chunk):
            last = start + chunk >= len(data)
            self.send(pdu(pdv(context_id, 2 if last else 0, data[start : start + chunk])))
        answer = self.answer()
        assert answer["MessageIDBeingRespondedTo"] == self.message_id
        return int(answer["Status"])

    def echo(self) -> int:
        """Send a C-ECHO and return the status."""
        self.connection.send_message(
            5,
            {
                "AffectedSOPClassUID": VERIFICATION,
                "CommandField": C_ECHO_RQ,
                "MessageID": 7,
                "CommandDataSetType": NO_DATA_SET,
            },
        )
        return int(self.answer()["Status"])

    def release(self) -> None:
        """Release the association."""
        self.connection.release(5)


class Run:
    """A running receiver and what it has told."""

    def __init__(self, folder: Path, own_process: bool, **settings: Any) -> None:
        self.folder = folder
        self.events: list[Arrival | Refusal] = []
        self.threads_of_events: set[int] = set()
        settings = {"ae_title": "ME", "port": 0, "bind": "127.0.0.1", "restrict": False, **settings}
        self.receiver = Receiver(folder, on_event=self._take, own_process=own_process, **settings)

    def _take(self, event: Arrival | Refusal) -> None:
        self.threads_of_events.add(threading.get_ident())
        self.events.append(event)

    @property
    def arrivals(self) -> list[Arrival]:
        """The arrivals so far."""
        return [event for event in self.events if isinstance(event, Arrival)]

    @property
    def refusals(self) -> list[Refusal]:
        """The refusals so far."""
        return [event for event in self.events if isinstance(event, Refusal)]

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.receiver.port

    def peer(self, **settings: Any) -> Peer:
        """Associate with it."""
        return Peer(self.port, **settings)

    def wait(self, count: int, seconds: float = 5) -> list[Arrival | Refusal]:
        """Wait until so many events have come."""
        limit = time.monotonic() + seconds
        while len(self.events) < count:
            assert time.monotonic() < limit, f"{len(self.events)} of {count} events: {self.events}"
            time.sleep(0.005)
        return self.events

    def files(self) -> list[Path]:
        """Every file below the folder."""
        return sorted(path for path in self.folder.rglob("*") if path.is_file())


def body_of(path: Path) -> bytes:
    """Return the data set of a DICOM file, byte by byte."""
    raw = path.read_bytes()
    assert raw[128:132] == b"DICM"
    return raw[144 + struct.unpack_from("<L", raw, 140)[0] :]


def descriptors() -> int:
    """Count the descriptors of this process, where that can be told."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


def children() -> set[int]:
    """Return the child processes of this process, where that can be told."""
    path = Path(f"/proc/self/task/{threading.get_native_id()}/children")
    found: set[int] = set()
    for task in Path("/proc/self/task").glob("*/children") if path.exists() else ():
        with suppress(OSError):  # the thread has ended
            found |= {int(pid) for pid in task.read_text().split()}
    return found


@contextmanager
def running(tmp_path: Path, own_process: bool, *, ends_broken: bool = False, **settings: Any) -> Iterator[Run]:
    """Run a receiver, see that it still works at the end unless `ends_broken`, stop it, and look for leaks."""
    folder = tmp_path / "cohort"
    threads, files, processes = set(threading.enumerate()), descriptors(), children()
    outside = {path for path in tmp_path.rglob("*") if not path.is_relative_to(folder)}
    run = Run(folder, own_process, **settings)
    run.receiver.start()
    try:
        yield run
        if run.receiver.failed is None and not ends_broken:
            calling = next(iter(settings.get("calling_ae_titles", ())), "YOU")
            with run.peer(calling=calling, tls=settings.get("client_tls")) as peer:
                assert peer.echo() == 0, "the next good association does not work"
                peer.release()
    finally:
        run.receiver.stop()
    assert not list(tmp_path.rglob("*.part")), "a half file was left behind"
    assert {path for path in tmp_path.rglob("*") if not path.is_relative_to(folder)} == outside, "a file outside"
    assert len(run.threads_of_events) <= 1, "events came from more than one thread"
    limit = time.monotonic() + 3
    while set(threading.enumerate()) - threads or descriptors() > files or children() - processes:
        assert time.monotonic() < limit, (
            f"left behind: {set(threading.enumerate()) - threads}, {descriptors()} instead of {files} descriptors, "
            f"{children() - processes}"
        )
        time.sleep(0.01)


@contextmanager
def stopped_at_birth(then: Callable[[], object]) -> Iterator[list[int]]:
    """Stop each process as soon as it is started, for as long as this lasts; yield their numbers."""
    born: list[int] = []

    class Stopped(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            os.kill(self.pid, signal.SIGSTOP)
            born.append(self.pid)
            then()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "Popen", Stopped)
        yield born


Start = Callable[..., AbstractContextManager[Run]]
"""What the fixtures `start` and `start_one` give: `running`, for each kind of engine."""


def raw_connection(port: int) -> socket.socket:
    """Connect, and say nothing."""
    return socket.create_connection(("127.0.0.1", port), timeout=8)


def read_to_end(sock: socket.socket) -> bytes:
    """Return everything until the other side closes or resets."""
    received = bytearray()
    try:
        while chunk := sock.recv(4096):
            received += chunk
    except ConnectionError:
        pass
    return bytes(received)


def is_abort(raw: bytes) -> bool:
    """Tell whether this is an A-ABORT PDU."""
    return len(raw) == 10 and raw[0] == ABORT


def wait_for(what: Callable[[], object], seconds: float = 8) -> None:
    """Wait until a callable returns something true."""
    limit = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < limit
        time.sleep(0.02)


def half_files(folder: Path) -> list[str]:
    """Return what is being written below a folder, by any process: with a name of ours, or without one yet."""
    found = [str(path) for path in folder.rglob("*.part")]
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if (to := str(link.readlink())).startswith(f"{folder.resolve()}/") and "/#" in to:
                found.append(to)
    return found


def is_alive(pid: int) -> bool:
    """Tell whether a process runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
