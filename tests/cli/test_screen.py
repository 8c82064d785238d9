"""What a person sees on the standard error: what happens, each message, the progress; and no patient."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli_kit import Shell, free_port, peer, to_workstation
from dicomover.cli.screen import Interrupts
from dicomover.testing import DemoPacs, Misbehaviour, made_study
from dicomover.testing._server import silence
from dicomover.wire.connection import Connection
from dicomover.wire.negotiation import parse_request
from wire_kit import accept, answer, listening

SLOW = Misbehaviour("slow", seconds=0.1)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Shell:
    """Run a command in this process."""
    return Shell(capsys)


@pytest.fixture
def pacs() -> DemoPacs:
    """Start an archive with two studies."""
    with DemoPacs([made_study("00123", instances=4), made_study("00124", instances=2)]) as archive:
        yield archive


def test_verbose_tells_what_happens_and_when(run: Shell, pacs: DemoPacs) -> None:
    """-v logs each step with the elapsed time to the standard error, in its order; without it there is silence."""
    quiet, loud = to_workstation(run, pacs), to_workstation(run, pacs, "-v")
    assert quiet.err == ""
    steps = [
        "s] requesting association",
        f"  peer {pacs.node}, calling AE title MOVESCU",
        f"s] association MOVESCU -> {pacs.node} accepted",
        ": Study Root, level STUDY\n",
        "ended: 0x0000 (success); 1 answer\n",
        ": Study Root, level STUDY, to WORKSTATION",
        "ended: 0x0000 (success); 4 completed, 0 failed, 0 warning",
        f"s] releasing the association with {pacs.node}",
        f"s] association with {pacs.node} released",
    ]
    places = [loud.err.find(step) for step in steps]
    assert -1 not in places, loud.err
    assert "s] C-FIND, message " in loud.err
    assert "s] initiating C-MOVE, message " in loud.err
    assert places == sorted(places)
    assert "00123" not in loud.err
    assert "association" not in loud.out


def test_debug_logs_dimse_messages(run: Shell, pacs: DemoPacs) -> None:
    """-d logs what is sent and received with tag, VR, keyword and value, and what became of each context."""
    ran = to_workstation(run, pacs, "-d")
    assert f"dimse: sent to {pacs.node} on context " in ran.err
    assert re.search(r"^ +\(0000,0600\) AE MoveDestination +WORKSTATION$", ran.err, re.MULTILINE)
    assert re.search(r"^ +\(0000,0900\) US Status +0xFF00 \(pending\)$", ran.err, re.MULTILINE)
    assert re.search(r"context \d+: .*MOVE: accepted, Explicit VR Little Endian$", ran.err, re.MULTILINE)


def test_debug_shows_what_our_receiver_says(run: Shell, pacs: DemoPacs, tmp_path: Path) -> None:
    """The C-STOREs that come to us are logged too, with the contexts of the archive's association."""
    port = free_port()
    pacs.destinations["MOVESCU"] = port
    ran = run("move", "-d", "-od", tmp_path, "--port", port, "-k", "AccessionNumber=00123", *peer(pacs))
    assert ran.code == 0
    assert "receiver: accepted an association of" in ran.err
    assert re.search(r"context \d+: .*Image Storage: accepted, ", ran.err)
    assert re.search(r"receiver: received from \S+ on context \d+: C-STORE-RQ", ran.err)
    assert re.search(r"receiver: sent to \S+ on context \d+: C-STORE-RSP", ran.err)


def test_identifiers_are_shown_when_they_are_asked_for(run: Shell, pacs: DemoPacs) -> None:
    """-d alone shows no key and no answer; with --show-keys it shows both."""
    plain, shown = to_workstation(run, pacs, "-d"), to_workstation(run, pacs, "-d", "--show-keys")
    assert "00123" not in plain.err
    assert "identifiers: the identifier of message " in shown.err
    assert re.search(r"\(0008,0050\) Accession Number +SH: '00123'", shown.err)
    assert "identifiers: an answer to message " in shown.err
    assert "00123" not in to_workstation(run, pacs, "-d").err, "and the next run is silent again"


def test_a_release_that_is_not_answered_is_said(run: Shell) -> None:
    """An archive that leaves A-RELEASE-RQ unanswered is named, and the echo's time does not count the wait for it."""

    def serve(connection: Connection) -> None:
        connection.send(accept(connection, parse_request(connection.read_pdu()[1])))
        answer(connection, connection.read_message(), 0x0000)
        silence(connection)

    with listening(serve) as node:
        ran = run("echo", "-ta", "1", str(node))
    assert ran.code == 0
    assert f"Warning: {node} did not answer the release of the association (nothing came in time)" in ran.err
    assert float(ran.out.rpartition(" in ")[2].split()[0]) < 0.9


@pytest.mark.parametrize("how", [None, "identifier-mismatch", "unable-with-comment", "find-mismatch", "abort"])
@pytest.mark.parametrize("flags", [["-d"], ["-v"], ["-q"], []])
def test_patient_data_stays_off_stderr(run: Shell, how: str | None, flags: list[str]) -> None:
    """Neither log nor errors repeat what identifies a patient, though the archive may."""
    study = made_study("00123", patient="SECRET-7", name="Secret^Seven")
    with DemoPacs([study], misbehave={"00123": how} if how else None) as pacs:
        keys = ["-k", "PatientID=SECRET-7", "-k", "PatientName=Secret^Seven", "-k", "AccessionNumber=00123"]
        for command in (["move", "-aem", "WORKSTATION"], ["move", "-aem", "WORKSTATION", "--dry-run"], ["plan"]):
            ran = run(*command, *flags, *keys, *peer(pacs))
            assert "secret" not in (ran.out + ran.err).lower()
        assert "secret" not in run("find", *flags, *keys, *peer(pacs)).err.lower()


def test_no_progress_without_a_terminal_for_a_short_batch(run: Shell, pacs: DemoPacs) -> None:
    """A script that moves one study hears the Move Summary only."""
    assert to_workstation(run, pacs).err == ""


def on_a_terminal(pacs: DemoPacs, *more: object) -> tuple[int, str, str]:
    """Move study 00123 with a terminal for a standard error; return the exit code, stdout and what the terminal saw."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    args = ["move", "-aem", "WORKSTATION", "-k", "AccessionNumber=00123", *more, *peer(pacs)]
    command = [sys.executable, "-m", "dicomover", *map(str, args)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, text=True)
    os.close(theirs)
    seen = b""
    with contextlib.suppress(OSError):  # the other end has been closed
        while chunk := os.read(ours, 4096):
            seen += chunk
    os.close(ours)
    out, _ = process.communicate(timeout=30)
    return process.returncode, out, seen.decode()


def test_a_terminal_sees_a_bar_and_then_the_summary() -> None:
    """The bar is on stderr, goes away, and leaves the Move Summary on stdout."""
    with DemoPacs([made_study("00123", instances=8)], misbehave={"00123": SLOW}) as pacs:
        code, out, seen = on_a_terminal(pacs)
    assert code == 0
    assert out.startswith("Move Summary")
    assert "0/1 request" in seen
    assert " moved" in seen
    assert "Move Summary" not in seen
    assert "dicomover: 1 request" not in seen


def test_pending_responses_can_be_ignored() -> None:
    """With --ignore-pending the bar does not count before the final response; the verdict is the same."""
    with DemoPacs([made_study("00123", instances=8)], misbehave={"00123": SLOW}) as pacs:
        code, out, seen = on_a_terminal(pacs, "--ignore-pending")
    assert code == 0
    assert "Completed    8" in out
    assert "0/1 request" in seen
    assert not [n for n in range(1, 8) if f"{n} moved" in seen]


def test_progress_can_be_turned_off() -> None:
    """With --no-progress a terminal sees nothing."""
    with DemoPacs([made_study("00123")]) as pacs:
        assert on_a_terminal(pacs, "--no-progress")[2] == ""


def test_the_log_is_as_before_afterwards(run: Shell) -> None:
    """A command leaves no handler and no level behind."""
    root = logging.getLogger("dicomover")
    before = (list(root.handlers), root.level, root.propagate)
    run("echo", "-d", "127.0.0.1", 9)
    assert (list(root.handlers), root.level, root.propagate) == before


def test_a_signal_behind_the_batch_takes_no_summary_away() -> None:
    """Before a batch a signal interrupts; behind it the first waits for what is being written, the second does not."""
    job, old = Noted(), signal.getsignal(signal.SIGTERM)
    with Interrupts() as interrupts:
        with interrupts.cancelling(job, str):
            pass
        signal.raise_signal(signal.SIGTERM)
        assert interrupts.number == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    assert not job.was_cancelled
    with Interrupts(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == old


class Noted:
    """A job that notes whether it was cancelled."""

    was_cancelled = False

    def cancel(self) -> None:
        """Note it."""
        self.was_cancelled = True
