"""A batch is killed at random moments and run again until it ends: nothing is lost, and no row is wrong.

DICOMOVER_KILLS says how many kills there are; the seed is in the test's name.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicomover.journal import Journal, is_verified
from dicomover.testing import DemoPacs, Misbehaviour, Study, made_study
from peers import data_sets_in, wait_until

KILLS = int(os.environ.get("DICOMOVER_KILLS", "32"))
STUDIES = 100
LONGEST = 0.45  # seconds that a run may live after it has begun to listen
SLOW = {"*": Misbehaviour("slow", seconds=0.02)}

# Everything is imported once; each run is a fork of this process, which costs next to nothing.
SCRIPT = """
import os, sys
import dicomover.batch.job, dicomover.receiver, dicomover.batch.worker, pandas
from dicomover import Mover

def run(node, folder, count):
    with Mover(node, receive=folder, port=0, progress="none", associations=2) as mover:
        os.write(1, f"port {mover.port}\\n".encode())
        sys.stdin.readline()
        summary = mover.move([{"AccessionNumber": f"S{number:03d}"} for number in range(int(count))])
    rows = zip(summary["status"], summary["expected"], summary["received"])
    os.write(1, ("rows " + " ".join("/".join(map(str, row)) for row in rows) + "\\n").encode())
    sys.stdin.readline()

for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        os.write(1, f"child {os.getpid()}\\n".encode())
        run(*line.split())
        os._exit(0)
    os.waitpid(pid, 0)
    os.write(1, b"dead\\n")
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start the process that forks the runs."""
    script = tmp_path / "run.py"
    script.write_text(SCRIPT)
    with subprocess.Popen(
        [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as process:
        try:
            yield process
        finally:
            process.kill()


class Run:
    """One run of the batch, from its start to its end or its death."""

    def __init__(self, server: subprocess.Popen[bytes], pacs: DemoPacs, folder: Path) -> None:
        assert server.stdin is not None
        assert server.stdout is not None
        self._in, self._out = server.stdin, server.stdout
        self._in.write(f"{pacs.node} {folder} {STUDIES}\n".encode())
        self.pid = int(self._line("child"))
        pacs.destinations["MOVESCU"] = int(self._line("port"))
        self.processes = {self.pid, *children_of(self.pid)}
        self._in.write(b"go\n")

    def _line(self, begin: str) -> str:
        word, _, rest = self._out.readline().decode().strip().partition(" ")
        assert word == begin, f"{begin!r} was to come, and {word!r} came"
        return rest

    def kill(self) -> None:
        """Kill it, even if it should be through already."""
        self.processes |= children_of(self.pid)
        os.kill(self.pid, signal.SIGKILL)
        word = self._out.readline().decode().partition(" ")[0].strip()
        assert (word if word == "dead" else self._out.readline().decode().strip()) == "dead"

    def finish(self) -> list[str]:
        """Let it run to its end and return its rows."""
        rows = self._line("rows").split()
        self._in.write(b"bye\n")
        self._line("dead")
        return rows


def children_of(parent: int) -> set[int]:
    """Return the process ids of the children of a process."""
    found: set[int] = set()
    for path in Path(f"/proc/{parent}/task").glob("*/children"):
        found.update(map(int, path.read_text().split()))
    return found


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that only waits to be asked does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def complete(folder: Path) -> set[str]:
    """Return the accession numbers that the journal says are complete."""
    path = folder / "journal.db"
    if not path.exists():
        return set()
    with Journal(path) as journal:
        entries = journal.entries().values()
        verified = (entry.keys for entry in entries if is_verified(entry.result))
    return {keys["AccessionNumber"] for keys in verified if "AccessionNumber" in keys}


def hold_recorded(folder: Path, recorded: set[str], studies: dict[str, Study]) -> None:
    """Whatever is recorded as complete lies there, byte for byte."""
    here = data_sets_in(folder)
    for accession in recorded:
        for item in studies[accession].instances():
            assert here.get(item.sop_instance_uid) == item.data_set_bytes(), f"{accession} is recorded, and not there"


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="processes are followed by /proc")
@pytest.mark.timeout(60 + 6 * KILLS)
@pytest.mark.parametrize("seed", [20240811])
def test_killed_again_and_again(server: subprocess.Popen[bytes], tmp_path: Path, seed: int) -> None:
    """At the end everything is there once, no row is wrong, and nothing that was recorded complete moved again."""
    rng = random.Random(seed)
    folder = tmp_path / "cohort"
    made = [made_study(f"S{number:03d}", instances=rng.randint(1, 5), size=512) for number in range(STUDIES)]
    studies = {study.accession_number: study for study in made}
    processes: set[int] = set()
    recorded: set[str] = set()
    settled: Counter[str] = Counter()  # C-MOVEs of a study when it was first seen to be recorded
    with DemoPacs(made, misbehave=SLOW) as pacs:

        def moves(accession: str) -> int:
            return len(pacs.moves_of(studies[accession].study_instance_uid))

        for kill in range(KILLS):
            run = Run(server, pacs, folder)
            time.sleep(rng.uniform(0, LONGEST))
            run.kill()
            processes |= run.processes
            wait_until(lambda run=run: not any(map(is_alive, run.processes)), 20)  # type: ignore[misc]
            now = complete(folder)
            assert recorded <= now, "a record is lost"
            settled.update({accession: moves(accession) for accession in now - recorded})
            recorded = now
            if kill % 8 == 7:
                hold_recorded(folder, recorded, studies)
            if len(recorded) == STUDIES:  # begin anew with half of them, so that there is something to kill
                for accession in sorted(recorded)[::2]:
                    for path in folder.rglob(f"{studies[accession].study_instance_uid}*/**/*.dcm"):
                        path.unlink()
                (folder / "journal.db").unlink()
                recorded, settled = set(), Counter()
        assert recorded, "every run was killed before it had done anything"
        run = Run(server, pacs, folder)
        rows = run.finish()
        processes |= run.processes
        again = {accession: moves(accession) for accession in recorded if moves(accession) != settled[accession]}

    assert not again, "recorded as complete, and moved again"
    for accession, row in zip(studies, rows, strict=True):
        count = studies[accession].number_of_instances
        assert row in (f"success/{count}/{count}", f"skipped/{count}/{count}"), accession
        assert row.startswith("skipped") == (accession in recorded)
    assert complete(folder) == set(studies)
    assert data_sets_in(folder) == {
        item.sop_instance_uid: item.data_set_bytes() for study in made for item in study.instances()
    }
    assert not list(folder.rglob("*.part"))
    assert len(processes) >= 2 * KILLS
    wait_until(lambda: not any(map(is_alive, processes)), 20)
