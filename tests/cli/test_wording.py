"""The words of the command line: its own options, never Python; equal reasons once; defaults without brackets."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pandas as pd
import pytest

from cli_kit import Process, Shell, peer, wait_until
from dicomover.cli import cli
from dicomover.cli.options import HELP_NAMES
from dicomover.cli.report import move_summary
from dicomover.identifier import Level
from dicomover.outcome import Counters, Status
from dicomover.progress import State
from dicomover.summary import Result, build
from dicomover.testing import DemoPacs, Misbehaviour, made_study

PYTHON = re.compile(r"\b\w+\(\)|\b[a-z_]+=(?:[\[ ,;.]|'|$)|\bDataFrame\b|\b[a-z]+_[a-z]+\b", re.MULTILINE)
HERE = ["-od", "never", "ARCHIVE@localhost:1"]
THERE = ["-aem", "WORKSTATION", "ARCHIVE@localhost:1"]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Shell:
    """Run a command in this process."""
    return Shell(capsys)


@pytest.mark.parametrize(
    ("args", "csv", "said"),
    [
        (["move"], "name,age\nx,3\n", "rename one to AccessionNumber"),
        (["move"], "AccessionNumber,note\n1,a,b\n2,c\n", "put a text that holds a separator in quotes"),
        (["move", "-k", "StudyInstanceUID=1.2.*"], None, "dicomover find --output FILE"),
        (["move", "-L", "PATIENT", "-S", "-k", "PatientID=1"], None, "use -P or level STUDY"),
        (["move", "-k", "RequestAttributesSequence=1"], None, "dicomover find --output FILE"),
        (["find", "-L", "PATIENT", "-S", "-k", "PatientID=1"], None, "use -P"),
        (["find", "-L", "SERIES", "-k", "Modality=CT"], None, "find at level STUDY first"),
        (["move", "--workers", "2", "-k", "PatientID=1"], None, "--workers 2 is for receiving"),
        (["move", "--retry", "0", "-k", "PatientID=1"], None, "--retry': 0 is not a whole number"),
        (["move", "--verify", "destination", "-k", "PatientID=1"], None, "write -aem AET@host:port"),
    ],
)
def test_messages_name_options(run: Shell, tmp_path: Path, args: list[str], csv: str | None, said: str) -> None:
    """Every advice can be followed on the command line."""
    if csv is not None:
        (tmp_path / "cohort.csv").write_text(csv)
        args = [*args, "--csv", str(tmp_path / "cohort.csv")]
    ran = run(*args, *(THERE if args[0] == "move" else THERE[2:]))
    assert ran.code == 2
    message = ran.err.partition("Error: ")[2]
    assert said in " ".join(message.split())
    assert not PYTHON.findall(message.replace(str(tmp_path), ""))


def test_sentences_of_rows_name_options(run: Shell, tmp_path: Path) -> None:
    """So does what stands in the table, and in the file that keeps it."""
    done, plan = tmp_path / "done.csv", tmp_path / "plan.csv"
    studies = [made_study(f"0012{n}") for n in range(3)]
    with DemoPacs(studies, misbehave={"00120": "empty-success"}) as pacs:
        args = ["--retry", "none", "-aem", "WORKSTATION", "--summary", done]
        empty = run("move", *args, "-k", "AccessionNumber=00120", *peer(pacs))
        assert "check with dicomover find" in " ".join(empty.out.split())
        assert "dicomover find" in done.read_text()
        many = run("plan", "--max-matches", 2, "-k", "AccessionNumber=*", "--output", plan, *peer(pacs))
        assert "--max-matches 2" in plan.read_text()
        assert "raise --max-matches" in " ".join(many.out.split())
    for text in (empty.out, many.out, plan.read_text().partition("\n")[2]):
        assert "find()" not in text
        assert "max_matches" not in text


def summary_of(results: list[Result]) -> pd.DataFrame:
    """Return the summary of a batch of accession numbers."""
    accessions = pd.DataFrame({"AccessionNumber": [f"A{n:05d}" for n in range(len(results))]}, dtype="string")
    return build(results, accessions)


def text_of(summary: pd.DataFrame, *, kept: bool = False) -> str:
    """Return the Move Summary of a batch."""
    return move_summary(summary, State(), archive="A", destination="B", levels=[Level.STUDY], batch=True, kept=kept)


def test_equal_reasons_are_one_line() -> None:
    """A cancelled batch says once that the rest was not sent, with how many and which rows."""
    moved = Result(Status.SUCCESS, 0, counters=Counters(3, 0, 0), expected=3, attempts=1)
    partial = Result(Status.PARTIAL, 0xB000, expected=3, counters=Counters(2, 1, 0), error="0xB000, 2 of 3 moved")
    unsent = Result(Status.CANCELLED, error="not sent: the batch was cancelled")
    text = text_of(summary_of([moved] * 3 + [partial, Result(Status.NOT_FOUND, error="no match")] + [unsent] * 212))
    troubled = text.partition("Not complete\n")[2].splitlines()
    assert len(troubled) == 5
    assert re.search(r"^ +3 +A00003 +partial +2 of 3 +0xB000, 2 of 3 moved$", troubled[1])
    assert re.search(
        r"^ +5-216 +A00005, A00006, A00007, … +cancelled +- +212 rows: not sent: the batch was cancelled$", troubled[3]
    )


def test_a_long_list_of_reasons_is_cut() -> None:
    """Twenty lines are shown, the rest is counted."""
    words = [chr(ord("a") + number) for number in range(25)]
    text = text_of(summary_of([Result(Status.FAILURE, error=f"reason {word}") for word in words]))
    assert len(re.findall("reason", text)) == 20
    assert "… and 5 more; --summary FILE keeps every row" in text
    assert "--summary" not in text_of(summary_of([Result(Status.LOST, error="lost")] * 30), kept=True)


def test_few_equal_reasons_name_their_rows() -> None:
    """Two or three rows with the same reason are still named one by one, the worst verdicts first."""
    lost = Result(Status.LOST, expected=4, error="lost: the peer aborted; run it again")
    text = text_of(summary_of([Result(Status.NOT_FOUND, error="no match")] * 3 + [lost]))
    assert re.findall(r"A0000\d", text) == ["A00003", "A00000", "A00001", "A00002"]


def test_counts_of_rows_with_the_same_reason_are_sums_that_say_so() -> None:
    """What was never sent has not moved; how much it was to be is said if that is known of every row."""
    short = [
        Result(Status.FAILURE, expected=n, counters=Counters(0, n, 0), attempts=1, error=f"0 of {n} moved")
        for n in (2, 3, 3, 2)
    ]
    unsent = Result(Status.CANCELLED, error="not sent: the batch was cancelled")
    known = Result(Status.CANCELLED, error=unsent.error, expected=10)
    text = text_of(summary_of(short))
    assert "0 of 10 in all  4 rows: 0 of 2 to 3 moved" in text
    assert "0 of 40 in all" in text_of(summary_of([known] * 4))
    assert "? of" not in text_of(summary_of([known] * 4 + [unsent] * 54))


def test_quiet_tells_equal_reasons_once_too(run: Shell, tmp_path: Path) -> None:
    """-q names a reason of many rows in one line."""
    table = tmp_path / "cohort.csv"
    table.write_text("\n".join(["AccessionNumber", *(f"X{n}" for n in range(30))]))
    with DemoPacs([made_study("1")]) as pacs:
        ran = run("move", "-q", "-aem", "WORKSTATION", "--csv", table, *peer(pacs))
    assert ran.err.splitlines() == ["Error: 30 rows (0-29): not-found: no study has these keys; check them"]


def test_the_level_in_any_case(run: Shell) -> None:
    """A level that is none is answered with the levels as they are written."""
    ran = run("find", "-L", "studies", *THERE[2:])
    assert ran.code == 2
    assert "none of PATIENT, STUDY, SERIES, IMAGE" in ran.err
    with DemoPacs([made_study("1")]) as pacs:
        for level in ("study", "Study", "STUDY"):
            assert run("find", "-L", level, "-k", "AccessionNumber=1", *peer(pacs)).code == 0
        asked = run("find", "-L", "instance", "-k", "AccessionNumber=1", *peer(pacs))
    assert "3 images found" in asked.err


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_defaults_are_without_brackets(name: str) -> None:
    """`--help` writes a default that is words like one that is a number."""
    command = cli.commands[name]
    names = {"help_option_names": HELP_NAMES}  # click keeps the option that it makes of them first
    with click.Context(command, info_name=name, max_content_width=100, show_default=True, **names) as context:
        text = " ".join(command.get_help(context).split())
    assert "[default: (" not in text
    if name == "move":
        assert "[default: STUDY, or that of the deepest UID among the keys]" in text


# --- --report


def test_a_report_is_written(run: Shell, tmp_path: Path) -> None:
    """--report writes the page to send on, without patient data, and leaves the exit code alone."""
    page = tmp_path / "page.html"
    with DemoPacs([made_study("00123")]) as pacs:
        ran = run("move", "-aem", "WORKSTATION", "-k", "AccessionNumber=00123", "--report", page, *peer(pacs))
        assert ran.code == 0
        assert str(pacs.node) in page.read_text()
    assert "1 request, complete" in page.read_text()
    assert "00123" not in page.read_text()


@pytest.mark.parametrize(
    ("name", "why"),
    [("page.pdf", "name a .html file"), ("missing/page.html", "make it first"), ("folder.html", "is a folder")],
)
def test_a_report_that_cannot_be_written_is_said_first(run: Shell, tmp_path: Path, name: str, why: str) -> None:
    """What is in the way of the page is said before anything is sent."""
    (tmp_path / "folder.html").mkdir()
    with DemoPacs([made_study("1")]) as pacs:
        ran = run("move", "-aem", "WORKSTATION", "-k", "AccessionNumber=1", "--report", tmp_path / name, *peer(pacs))
        assert not pacs.requests
    assert ran.code == 2
    assert "--report" in ran.err
    assert why in ran.err


def test_an_interrupted_batch_has_a_report(tmp_path: Path) -> None:
    """After Ctrl-C the page and the text say what is known, and say of the rest once that it was not sent."""
    import signal

    table, page = tmp_path / "cohort.csv", tmp_path / "page.html"
    table.write_text("\n".join(["AccessionNumber", *(f"A{n}" for n in range(40))]))
    studies = [made_study(f"A{n}", instances=4) for n in range(40)]
    with DemoPacs(studies, misbehave={"*": Misbehaviour("slow", seconds=0.1)}) as pacs:
        process = Process("move", "-aem", "WORKSTATION", "--csv", table, "--report", page, *peer(pacs))
        wait_until(lambda: any(request.kind == "C-MOVE" for request in list(pacs.requests)))
        process.send(signal.SIGINT)
        ran = process.wait()
    assert ran.code == 130
    assert len(ran.out.partition("Not complete")[2].splitlines()) < 12
    assert "not sent: the batch was cancelled" in page.read_text()
