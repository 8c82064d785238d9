"""Peers that are broken, slow or hostile: nothing leaks, nothing is written outside, the next good one is served."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest

from dicomover.errors import AssociationLost
from dicomover.receiver import Limits, Receiver
from dicomover.receiver.layout import Layout
from dicomover.receiver.scp.filing import Filing
from dicomover.wire.messages import Context
from dicomover.wire.pdus import ABORT, ASSOCIATE_RQ, P_DATA, PDU_HEAD, RELEASE_RQ
from receiver_kit import (
    CT,
    EXPLICIT,
    IMPLICIT,
    Peer,
    Run,
    body_of,
    command,
    data_set,
    element,
    need,
    pdu,
    pdv,
    running,
)

Start = Callable[..., AbstractContextManager[Run]]
HASTY = Limits(opening=0.5, pdu=0.5, idle=2.0, closing=0.3, finishing=1.0)


@pytest.fixture(params=[False, True], ids=["threads", "process"])
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Start:
    """Start a receiver in this process, or in its own."""
    return partial(running, tmp_path, request.param)


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


@pytest.mark.parametrize(
    "first",
    [
        b"SSH-2.0-OpenSSH_9.7\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\0" * 64,
        PDU_HEAD.pack(ASSOCIATE_RQ, 0xFFFFFFFF),
        PDU_HEAD.pack(P_DATA, 100),
        PDU_HEAD.pack(ASSOCIATE_RQ, 68) + bytes(68),
        PDU_HEAD.pack(ASSOCIATE_RQ, 200) + os.urandom(200),
        PDU_HEAD.pack(ASSOCIATE_RQ, 0),
        PDU_HEAD.pack(RELEASE_RQ, 4) + bytes(4),
    ],
    ids=["ssh", "http", "tls", "zeros", "4GB", "p-data", "empty-request", "noise", "no-body", "release"],
)
def test_other_protocols_are_shown_out_at_once(start: Start, first: bytes) -> None:
    """What is no association request ends the connection, without waiting for a time-out."""
    with start() as run:
        begun = time.monotonic()
        with raw_connection(run.port) as sock:
            sock.sendall(first)
            answer = read_to_end(sock)
        assert time.monotonic() - begun < 4
        assert not answer or is_abort(answer) or answer[0] == 3


def test_half_open_connections_do_not_block_a_good_one(start: Start) -> None:
    """Beside ten silent connections and ten half requests an association takes no time."""
    with start() as run:
        silent = [raw_connection(run.port) for _ in range(20)]
        for sock in silent[10:]:
            sock.sendall(PDU_HEAD.pack(ASSOCIATE_RQ, 200) + b"\0\1")
        begun = time.monotonic()
        with run.peer() as peer:
            assert peer.store("1.2") == 0
            peer.release()
        assert time.monotonic() - begun < 4
        for sock in silent:
            sock.close()


def test_silent_connections_are_closed_in_time(start: Start) -> None:
    """A connection that makes no request is closed after the opening time, byte by byte or not."""
    with start(limits=HASTY) as run, raw_connection(run.port) as silent, raw_connection(run.port) as slow:
        begun = time.monotonic()

        def drip() -> None:
            try:
                slow.sendall(PDU_HEAD.pack(ASSOCIATE_RQ, 200))
                while True:
                    slow.sendall(b"\0")
                    time.sleep(0.1)
            except OSError:
                pass

        dripping = threading.Thread(target=drip)
        dripping.start()
        assert read_to_end(silent) == b""
        assert read_to_end(slow) == b""
        assert 0.4 < time.monotonic() - begun < 4
        dripping.join()


def test_a_flood_of_silent_connections_drops_the_oldest(start: Start) -> None:
    """Beyond the cap of connections without an association the oldest goes, and a good one comes in."""
    with start(limits=Limits(waiting_connections=8)) as run:
        flood = [raw_connection(run.port) for _ in range(30)]
        with run.peer() as peer:
            assert peer.echo() == 0
            peer.release()
        assert read_to_end(flood[0]) == b""
        for sock in flood:
            sock.close()


@pytest.mark.parametrize("sent", [3, 6, 9, 200, 900], ids=str)
def test_half_a_pdu_ends_with_an_abort(start: Start, sent: int) -> None:
    """A peer that stops in the middle of a PDU is aborted after the PDU time, and its half file goes."""
    data = data_set("1.2")
    with start(limits=HASTY) as run, run.peer() as peer:
        raw = pdu(pdv(1, 3, command("1.2"))) + pdu(pdv(1, 0, data[:600])) + pdu(pdv(1, 2, data[600:]))
        peer.send(raw[:sent])
        with pytest.raises(AssociationLost, match="aborted"):
            peer.answer()
        assert run.files() == []


def test_an_object_without_its_last_fragment_is_given_up(start: Start) -> None:
    """Between two PDUs of a message the peer may not rest for longer than the PDU time either."""
    with start(limits=HASTY) as run, run.peer() as peer:
        peer.send(pdu(pdv(1, 3, command("1.2"))) + pdu(pdv(1, 0, data_set("1.2"))))
        begun = time.monotonic()
        with pytest.raises(AssociationLost, match="aborted"):
            peer.answer()
        assert 0.4 < time.monotonic() - begun < 4
        assert run.files() == []


def test_one_byte_at_a_time_is_slow_but_right(start: Start) -> None:
    """Bytes that come one by one make the same file."""
    data = data_set("1.2", pixels=bytes(20))
    with start() as run:
        with run.peer() as peer:
            for byte in pdu(pdv(1, 3, command("1.2"))) + pdu(pdv(1, 0, data[:99])) + pdu(pdv(1, 2, data[99:])):
                peer.send(bytes((byte,)))
            assert peer.answer()["Status"] == 0
            peer.release()
        assert body_of(run.files()[0]) == data


def test_any_cut_of_the_stream_makes_the_same_file(start: Start) -> None:
    """Several PDVs in a PDU, several PDUs in a segment, empty fragments: the data set is the same."""
    data = data_set("1.2", pixels=os.urandom(300_000))
    pieces = [data[:1], b"", data[1:5], data[5:70_000], data[70_000:200_000], data[200_000:], b""]
    flags = [0] * (len(pieces) - 1) + [2]
    order = command("1.2")
    with start() as run:
        with run.peer() as peer:
            values = [pdv(1, 1, order[:7]), pdv(1, 1, b""), pdv(1, 3, order[7:])]
            values += [pdv(1, flag, piece) for flag, piece in zip(flags[:3], pieces[:3], strict=True)]
            raw = pdu(*values) + b"".join(pdu(pdv(1, f, p)) for f, p in zip(flags[3:], pieces[3:], strict=True))
            for start_ in range(0, len(raw), 77_777):
                peer.send(raw[start_ : start_ + 77_777])
            assert peer.answer()["Status"] == 0
            # two messages at once, in different contexts
            other = data_set("1.3", explicit=False)
            peer.send(
                pdu(pdv(1, 3, command("1.2", message_id=8)), pdv(1, 0, b""))
                + pdu(pdv(1, 0, data[:100_000]))
                + pdu(pdv(1, 0, data[100_000:200_000]))
                + pdu(pdv(1, 2, data[200_000:]))
                + pdu(pdv(3, 3, command("1.3", message_id=9)), pdv(3, 2, other))
            )
            assert [(a["MessageIDBeingRespondedTo"], a["Status"]) for a in (peer.answer(), peer.answer())] == [
                (8, 0),
                (9, 0),
            ]
            peer.release()
        assert [body_of(path) for path in run.files()] == [data, other]
        run.wait(3)
        assert [arrival.duplicate for arrival in run.arrivals] == [False, True, False]


@pytest.mark.parametrize(
    "raw",
    [
        PDU_HEAD.pack(P_DATA, 0xFFFFFFFF) + bytes(100),
        PDU_HEAD.pack(P_DATA, (1 << 17) + 1) + bytes(100),
        PDU_HEAD.pack(P_DATA, 3) + bytes(3),
        PDU_HEAD.pack(9, 4) + bytes(4),
        PDU_HEAD.pack(ASSOCIATE_RQ, 68) + bytes(68),
        PDU_HEAD.pack(RELEASE_RQ, 1 << 20) + bytes(100),
        pdu(struct.pack(">LBB", 0xFFFFFFFF, 1, 3) + bytes(10)),
        pdu(struct.pack(">LBB", 1, 1, 3) + bytes(10)),
        pdu(struct.pack(">LBB", 500, 1, 3) + bytes(10)),
        pdu(pdv(7, 3, command("1.2"))),
        pdu(pdv(0, 3, command("1.2"))),
        pdu(pdv(1, 2, b"a data set without a command")),
        pdu(pdv(1, 3, command("1.2")), pdv(3, 2, data_set("1.2"))),
        pdu(pdv(1, 3, command("1.2")), pdv(1, 3, command("1.2"))),
        pdu(pdv(1, 3, b"this is no command set at all")),
        pdu(*[pdv(1, 1, bytes(60_000))] * 2),
    ],
    ids=[
        "4GB",
        "too-long",
        "too-short",
        "unknown-type",
        "second-request",
        "long-release",
        "4GB-value",
        "value-of-1",
        "value-beyond-pdu",
        "context-not-offered",
        "context-0",
        "no-command",
        "context-changes",
        "two-commands",
        "no-command-set",
        "endless-command",
    ],
)
def test_what_the_standard_does_not_allow_is_aborted(start: Start, raw: bytes) -> None:
    """The association is aborted at once, and nothing is filed."""
    with start() as run, run.peer() as peer:
        peer.send(raw)
        with pytest.raises(AssociationLost, match="aborted"):
            peer.answer(4)
        assert run.files() == []


@pytest.mark.parametrize("how", ["abort", "close", "reset", "release"])
def test_an_end_in_the_middle_of_a_data_set_leaves_no_file(start: Start, how: str) -> None:
    """Abort, close, reset or release in the middle: no file, no event, no half file."""
    with start() as run:
        peer = run.peer()
        peer.send(pdu(pdv(1, 3, command("1.2"))) + pdu(pdv(1, 0, data_set("1.2")[:900])))
        time.sleep(0.1)
        sock = peer.connection.sock
        if how == "abort":
            peer.send(struct.pack(">BxLxxBB", ABORT, 4, 0, 0))
        elif how == "release":
            peer.send(struct.pack(">BxLxxxx", RELEASE_RQ, 4))
        elif how == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.connection.close()
        limit = time.monotonic() + 3
        while list(run.folder.rglob("*.part")):
            assert time.monotonic() < limit
            time.sleep(0.01)
        assert run.files() == []
        assert run.events == []


EVIL = [
    "..",
    "../../../evil",
    "/etc/passwd",
    "C:\\evil",
    ".hidden",
    "1.2/../../x",
    "1." * 35 + "1",
    "1.2.ö",
    "01.2",
    "1..2",
    "1.2.",
    "CON",
    "a\x01b",
    "~",
]


@pytest.mark.parametrize("evil", EVIL)
def test_hostile_identifiers_never_leave_the_root(start: Start, evil: str) -> None:
    """A UID or PatientID that is none becomes a hash: one file inside the root, in its folders, whatever it says."""
    with start() as run:
        with run.peer() as peer:
            data = data_set(evil, study=evil, series=evil, patient=evil)
            assert peer.store(evil, data) == 0
            assert peer.store(evil, data) == 0
            peer.release()
        (path,) = run.files()
        assert body_of(path) == data
        assert len(path.relative_to(run.folder).parts) == 4
        assert not any(set(part) & set('/\\:*?"<>|\x01ö') for part in path.relative_to(run.folder).parts)
        assert all(part[0] != "." for part in path.relative_to(run.folder).parts)


def test_an_instance_without_a_uid_is_refused(start: Start) -> None:
    """Without a SOP Instance UID, or a SOP Class UID, there is nothing to file by: 0xA900."""
    with start() as run, run.peer() as peer:
        assert peer.store("", data_set("")) == 0xA900
        assert peer.store("1.2", data_set("1.2", sop_class=""), sop_class="") == 0xA900
        peer.release()
        run.wait(2)
        assert run.files() == []


def test_command_and_data_set_must_agree(start: Start) -> None:
    """Another SOP Instance or SOP Class UID in the data set than in the command gives 0xA900 and a refusal."""
    with start() as run, run.peer() as peer:
        assert peer.store("1.2", data_set("1.3")) == 0xA900
        assert peer.store("1.2", data_set("1.2", sop_class="1.2.840.10008.5.1.4.1.1.4")) == 0xA900
        assert peer.store("1.2") == 0
        peer.release()
        run.wait(3)
        assert [refusal.status for refusal in run.refusals] == [0xA900, 0xA900]
        assert len(run.files()) == 1


def nested(depth: int, explicit: bool = True) -> bytes:
    """Return sequences of undefined length in one another."""
    head = struct.pack("<HH", 0x0008, 0x1140) + (b"SQ\0\0" if explicit else b"") + b"\xff" * 4
    item = struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
    ends = struct.pack("<HHL", 0xFFFE, 0xE00D, 0) + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    return (head + item) * depth + ends * depth


@pytest.mark.parametrize("depth", [1, 1000, 50_000])
def test_nested_sequences_are_passed_over(start: Start, depth: int) -> None:
    """However deep sequences are nested before PatientID, the head is read, and in no time."""
    with start() as run:
        with run.peer() as peer:
            begun = time.monotonic()
            assert peer.store("1.2", data_set("1.2", before=nested(depth))) == 0
            other = data_set("1.3", explicit=False, before=nested(depth, explicit=False))
            assert peer.store("1.3", other, context_id=3) == 0
            assert time.monotonic() - begun < 5
            peer.release()
        assert [arrival.patient_id for arrival in run.wait(2) if not arrival.conflict] == ["4711", "4711"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"nothing of the sort " * 50,
        data_set("1.2")[:40],
        data_set("1.2", explicit=False),
        element(0x00080016, "UI", CT) + nested(3)[:-8],
        element(0x00080016, "UI", CT) + struct.pack("<HH2sHL", 8, 0x1140, b"SQ", 0, 0xFFFFFFF0) + bytes(100),
        element(0x00080005, "CS", b"x" * 5000),
        element(0x00080016, "UI", CT) + struct.pack("<HH2sHL", 8, 0x1140, b"OB", 0, 0xFFFFFFFF) + bytes(100),
    ],
    ids=[
        "empty",
        "one-byte",
        "noise",
        "cut",
        "implicit-as-explicit",
        "open-sequence",
        "4GB-sequence",
        "long-value",
        "no-length",
    ],
)
def test_what_cannot_be_read_is_refused(start: Start, data: bytes) -> None:
    """A data set that is none gives 0xC000 and a refusal, and the association goes on."""
    with start() as run, run.peer() as peer:
        assert peer.store("1.2", data) == 0xC000
        assert peer.store("1.2") == 0
        peer.release()
        run.wait(2)
        assert [refusal.status for refusal in run.refusals] == [0xC000]
        assert len(run.files()) == 1


def test_a_head_without_end_is_not_kept_in_memory(start: Start) -> None:
    """If Series Instance UID does not come within 4 MiB the instance is refused."""
    with start() as run, run.peer() as peer:
        before = b"".join(element(0x00091000 + i, "UN", bytes(60_000)) for i in range(80))
        assert peer.store("1.2", data_set("1.2", before=before), chunk=100_000) == 0xC000
        assert peer.store("1.3", data_set("1.3", before=before[:3_000_500]), chunk=100_000) == 0xC000
        assert peer.store("1.4", data_set("1.4", before=before[: 60_012 * 50]), chunk=100_000) == 0
        peer.release()


def test_a_store_without_a_data_set_or_another_service_is_answered(start: Start) -> None:
    """A C-STORE that announces no data set, and an operation that we do not offer, get a failure status."""
    with start() as run, run.peer() as peer:
        peer.send(pdu(pdv(1, 3, command("1.2", CommandDataSetType=0x0101))))
        assert peer.answer()["Status"] == 0xC000
        peer.send(pdu(pdv(1, 3, command("1.2", CommandField=0x0020)), pdv(1, 2, b"an identifier")))
        answer = peer.answer()
        assert (answer["Status"], answer["CommandField"]) == (0x0211, 0x8020)
        assert peer.store("1.2") == 0
        peer.release()
        assert len(run.files()) == 1


def test_contexts_that_we_do_not_serve_are_refused_one_by_one(start: Start) -> None:
    """Storage and unknown classes are accepted in the first syntax that can be filed; others are refused."""
    offered = (
        Context(1, CT, ("1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.4.70", EXPLICIT)),
        Context(3, CT, ("1.2.840.10008.1.2.1.99",)),
        Context(5, "1.2.840.10008.5.1.4.1.2.2.1", (IMPLICIT,)),  # Study Root FIND
        Context(7, "1.2.840.10008.1.20.1", (IMPLICIT,)),  # Storage Commitment
        Context(9, "1.3.6.1.4.1.99999.1", (IMPLICIT, EXPLICIT)),  # private
        Context(11, "1.2.840.10008.5.1.4.1.1.999", ("1.2.840.10008.1.2.4.202",)),  # newer than we are
    )
    with start() as run, run.peer(contexts=offered) as peer:
        got = {id_: context.transfer_syntaxes[0] for id_, context in peer.connection.contexts.items()}
        assert got == {1: "1.2.840.10008.1.2.4.70", 9: IMPLICIT, 11: "1.2.840.10008.1.2.4.202"}
        peer.release()


def test_two_associations_with_one_uid_at_once(start: Start) -> None:
    """Duplicates and conflicts from several associations at the same time: one file for each data set, no more."""
    versions = [data_set("1.2", pixels=bytes([n]) * 200_000) for n in range(3)]
    with start() as run:
        statuses: list[int] = []

        def send(number: int) -> None:
            with run.peer() as peer:
                statuses.extend(peer.store("1.2", versions[(number + i) % 3], chunk=50_000) for i in range(9))
                peer.release()

        senders = [threading.Thread(target=send, args=(number,)) for number in range(4)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        assert statuses == [0] * 36
        run.wait(36)
        assert sorted(body_of(path) for path in run.files()) == sorted(versions)
        assert sum(not arrival.duplicate for arrival in run.arrivals) == 3
        assert sum(arrival.conflict and not arrival.duplicate for arrival in run.arrivals) == 2


def test_below_the_free_space_floor_nothing_is_taken(tmp_path: Path) -> None:
    """Under the floor the answer is 0xA700, with a refusal and without a half file."""
    with running(tmp_path, False) as run, run.peer() as peer:
        assert peer.store("1.2") == 0
        filing = run.receiver._engine._service.desk.filing  # type: ignore[union-attr]
        filing._floor, filing._space_until = 1 << 62, 0.0
        assert peer.store("1.3") == 0xA700
        filing._floor = 0
        assert peer.store("1.3") == 0
        peer.release()
        run.wait(3)
        assert run.refusals[0].status == 0xA700
        assert "MiB are free on the disk, and 4398046511104 MiB are to stay free" in run.refusals[0].why


def test_a_full_disk_is_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """While every instance is refused for the same lack of space, the log warns once; each is still told."""
    with running(tmp_path, False) as run, run.peer() as peer:
        filing = run.receiver._engine._service.desk.filing  # type: ignore[union-attr]
        filing._floor, filing._space_until = 1 << 62, 0.0
        assert [peer.store(f"1.2.{number}") for number in range(3)] == [0xA700] * 3
        peer.release()
        run.wait(3)
        assert len(run.refusals) == 3
    warned = [record for record in caplog.records if "0xA700" in record.getMessage()]
    assert [record.levelname for record in warned].count("WARNING") == 1


def test_a_full_disk_is_answered_and_a_rerun_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOSPC and EDQUOT in the middle of a file, on creating it and on naming it give 0xA700, and no half file."""
    with running(tmp_path, False) as run, run.peer() as peer:
        for code, function in ((errno.ENOSPC, "writev"), (errno.EDQUOT, "writev"), (errno.ENOSPC, "link")):

            def full(*_: object, code: int = code) -> int:
                raise OSError(code, os.strerror(code))

            with monkeypatch.context() as patch:
                patch.setattr(os, function, full)
                assert peer.store("1.2", data_set("1.2", pixels=bytes(900_000))) == 0xA700
            assert not list(run.folder.rglob("*.*"))[3:]
        assert peer.store("1.2") == 0
        peer.release()
        assert [refusal.status for refusal in run.wait(4) if refusal in run.refusals] == [0xA700] * 3


def test_a_file_size_limit_is_answered(tmp_path: Path) -> None:
    """RLIMIT_FSIZE in the receiver's own process: 0xA700 for what is too large, success for what is not."""
    resource = pytest.importorskip("resource")
    with running(tmp_path, True) as run, run.peer() as peer:
        process = run.receiver._engine._process  # type: ignore[union-attr]
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (100_000, 100_000))
        assert peer.store("1.2", data_set("1.2", pixels=bytes(900_000))) == 0xA700
        assert peer.store("1.3", data_set("1.3", pixels=bytes(9_000))) == 0
        peer.release()
        run.wait(2)
        assert [path.name for path in run.files()] == ["1.3.dcm"]


def test_a_small_file_system_fills_up_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    """On a real file system of 1 MB: 0xA700 when it is full, and success again when there is room."""
    mount = tmp_path / "cohort"
    mount.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", mount], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        with running(tmp_path, True, free_space_floor=0) as run, run.peer() as peer:
            large = data_set("1.2", pixels=bytes(600_000))
            assert peer.store("1.2", large) == 0
            other = data_set("1.3", pixels=bytes(600_000))
            assert peer.store("1.3", other) == 0xA700
            run.files()[0].unlink()
            assert peer.store("1.3", other) == 0
            peer.release()
            assert body_of(run.files()[0]) == other
    finally:
        subprocess.run(["umount", mount], check=True)


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


def test_tls_with_silent_clients_beside_it(tmp_path: Path) -> None:
    """Over TLS an instance arrives unchanged, while others hang in the handshake or speak plainly."""
    server, client = certificate(tmp_path)
    folder = tmp_path / "cohort"
    events: list[object] = []

    receiver = Receiver(
        folder,
        ae_title="ME",
        on_event=events.append,
        port=0,
        bind="127.0.0.1",
        restrict=False,
        tls=server,
        limits=HASTY,
    )
    data = data_set("1.2", pixels=os.urandom(700_000))
    with receiver:
        silent = [raw_connection(receiver.port) for _ in range(12)]
        silent[0].sendall(b"\x16\x03\x01")
        silent[1].sendall(PDU_HEAD.pack(ASSOCIATE_RQ, 200) + bytes(200))
        with Peer(receiver.port, tls=client) as peer:
            assert peer.store("1.2", data) == 0
            peer.release()
        read_to_end(silent[5])  # ends by itself, with a TLS alert at most
        for sock in silent:
            sock.close()
    assert len(events) == 1
    assert body_of(next(folder.rglob("*.dcm"))) == data
    assert not list(folder.rglob("*.part"))


def test_half_files_of_a_killed_receiver_are_swept_up_later(tmp_path: Path) -> None:
    """A `.part` that nobody has written to for a while goes when its folder is used again; a fresh one stays."""
    filing = Filing(str(tmp_path), Layout("a/{SOPInstanceUID}.dcm"))
    (tmp_path / "a").mkdir()
    old, fresh = tmp_path / "a" / "0-1.part", tmp_path / "a" / "0-2.part"
    for path in (old, fresh):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 5000,) * 2)
    part, final = filing.begin({"SOPInstanceUID": "1.2"})
    part.write([b"whole"])
    filing.publish(part, final)
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["0-2.part", "1.2.dcm"]


def test_files_that_were_there_before_are_left_alone(tmp_path: Path) -> None:
    """A file under our name that is no DICOM file is another one's: ours is kept beside it."""
    with running(tmp_path, False, layout="{SOPInstanceUID}.dcm") as run:
        run.folder.mkdir(exist_ok=True)
        (run.folder / "1.2.dcm").write_text("my notes")
        with run.peer() as peer:
            assert peer.store("1.2") == 0
            peer.release()
        assert (run.folder / "1.2.dcm").read_text() == "my notes"
        assert body_of(run.folder / "1.2.conflict-1.dcm") == data_set("1.2")


def test_without_hard_links_files_are_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system that has no hard links, nothing is overwritten either."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    with running(tmp_path, False) as run:
        with run.peer() as peer:
            for n in (1, 2, 1, 2):
                assert peer.store("1.2", data_set("1.2", pixels=bytes([n]) * 100)) == 0
            peer.release()
        assert len(run.files()) == 2
        run.wait(4)
        assert [arrival.duplicate for arrival in run.arrivals] == [False, False, True, True]
