"""Every spelling of every option, and everything that cannot be meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cli_kit import MINIMAL, Shell, free_port, peer
from dicomover.cli import actions, cli, commands
from dicomover.cli.arguments import Arguments
from dicomover.node import Node
from dicomover.policy.retry import Retry
from dicomover.policy.window import Window
from dicomover.testing import DemoPacs, made_study


def words_of(value: object) -> str:
    """Name a case by its arguments."""
    return " ".join(value) if isinstance(value, list) else ""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Shell:
    """Run a command in this process."""
    return Shell(capsys)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch, run: Shell) -> Any:
    """Return a function that says what `move` was given."""
    seen: dict[str, Any] = {}

    names = [param.name for param in cli.commands["move"].params if param.expose_value]

    def take(_: object, arguments: Arguments) -> int:
        seen.update({name: getattr(arguments, name) for name in names if name})
        return 0

    monkeypatch.setattr(actions, "run_move", take)

    def parse(*args: object) -> dict[str, Any]:
        seen.clear()
        ran = run("move", *args, *MINIMAL)
        assert ran.code == 0, ran.err
        return dict(seen)

    return parse


SPELLINGS = [
    (["-v"], "verbose", True),
    (["--verbose"], "verbose", True),
    (["-d"], "debug", True),
    (["--debug"], "debug", True),
    (["-q"], "quiet", True),
    (["--quiet"], "quiet", True),
    (["--show-keys"], "show_keys", True),
    (["-aet", "ME"], "aetitle", "ME"),
    (["-aet=ME"], "aetitle", "ME"),
    (["--aetitle", "ME"], "aetitle", "ME"),
    (["--aetitle=ME"], "aetitle", "ME"),
    (["-aet", "ME  "], "aetitle", "ME"),
    (["-aet", "A" * 16], "aetitle", "A" * 16),
    (["-aec", "THEM"], "call", "THEM"),
    (["--call", "THEM"], "call", "THEM"),
    (["-aem", "WORKSTATION"], "move_dest", "WORKSTATION"),
    (["--move-dest", "WORKSTATION"], "move_dest", "WORKSTATION"),
    (["-to", "5"], "timeout", 5),
    (["-to", "0"], "timeout", 0),
    (["--timeout", "2.5"], "timeout", 2.5),
    (["-ta", "5"], "acse_timeout", 5),
    (["--acse-timeout", "5"], "acse_timeout", 5),
    (["-td", "5"], "dimse_timeout", 5),
    (["--dimse-timeout", "5"], "dimse_timeout", 5),
    (["--stall-timeout", "5"], "stall_timeout", 5),
    (["--progress-timeout", "600"], "progress_timeout", 600),
    (["--total-timeout", "60"], "total_timeout", 60),
    (["-P"], "patient_root", True),
    (["--patient-root"], "patient_root", True),
    (["-S"], "study_root", True),
    (["--study-root"], "study_root", True),
    (["-L", "series"], "level", "SERIES"),
    (["-LPATIENT"], "level", "PATIENT"),
    (["--level", "Image"], "level", "IMAGE"),
    (["--level=instance"], "level", "IMAGE"),
    (["-k", "StudyDate=2024"], "key", ("StudyDate=2024", "PatientID=1")),
    (["-kStudyDate=2024"], "key", ("StudyDate=2024", "PatientID=1")),
    (["--key", "StudyDate=2024"], "key", ("StudyDate=2024", "PatientID=1")),
    (["-f", "keys.txt"], "query_file", Path("keys.txt")),
    (["--query-file", "keys.txt"], "query_file", Path("keys.txt")),
    (["-od", "here"], "output_dir", Path("here")),
    (["--output-dir", "here"], "output_dir", Path("here")),
    (["--port", "11112"], "listen", 11112),
    (["--port", "0"], "listen", 0),
    (["--bind", "[::1]"], "bind", "[::1]"),
    (["-p"], "progress", True),
    (["--progress"], "progress", True),
    (["--no-progress"], "progress", False),
    (["--ignore-pending"], "ignore_pending", True),
    (["--csv", "a.csv"], "csv_file", Path("a.csv")),
    (["--summary", "b.csv"], "summary", Path("b.csv")),
    (["--json"], "as_records", True),
    (["--associations", "4"], "associations", 4),
    (["--max-matches", "0"], "max_matches", 0),
    (["--verify", "instances"], "verify", "instances"),
    (["--recheck"], "recheck", True),
    (["--headers-only"], "headers_only", True),
    (["-aem", "WS@host:11112"], "move_dest", Node("host", 11112, ae_title="WS")),
    (["--journal", "cohort.db"], "journal", Path("cohort.db")),
    (["--no-journal"], "no_journal", True),
    (["--retry", "overnight"], "retry", Retry.parse("overnight")),
    (["--window", "19:00-07:00"], "window", Window.parse("19:00-07:00")),
    (["--max-per-minute", "20"], "max_per_minute", 20),
    (["--utilization", "0.5"], "utilization", 0.5),
    (["--dry-run"], "dry_run", True),
    (["--force"], "force", True),
    (["--share", "group"], "share", "group"),
    (["--invalid", "record"], "invalid", "record"),
    (["--lock", "a.json"], "lockfile", Path("a.json")),
    (["--secret-file", "a.txt"], "secret_file", Path("a.txt")),
]


@pytest.mark.parametrize(("args", "name", "value"), SPELLINGS, ids=words_of)
def test_every_spelling_is_understood(given: Any, args: list[str], name: str, value: object) -> None:
    """Short names of one and of several letters, long names, with and without `=`."""
    assert given(*args)[name] == value


def test_the_defaults_are_those_of_the_table(given: Any) -> None:
    """What is not said has the documented default."""
    assert given() == {
        "peer": "host",
        "port": 104,
        "verbose": False,
        "debug": False,
        "quiet": False,
        "show_keys": False,
        "aetitle": "MOVESCU",
        "call": None,
        "move_dest": None,
        "timeout": 60,
        "acse_timeout": 60,
        "dimse_timeout": 0,
        "stall_timeout": 900,
        "progress_timeout": 7200,
        "total_timeout": 0,
        "patient_root": False,
        "study_root": False,
        "level": None,
        "key": ("PatientID=1",),
        "query_file": None,
        "output_dir": None,
        "listen": None,
        "bind": None,
        "accept": (),
        "addresses": (),
        "calling_aet": (),
        "by_tls": False,
        "tls_cert": None,
        "tls_key": None,
        "tls_password_file": None,
        "tls_ca": None,
        "tls_name": None,
        "tls_peer": (),
        "receive_tls_cert": None,
        "receive_tls_key": None,
        "receive_tls_ca": None,
        "receive_in_plain": False,
        "user": None,
        "password_file": None,
        "password_env": None,
        "jwt_file": None,
        "saml_file": None,
        "identity_in_plain": False,
        "progress": True,
        "ignore_pending": False,
        "csv_file": None,
        "invalid": "raise",
        "wildcards": False,
        "shard": None,
        "lockfile": None,
        "secret_file": None,
        "summary": None,
        "page": None,
        "as_records": False,
        "associations": 2,
        "via": "move",
        "workers": 1,
        "max_matches": 100,
        "verify": "counts",
        "recheck": False,
        "headers_only": False,
        "journal": None,
        "no_journal": False,
        "retry": Retry.parse("interactive"),
        "window": None,
        "max_per_minute": None,
        "utilization": 1.0,
        "dry_run": False,
        "force": False,
        "share": "owner",
    }


@pytest.mark.parametrize("args", [["-vp"], ["-pv"], ["-vpS"], ["-Sv"]])
def test_short_flags_can_be_joined(given: Any, args: list[str]) -> None:
    """Flags of one letter go together as ever, unless they spell a longer name."""
    seen = given(*args)
    assert seen["verbose"]
    assert seen["study_root"] is ("S" in args[0])


def test_options_may_follow_the_peer(run: Shell, given: Any) -> None:
    """The order does not matter."""
    assert run("move", "host", "104", "-aem", "W", "-k", "PatientID=1").code == 0


BAD = [
    # what is given, what is said of it
    (["-aet", ""], "is empty"),
    (["-aet", "   "], "is empty"),
    (["-aec", ""], "is empty"),
    (["-aem", ""], "is empty"),
    (["-aet", "A" * 17], "17 characters"),
    (["-aec", "A" * 17], "17 characters"),
    (["-aem", "A" * 17], "17 characters"),
    (["-aet", "A\\B"], "DICOM does not allow"),
    (["-aem", "Ä"], "DICOM does not allow"),
    (["-aec", "A\tB"], "DICOM does not allow"),
    (["-to", "-1"], "negative"),
    (["-ta", "-1"], "negative"),
    (["-td", "-0.5"], "negative"),
    (["--stall-timeout", "-1"], "negative"),
    (["-to", "nan"], "no real number"),
    (["-td", "inf"], "no real number"),
    (["-to", "soon"], "no number of seconds"),
    (["-L", "FRAME"], "FRAME"),
    (["-P", "-S", "-k", "PatientID=1"], "cannot both be"),
    (["-PS", "-k", "PatientID=1"], "cannot both be"),
    (["-S", "-L", "PATIENT", "-k", "PatientID=1"], "does not exist in Study Root"),
    (["-q", "-v"], "-q cannot go with"),
    (["-qd"], "-q cannot go with"),
    (["--port", "65536"], "not in the range 0<=x<=65535"),
    (["--port", "-1"], "not in the range"),
    (["--port", "x"], "not a valid integer"),
    (["--associations", "0"], "not in the range"),
    (["--max-matches", "-1"], "not in the range"),
    (["--invalid", "ignore"], "ignore"),
    (["-aem", "OTHER", "-od", "x", "-k", "PatientID=1"], "-aem OTHER and -od cannot both be"),
    (["-aem", "OTHER", "--port", "0", "-k", "PatientID=1"], "-aem OTHER and --port cannot both be"),
    (["-k", "PatientID"], "key 1 has no '='"),
    (["-k", "=1"], "names no attribute"),
    (["-k", "PatientId=1"], "did you mean 'PatientID'?"),
    (["-k", "9999,0001=1"], "no tag of DICOM's dictionary"),
    (["-k", "StudyDate=1", "-k", "0008,0020=2"], "StudyDate is given twice, by key 1 and key 2"),
    (["-k", "StudyInstanceUID=1.2", "-k", "StudyInstanceUID=1.3"], "join the UIDs with a backslash"),
    (["-k", "PatientID="], "is blank"),
    (["-k", "StudyInstanceUID=1.2x"], "no valid UID"),
    (["-k", "StudyInstanceUID=1.2", "-k", "SeriesNumber=x"], "cannot be written as IS"),
    (["-k", "QueryRetrieveLevel=FRAME"], "none of PATIENT"),
    (["-k", "QueryRetrieveLevel=STUDY", "-L", "SERIES", "-k", "PatientID=1"], "leave one out"),
    (["-k", "AccessionNumber=1", "-P"], "PatientID"),
    (["-k", "AccessionNumber=1", "-L", "PATIENT"], "below level PATIENT"),
    (["--csv", "missing.csv"], "missing.csv cannot be read"),
    (["--csv", "x.csv", "-k", "PatientID=1"], "--csv cannot go with -k"),
    (["--csv", "x.csv", "-f", "y.txt"], "--csv cannot go with -k or -f"),
    (["-f", "missing.txt"], "missing.txt cannot be read"),
    (["--summary", "x.xlsx", "-k", "PatientID=1"], "name a .csv, .json or .parquet file"),
    (["--summary", "summary", "-k", "PatientID=1"], "ends in nothing"),
    (["--summary", "no/such/x.csv", "-k", "PatientID=1"], "is not there"),
    (["--dry-run", "--summary", "x.csv", "-k", "PatientID=1"], "dicomover plan --output"),
    ([], "nothing is asked for"),
]


@pytest.mark.parametrize(("args", "words"), BAD, ids=words_of)
def test_what_cannot_be_meant_is_said_before_anything_is_sent(
    run: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], words: str
) -> None:
    """Every error of the table is exit code 2, a sentence on stderr, and no packet."""
    monkeypatch.chdir(tmp_path)
    dest = [] if {"-aem", "-od", "--port"} & set(args) else ["-aem", "WORKSTATION"]
    with DemoPacs([]) as pacs:
        ran = run("move", *args, *dest, pacs.node.host, pacs.node.port)
        assert not pacs.associations
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.err
    assert "Traceback" not in ran.err
    assert not list(tmp_path.iterdir())


# --- settings that reach the library


def test_the_commands_say_nothing_of_the_library_until_they_run() -> None:
    """`--help` does not import pandas."""
    assert not hasattr(commands, "pd")


@pytest.mark.parametrize("command", [["move", "--dry-run", "-k", "AccessionNumber=1"], ["doctor"]])
def test_our_own_title_as_destination_means_that_we_receive(
    run: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    """Without another folder into ./downloads, which is said in a line, and not with -q."""
    monkeypatch.chdir(tmp_path)
    with DemoPacs([made_study("1")]) as pacs:
        ran = run(*command, "-aet", "HERE", "-aem", "HERE", *peer(pacs))
        assert ran.err.splitlines()[0] == (
            "-aem HERE is our own AE title: we receive, into ./downloads unless -od names another folder"
        )
        assert "our AE title" not in run(*command, "-q", "-aet", "HERE", "-aem", "HERE", *peer(pacs)).err
        assert command != ["doctor"] or "our port" in ran.out


def test_our_own_title_beside_a_folder_is_as_good_as_none(run: Shell, tmp_path: Path) -> None:
    """With -od nothing need be said; another title stays a third party."""
    port = free_port()
    with DemoPacs([made_study("1")]) as pacs:
        pacs.destinations["HERE"] = port
        move = ["move", "-aet", "HERE", "-k", "AccessionNumber=1"]
        ran = run(*move, "-aem", "HERE", "--port", port, "--bind", "127.0.0.1", "-od", tmp_path, *peer(pacs))
        assert (ran.code, ran.err) == (0, "")
        assert len(list(tmp_path.rglob("*.dcm"))) == 3
        ran = run(*move, "-aem", "WORKSTATION", *peer(pacs))
        assert (ran.code, ran.err) == (0, "")


def test_no_class_of_python_is_named(run: Shell) -> None:
    """What cannot be read is answered with what can be typed."""
    ran = run("move", "--retry", "often", *MINIMAL)
    assert "--retry often cannot be read; give a number of attempts" in ran.err
    with DemoPacs([]) as pacs:
        assert "name who receives: -aem AET, or us by -od DIR" in run("doctor", *peer(pacs)).out
