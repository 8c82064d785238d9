"""The words of the command line: its own options, never Python; equal reasons once; defaults without brackets."""

from __future__ import annotations

import os
import re
from pathlib import Path

import click
import pytest

from cli_kit import Process, Shell, peer, wait_until
from dicomover.cli import cli
from dicomover.cli.options import HELP_NAMES
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
        (["move"], "AccessionNumber\n#N/A\n", "ask for it by -k AccessionNumber=…"),
        (["move"], "AccessionNumber\n1*\n", "if it is meant, say --wildcards"),
        (["move", "-k", "SpecificCharacterSet=1"], None, "leave it out; it is set where it is needed"),
        (["move", "-k", "0000,0002=1"], None, "is no attribute to ask by; leave it out"),
        (["move", "--workers", "2", "-k", "PatientID=1"], None, "--workers 2 is for receiving"),
        (["move", "--address", "10.1.2.3", "-k", "PatientID=1"], None, "--address is for receiving"),
        (["move", "--calling-aet", "A", "-k", "PatientID=1"], None, "--calling-aet is for receiving"),
        (["move", "--tls-key", os.devnull, "-k", "PatientID=1"], None, "name that too: --tls-cert"),
        (
            ["move", "--tls-cert", os.devnull, "-k", "PatientID=1"],
            None,
            "the certificate in '/dev/null' cannot be read",
        ),
        (["move", "--tls-ca", "missing.pem", "-k", "PatientID=1"], None, "the certificate in 'missing.pem' cannot be"),
        (["move", "--tls-peer", "ARCHIVE", "-k", "PatientID=1"], None, "are for receiving; name a folder with -od"),
        (
            ["move", "--user", "alice", "-k", "PatientID=1"],
            None,
            "speak to it by TLS, --tls, or say --identity-in-plain",
        ),
        (["move", "--password-env", "NAME", "-k", "PatientID=1"], None, "a password goes with a user; name --user too"),
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
