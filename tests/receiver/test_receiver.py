"""The receiver's seam: it listens, files, tells, admits, and ends without a trace."""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dicomover.errors import AssociationLost, AssociationRejected, ConfigurationError, LostBy, ReceiverError
from dicomover.events import Admission, Arrival, Refusal
from dicomover.receiver import Receiver
from dicomover.receiver.admissions import Admissions
from dicomover.receiver.scp.service import STANDARD_PORT, listen
from dicomover.wire.messages import Context
from dicomover.wire.pdus import ABORT, ASSOCIATE_RQ, PDU_HEAD
from receiver_kit import (
    CT,
    ENGINES,
    EXPLICIT,
    SERIES,
    STUDY,
    Peer,
    Run,
    body_of,
    command,
    data_set,
    element,
    pdu,
    pdv,
    running,
)

Start = Callable[..., AbstractContextManager[Run]]


@pytest.fixture(params=ENGINES, ids=ENGINES)
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Start:
    """Start a receiver in this process, in its own, or in two that share the port."""
    return partial(running, tmp_path, **ENGINES[request.param])


def test_an_instance_is_filed_as_sent_and_told(start: Start) -> None:
    """A stored instance lies in the default layout with its bytes unchanged, and its arrival says all about it."""
    data = data_set("1.2.3.1.1.1")
    with start(checksums=True) as run:
        with run.peer() as peer:
            more = {"MoveOriginatorApplicationEntityTitle": "THEM", "MoveOriginatorMessageID": 42}
            assert peer.store("1.2.3.1.1.1", data, **more) == 0
            peer.release()
        (arrival,) = run.wait(1)
        assert isinstance(arrival, Arrival)
        assert arrival.path == run.folder / "4711" / STUDY / SERIES / "1.2.3.1.1.1.dcm"
        assert body_of(arrival.path) == data
        assert (arrival.sop_class_uid, arrival.sop_instance_uid) == (CT, "1.2.3.1.1.1")
        assert (arrival.study_instance_uid, arrival.series_instance_uid) == (STUDY, SERIES)
        assert (arrival.patient_id, arrival.size, arrival.transfer_syntax_uid) == ("4711", len(data), EXPLICIT)
        assert (arrival.calling_ae_title, arrival.originator_ae_title) == ("YOU", "THEM")
        assert (arrival.originator_message_id, arrival.duplicate, arrival.conflict) == (42, False, False)
        assert 0 <= time.monotonic() - arrival.at < 5
        assert arrival.sha256 == hashlib.sha256(data).hexdigest()
        run.receiver.sync()


def test_only_what_was_asked_for_is_let_in(start: Start) -> None:
    """Restricted, instances come in by Move Originator or by identifiers, and nothing else does."""
    with start(restrict=True) as run, run.peer() as peer:
        ours = {"MoveOriginatorApplicationEntityTitle": "ME", "MoveOriginatorMessageID": 9}
        assert peer.store("1.2.3.1.1.1") == 0x0124
        run.receiver.admit(Admission(1, study_uids=frozenset({STUDY})))
        assert peer.store("1.2.3.1.1.1") == 0
        run.receiver.admit(Admission(2, study_uids=frozenset({"1.9"}), patient_ids=frozenset({"4712"})))
        other = data_set("1.2.4", study="1.9")
        assert peer.store("1.2.4", other) == 0x0124
        run.receiver.admit(Admission(3, message_id=9))
        assert peer.store("1.2.4", other, **{**ours, "MoveOriginatorApplicationEntityTitle": "YOU"}) == 0x0124
        assert peer.store("1.2.4", other, **ours) == 0
        run.receiver.dismiss(3)
        run.receiver.dismiss(3)
        assert peer.store("1.2.5", data_set("1.2.5", study="1.9"), **ours) == 0x0124
        run.receiver.dismiss(1)
        assert peer.store("1.2.6") == 0x0124
        peer.release()
        assert [event.status for event in run.wait(7) if isinstance(event, Refusal)] == [0x0124] * 5
        refusal = run.refusals[0]
        assert (refusal.calling_ae_title, refusal.sop_instance_uid, refusal.study_instance_uid) == (
            "YOU",
            "1.2.3.1.1.1",
            STUDY,
        )
        assert not any("4711" in refusal.why for refusal in run.refusals)
        assert len(run.files()) == 2


def test_the_same_again_is_a_success_and_others_are_kept_beside(start: Start) -> None:
    """The same bytes again are a duplicate; other bytes under the same UID lie beside the first."""
    first, second = data_set("1.2"), data_set("1.2", pixels=b"\1" * 2000)
    with start() as run:
        with run.peer() as peer:
            assert [peer.store("1.2", data) for data in (first, first, second, second)] == [0, 0, 0, 0]
            peer.release()
        told = run.wait(4)
        assert [(event.duplicate, event.conflict) for event in told if isinstance(event, Arrival)] == [
            (False, False),
            (True, False),
            (False, True),
            (True, True),
        ]
        assert [path.name for path in run.files()] == ["1.2.conflict-1.dcm", "1.2.dcm"]
        assert body_of(run.arrivals[0].path) == first
        assert body_of(run.arrivals[2].path) == second


@pytest.mark.parametrize(("existing", "status", "survivor"), [("replace", 0, 1), ("error", 0x0111, 0)])
def test_existing_says_what_happens_to_other_bytes(start: Start, existing: str, status: int, survivor: int) -> None:
    """With `replace` the new bytes win, with `error` the old ones do; there is one file either way."""
    versions = data_set("1.2"), data_set("1.2", pixels=b"\1" * 2000)
    with start(existing=existing) as run:
        with run.peer() as peer:
            assert peer.store("1.2", versions[0]) == 0
            assert peer.store("1.2", versions[1]) == status
            assert peer.store("1.2", versions[survivor]) == 0
            peer.release()
        (path,) = run.files()
        assert body_of(path) == versions[survivor]
        run.wait(3)
        assert run.events[-1].duplicate  # type: ignore[union-attr]


def test_a_listener_that_raises_does_not_stop_the_receiver(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An exception of on_event is logged, and the next event comes all the same."""
    told: list[object] = []

    def listen(event: object) -> None:
        told.append(event)
        raise RuntimeError("the notebook's mistake")

    receiver = Receiver(tmp_path, ae_title="ME", on_event=listen, port=0, bind="127.0.0.1", restrict=False)
    with receiver, Peer(receiver.port) as peer:
        assert [peer.store("1.2"), peer.store("1.3")] == [0, 0]
        peer.release()
    assert len(told) == 2
    assert sum("raised" in record.message for record in caplog.records) == 2


def test_activity_is_seen_in_the_middle_of_an_instance(start: Start) -> None:
    """`last_activity` moves while a data set is only half there."""
    with start() as run, run.peer() as peer:
        time.sleep(0.05)
        before = run.receiver.last_activity
        data = data_set("1.2")
        peer.send(pdu(pdv(1, 3, command("1.2"))) + pdu(pdv(1, 0, data[:100])))
        limit = time.monotonic() + 3
        while run.receiver.last_activity <= before:
            assert time.monotonic() < limit
            time.sleep(0.01)
        peer.send(pdu(pdv(1, 2, data[100:])))
        assert peer.answer()["Status"] == 0
        peer.release()


def test_an_instance_in_flight_may_finish(start: Start) -> None:
    """While the receiver stops, an instance that has begun is taken to its end and told."""
    with start() as run:
        peer = run.peer()
        data = data_set("1.2")
        peer.send(pdu(pdv(1, 3, command("1.2"))) + pdu(pdv(1, 0, data[:500])))
        time.sleep(0.2)
        with run.peer() as other:  # while it still listens
            assert other.echo() == 0
            other.release()
        stopper = threading.Thread(target=run.receiver.stop)
        stopper.start()
        time.sleep(0.2)
        peer.send(pdu(pdv(1, 2, data[500:])))
        assert peer.answer()["Status"] == 0
        stopper.join(8)
        assert not stopper.is_alive()
        peer.connection.close()
        assert [arrival.sop_instance_uid for arrival in run.arrivals] == ["1.2"]
        run.receiver.start()


def test_layouts_file_by_other_keywords(start: Start) -> None:
    """Keywords before Series Instance UID name folders, in Implicit and in Explicit VR."""
    with start(layout="{Modality}/{PatientID}-{StudyDate}/{SOPInstanceUID}") as run:
        with run.peer() as peer:
            for context_id, explicit, sop in ((1, True, "1.2"), (3, False, "1.3")):
                sequence = element(0x00081110, "SQ", b"\xfe\xff\x00\xe0\x00\x00\x00\x00", explicit)
                data = data_set(sop, explicit=explicit, before=element(0x00080090, "PN", "A^B", explicit) + sequence)
                assert peer.store(sop, data, context_id) == 0
            peer.release()
        assert [str(path.relative_to(run.folder)) for path in run.files()] == [
            "CT/4711-unknown/1.2",
            "CT/4711-unknown/1.3",
        ]


@pytest.mark.parametrize(
    "setting",
    [
        {"layout": "{PatientId}/{SOPInstanceUID}"},
        {"layout": "{StudyDate}.dcm"},
        {"layout": "/{SOPInstanceUID}"},
        {"layout": "../{SOPInstanceUID}"},
        {"layout": "a//{SOPInstanceUID}"},
        {"layout": "{SOPInstanceUID"},
        {"layout": "{SOPInstanceUID!r}"},
        {"layout": "NUL/{SOPInstanceUID}"},
        {"existing": "keeep"},
        {"ae_title": "SEVENTEEN_LETTERS"},
        {"port": 70000},
        {"max_associations": 0},
        {"calling_ae_titles": "YOU"},
    ],
)
def test_settings_that_cannot_be_meant(tmp_path: Path, setting: dict[str, Any]) -> None:
    """A wrong setting is named by the constructor, before anything happens."""
    with pytest.raises(ConfigurationError, match=r"layout|existing|AE title|port|max_associations|calling"):
        Receiver(tmp_path / "new", **{"ae_title": "ME", "on_event": print, **setting})
    assert not (tmp_path / "new").exists()


def test_a_misspelt_keyword_is_answered_by_the_right_one(tmp_path: Path) -> None:
    """The nearest keyword is suggested."""
    with pytest.raises(ConfigurationError, match=r"did you mean \{StudyDate\}"):
        Receiver(tmp_path, ae_title="ME", on_event=print, layout="{StudyDat}/{SOPInstanceUID}")


def test_a_port_that_is_taken_is_said_at_once(start: Start, tmp_path: Path) -> None:
    """start() raises with the port, the reason and the mend."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with pytest.raises(ReceiverError, match=rf"{taken}.*give another port"), start(port=taken):
            pass


def test_without_a_port_it_takes_the_standard_one_or_warns(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where 11112 is taken another port is chosen, and the log says which."""
    with pytest.MonkeyPatch.context() as patch, socket.create_server(("127.0.0.1", 0)) as other:
        patch.setattr("dicomover.receiver.scp.service.STANDARD_PORT", other.getsockname()[1])
        with listen("127.0.0.1", None) as listener:
            port = listener.getsockname()[1]
    assert any(record.levelno == logging.WARNING and str(port) in record.getMessage() for record in caplog.records)
    assert STANDARD_PORT == 11112


def test_a_folder_that_cannot_be_used_is_said_at_once(start: Start, tmp_path: Path) -> None:
    """start() raises if the folder is a file."""
    (tmp_path / "cohort").write_text("")
    with pytest.raises(ReceiverError, match="cannot be written"), start():
        pass


def test_who_may_associate(start: Start) -> None:
    """Another called AE title is rejected 1/1/7, another calling one 1/1/3, and one too many 2/3/2."""
    with start(calling_ae_titles=["YOU"], max_associations=2) as run:
        with pytest.raises(AssociationRejected) as rejected:
            run.peer(called="ANY")
        assert (rejected.value.result, rejected.value.source, rejected.value.reason) == (1, 1, 7)
        with pytest.raises(AssociationRejected) as rejected:
            run.peer(calling="WHO")
        assert (rejected.value.result, rejected.value.source, rejected.value.reason) == (1, 1, 3)
        with run.peer() as one, run.peer() as two:
            with pytest.raises(AssociationRejected) as rejected:
                run.peer()
            assert (rejected.value.result, rejected.value.source, rejected.value.reason) == (2, 3, 2)
            assert [one.echo(), two.echo()] == [0, 0]
            one.release()
            two.release()
        refused = [(event.status, event.calling_ae_title) for event in run.wait(3) if isinstance(event, Refusal)]
        assert sorted(refused, key=str) == [(None, "WHO"), (None, "YOU"), (None, "YOU")]  # in any order of processes
        limit = time.monotonic() + 3  # the two must have been counted off
        while True:
            try:
                run.peer().release()
                break
            except AssociationRejected:
                assert time.monotonic() < limit
                time.sleep(0.01)


def test_matching_does_not_grow_with_the_number_of_admissions(tmp_path: Path) -> None:
    """With 100,000 admissions an instance is matched as quickly as with one."""
    admissions = Admissions()
    for move in range(100_000):
        admissions.admit(Admission(move, message_id=move % 65536, study_uids=frozenset({f"1.2.{move}"})))
    begun = time.perf_counter()
    for move in range(0, 100_000, 100):
        assert admissions.lets_in("", f"1.2.{move}", "1.2", "1.3")
        assert not admissions.lets_in("", f"1.3.{move}", "1.2", "1.3")
    assert (time.perf_counter() - begun) / 2000 < 0.0001
    for move in range(100_000):
        admissions.dismiss(move)
    assert len(admissions) == 0
    assert not admissions.originated(7)
    assert not admissions.lets_in("", "1.2.0", "1.2", "1.3")


def test_stop_may_be_called_at_any_time(start: Start) -> None:
    """Stopping twice, or before starting, does nothing; calls that need a running receiver say so."""
    with start() as run:
        run.receiver.stop()
        run.receiver.stop()
        with pytest.raises(ReceiverError, match="start"):
            run.receiver.admit(Admission(1))
        with pytest.raises(ReceiverError, match="start"):
            run.receiver.sync()
        run.receiver.dismiss(1)
        run.receiver.start()
        with pytest.raises(ReceiverError, match="already"):
            run.receiver.start()


def test_sync_flushes_files_and_their_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """sync() flushes each new file and every folder up to the root, once."""
    flushed: list[str] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        flushed.append(str(Path(f"/proc/self/fd/{fd}").readlink()))
        real(fd)

    if not Path("/proc/self/fd").exists():
        pytest.skip("no /proc here")
    with running(tmp_path, False) as run, run.peer() as peer:
        monkeypatch.setattr(os, "fsync", fsync)
        assert [peer.store("1.2"), peer.store("1.3")] == [0, 0]
        assert flushed == [], "not per image"
        run.receiver.sync()
        peer.release()
        patient = run.folder / "4711"
        expected = [*run.files(), run.folder, patient, patient / STUDY, patient / STUDY / SERIES]
        assert sorted(flushed) == sorted(map(str, expected))
        flushed.clear()
        run.receiver.sync()
        assert flushed == []


def test_a_sync_that_fails_is_said_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the disk does not take it sync() raises without naming a patient, and the next one tries all again."""
    with running(tmp_path, False) as run, run.peer() as peer:
        assert peer.store("1.2") == 0
        with monkeypatch.context() as patch:

            def fail(_: int) -> None:
                raise OSError(5, "Input/output error")

            patch.setattr(os, "fsync", fail)
            with pytest.raises(ReceiverError, match="could not be made durable") as caught:
                run.receiver.sync()
            assert "4711" not in str(caught.value)
        done: list[int] = []
        monkeypatch.setattr(os, "fsync", done.append)
        run.receiver.sync()
        assert len(done) == 5
        peer.release()


def test_too_little_space_is_said_at_once(start: Start) -> None:
    """start() raises if less than the floor is free already."""
    with pytest.raises(ReceiverError, match="free some space"), start(free_space_floor=1 << 60):
        pass


def test_many_admissions_do_not_slow_the_process(start: Start) -> None:
    """Admitting is in force at once, also when an admission names very many instances."""
    many = frozenset(f"1.2.{number}" for number in range(20_000))
    with start(restrict=True) as run, run.peer() as peer:
        run.receiver.admit(Admission(1, sop_uids=many))
        assert peer.store("1.2.77") == 0
        assert peer.store("1.3") == 0x0124
        for move in range(2, 300):
            run.receiver.admit(Admission(move, message_id=move))
        peer.release()


def test_the_same_text_is_shown_as_it_stands_in_the_data_set(start: Start) -> None:
    """PatientID is decoded by the Specific Character Set, and names a readable folder if it is harmless."""
    with start(layout="{PatientID}/{SOPInstanceUID}.dcm") as run:
        with run.peer() as peer:
            for sop, charset, patient in (
                ("1.1", "ISO_IR 192", "Jürgen".encode()),
                ("1.2", "ISO_IR 100", "Jürgen".encode("latin-1")),
                ("1.3", "nonsense", b"J\xfcrgen"),
                ("1.4", "ISO_IR 192", b"\xff\xfe"),
            ):
                assert peer.store(sop, data_set(sop, patient=patient, charset=charset)) == 0
            peer.release()
        told = [arrival.patient_id for arrival in run.wait(4) if isinstance(arrival, Arrival)]
        assert told == ["Jürgen", "Jürgen", "Jürgen", "ÿþ"]
        assert {arrival.path.parent.name for arrival in run.arrivals} == {"Jürgen", "ÿþ"}


def test_without_an_address_it_listens_on_every_one(start: Start) -> None:
    """With bind=None peers reach it by IPv4, and by IPv6 where there is one."""
    with start(bind=None) as run:
        addresses = ["127.0.0.1", *(["::1"] if socket.has_dualstack_ipv6() else [])]
        for address in addresses:
            socket.create_connection((address, run.port), timeout=5).close()


def test_a_request_with_too_many_contexts_is_aborted(start: Start) -> None:
    """More contexts than there are ids make no association."""
    contexts = tuple(Context(1, CT, (EXPLICIT,)) for _ in range(129))
    with start() as run, pytest.raises(AssociationLost):
        request_association_of(run.port, contexts)


def request_association_of(port: int, contexts: tuple[Context, ...]) -> None:
    """Send a request with contexts that pynetdicom itself would not send: the same one many times."""
    item = struct.pack(">BxHBxxx", 0x20, 0, 1)
    body = struct.pack(">HH", 1, 0) + b"ME".ljust(16) + b"YOU".ljust(16) + bytes(32)
    body += struct.pack(">BxH", 0x10, 21) + b"1.2.840.10008.3.1.1.1"
    for context in contexts:
        inner = struct.pack(">BxH", 0x30, len(context.abstract_syntax)) + context.abstract_syntax.encode()
        for syntax in context.transfer_syntaxes:
            inner += struct.pack(">BxH", 0x40, len(syntax)) + syntax.encode()
        body += item[:2] + struct.pack(">HBxxx", len(inner) + 4, context.id) + inner
    body += struct.pack(">BxHBxHL", 0x50, 8, 0x51, 4, 16384)
    with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
        sock.sendall(PDU_HEAD.pack(ASSOCIATE_RQ, len(body)) + body)
        answer = sock.recv(100)
    if answer[:1] == bytes((ABORT,)):
        raise AssociationLost("aborted", LostBy.ABORT)
