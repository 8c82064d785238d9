"""`dicomover receive`: the Storage SCP on its own, as a person and as a pipe see it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cli_kit import Ran, Shell, free_port, wait_until
from dicomover.cli import receive as receive_module
from dicomover.cli.receive import Sender, Senders
from dicomover.errors import AssociationLost, AssociationRejected
from dicomover.events import Arrival, Refusal, Refused
from dicomover.security.tls import client_context
from dicomover.testing import made_study
from peers import need, write_files
from receiver_kit import Peer, body_of, command, data_set, half_files, pdu, pdv
from security_kit import Authority


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Shell:
    """Run a command in this process."""
    return Shell(capsys)


class Receive:
    """A `dicomover receive` in a process of its own, whose outputs can be read while it runs."""

    def __init__(self, folder: Path, *args: object) -> None:
        self.folder = folder
        self.outputs = (folder.with_name("out"), folder.with_name("err"))
        with self.outputs[0].open("w") as out, self.outputs[1].open("w") as err:
            options = ["receive", "--bind", "127.0.0.1", "--port", 0, "-od", folder, *args]
            self.process = subprocess.Popen(
                [sys.executable, "-m", "dicomover", *map(str, options)], stdout=out, stderr=err, text=True
            )
        wait_until(lambda: "may send" in self.err or self.process.poll() is not None)
        self.port = int(re.findall(r"port (\d+)", self.err)[0])
        self.child = _children(self.process.pid)

    @property
    def out(self) -> str:
        """What it has printed."""
        return self.outputs[0].read_text()

    @property
    def err(self) -> str:
        """What it has said."""
        return self.outputs[1].read_text()

    def files(self) -> list[Path]:
        """Return the files that it has filed."""
        return sorted(path for path in self.folder.rglob("*") if path.is_file())

    def end(self, number: signal.Signals = signal.SIGINT) -> Ran:
        """Send a signal, wait for the end, and see that nothing is left."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> Ran:
        """Wait for the end, and see that nothing is left."""
        code = self.process.wait(30)
        assert not [path for path in self.files() if path.suffix == ".part"], "a half file was left behind"
        wait_until(lambda: not any(map(_runs, self.child)), 10)
        return Ran(code, self.out, self.err)


def _children(pid: int) -> list[int]:
    """Return the child processes, where the system tells."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def receiving_into(folder: Path, *args: object) -> Iterator[Receive]:
    """Run it, and end it whatever happens."""
    running = Receive(folder, *args)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait(10)


def begin_store(peer: Peer, sop: str) -> None:
    """Send the beginning of an instance, enough for a file to be begun."""
    peer.send(pdu(pdv(1, 3, command(sop, message_id=77))))
    peer.send(pdu(pdv(1, 0, data_set(sop)[:1000])))


def storescu(port: int, *paths: Path, calling: str = "MODALITY", called: str = "MOVESCU") -> int:
    """Send files by DCMTK."""
    arguments = [need("storescu"), "-aet", calling, "-aec", called, "127.0.0.1", str(port), *map(str, paths)]
    return subprocess.run(
        arguments, check=False, capture_output=True, timeout=60, env={**os.environ, "TCP_NODELAY": "1"}
    ).returncode


# --- in a process of its own


def test_storescu_sends_and_the_end_is_clean(tmp_path: Path) -> None:
    """What DCMTK sends is filed and told of: while it runs on stderr, by instance on stdout, and in a total."""
    study = made_study("00123", instances=12, patient="SECRET")
    instances = study.instances()
    paths = write_files(tmp_path / "source", instances)
    with receiving_into(tmp_path / "in", "--json", "--checksums") as running:
        assert storescu(running.port, *paths) == 0
        assert storescu(running.port, *paths[:3], calling="OTHER") == 0
        wait_until(lambda: "OTHER has sent" in running.err)
        assert "MODALITY has sent 12 instances, " in running.err
        assert "OTHER has sent 3 instances, " in running.err
        assert running.process.poll() is None
        ran = running.end()
    assert ran.code == 0
    total = ran.err.splitlines()[-1]
    assert total.startswith("Received 15 instances (")
    assert "from 2 senders" in total
    assert "3 here already" in total
    assert "SECRET" not in ran.err
    records = [json.loads(line) for line in ran.out.splitlines()]
    assert len(records) == 15
    assert {record["SOPInstanceUID"] for record in records} == {item.sop_instance_uid for item in instances}
    assert [record["duplicate"] for record in records] == [False] * 12 + [True] * 3
    for record in records:
        body = body_of(Path(record["path"]))
        assert (len(body), hashlib.sha256(body).hexdigest()) == (record["size"], record["sha256"])
        assert record["StudyInstanceUID"] == study.study_instance_uid
    assert len(running.files()) == 12


@pytest.mark.parametrize("workers", [1, 2])
def test_a_second_signal_ends_it_at_once_whatever_stands_still(tmp_path: Path, workers: int) -> None:
    """Two seconds are enough although the process that receives is stopped, and nothing of it is left."""
    receive = Receive(tmp_path / "in", "--workers", workers)
    pids = receive.child
    assert len(pids) == workers
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    receive.process.send_signal(signal.SIGINT)
    wait_until(lambda: "interrupt again" in receive.err)
    time.sleep(0.7)
    begun = time.monotonic()
    receive.process.send_signal(signal.SIGINT)
    assert receive.process.wait(10) == 130
    assert time.monotonic() - begun < 2
    wait_until(lambda: not any(map(_runs, pids)), 2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM are how it is meant to end: exit code 0, also in the middle of a data set."""
    with receiving_into(tmp_path / "in") as running, Peer(running.port, called="MOVESCU") as peer:
        assert peer.store("1.2.3.1.1.1") == 0
        begin_store(peer, "1.2.3.1.1.2")
        wait_until(lambda: half_files(running.folder))
        ran = running.end(number)
    assert ran.code == 0
    assert [path.name for path in running.files()] == ["1.2.3.1.1.1.dcm"]
    assert "Received 1 instance (" in ran.err
    assert "Traceback" not in ran.err


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    """Who interrupts twice does not wait for what is under way; its process ends all the same."""
    with receiving_into(tmp_path / "in") as running:
        with Peer(running.port, called="MOVESCU") as peer:
            begin_store(peer, "1.2.3.1.1.2")
            wait_until(lambda: half_files(running.folder))
            running.process.send_signal(signal.SIGINT)
            wait_until(lambda: "Ending" in running.err)
            begun = time.monotonic()
            running.process.send_signal(signal.SIGINT)
            assert running.process.wait(10) == 130
            assert time.monotonic() - begun < 3
        wait_until(lambda: not any(map(_runs, running.child)), 20)
    assert not half_files(running.folder)


def test_the_death_of_its_process_is_said(tmp_path: Path) -> None:
    """If nothing can arrive any more it does not sit there as if all were well."""
    with receiving_into(tmp_path / "in") as running:
        if not running.child:
            pytest.skip("this system does not tell of child processes")
        os.kill(running.child[0], signal.SIGKILL)
        ran = running.wait()
    assert ran.code == 2
    assert "ended unexpectedly" in ran.err
    assert "Received 0 instances" in ran.err


def test_a_reader_that_leaves_ends_it(tmp_path: Path) -> None:
    """`dicomover receive --json | head -1` ends after the second instance, without a traceback."""
    words = [sys.executable, "-m", "dicomover", "receive", "--bind", "127.0.0.1", "--port", "0", "--json"]
    process = subprocess.Popen(
        [*words, "-od", str(tmp_path / "in")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        assert process.stdout is not None
        port = int(re.findall(r"port (\d+)", process.stderr.readline())[0])
        with Peer(port, called="MOVESCU") as peer:
            assert peer.store("1.2.3.1.1.1") == 0
            assert json.loads(process.stdout.readline())["SOPInstanceUID"] == "1.2.3.1.1.1"
            process.stdout.close()
            for number in range(2, 50):
                if process.poll() is not None:
                    break
                try:
                    peer.store(f"1.2.3.1.1.{number}")
                except (OSError, AssociationLost):
                    break
        assert process.wait(20) == 1
        assert "Traceback" not in process.stderr.read()
    finally:
        process.kill()
        process.communicate()


# --- in this process


class Ready(threading.Thread):
    """Sends to a receiver of this process once it listens, and ends it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, act: Any) -> None:
        super().__init__()
        self._act = act
        self._senders: Senders | None = None
        self._receiver: Any = None
        self.error: BaseException | None = None
        serve = receive_module._serve

        def begin(receiver: Any, senders: Senders, tell: Any) -> None:
            self._receiver, self._senders = receiver, senders
            self.start()
            serve(receiver, senders, tell)

        monkeypatch.setattr(receive_module, "_serve", begin)

    def run(self) -> None:
        """Act, and end it."""
        assert self._senders is not None
        try:
            self._act(self._receiver.port)
        except BaseException as error:  # noqa: BLE001 - handed to the test
            self.error = error
        finally:
            self._senders.cancel()


@pytest.fixture
def receive(run: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that runs `receive` in this process while something is sent."""

    def receive(act: Any, *args: object) -> Ran:
        with monkeypatch.context() as patch:
            ready = Ready(patch, act)
            ran = run("receive", "--bind", "127.0.0.1", "--port", 0, "-od", tmp_path / "in", *args)
            ready.join(20)
        assert ready.error is None, ready.error
        return ran

    return receive


def one(sop: str = "1.2.3.1.1.1", data: bytes | None = None, status: int = 0, calling: str = "YOU") -> Any:
    """Return what sends one instance."""

    def act(port: int) -> None:
        with Peer(port, called="MOVESCU", calling=calling) as peer:
            assert peer.store(sop, data) == status
            peer.release()

    return act


def test_by_tls_it_takes_from_whom_it_is_told(receive: Any, tmp_path: Path) -> None:
    """Only a caller whose certificate has one of the names is let in; the first line says so."""
    authority = Authority(tmp_path / "ca")
    ours, archive = authority.tls("ME"), client_context(authority.tls("ARCHIVE"))

    def act(port: int) -> None:
        with pytest.raises(AssociationLost):
            Peer(port, called="MOVESCU")
        with Peer(port, called="MOVESCU", tls=archive) as peer:
            assert peer.store("1.2.3.1.1.1") == 0
            peer.release()

    files = ("--tls-ca", ours.ca, "--tls-cert", ours.cert, "--tls-key", ours.key)
    ran = receive(act, *files, "--tls-peer", "ARCHIVE", "--tls-peer", "OTHER")
    assert ran.code == 0
    assert "anybody by TLS as ARCHIVE or OTHER may send, into" in ran.err
    assert "Received 1 instance" in ran.err


def test_it_says_where_it_listens_and_who_may_send(receive: Any, tmp_path: Path) -> None:
    """The first line has the port, also if any free one was asked for; the last one the total."""
    ran = receive(one())
    assert ran.code == 0
    assert ran.out == ""
    assert re.match(r"MOVESCU, port \d+: anybody may send, into .*/in; Ctrl-C ends it\n", ran.err)
    assert f"YOU has sent 1 instance, {len(data_set('1.2.3.1.1.1')) / 1000:.1f} kB\n" in ran.err
    assert re.search(rf"Received 1 instance \(.*\) from 1 sender in \d s, into {tmp_path}/in\n$", ran.err)
    assert [path.relative_to(tmp_path / "in").as_posix() for path in tmp_path.rglob("*.dcm")] == [
        "4711/1.2.3.1/1.2.3.1.1/1.2.3.1.1.1.dcm"
    ]


def test_only_who_is_named_may_send(receive: Any) -> None:
    """--calling-aet lets in these and no others, and the others are counted."""

    def act(port: int) -> None:
        one(calling="A")(port)
        with pytest.raises(AssociationRejected, match="Calling AE title not recognised"):
            Peer(port, called="MOVESCU", calling="C")
        one("1.2.3.1.1.2", calling="B")(port)

    ran = receive(act, "--calling-aet", "A", "--calling-aet", "B")
    assert ran.code == 0
    assert "A and B may send" in ran.err
    assert "Warning: rejected an association" in ran.err
    assert "1 association rejected" in ran.err
    assert "2 instances" in ran.err.splitlines()[-1]


def test_our_ae_title_and_the_number_of_associations_are_held(receive: Any) -> None:
    """-aet is what has to be called; --max-associations bounds how many at a time."""

    def act(port: int) -> None:
        with Peer(port, called="STORE") as one:
            assert one.store("1.2") == 0
            with pytest.raises(AssociationRejected, match="Local limit exceeded"):
                Peer(port, called="STORE")
        with pytest.raises(AssociationRejected, match="Called AE title"):
            Peer(port, called="MOVESCU")

    ran = receive(act, "-aet", "STORE", "--max-associations", 1)
    assert "STORE, port" in ran.err
    assert "2 associations rejected" in ran.err


@pytest.mark.parametrize(
    ("existing", "status", "files", "words"),
    [("keep", 0, 2, "1 kept beside another"), ("replace", 0, 1, "2 instances"), ("error", 0x0111, 1, "1 refused")],
)
def test_other_bytes_under_the_same_uid(
    receive: Any, tmp_path: Path, existing: str, status: int, files: int, words: str
) -> None:
    """--existing says what happens, and the total how often it did."""

    def act(port: int) -> None:
        one()(port)
        one(data=data_set("1.2.3.1.1.1", pixels=bytes(100)), status=status)(port)

    ran = receive(act, "--existing", existing)
    assert words in ran.err.splitlines()[-1]
    assert len([path for path in (tmp_path / "in").rglob("*") if path.is_file()]) == files


def test_the_layout_says_where(receive: Any, tmp_path: Path) -> None:
    """--layout is that of the library."""
    receive(one(), "--layout", "{Modality}/{SOPInstanceUID}.dcm")
    assert (tmp_path / "in" / "CT" / "1.2.3.1.1.1.dcm").is_file()


def test_without_checksums_there_is_none(receive: Any, tmp_path: Path) -> None:
    """--json alone has all but the SHA-256; the patient is in the path only."""
    ran = receive(one(), "--json")
    (record,) = map(json.loads, ran.out.splitlines())
    assert record == {
        "path": str(tmp_path / "in/4711/1.2.3.1/1.2.3.1.1/1.2.3.1.1.1.dcm"),
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
        "SOPInstanceUID": "1.2.3.1.1.1",
        "StudyInstanceUID": "1.2.3.1",
        "SeriesInstanceUID": "1.2.3.1.1",
        "TransferSyntaxUID": "1.2.840.10008.1.2.1",
        "size": len(data_set("1.2.3.1.1.1")),
        "sha256": None,
        "calling_ae_title": "YOU",
        "duplicate": False,
        "conflict": False,
    }


def test_quiet_says_nothing(receive: Any) -> None:
    """-q leaves the records and the errors."""
    ran = receive(one(), "-q", "--json")
    assert (ran.code, ran.err, len(ran.out.splitlines())) == (0, "", 1)


# --- what keeps it from beginning


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--bind", "192.0.2.7"], "this machine has no such address"),
        (["--layout", "{PatientName}"], "has no {SOPInstanceUID}"),
        (["--layout", "{NoKeyword}/{SOPInstanceUID}"], "NoKeyword"),
        (["--existing", "forget"], "forget"),
        (["--calling-aet", "A" * 17], "17 characters"),
        (["--max-associations", "0"], "not in the range"),
        (["-aet", ""], "is empty"),
        (["--port", "x"], "not a valid integer"),
        (["-od", "{taken}"], "is a file"),
        (["-od", "{taken}/below"], "cannot be written"),
        (["-od", "/proc/x"], "cannot be written"),
        (["-q", "-v"], "-q cannot go with"),
    ],
)
def test_what_cannot_be_meant_ends_with_2(run: Shell, tmp_path: Path, args: list[str], words: str) -> None:
    """Each is one sentence, and nothing listens."""
    taken = tmp_path / "taken"
    taken.touch()
    args = [arg.replace("{taken}", str(taken)) for arg in args]
    ran = run("receive", "--port", free_port(), "-od", tmp_path / "in", *args)
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.err
    assert "Traceback" not in ran.err
    assert "may send" not in ran.err


def test_a_taken_port_ends_with_2(run: Shell, tmp_path: Path) -> None:
    """It does not take another port, which no sender would know."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ran = run("receive", "--bind", "127.0.0.1", "--port", taken.getsockname()[1], "-od", tmp_path / "in")
    assert ran.code == 2
    assert "another program listens there" in ran.err
    assert len(ran.err.splitlines()) == 1


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_not_ours_ends_with_2(run: Shell, tmp_path: Path) -> None:
    """Permissions are looked at before anybody is let in."""
    tmp_path.chmod(0o555)
    try:
        ran = run("receive", "--port", 0, "-od", tmp_path / "in")
    finally:
        tmp_path.chmod(0o755)
    assert ran.code == 2
    assert "Permission denied" in ran.err


@pytest.mark.parametrize("args", [["-od", "x"], ["--port", "0"]])
def test_port_and_folder_have_to_be_said(run: Shell, args: list[str]) -> None:
    """Nothing is received into a place that nobody named, or on a port that nobody knows."""
    ran = run("receive", *args)
    assert ran.code == 2
    assert "Missing option" in ran.err


# --- what is told, and when


def arrival(at: float, title: str = "A", size: int = 1000, **more: Any) -> Arrival:
    """Invent an arrival."""
    return Arrival(Path("SECRET.dcm"), "", "", "", "", "SECRET", "", size, title, at=at, **more)


def test_a_sender_is_told_of_once_it_has_fallen_quiet() -> None:
    """Neither earlier, nor twice, nor with the next one's count."""
    senders = Senders()
    for n in range(11):
        senders.take(arrival(100 + n / 10))
    senders.take(arrival(101.5, "B"))
    assert senders.lines(101.6) == []
    assert senders.lines(103.1) == ["A has sent 11 instances, 11.0 kB in 1 s (11/s, 11.0 kB/s)"]
    assert senders.lines(104) == ["B has sent 1 instance, 1.0 kB"]
    senders.take(arrival(110))
    assert senders.lines(110.1) == []
    assert senders.lines() == ["A has sent 1 instance, 1.0 kB"]
    assert senders.lines() == []
    assert senders.total().startswith("Received 13 instances (13.0 kB) from 2 senders in ")


def test_a_sender_that_goes_on_is_told_of_now_and_then() -> None:
    """Every ten seconds a line, and one at the end that has all of it."""
    senders = Senders()
    told = []
    for second in range(25):
        senders.take(arrival(100.0 + second))
        told += senders.lines(100.5 + second)
    assert [line.partition(":")[0] for line in told] == ["A goes on", "A goes on"]
    assert told[0] == "A goes on: 11 instances, 11.0 kB in 10 s (1.1/s, 1.1 kB/s) so far"
    assert senders.lines(130)[0].startswith("A has sent 25 instances")


def test_what_is_odd_is_counted() -> None:
    """Duplicates, conflicts, refusals, rejections; the receiver's own end is none of them."""
    senders = Senders()
    senders.take(arrival(1, duplicate=True))
    senders.take(arrival(1, conflict=True))
    senders.take(Refusal(1, "the disk is full", 0xA700, "A", "1.2", "1.3"))
    senders.take(Refusal(1, "it calls 'X'", None, "A", what=Refused.ASSOCIATION))
    senders.take(Refusal(1, "the receiver's process ended unexpectedly", what=Refused.EVERYTHING))
    (line,) = senders.lines()
    assert line == "A has sent 2 instances, 2.0 kB; 1 here already; 1 kept beside another of the same UID; 1 refused"
    assert (
        "(1 here already; 1 kept beside another of the same UID; 1 refused; 1 association rejected)" in senders.total()
    )


def test_a_sender_without_a_title_has_a_word() -> None:
    """An AE title that is none is not printed."""
    senders = Senders()
    senders.take(arrival(1, ""))
    assert senders.lines()[0].startswith("somebody has sent 1 instance")


def test_a_rate_needs_a_time() -> None:
    """Of one instance, or of two at once, there is no rate."""
    assert Sender(1.0, 1.05, 1.0, instances=2, bytes=10).words() == "2 instances, 10 B"
