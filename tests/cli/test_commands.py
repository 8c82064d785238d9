"""The commands as a person uses them: what they print where, and how they end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest

from cli_kit import Process, Shell, free_port, peer, to_workstation, wait_until
from dicomover import __version__
from dicomover.cli import cli
from dicomover.progress.text import size
from dicomover.receiver import Receiver
from dicomover.testing import DemoPacs, Misbehaviour, made_study

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


# --- how a move ends


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
        "1  partial    2 of 3",
        "2  not-found",
        "no study has these keys",
    ):
        assert line in ran.out
    assert not any(key in ran.out for key in ("00123", "00124", "absent"))
    assert max(map(len, ran.out.splitlines())) <= 100


def test_a_study_asked_for_twice_is_counted_once(run: Shell, pacs: DemoPacs, tmp_path: Path) -> None:
    """The totals count C-MOVEs, not rows."""
    table = tmp_path / "cohort.csv"
    table.write_text("AccessionNumber\n00123\n00123\n")
    ran = run("move", "-aem", "WORKSTATION", "--csv", table, *peer(pacs))
    assert ran.code == 0
    assert "Requests     2: 2 success" in ran.out
    assert "Completed    4" in ran.out


def test_what_is_here_already_is_counted_once(run: Shell, pacs: DemoPacs, tmp_path: Path) -> None:
    """Rows that ask for the same have the same files, as the report has it; what arrives has the size of its files."""
    table, folder, port = tmp_path / "cohort.csv", tmp_path / "in", free_port()
    table.write_text("AccessionNumber\n00123\n00123\n")
    pacs.destinations["MOVESCU"] = port
    args = ["move", "-od", folder, "--port", port, "--csv", table, *peer(pacs)]
    came, again = (run(*args) for _ in range(2))
    octets = sum(path.stat().st_size for path in folder.rglob("*.dcm"))
    assert f"Received     4 ({size(octets)})" in came.out
    assert f"Already here  4 ({size(octets)})" in again.out


def test_many_rows_that_are_not_there_are_one_line(run: Shell, pacs: DemoPacs, tmp_path: Path) -> None:
    """The first of them are named, the rest is counted, and it says where to find them all."""
    table = tmp_path / "cohort.csv"
    table.write_text("\n".join(["AccessionNumber", *(f"X{n}" for n in range(30))]))
    ran = run("move", "-aem", "WORKSTATION", "--csv", table, *peer(pacs))
    assert ran.code == 2
    assert "0-29  not-found  -      30 rows: no study has these keys; check them" in ran.out
    assert "--summary FILE keeps every row" in ran.out


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


# --- plan, find, echo


def test_a_plan_can_be_written_and_moved(run: Shell, pacs: DemoPacs, tmp_path: Path) -> None:
    """`plan --output` is a batch for `move --csv`."""
    path = tmp_path / "plan.csv"
    assert run("plan", "-k", "AccessionNumber=00123", "--output", path, *peer(pacs)).code == 0
    assert run("move", "-aem", "WORKSTATION", "--csv", path, *peer(pacs)).code == 0


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("StudyInstanceUID=1.2.x", "'9.9.a' is no valid UID"),
        ("StudyDate=20230199", "'99999999' names a day that does not exist"),
        ("StudyDate=20240201-20240101", "'99999999-99999999' is a range that ends before it begins"),
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
    assert f"'{key.partition('=')[2]}'" in run(*command, "--show-keys", "-k", key, *peer(pacs)).err
    assert not pacs.requests


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


def test_a_refused_find_is_an_error(run: Shell) -> None:
    """A refusal is not an empty table."""
    with DemoPacs([made_study("00123")], misbehave={"*": "find-refused"}) as pacs:
        ran = run("find", "-k", "AccessionNumber=00123", *peer(pacs))
    assert (ran.code, ran.out) == (2, "")
    assert "refused the C-FIND with 0xA700" in ran.err


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
