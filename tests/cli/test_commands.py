"""The commands as a person uses them: what they print where, and how they end."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import click
import pandas as pd
import pytest

from cli_kit import Process, Ran, Shell, free_port, peer, wait_until
from dicomover import __version__
from dicomover.cli import cli, drilldown
from dicomover.receiver import Receiver
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


def to_workstation(run: Shell, pacs: DemoPacs, *more: object) -> Ran:
    """Move study 00123 to the workstation."""
    return run("move", "-aem", "WORKSTATION", "-k", "AccessionNumber=00123", *more, *peer(pacs))


# --- how a move ends

ENDS = [
    # misbehaviour, exit code, status
    (None, 0, "success"),
    ("no-pending", 0, "success"),
    ("final-twice", 0, "success"),
    ("success-with-warnings", 0, "warning"),
    ("warnings", 0, "warning"),
    ("success-with-failures", 1, "partial"),
    ("some-failed", 1, "partial"),
    ("some-failed-without-list", 1, "partial"),
    ("out-of-resources-some", 1, "partial"),
    ("unable-after-sending", 1, "partial"),
    (Misbehaviour("abort", after=2), 1, "lost"),
    (Misbehaviour("close", after=2), 1, "lost"),
    (Misbehaviour("release", after=2), 1, "lost"),
    (Misbehaviour("garbage", after=2), 1, "lost"),
    (Misbehaviour("abort", after=0), 2, "lost"),
    ("success-all-failed", 2, "failure"),
    ("empty-success", 2, "empty"),
    ("empty-success-without-counters", 2, "empty"),
    ("success-without-counters", 2, "empty"),
    ("out-of-resources", 2, "failure"),
    ("busy", 2, "failure"),
    ("destination-unknown", 2, "failure"),
    ("identifier-mismatch", 2, "failure"),
    ("unable", 2, "failure"),
    ("missing-attribute", 2, "failure"),
    ("not-authorized", 2, "failure"),
    ("wrong-message-id", 2, "lost"),
    ("find-no-match", 2, "not-found"),
    ("find-refused", 2, "failure"),
    ("find-aborts", 2, "lost"),
]


@pytest.mark.parametrize(("how", "code", "status"), ENDS, ids=lambda value: str(getattr(value, "name", value)))
def test_the_exit_code_tells_what_moved_whatever_the_archive_claims(
    run: Shell, how: str | Misbehaviour | None, code: int, status: str
) -> None:
    """0 is everything, 1 is something, 2 is nothing; the summary has the word for it."""
    with DemoPacs([made_study("00123", instances=4)], misbehave={"00123": how} if how else None) as pacs:
        ran = to_workstation(run, pacs, "--no-progress")
    assert ran.code == code
    assert f"Result       {status}" in ran.out
    assert ran.err == ""


@pytest.mark.parametrize(
    ("how", "code", "status"),
    [
        (None, 0, "success"),
        ("zero-counters-at-end", 0, "success"),
        ("stragglers", 0, "success"),
        ("success-without-counters", 0, "success"),
        ("claims-some-without-sending", 1, "partial"),
        ("claims-without-sending", 2, "empty"),
    ],
)
def test_what_is_on_the_disk_counts_when_we_receive(
    run: Shell, tmp_path: Path, how: str | None, code: int, status: str
) -> None:
    """An archive that claims to have sent what never came does not get a 0."""
    port = free_port()
    with DemoPacs([made_study("00123", instances=4)], misbehave={"00123": how} if how else None) as pacs:
        pacs.destinations["MOVESCU"] = port
        args = ["-od", tmp_path / "in", "--port", port, "-k", "AccessionNumber=00123", *peer(pacs)]
        ran = run("move", *args)
    assert ran.code == code
    assert f"Result       {status}" in ran.out
    files = list((tmp_path / "in").rglob("*.dcm"))
    assert f"Received     {len(files)} (" in ran.out
    assert f"Destination  MOVESCU, here, port {port}, into" in ran.out


def test_port_alone_receives_into_downloads(run: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --port and without -od the folder is ./downloads."""
    monkeypatch.chdir(tmp_path)
    port = free_port()
    with DemoPacs([made_study("00123", instances=4)]) as pacs:
        pacs.destinations["US"] = port
        ran = run("move", "-aet", "US", "--port", port, "-k", "AccessionNumber=00123", *peer(pacs))
    assert ran.code == 0
    assert len(list((tmp_path / "downloads").rglob("*.dcm"))) == 4


def test_a_batch_says_what_did_not_succeed_and_what_it_came_to(run: Shell, tmp_path: Path) -> None:
    """The Move Summary of a batch has counts by status, and every row that did not succeed with its sentence."""
    table = tmp_path / "cohort.csv"
    table.write_text(
        "AccessionNumber,PatientName,split\n00123,,a\n00124,,b\nabsent,,c\n".replace(",PatientName", ",who")
    )
    misbehave = {"00124": "success-with-failures"}
    with DemoPacs([made_study("00123", instances=4), made_study("00124", instances=3)], misbehave=misbehave) as pacs:
        ran = run("move", "-aem", "WORKSTATION", "--csv", table, "--retry", "none", *peer(pacs))
        assert [request.destination for request in pacs.requests if request.kind == "C-MOVE"] == ["WORKSTATION"] * 2
    assert ran.code == 1
    for line in (
        "Destination  WORKSTATION",
        "Level        STUDY",
        "Requests     3: 1 success, 1 partial, 1 not-found",
        "Completed    6",
        "Failed       1",
        "Total time",
        "1  00124            partial    2 of 3",
        "2  absent           not-found",
        "no study has these keys",
    ):
        assert line in ran.out
    assert "00123  " not in ran.out
    assert max(map(len, ran.out.splitlines())) <= 100


def test_a_study_asked_for_twice_is_counted_once(run: Shell, pacs: DemoPacs, tmp_path: Path) -> None:
    """The totals count C-MOVEs, not rows."""
    table = tmp_path / "cohort.csv"
    table.write_text("AccessionNumber\n00123\n00123\n")
    ran = run("move", "-aem", "WORKSTATION", "--csv", table, *peer(pacs))
    assert ran.code == 0
    assert "Requests     2: 2 success" in ran.out
    assert "Completed    4" in ran.out


def test_many_rows_that_are_not_there_are_one_line(run: Shell, pacs: DemoPacs, tmp_path: Path) -> None:
    """The first of them are named, the rest is counted, and it says where to find them all."""
    table = tmp_path / "cohort.csv"
    table.write_text("\n".join(["AccessionNumber", *(f"X{n}" for n in range(30))]))
    ran = run("move", "-aem", "WORKSTATION", "--csv", table, *peer(pacs))
    assert ran.code == 2
    assert "0-29  X0, X1, X2, …    not-found  -      30 rows: no study has these keys; check them" in ran.out
    assert "--summary FILE keeps every row" in ran.out


def test_a_batch_without_rows_moved_nothing(run: Shell, pacs: DemoPacs, tmp_path: Path) -> None:
    """A CSV of a header only is not a success."""
    table = tmp_path / "cohort.csv"
    table.write_text("AccessionNumber\n")
    ran = run("move", "-aem", "WORKSTATION", "--csv", table, *peer(pacs))
    assert (ran.code, "Requests     0" in ran.out) == (2, True)


def test_bad_rows_stop_a_batch_unless_they_are_to_be_recorded(run: Shell, pacs: DemoPacs, tmp_path: Path) -> None:
    """--invalid record moves the other rows and names the bad one."""
    table = tmp_path / "cohort.csv"
    table.write_text("AccessionNumber\n00123\n1e5\n")
    ran = run("move", "-aem", "WORKSTATION", "--csv", table, *peer(pacs))
    assert (ran.code, ran.out) == (2, "")
    assert "row 1 (line 3 of cohort.csv), AccessionNumber: '1e5' looks like a number" in ran.err
    assert not pacs.requests
    ran = run("move", "-aem", "WORKSTATION", "--csv", table, "--invalid", "record", *peer(pacs))
    assert ran.code == 1
    assert "1 success, 1 invalid" in ran.out


NOTHING = [
    # archive's misbehaviour, options, what is asked for
    (["-k", "AccessionNumber=absent"], {}),
    (["--csv", "empty.csv"], {}),
    (["-k", "StudyDate=*", "--max-matches", 1], {}),
]


@pytest.mark.parametrize(("asked", "how"), NOTHING, ids=["not-found", "no-rows", "too-many"])
def test_nothing_sent_is_nothing_received(
    run: Shell,
    pacs: DemoPacs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: list[object],
    how: dict[str, str],
) -> None:
    """The summary says who receives as it was told, also where no row has a count, and puts no words in a mouth."""
    monkeypatch.chdir(tmp_path)
    Path("empty.csv").write_text("AccessionNumber\n")
    ran = run("move", "-od", "in", "--port", free_port(), *asked, *peer(pacs))
    assert ran.code == 2
    assert "C-MOVEs      none was sent" in ran.out
    assert "Received     0 (0 B)" in ran.out
    assert "did not say" not in ran.out
    ran = run("move", "-aem", "WORKSTATION", *asked, *peer(pacs))
    assert "Received     nothing was sent" in ran.out


def test_what_a_third_party_has_is_the_archives_word(run: Shell, pacs: DemoPacs) -> None:
    """Where nobody asked the destination the summary says so, and how to."""
    said = " ".join(to_workstation(run, pacs).out.split())
    assert "Received by the destination, as the archive counts; -aem AET@host:port --verify destination asks it" in said
    pacs.misbehave["00123"] = "success-all-failed"
    assert "Received nothing, as the archive counts; -aem" in " ".join(to_workstation(run, pacs).out.split())
    pacs.misbehave["00123"] = "success-without-counters"
    assert "Received unknown, since the archive did not say; -aem" in " ".join(to_workstation(run, pacs).out.split())
    pacs.misbehave.clear()
    node = f"WORKSTATION@127.0.0.1:{pacs.workstation.port}"
    ran = run("move", "-aem", node, "-k", "AccessionNumber=00123", "--verify", "destination", *peer(pacs))
    assert "Received     by the destination, which was asked what it has" in ran.out


def test_what_a_third_party_had_before_is_counted_in_requests(run: Shell, pacs: DemoPacs, tmp_path: Path) -> None:
    """Of a rerun to a third party only the journal's word is known, not how much lies there."""
    journal = ["--journal", tmp_path / "journal.db"]
    assert to_workstation(run, pacs, *journal).code == 0
    ran = to_workstation(run, pacs, *journal)
    assert "C-MOVEs       none was needed" in ran.out
    assert "Moved before  1 request, according to the journal" in ran.out
    assert "Already here" not in ran.out


# --- what goes where


def test_json_has_the_records_on_stdout_and_all_else_on_stderr(run: Shell, pacs: DemoPacs, tmp_path: Path) -> None:
    """What a program reads is not mixed with what a person reads."""
    table = tmp_path / "cohort.csv"
    table.write_text("AccessionNumber,split\n00123,train\nabsent,test\n")
    ran = run("move", "-aem", "WORKSTATION", "--csv", table, "--json", *peer(pacs))
    records = json.loads(ran.out)
    assert [(r["AccessionNumber"], r["split"], r["status"], r["completed"]) for r in records] == [
        ("00123", "train", "success", 4),
        ("absent", "test", "not-found", None),
    ]
    assert ran.code == 1
    assert ran.err.startswith("Move Summary")


def test_quiet_json_is_nothing_but_records(run: Shell, pacs: DemoPacs) -> None:
    """-q leaves the records and takes the summary."""
    ran = to_workstation(run, pacs, "--json", "-q")
    assert json.loads(ran.out)[0]["status"] == "success"
    assert ran.err == ""


def test_quiet_says_nothing_of_a_success_and_names_what_failed(run: Shell, pacs: DemoPacs, tmp_path: Path) -> None:
    """-q is errors only, on the standard error."""
    assert to_workstation(run, pacs, "-q") == (0, "", "")
    ran = run("move", "-q", "-aem", "ELSEWHERE", "-k", "AccessionNumber=00123", *peer(pacs))
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("Error: row 0: failure: 0xA801")


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


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="there is no IPv6 here")
def test_an_address_of_ipv6_may_stand_in_brackets(run: Shell, tmp_path: Path) -> None:
    """`echo [::1] PORT`, `--bind [::1]` and `--address [::1]` mean what they do without brackets."""
    with Receiver(tmp_path, ae_title="ME", port=0, bind="[::1]", addresses=["[::1]"], on_event=print) as receiver:
        for words in (["-aec", "ME", "[::1]", receiver.port], ["-aec", "ME", "::1", receiver.port]):
            assert run("echo", *words).code == 0
        assert run("echo", f"ME@[::1]:{receiver.port}").code == 0
    with DemoPacs([made_study("1")]) as pacs:
        pacs.destinations["MOVESCU"] = ("[::1]", port := free_port())
        ran = run("move", "-od", tmp_path, "--bind", "[::1]", "--port", port, "-k", "AccessionNumber=1", *peer(pacs))
    assert ran.code == 0


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


@pytest.mark.parametrize(
    "keys",
    [
        ["PatientID= SECRET"],
        ["PatientId=SECRET"],
        ["SECRET"],
        ["PatientName=SECRET", "PatientName=SECRET"],
        ["PatientID=SECRET*"],
        ["PatientWeight=SECRET"],
        ["PatientID=SECRET", "SeriesInstanceUID=1.2"],
        ["PatientID=SECRET" + "X" * 64],
    ],
)
def test_a_refused_key_does_not_show_its_patient(run: Shell, keys: list[str]) -> None:
    """An error names the key, not the value."""
    ran = run("move", "-aem", "X", *(part for key in keys for part in ("-k", key)), "127.0.0.1", 9)
    assert (ran.code, ran.out) == (2, "")
    assert "SECRET" not in ran.err


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


# --- files


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_the_summary_goes_into_a_file(run: Shell, pacs: DemoPacs, tmp_path: Path, suffix: str) -> None:
    """--summary writes all columns, and leaves no half file behind."""
    path = tmp_path / f"done.{suffix}"
    path.write_text("old")
    ran = to_workstation(run, pacs, "--summary", path)
    assert ran.code == 0
    table = pd.read_csv(path, dtype=str) if suffix == "csv" else pd.DataFrame(json.loads(path.read_text()))
    assert list(table["AccessionNumber"]) == ["00123"]
    assert list(table["status"]) == ["success"]
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


def test_the_summary_goes_into_a_parquet_file(run: Shell, pacs: DemoPacs, tmp_path: Path) -> None:
    """--summary done.parquet keeps the dtypes, where pyarrow is installed."""
    pytest.importorskip("pyarrow")
    assert to_workstation(run, pacs, "--summary", tmp_path / "done.parquet").code == 0
    assert pd.read_parquet(tmp_path / "done.parquet")["completed"].dtype == "Int64"


def test_a_summary_can_be_moved_again(run: Shell, tmp_path: Path) -> None:
    """The file that --summary wrote is a batch for --csv: the night can be gone on with."""
    first, second = tmp_path / "cohort.csv", tmp_path / "done.csv"
    first.write_text("AccessionNumber,split\n00123,train\n")
    lost = Misbehaviour("abort", after=1, times=1)
    with DemoPacs([made_study("00123")], misbehave={"00123": lost}) as pacs:
        once = ("--retry", "none")
        assert run("move", "-aem", "WORKSTATION", "--csv", first, "--summary", second, *once, *peer(pacs)).code == 1
        assert run("move", "-aem", "WORKSTATION", "--csv", second, *peer(pacs)).code == 0


def test_a_summary_that_cannot_be_written_is_not_a_success(
    run: Shell, pacs: DemoPacs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk at the end is said, the summary is printed all the same, and the exit code is not 0."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    ran = to_workstation(run, pacs, "--summary", tmp_path / "done.csv")
    assert ran.code == 1
    assert "done.csv could not be written: No space left on device" in ran.err
    assert "Result       success" in ran.out


# --- plan, find, echo


@pytest.mark.parametrize("command", [["plan"], ["move", "--dry-run"]])
def test_a_plan_moves_nothing(run: Shell, pacs: DemoPacs, tmp_path: Path, command: list[str]) -> None:
    """`plan` and `move --dry-run` are the same: a table of what would move."""
    table = tmp_path / "cohort.csv"
    table.write_text("AccessionNumber\n00123\nabsent\n")
    ran = run(*command, "--csv", table, *peer(pacs))
    assert ran.code == 1
    assert "00123            move" in ran.out
    assert "absent           not-found" in ran.out
    assert "1 of 2 requests would move 4 instances; nothing was moved" in ran.out
    assert {request.kind for request in pacs.requests} == {"C-FIND"}
    records = json.loads(run(*command, "--json", "--csv", table, *peer(pacs)).out)
    assert [record["decision"] for record in records] == ["move", "not-found"]


@pytest.mark.parametrize(("accession", "code"), [("00123", 0), ("none", 2)])
def test_the_exit_code_of_a_plan(run: Shell, pacs: DemoPacs, accession: str, code: int) -> None:
    """0 is everything would move, 2 is nothing would."""
    assert run("plan", "-k", f"AccessionNumber={accession}", *peer(pacs)).code == code


def test_what_was_written_can_be_moved_though_it_has_gaps(run: Shell, tmp_path: Path) -> None:
    """A plan with a row that was not found, and studies without an accession number, are batches for --csv."""
    cohort, plan, found = tmp_path / "cohort.csv", tmp_path / "plan.csv", tmp_path / "found.csv"
    cohort.write_text("AccessionNumber\n00123\nabsent\n")
    with DemoPacs([made_study("00123"), made_study("", patient="P1")]) as pacs:
        run("plan", "--csv", cohort, "--output", plan, *peer(pacs))
        run("find", "-k", "PatientID", "--output", found, *peer(pacs))
        assert "1 success, 1 not-found" in run("move", "-aem", "WORKSTATION", "--csv", plan, *peer(pacs)).out
        assert "2 success" in run("move", "-aem", "WORKSTATION", "--csv", found, *peer(pacs)).out


@pytest.mark.parametrize("row", ["P1,", ",", '"",""'])
def test_an_empty_cell_does_not_widen_a_request(run: Shell, pacs: DemoPacs, tmp_path: Path, row: str) -> None:
    """A patient without the accession number that was meant is an error, not all studies of the patient."""
    table = tmp_path / "cohort.csv"
    table.write_text(f"PatientID,AccessionNumber\n{row}\n")
    ran = run("move", "-aem", "WORKSTATION", "--csv", table, *peer(pacs))
    assert ran.code == 2
    assert not pacs.requests


def test_a_plan_can_be_written_and_moved(run: Shell, pacs: DemoPacs, tmp_path: Path) -> None:
    """`plan --output` is a batch for `move --csv`."""
    path = tmp_path / "plan.csv"
    assert run("plan", "-k", "AccessionNumber=00123", "--output", path, *peer(pacs)).code == 0
    assert run("move", "-aem", "WORKSTATION", "--csv", path, *peer(pacs)).code == 0


def test_find_prints_a_table(run: Shell, pacs: DemoPacs) -> None:
    """Studies are shown with what is needed to move them."""
    ran = run("find", "-k", "AccessionNumber=0012*", *peer(pacs))
    assert ran.code == 0
    assert ran.out.splitlines()[0].split()[:3] == ["PatientID", "PatientName", "AccessionNumber"]
    for accession in ("00123", "00124"):
        study = pacs.study(accession)
        assert study.study_instance_uid in ran.out
        assert accession in ran.out
    assert f"2 studies found at {pacs.node}" in ran.err


@pytest.mark.parametrize("level", ["PATIENT", "study", "Series", "IMAGE", "instance"])
def test_find_works_at_every_level(run: Shell, pacs: DemoPacs, level: str) -> None:
    """-L takes any level in any case, INSTANCE too."""
    study = pacs.study("00123")
    keys = ["-k", f"PatientID={study.patient_id}"] if level == "PATIENT" else []
    if level not in ("PATIENT", "study"):
        keys += ["-k", f"StudyInstanceUID={study.study_instance_uid}"]
    if level in ("IMAGE", "instance"):
        keys += ["-k", f"SeriesInstanceUID={study.series[0].series_instance_uid}"]
    ran = run("find", "-L", level, *(keys or ["-k", "AccessionNumber=00123"]), *peer(pacs))
    assert ran.code == 0
    assert len(ran.out.splitlines()) == (5 if level in ("IMAGE", "instance") else 2)


def test_find_refuses_a_key_of_a_level_below(run: Shell, pacs: DemoPacs) -> None:
    """Modality is no key of a study: that is an error, as for a move, and no empty answer."""
    ran = run("find", "-k", "Modality=CT", *peer(pacs))
    assert (ran.code, ran.out, pacs.requests) == (2, "", [])
    assert "belongs to level SERIES, below level STUDY; ask at level SERIES, or use ModalitiesInStudy" in ran.err
    assert run("find", "-k", "Modality", "-k", "AccessionNumber=00123", *peer(pacs)).code == 0


def test_find_looks_up_the_studies_of_a_find_below(run: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Series and images are found by keys of their study, as a move finds them."""
    studies = [made_study("TWO", series=2, instances=3, number=n) for n in (1, 2)]
    asked = ["-k", "AccessionNumber=TWO"]
    with DemoPacs([*studies, made_study("ONE")]) as pacs:
        ran = run("find", "-L", "SERIES", *asked, "--json", *peer(pacs))
        assert ran.code == 0
        assert {row["StudyInstanceUID"] for row in json.loads(ran.out)} == {one.study_instance_uid for one in studies}
        assert {row["AccessionNumber"] for row in json.loads(ran.out)} == {"TWO"}
        assert "4 series found" in ran.err
        assert "12 images found" in run("find", "-L", "IMAGE", *asked, *peer(pacs)).err
        assert (
            "5 images (--limit 5; there may be more) found"
            in run("find", "-L", "IMAGE", *asked, "--limit", 5, *peer(pacs)).err
        )
        assert "0 series found" in run("find", "-L", "SERIES", *asked, "-k", "Modality=XX", *peer(pacs)).err
        assert run("find", "-L", "SERIES", "-k", "AccessionNumber=NONE", *peer(pacs)).code == 1
        ran = run("find", "-P", "-L", "SERIES", "-k", "PatientID=DEMO-TWO", *peer(pacs))
        assert "4 series found" in ran.err
        monkeypatch.setattr(drilldown, "MOST", 1)
        ran = run("find", "-L", "SERIES", *asked, *peer(pacs))
        assert ran.code == 2
        assert "more than 1 studies match; narrow the keys" in ran.err


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("StudyInstanceUID=1.2.x", "'1.2.x' is no valid UID"),
        ("StudyDate=20230199", "'20230199' names a day that does not exist"),
        ("StudyDate=20240201-20240101", "'20240201-20240101' is a range that ends before it begins"),
    ],
)
@pytest.mark.parametrize("command", [["find"], ["plan"], ["move", "-aem", "X"]])
def test_a_value_that_cannot_be_meant_is_an_error_everywhere(
    run: Shell, pacs: DemoPacs, command: list[str], key: str, words: str
) -> None:
    """It is said before anything is asked."""
    ran = run(*command, "-k", key, *peer(pacs))
    assert ran.code == 2
    assert words in ran.err
    assert not pacs.requests


def test_find_gives_records_and_files(run: Shell, pacs: DemoPacs, tmp_path: Path) -> None:
    """--json prints records, --output writes all columns; bare keywords ask for more of them."""
    args = ["-k", "AccessionNumber=00123", "-k", "SOPClassesInStudy", "-k", "0008,0061=", *peer(pacs)]
    ran = run("find", "--json", "--output", tmp_path / "found.csv", *args)
    (record,) = json.loads(ran.out)
    assert record["SOPClassesInStudy"] == "1.2.840.10008.5.1.4.1.1.2"
    assert record["ModalitiesInStudy"] == "CT"
    assert pd.read_csv(tmp_path / "found.csv", dtype=str)["AccessionNumber"].tolist() == ["00123"]


def test_a_batch_of_patients_and_dates(run: Shell, pacs: DemoPacs, tmp_path: Path) -> None:
    """A column that is a key by its name asks for a range of dates; an empty UID beside it is a gap."""
    table, plan = tmp_path / "cohort.csv", tmp_path / "plan.csv"
    patient = pacs.study("00123").patient_id
    table.write_text(f"PatientID,key:StudyDate\n{patient},20230101-20241231\n{patient},19990101-19991231\n")
    run("plan", "--csv", table, "--output", plan, *peer(pacs))
    assert pd.read_csv(plan, dtype=str)["decision"].tolist() == ["move", "not-found"]
    again = run("plan", "--json", "--csv", plan, *peer(pacs))
    assert [row["decision"] for row in json.loads(again.out)] == ["move", "not-found"], again.err


def test_find_in_parts(run: Shell) -> None:
    """An archive that caps its answers is asked in parts; where that cannot be, a warning says what to do."""
    studies = [made_study(f"A{n}", instances=1, date=f"202401{n + 1:02d}") for n in range(9)]
    with DemoPacs(studies, misbehave={"*": Misbehaviour("find-capped", count=4)}) as pacs:
        ran = run("find", "--split", 4, "-k", "StudyDate=20240101-20240131", *peer(pacs))
        assert (ran.code, ran.err) == (0, f"9 studies found at {pacs.node}\n")
        ran = run("find", "--split", 4, "-k", "PatientID=*", *peer(pacs))
        assert ran.err.startswith(f"Warning: {pacs.node}: answers may be missing: exactly 4 studies came")
        assert "or say --split none if that is all" in ran.err
        assert "Warning" not in run("find", "--split", "none", "-k", "PatientID=*", *peer(pacs)).err
        ran = run("find", "--split", "0", "-k", "PatientID=*", *peer(pacs))
        assert (ran.code, "'0' is neither auto nor none nor a whole number above 0" in ran.err) == (2, True)


def test_find_limits_and_says_so(run: Shell, pacs: DemoPacs) -> None:
    """--limit cuts, and the count says that there may be more."""
    ran = run("find", "--limit", 1, "-k", "AccessionNumber=0012*", *peer(pacs))
    assert (ran.code, len(ran.out.splitlines())) == (0, 2)
    assert "1 study (--limit 1; there may be more) found" in ran.err


def test_find_without_a_match_ends_with_1(run: Shell, pacs: DemoPacs) -> None:
    """Nothing found is told from an error by the exit code."""
    ran = run("find", "-k", "AccessionNumber=none", *peer(pacs))
    assert (ran.code, ran.out) == (1, "")
    assert "0 studies found" in ran.err
    assert json.loads(run("find", "--json", "-k", "AccessionNumber=none", *peer(pacs)).out) == []


def test_a_refused_find_is_an_error(run: Shell) -> None:
    """A refusal is not an empty table."""
    with DemoPacs([made_study("00123")], misbehave={"*": "find-refused"}) as pacs:
        ran = run("find", "-k", "AccessionNumber=00123", *peer(pacs))
    assert (ran.code, ran.out) == (2, "")
    assert "refused the C-FIND with 0xA700" in ran.err


def test_a_value_from_the_archive_cannot_drive_the_terminal(run: Shell) -> None:
    """Control characters are shown as blanks."""
    with DemoPacs([made_study("00123", description="\x1b[31mred", modality="CT")]) as pacs:
        ran = run("find", "-k", "AccessionNumber=00123", *peer(pacs))
    assert ran.code == 0
    assert "\x1b" not in ran.out


def test_echo_answers(run: Shell, pacs: DemoPacs) -> None:
    """`echo` says who answered."""
    ran = run("echo", *peer(pacs))
    assert ran.code == 0
    assert f"{pacs.node} answered the C-ECHO of MOVESCU" in ran.out
    assert run("echo", "-q", *peer(pacs)) == (0, "", "")


# --- the archive that is not there


@pytest.mark.parametrize(
    "command",
    [
        ["echo"],
        ["find", "-k", "PatientID=1"],
        ["plan", "-k", "PatientID=1"],
        ["move", "-aem", "X", "-k", "PatientID=1"],
    ],
)
def test_a_node_that_cannot_be_reached_is_one_sentence(run: Shell, command: list[str]) -> None:
    """Connection refused is no traceback, and exit code 2."""
    ran = run(*command, "127.0.0.1", free_port())
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("Error: ")
    assert "no TCP connection" in ran.err
    assert len(ran.err.splitlines()) == 1


def test_an_unknown_host_is_one_sentence(run: Shell) -> None:
    """A name that cannot be resolved is exit code 2."""
    ran = run("echo", "no-such-host.invalid", 104)
    assert (ran.code, len(ran.err.splitlines())) == (2, 1)


@pytest.mark.parametrize("how", ["abort", "close", "garbage", "no-reason", "no-context"])
def test_an_association_that_does_not_come_about_is_a_sentence(run: Shell, how: str) -> None:
    """Every way to refuse an association ends in exit code 2 without a traceback."""
    with DemoPacs([made_study("00123")], on_associate=f"associate-{how}") as pacs:
        ran = to_workstation(run, pacs, "--no-progress")
        assert ran.code == 2
        assert "Traceback" not in ran.err
        assert run("echo", *peer(pacs)).code == 2


def test_an_unknown_calling_ae_title_is_said(run: Shell) -> None:
    """A rejection names the reason."""
    with DemoPacs([made_study("00123")], known_ae_titles=["ME"]) as pacs:
        ran = run("echo", "-aet", "NOBODY", *peer(pacs))
        assert ran.code == 2
        assert "NOBODY" in ran.err
        assert run("echo", "-aet", "ME", *peer(pacs)).code == 0


def test_a_receiver_that_cannot_listen_is_a_sentence(run: Shell, pacs: DemoPacs, tmp_path: Path) -> None:
    """A taken port is exit code 2, and nothing is sent."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        args = ["-od", tmp_path / "in", "--port", taken.getsockname()[1], "-k", "AccessionNumber=00123"]
        ran = run("move", *args, *peer(pacs))
    assert (ran.code, ran.out) == (2, "")
    assert "cannot be listened on" in ran.err
    assert not pacs.requests


def test_a_receiver_that_cannot_write_is_a_sentence(run: Shell, pacs: DemoPacs, tmp_path: Path) -> None:
    """A folder that cannot be is exit code 2."""
    (tmp_path / "file").write_text("")
    ran = run("move", "-od", tmp_path / "file" / "in", "--port", 0, "-k", "AccessionNumber=00123", *peer(pacs))
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("Error: folder")


# --- time-outs, each with a silent peer


def test_the_connect_timeout_works(run: Shell) -> None:
    """-to ends a TCP connection that does not come about."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(deaf.getsockname())
            ran = run("echo", "-to", "0.3", *deaf.getsockname())
        finally:
            for filler in fillers:
                filler.close()
    assert ran.code == 2
    assert "0.3 s" in ran.err


def test_the_acse_timeout_works(run: Shell) -> None:
    """-ta ends an association request that is not answered."""
    with DemoPacs([], on_associate="associate-silence") as pacs:
        ran = run("echo", "-ta", "0.3", *peer(pacs))
    assert ran.code == 2
    assert "did not answer the association request within 0.3 s" in ran.err


@pytest.mark.parametrize(("option", "words"), [("-td", "dimse timeout"), ("--stall-timeout", "stall timeout")])
def test_the_dimse_and_the_stall_timeout_work(run: Shell, option: str, words: str) -> None:
    """-td and --stall-timeout give up a C-MOVE that is not answered any more; what came before is counted."""
    with DemoPacs([made_study("00123")], misbehave={"00123": "silence"}) as pacs:
        ran = to_workstation(run, pacs, option, "0.3")
    assert ran.code == 1
    assert f"for 0.3 s (the {words})" in " ".join(ran.out.split())


@pytest.mark.parametrize("option", ["-to", "-ta", "-td", "--stall-timeout"])
def test_zero_is_no_limit(run: Shell, option: str) -> None:
    """0 waits as long as it takes."""
    slow = Misbehaviour("slow", seconds=0.05)
    with DemoPacs([made_study("00123")], misbehave={"00123": slow}) as pacs:
        assert to_workstation(run, pacs, option, 0).code == 0


# --- interrupts


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_cancels_and_prints_what_is_known(number: signal.Signals, code: int) -> None:
    """An interrupt sends C-CANCEL, reads the final response, releases and reports."""
    with DemoPacs([made_study("00123", instances=200)], misbehave={"00123": SLOW}) as pacs:
        process = Process("move", "-aem", "WORKSTATION", "-k", "AccessionNumber=00123", *peer(pacs))
        wait_until(lambda: len(pacs.stores) >= 2)
        process.send(number)
        ran = process.wait()
        assert [request.kind for request in pacs.requests] == ["C-FIND", "C-MOVE", "C-CANCEL"]
        wait_until(lambda: pacs.open_associations == 0)
        assert len(pacs.stores) < 200
    assert ran.code == code
    assert "Result       cancelled" in ran.out
    assert "of 200 moved" in ran.out
    assert "Interrupted: waiting for the archive's last word" in ran.err
    assert "Traceback" not in ran.err


def test_an_interrupt_of_a_batch_that_waits_for_its_window_says_what_is_true(pacs: DemoPacs, tmp_path: Path) -> None:
    """While nothing was sent nobody waits for the archive."""
    hour = (datetime.now(UTC).hour + 12) % 24
    window = f"{hour:02}:00-{hour:02}:01 UTC"
    options = ["--window", window, "--journal", tmp_path / "journal.db"]
    process = Process("move", "-aem", "X", *options, "-k", "AccessionNumber=00123", *peer(pacs))
    wait_until((tmp_path / "journal.db").exists)
    time.sleep(0.5)
    process.send(signal.SIGINT)
    ran = process.wait(10)
    assert ran.code == 130
    assert "Interrupted: nothing was sent yet" in ran.err
    assert "last word" not in ran.err
    assert "Received     nothing was sent" in ran.out


def test_an_interrupted_batch_that_we_receive_reports_every_row(tmp_path: Path) -> None:
    """Rows that were not begun say so, and the summary file is written."""
    port = free_port()
    table = tmp_path / "cohort.csv"
    table.write_text("AccessionNumber\n00123\n00124\n00125\n")
    studies = [made_study(f"0012{n}", instances=100) for n in (3, 4, 5)]
    with DemoPacs(studies, misbehave={"*": SLOW}) as pacs:
        pacs.destinations["MOVESCU"] = port
        args = ["--csv", table, "--summary", tmp_path / "done.json", "-od", tmp_path / "in", "--port", port]
        process = Process("move", "--associations", 1, *args, *peer(pacs))
        wait_until(lambda: len(pacs.stores) >= 2)
        process.send(signal.SIGINT)
        ran = process.wait()
    assert ran.code == 130
    assert "3: 3 cancelled" in ran.out
    records = json.loads((tmp_path / "done.json").read_text())
    assert [record["status"] for record in records] == ["cancelled"] * 3
    assert records[0]["received"] == len(list((tmp_path / "in").rglob("*.dcm")))


def test_a_second_interrupt_stops_at_once() -> None:
    """An archive that ignores the C-CANCEL does not keep anybody waiting."""
    deaf = Misbehaviour("ignores-cancel", seconds=0.1)
    with DemoPacs([made_study("00123", instances=300)], misbehave={"00123": deaf}) as pacs:
        process = Process("move", "-aem", "WORKSTATION", "-k", "AccessionNumber=00123", *peer(pacs))
        wait_until(lambda: len(pacs.stores) >= 2)
        process.send(signal.SIGINT)
        wait_until(lambda: any(request.kind == "C-CANCEL" for request in pacs.requests))
        process.send(signal.SIGINT)
        ran = process.wait(4)
    assert ran.code == 130
    assert "Move Summary" in ran.out


@pytest.mark.parametrize(
    "command", [["echo"], ["find", "-k", "PatientID=1"], ["move", "-aem", "X", "-k", "PatientID=1"]]
)
def test_an_interrupt_before_the_association_ends_at_once(command: list[str]) -> None:
    """While nothing has been asked there is nothing to cancel."""
    with DemoPacs([], on_associate="associate-silence") as pacs:
        process = Process(*command, *peer(pacs))
        wait_until(lambda: len(pacs.associations) == 1)
        process.send(signal.SIGINT)
        ran = process.wait(5)
    assert (ran.code, ran.out) == (130, "")
    assert "Interrupted." in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("module", ["click", "pydicom"])
def test_an_interrupt_of_the_start_is_one_line(tmp_path: Path, module: str) -> None:
    """Ctrl-C while modules are still being imported ends with 130, without a traceback."""
    (tmp_path / f"{module}.py").write_text("raise KeyboardInterrupt")
    there = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "dicomover", "echo", "ARCHIVE@127.0.0.1:9"]
    ended = subprocess.run(command, capture_output=True, text=True, env=there, timeout=30, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr.strip()) == (130, "", "Interrupted.")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("command", [["echo"], ["find", "-k", "AccessionNumber=00123"]])
def test_an_output_that_cannot_be_written_is_one_line(pacs: DemoPacs, command: list[str]) -> None:
    """A full disk under the standard output is said, without a traceback."""
    with Path("/dev/full").open("w") as full:
        ran = Process(*command, *peer(pacs), stdout=full).wait()
    assert ran.code == 1
    assert "Error: the output cannot be written: No space left on device" in ran.err
    assert "Traceback" not in ran.err
    assert "Exception ignored" not in ran.err


def test_a_demo_that_cannot_write_is_a_sentence(run: Shell, tmp_path: Path) -> None:
    """A folder that is not ours is named."""
    (tmp_path / "file").write_text("")
    ran = run("demo", "--output-dir", tmp_path / "file" / "demo")
    assert (ran.code, ran.out) == (2, "")
    assert "file/demo cannot be written: Not a directory; name another place by --output-dir" in ran.err


# --- help


def commands() -> list[click.Command]:
    """Return every command."""
    return [cli, *cli.commands.values()]


@pytest.mark.parametrize("name", ["-h", "--help"])
@pytest.mark.parametrize("command", commands(), ids=lambda command: command.name)
def test_every_command_helps_with_an_example(run: Shell, command: click.Command, name: str) -> None:
    """-h and --help say what a command does, with an example."""
    ran = run(*([] if command is cli else [command.name]), name)
    assert (ran.code, ran.err) == (0, "")
    assert "Options:" in ran.out
    if command is not cli:
        assert f"dicomover {command.name}" in ran.out.split("Options:")[0].split("\n", 1)[1]


@pytest.mark.parametrize("command", ["", "move", "plan", "find", "echo", "demo"])
def test_every_command_has_a_version(run: Shell, command: str) -> None:
    """--version prints it."""
    assert run(*command.split(), "--version") == (0, f"dicomover {__version__}\n", "")


@pytest.mark.parametrize("args", [["move", "--no-such-option"], ["mvoe"], ["move", "-x"], ["echo"], ["echo", "h", "x"]])
def test_what_cannot_be_meant_ends_with_2(run: Shell, args: list[str]) -> None:
    """An unknown option or command is exit code 2 and nothing on stdout."""
    ran = run(*args)
    assert (ran.code, ran.out) == (2, "")
    assert "Error: " in ran.err
