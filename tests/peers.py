"""Real peers on loopback: DCMTK's archive and Storage SCP, Orthanc; and what the end-to-end tests share.

Each peer runs in a process group of its own, is ready when it answers on its port, and is killed after a deadline.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydicom import dcmread

from dicomover import Mover, Node
from dicomover.errors import NodeError
from dicomover.testing import Instance, Study, data_set_of_file, made_study, sample_studies
from dicomover.testing._samples import read_sources

HERE, THERE, DOWN, UNKNOWN = "HERE", "STORESCP", "DOWN", "NOWHERE"
"""AE titles: our receiver, a third party, one where nobody listens, one that no archive knows."""

ONCE: dict[str, Any] = {"retry": "none"}
"""For a Mover whose every attempt is to be seen: a request that failed is not tried again."""

READY_SECONDS, END_SECONDS = 30.0, 5.0


class PortTaken(Exception):
    """A peer ended before it listened, most likely because somebody else took its port."""


def need(*programs: str) -> str:
    """Return the path of the first program; if one is missing the test is skipped, or fails where CI is set."""
    paths = [shutil.which(program) or shutil.which(program, path="/usr/sbin") for program in programs]
    absent = [program for program, path in zip(programs, paths, strict=True) if path is None]
    if absent:
        reason = f"not installed: {', '.join(absent)}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    assert paths[0] is not None
    return paths[0]


def free_port() -> int:
    """Return a port that nobody listens on; not one that the system gives to outgoing connections."""
    for _ in range(200):
        port = random.randint(15000, 30000)  # the ephemeral ports begin above
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")


def free_ports(count: int) -> list[int]:
    """Return as many different ones."""
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(free_port())
    return list(ports)


@dataclass(slots=True)
class Program:
    """A process group of ours, and the port that it listens on."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def children(self) -> list[int]:
        """Return the process ids of its children that still run."""
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                state, parent = path.read_text().rpartition(")")[2].split()[:2]
                if int(parent) == self.process.pid and state != "Z":
                    found.append(int(path.parent.name))
        return found

    def kill_children(self) -> None:
        """Kill whoever serves an association now."""
        children = self.children()
        assert children, "nobody serves an association"
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)

    def stop(self) -> None:
        """End the whole group: politely, then for certain."""
        for sign, patience in ((signal.SIGTERM, END_SECONDS), (signal.SIGKILL, END_SECONDS)):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, sign)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(patience)
                break
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)  # children that the parent left behind


def start(command: Sequence[str], port: int, log: Path, environment: Mapping[str, str] | None = None) -> Program:
    """Start a program and wait until its port answers."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            env={**os.environ, "TCP_NODELAY": "1", **(environment or {})},
        )
    program = Program(process, port, log)
    limit = time.monotonic() + READY_SECONDS
    while time.monotonic() < limit:
        if process.poll() is not None:
            raise PortTaken(log.read_text(errors="replace")[-2000:])
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return program
        time.sleep(0.02)
    program.stop()
    raise AssertionError(f"{command[0]} did not listen within {READY_SECONDS} s: {log.read_text(errors='replace')}")


def retried(make: Callable[[], Program]) -> Program:
    """Start a program on other ports if somebody was quicker with the first ones."""
    for _ in range(4):
        with contextlib.suppress(PortTaken):
            return make()
    return make()


# --- what the archives hold


@dataclass(frozen=True, slots=True)
class Holding:
    """What an archive was filled with: studies, and the data set of each instance."""

    studies: tuple[Study, ...]
    data_sets: Mapping[str, bytes]

    def study(self, accession: str) -> Study:
        """Return the one study with this accession number."""
        (study,) = [study for study in self.studies if study.accession_number == accession]
        return study

    def of(self, *accessions: str) -> dict[str, bytes]:
        """Return the data sets of the studies with these accession numbers, by SOP Instance UID."""
        instances = [
            instance for study in self.studies if study.accession_number in accessions for instance in study.instances()
        ]
        return {item.sop_instance_uid: self.data_sets[item.sop_instance_uid] for item in instances}


def mixed_sizes(accession: str) -> list[Study]:
    """Invent a study of three small instances and, after them, two large ones."""
    data_sets = []
    for number, instance in enumerate(made_study(accession, instances=5, patient="P-0055").instances()):
        data_set = dcmread(BytesIO(instance.file_bytes()))
        if number >= 3:
            data_set.Rows *= LARGER
            data_set.PixelData = data_set.PixelData * LARGER
        data_sets.append(data_set)
    return read_sources(data_sets)


LARGER = 100
COHORT = ("00123", "00007", "TWO", "000")
"""Accession numbers: leading zeros, two series, two studies, and one that nobody has."""

MADE = (
    made_study("00123", instances=4, patient="P-0042"),
    made_study("00007", series=2, instances=2, patient="P-0007", modality=("CT", "MR")),
    made_study("TWO", patient="P-0002", instances=2, number=1),
    made_study("TWO", patient="P-0002", instances=3, number=2, date="20230405"),
    made_study("MANY", patient="P-0100", instances=150, size=1 << 16),
    made_study("123", patient="P-0001", instances=1),
    *mixed_sizes("MIXED"),
)
"""What both archives hold; `123` must not be mistaken for `00123`."""


def holding(studies: Iterable[Study]) -> Holding:
    """Return what an archive of these studies holds."""
    kept = tuple(studies)
    return Holding(kept, {i.sop_instance_uid: i.data_set_bytes() for study in kept for i in study.instances()})


def samples(*transfer_syntaxes: str) -> list[Study]:
    """Return pydicom's sample studies that have nothing but these transfer syntaxes; all of them if none is named."""
    return [
        study
        for study in sample_studies()
        if not transfer_syntaxes or {item.transfer_syntax_uid for item in study.instances()} <= set(transfer_syntaxes)
    ]


def write_files(folder: Path, instances: Iterable[Instance]) -> list[Path]:
    """Write DICOM files, and return where."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, instance in enumerate(instances):
        path = folder / f"{number:05d}.dcm"
        path.write_bytes(instance.file_bytes())
        paths.append(path)
    return paths


def write_cohort(path: Path, accessions: Sequence[str] = COHORT) -> Path:
    """Write a CSV of accession numbers with a column that rides along."""
    lines = ["AccessionNumber,split", *(f"{accession},{'train' if accession else ''}" for accession in accessions)]
    path.write_text("\n".join(lines) + "\n")
    return path


def data_sets_in(folder: Path) -> dict[str, bytes]:
    """Return the data sets of the files in a folder, by SOP Instance UID, and see that there is one file for each."""
    found: dict[str, bytes] = {}
    for path in sorted(files_in(folder)):
        raw = path.read_bytes()
        uid = sop_instance_uid(raw)
        assert uid not in found, f"{path.name} is there twice"
        found[uid] = data_set_of_file(raw)
    return found


def sop_instance_uid(raw: bytes) -> str:
    """Return the Media Storage SOP Instance UID (0002,0003) of a file."""
    return _meta(raw, 0x03)


def transfer_syntax_uid(path: Path) -> str:
    """Return the Transfer Syntax UID (0002,0010) of a file."""
    return _meta(path.read_bytes()[:1024], 0x10)


def _meta(raw: bytes, element: int) -> str:
    at = raw.index(bytes((2, 0, element, 0)) + b"UI") + 6
    length = int.from_bytes(raw[at : at + 2], "little")
    return raw[at + 2 : at + 2 + length].rstrip(b"\0 ").decode()


def check_cohort(summary: pd.DataFrame, *, received: bool) -> None:
    """Hold the summary of the cohort against what an archive with `MADE` must end in."""
    assert list(summary["AccessionNumber"]) == list(COHORT)
    assert list(summary["split"]) == ["train"] * 4
    assert list(summary["status"]) == ["success", "success", "success", "not-found"], summary["error"].tolist()
    assert summary["status_code"].tolist()[:3] == ["0x0000"] * 3
    assert summary["matches"].tolist() == [1, 1, 2, 0]
    assert summary["attempts"].tolist() == [1, 1, 2, 0]
    for column in ("expected", "completed", *(["received"] if received else [])):
        assert summary[column].tolist()[:3] == [4, 4, 5], column
        assert summary[column].isna()[3]
    assert summary["failed"].tolist()[:3] == [0, 0, 0]
    assert received or summary["received"].isna().all()
    assert summary["error"].isna().tolist() == [True, True, True, False]


def wait_until(happens: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for something, bounded."""
    limit = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < limit, f"did not happen within {seconds} s"
        time.sleep(0.002)


def answers(mover: Mover) -> bool:
    """Tell whether the archive answers."""
    try:
        mover.echo()
    except NodeError:
        return False
    return True


def files_in(folder: Path) -> list[Path]:
    """Return the files that have arrived in a folder."""
    ours = (".part", ".db", ".db-wal", ".db-shm")  # of our receiver, or its journal
    return [path for path in folder.rglob("*") if path.is_file() and path.suffix not in ours]


def receiver_pid(mover: Mover) -> int:
    """Return the process id of a mover's receiver."""
    assert mover._receiver is not None
    return int(mover._receiver._engine._process.pid)  # type: ignore[union-attr]


def limit_file_size(mover: Mover, size: int) -> None:
    """Let the disk of a mover's receiver be full for every file that is larger."""
    resource = pytest.importorskip("resource")
    if not hasattr(resource, "prlimit"):
        pytest.skip("this system cannot limit another process")
    resource.prlimit(receiver_pid(mover), resource.RLIMIT_FSIZE, (size, size))


# --- the archives


@dataclass(slots=True)
class Archive:
    """A real archive that runs, where it sends to, and what it holds."""

    program: Program
    node: Node
    ports: Mapping[str, int]
    holding: Holding
    again: Callable[[], Program]
    fill: Callable[[Iterable[Study]], None] = lambda _: None

    def hold(self, studies: Iterable[Study]) -> None:
        """Let it hold these studies instead of those that it held; dcmqrscp is stopped meanwhile."""
        kept = tuple(studies)
        self.holding = holding(kept)
        self.fill(kept)

    def stop(self) -> None:
        """End it."""
        self.program.stop()

    def restart(self) -> None:
        """End it, and start it again on the same port with what it holds."""
        self.program.stop()
        self.program = self.again()


def _ports() -> dict[str, int]:
    return dict(zip(("", HERE, THERE, DOWN, "HERE2"), free_ports(5), strict=True))


def installed(program: str) -> list[str]:
    """Return the command that runs a program of the system."""
    return [need(program)]


def dcmqrscp(
    folder: Path,
    studies: Iterable[Study],
    *options: str,
    tool: Callable[[str], list[str]] = installed,
    environment: Mapping[str, str] | None = None,
) -> Archive:
    """Run DCMTK's archive on files that are indexed where they lie."""
    program, index = tool("dcmqrscp"), tool("dcmqridx")
    kept = holding(studies)
    database = folder / "database"
    ports: dict[str, int] = {}

    def fill(studies: Iterable[Study]) -> None:
        paths = write_files(database, (instance for study in studies for instance in study.instances()))
        command = [*index, str(database), *map(str, paths)]
        subprocess.run(command, check=True, capture_output=True, timeout=60, env={**os.environ, **(environment or {})})

    def run() -> Program:
        command = [*program, "-c", str(folder / "dcmqrscp.cfg"), *options, str(ports[""])]
        return start(command, ports[""], folder / "dcmqrscp.log", environment)

    def choose() -> Program:
        ports.update(_ports())
        hosts = ", ".join(f"({title}, localhost, {port})" for title, port in ports.items() if title)
        (folder / "dcmqrscp.cfg").write_text(
            f"NetworkTCPPort = {ports['']}\nMaxPDUSize = 131072\nMaxAssociations = 16\n"
            f"HostTable BEGIN\nknown = {hosts}\nHostTable END\nVendorTable BEGIN\nVendorTable END\n"
            f"AETable BEGIN\nQRSCP {database} RW (500, 1024mb) known\nAETable END\n"
        )
        return run()

    def refill(studies: Iterable[Study]) -> None:
        archive.stop()
        shutil.rmtree(database)
        fill(studies)
        archive.program = run()

    fill(kept.studies)
    archive = Archive(retried(choose), Node("127.0.0.1", ports[""], ae_title="QRSCP"), ports, kept, run, refill)
    return archive


def orthanc(
    folder: Path,
    studies: Iterable[Study],
    *,
    synchronous: bool = True,
    tls: bool = False,
    tool: Callable[[str], list[str]] = installed,
    environment: Mapping[str, str] | None = None,
    **options: Any,
) -> Archive:
    """Run Orthanc without plugins, filled over its own port; with `tls` it calls the destinations by TLS."""
    program = tool("Orthanc")
    kept = holding(studies)
    ports: dict[str, int] = {}
    http: list[int] = []

    def run() -> Program:
        return start([*program, str(folder / "orthanc.json")], ports[""], folder / "orthanc.log", environment)

    def choose() -> Program:
        ports.update(_ports())
        http[:] = [free_port()]
        settings: dict[str, Any] = {
            "Name": "test",
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "Plugins": [],
            "HttpServerEnabled": True,
            "HttpPort": http[0],
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomServerEnabled": True,
            "DicomAet": "ORTHANC",
            "DicomPort": ports[""],
            "DicomCheckCalledAet": True,
            "DicomAlwaysAllowFind": True,
            "DicomAlwaysAllowMove": True,
            "DicomModalities": {
                title: {"AET": title, "Host": "127.0.0.1", "Port": port, "UseDicomTls": tls}
                for title, port in ports.items()
                if title
            },
            "SynchronousCMove": synchronous,
            "StableAge": 1,
            "SaveJobs": False,
            **options,
        }
        (folder / "orthanc.json").write_text(json.dumps(settings))
        return run()

    def fill(studies: Iterable[Study]) -> None:
        url = f"http://127.0.0.1:{http[0]}"
        for name in json.loads(_ask(f"{url}/studies")):
            _ask(f"{url}/studies/{name}", method="DELETE")
        for study in studies:
            for instance in study.instances():
                _ask(f"{url}/instances", instance.file_bytes(), method="POST")

    folder.mkdir(parents=True, exist_ok=True)
    running = retried(choose)
    try:
        wait_until(lambda: _listens(http[0]), 30)  # it opens the DICOM port first
        fill(kept.studies)
    except BaseException:
        running.stop()
        raise
    return Archive(running, Node("127.0.0.1", ports[""], ae_title="ORTHANC"), ports, kept, run, fill)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _ask(url: str, body: bytes | None = None, method: str = "GET") -> bytes:
    request = urllib.request.Request(url, data=body, headers={"Expect": ""}, method=method)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
        return bytes(answer.read())


@contextmanager
def storescp(folder: Path, port: int, *options: str, bit_preserving: bool = True) -> Iterator[Path]:
    """Run DCMTK's Storage SCP, and yield the folder that it writes to."""
    program = need("storescp")
    incoming = folder / "storescp"
    incoming.mkdir(parents=True, exist_ok=True)
    how = ["+B"] if bit_preserving else []
    command = [program, "-aet", THERE, *how, "+xa", *options, "-od", str(incoming), str(port)]
    running = start(command, port, folder / "storescp.log")
    try:
        yield incoming
    finally:
        running.stop()


def movescu(archive: Archive, destination: str, *keys: str, model: str = "-S") -> subprocess.CompletedProcess[str]:
    """Move by DCMTK's own client."""
    arguments = [part for key in keys for part in ("-k", key)]
    command = [need("movescu"), model, "-aet", HERE, "-aec", archive.node.ae_title, "-aem", destination]
    return subprocess.run(
        [*command, archive.node.host, str(archive.node.port), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
