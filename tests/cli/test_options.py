"""Every spelling of every option, and everything that cannot be meant."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import Any

import pytest

from cli_kit import Shell, free_port, peer
from dicomover.cli import actions, cli, commands
from dicomover.cli.arguments import Arguments, read_node
from dicomover.cli.keys import keys_of, read_query_file
from dicomover.node import Node, Timeouts
from dicomover.policy.retry import Retry
from dicomover.policy.window import Window
from dicomover.testing import DemoPacs, made_study


def words_of(value: object) -> str:
    """Name a case by its arguments."""
    return " ".join(value) if isinstance(value, list) else ""


MINIMAL = ["-k", "PatientID=1", "host", "104"]


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
    (["-aem", "WS@host:11112"], "move_dest", Node("host", 11112, ae_title="WS")),
    (["--journal", "cohort.db"], "journal", Path("cohort.db")),
    (["--no-journal"], "no_journal", True),
    (["--retry", "overnight"], "retry", Retry.parse("overnight")),
    (["--window", "19:00-07:00"], "window", Window.parse("19:00-07:00")),
    (["--max-per-minute", "20"], "max_per_minute", 20),
    (["--utilization", "0.5"], "utilization", 0.5),
    (["--dry-run"], "dry_run", True),
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
        "progress": True,
        "ignore_pending": False,
        "csv_file": None,
        "invalid": "raise",
        "lockfile": None,
        "secret_file": None,
        "summary": None,
        "page": None,
        "as_records": False,
        "associations": 2,
        "workers": 1,
        "max_matches": 100,
        "verify": "counts",
        "recheck": False,
        "journal": None,
        "no_journal": False,
        "retry": Retry.parse("interactive"),
        "window": None,
        "max_per_minute": None,
        "utilization": 1.0,
        "dry_run": False,
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
    (["-k", "StudyInstanceUID=1.02"], "no valid UID"),
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


def test_somebody_has_to_receive(run: Shell) -> None:
    """Without -aem, -od and --port there is nobody."""
    ran = run("move", *MINIMAL)
    assert ran.code == 2
    assert "nobody is named to receive" in ran.err


def test_a_parquet_summary_needs_pyarrow_before_anything_is_sent(
    run: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lack is said at the start, not after a night."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pyarrow" else find_spec(name))
    ran = run("move", "-aem", "X", "--summary", tmp_path / "x.parquet", *MINIMAL)
    assert ran.code == 2
    assert "pip install 'dicomover[parquet]'" in ran.err


def test_the_summary_does_not_overwrite_the_batch(run: Shell, tmp_path: Path) -> None:
    """--csv and --summary cannot be the same file."""
    table = tmp_path / "cohort.csv"
    table.write_text("AccessionNumber\n1\n")
    ran = run("move", "-aem", "X", "--csv", table, "--summary", tmp_path / "." / "cohort.csv", "host", 104)
    assert ran.code == 2
    assert "the requests come from" in ran.err
    assert table.read_text() == "AccessionNumber\n1\n"


def test_our_own_title_may_be_named_as_destination(run: Shell, tmp_path: Path) -> None:
    """-aem with the title of -aet agrees with receiving here."""
    with DemoPacs([]) as pacs:
        args = ["-aet", "US", "-aem", "US", "-od", tmp_path / "in", "--port", 0, "-k", "AccessionNumber=1"]
        ran = run("move", *args, *peer(pacs))
    assert "Destination  US, here" in ran.out


# --- the peer


@pytest.mark.parametrize(
    ("peer_text", "port", "call", "node"),
    [
        ("host", 104, None, Node("host", 104)),
        ("host", 104, "ARCHIVE", Node("host", 104, ae_title="ARCHIVE")),
        ("ARCHIVE@host:104", None, None, Node("host", 104, ae_title="ARCHIVE")),
        ("ARCHIVE@host:104", None, "ARCHIVE", Node("host", 104, ae_title="ARCHIVE")),
        ("host:104", None, None, Node("host", 104)),
        ("host:104", None, "ARCHIVE", Node("host", 104, ae_title="ARCHIVE")),
        ("A@[::1]:104", None, None, Node("::1", 104, ae_title="A")),
        ("[::1]", 104, None, Node("::1", 104)),
        ("[::1]:104", None, "A", Node("::1", 104, ae_title="A")),
        ("[fe80::1%eth0]", 104, "A", Node("fe80::1%eth0", 104, ae_title="A")),
        ("::1", 104, None, Node("::1", 104)),
    ],
)
def test_the_peer_can_be_written_in_two_ways(peer_text: str, port: int | None, call: str | None, node: Node) -> None:
    """PEER PORT with -aec, or ARCHIVE@host:port."""
    assert read_node(peer_text, port, call) == node


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["host"], "PORT is missing"),
        (["host", "x"], "'x' is not a valid integer"),
        (["host", "0"], "not a TCP port"),
        (["host", "70000"], "not a TCP port"),
        (["A@host:104", "104"], "names the AE title already"),
        (["A@host:x"], "cannot be read"),
        (["-aec", "B", "A@host:104"], "leave one out"),
        (["-aec", "ANY-SCP", "A@host:104"], "leave one out"),
        (["@host:104"], "is empty"),
        (["", "104"], "not a name or an address"),
        ([], "PEER"),
    ],
)
def test_a_peer_that_cannot_be_meant_is_said(run: Shell, args: list[str], words: str) -> None:
    """A missing port, a port that is none, an AE title said twice."""
    ran = run("echo", *args)
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.err


def test_zero_seconds_are_no_limit() -> None:
    """0 is the word for no limit, for all four."""
    assert Arguments(timeout=60, acse_timeout=60).timeouts == Timeouts(stall=None, progress=None)
    some = Arguments(timeout=60, acse_timeout=60, dimse_timeout=0, stall_timeout=900, progress_timeout=7200)
    assert some.timeouts == Timeouts()


def test_the_model_is_chosen_by_the_library_unless_it_is_named() -> None:
    """-P and -S are the library's `patient` and `study`."""
    flags = ((False, False), (True, False), (False, True))
    assert [Arguments(patient_root=patient, study_root=study).model for patient, study in flags] == [
        "auto",
        "patient",
        "study",
    ]


@pytest.mark.parametrize(
    ("args", "model", "level"),
    [
        (["-k", "StudyInstanceUID={uid}"], "STUDY", "STUDY"),
        (["-k", "StudyInstanceUID={uid}", "-k", "PatientID={pid}"], "PATIENT", "STUDY"),
        (["-k", "PatientID={pid}", "-L", "PATIENT"], "PATIENT", "PATIENT"),
        (["-k", "StudyInstanceUID={uid}", "-k", "PatientID={pid}", "-S"], "STUDY", "STUDY"),
        (["-k", "StudyInstanceUID={uid}", "-k", "PatientID={pid}", "-P"], "PATIENT", "STUDY"),
        (["-k", "StudyInstanceUID={uid}", "-k", "SeriesInstanceUID={uid}.1"], "STUDY", "SERIES"),
        (["-k", "0020,000D={uid}", "-k", "(0020,000e)={uid}.1", "-k", "0008,0052=series"], "STUDY", "SERIES"),
        (
            [
                "-k",
                "StudyInstanceUID={uid}",
                "-k",
                "SeriesInstanceUID={uid}.1",
                "-k",
                "SOPInstanceUID={uid}.1.1",
                "-L",
                "instance",
            ],
            "STUDY",
            "IMAGE",
        ),
    ],
)
def test_model_and_level_on_the_wire(run: Shell, args: list[str], model: str, level: str) -> None:
    """What goes out is what the help says: Patient Root with a PatientID or at level PATIENT, Study Root else."""
    study = made_study("00123", patient="P1")
    args = [arg.format(uid=study.study_instance_uid, pid="P1") for arg in args]
    with DemoPacs([study]) as pacs:
        assert run("move", "-aem", "WORKSTATION", *args, *peer(pacs)).code == 0
        (move,) = [request for request in pacs.requests if request.kind == "C-MOVE"]
    assert (move.model, move.level) == (model, level)


# --- keys


@pytest.mark.parametrize(
    "text", ["AccessionNumber=00123", "0008,0050=00123", "(0008,0050)=00123", "(0008, 0050)=00123", "00080050=00123"]
)
def test_a_key_has_three_notations(text: str) -> None:
    """A keyword, a tag, a tag in brackets; the value is kept as it is."""
    assert keys_of([text], None) == {"AccessionNumber": "00123"}


def test_a_value_may_hold_an_equals_sign() -> None:
    """Only the first one separates."""
    assert keys_of(["StudyDescription=a=b"], None) == {"StudyDescription": "a=b"}


def test_a_bare_keyword_asks_for_an_attribute_in_a_find() -> None:
    """`-k Modality` is `-k Modality=`."""
    assert keys_of(["Modality", "(0008,0020)"], None, bare=True) == {"Modality": "", "StudyDate": ""}


QUERY_FILES = [
    (b"PatientID=1\nStudyDate=2024\n", {"PatientID": "1", "StudyDate": "2024"}),
    (b"PatientID=1\r\nStudyDate=2024\r\n", {"PatientID": "1", "StudyDate": "2024"}),
    (b"# a comment\n\n   \n\t# another\n   PatientID=1   \n", {"PatientID": "1"}),
    (b"(0010,0020) = 1\n0008,0020=2024", {"PatientID": "1", "StudyDate": "2024"}),
    (b"\xef\xbb\xbfPatientID=1\n", {"PatientID": "1"}),
    ("PatientName=Müller^J".encode(), {"PatientName": "Müller^J"}),
    ("PatientName=Müller^J".encode("cp1252"), {"PatientName": "Müller^J"}),
    (b"StudyDescription=# 1\n", {"StudyDescription": "# 1"}),
    (b"", {}),
]


@pytest.mark.parametrize(("content", "keys"), QUERY_FILES)
def test_a_query_file_is_read(tmp_path: Path, content: bytes, keys: dict[str, str]) -> None:
    """One key a line; comments, blank and indented lines, CRLF, a byte order mark."""
    path = tmp_path / "keys.txt"
    path.write_bytes(content)
    assert keys_of([], path) == keys


def test_a_typed_key_wins_over_the_file(tmp_path: Path) -> None:
    """-k replaces what -f says, however each is written."""
    path = tmp_path / "keys.txt"
    path.write_text("AccessionNumber=1\nStudyDate=2024\n")
    assert keys_of(["0008,0050=2"], path) == {"AccessionNumber": "2", "StudyDate": "2024"}
    assert len(read_query_file(path)) == 2


BAD_FILES = [
    (b"PatientID=1\n\nnonsense SECRET\n", "line 3 has no '='"),
    (b"PatientId=SECRET\n", "line 1: 'PatientId' is no DICOM keyword"),
    (b"# x\n=SECRET\n", "line 2 names no attribute"),
    (b"PatientID=SECRET\r\nPatientID=SECRET\r\n", "line 2; keep one"),
    (b"SeriesNumber=SECRET\n", "line 1: the value of SeriesNumber cannot be written as IS"),
    (b"\0" * 128 + b"DICM", "is no text file"),
]


@pytest.mark.parametrize(("content", "words"), BAD_FILES)
def test_a_bad_line_is_named_with_its_number(run: Shell, tmp_path: Path, content: bytes, words: str) -> None:
    """A bad line is exit code 2, with its number and without its value."""
    path = tmp_path / "keys.txt"
    path.write_bytes(content)
    ran = run("move", "-aem", "X", "-f", path, "host", 104)
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.err
    assert "SECRET" not in ran.err


def test_an_unreadable_query_file_is_an_error(run: Shell, tmp_path: Path) -> None:
    """A folder in its place is exit code 2."""
    ran = run("move", "-aem", "X", "-f", tmp_path, "host", 104)
    assert ran.code == 2
    assert "cannot be read: Is a directory" in ran.err


def test_a_query_file_moves(run: Shell, tmp_path: Path) -> None:
    """A query file is as good as keys."""
    path = tmp_path / "keys.txt"
    path.write_text("  # the study\r\n\r\n  AccessionNumber=00123\r\n")
    with DemoPacs([made_study("00123")]) as pacs:
        assert run("move", "-aem", "WORKSTATION", "-f", path, *peer(pacs)).code == 0


# --- settings that reach the library


def test_associations_and_max_matches_reach_the_library(run: Shell, tmp_path: Path) -> None:
    """--associations is how many work side by side, --max-matches stops the enormous move."""
    table = tmp_path / "cohort.csv"
    table.write_text("\n".join(["AccessionNumber", *(f"0012{n}" for n in range(6))]))
    with DemoPacs([made_study(f"0012{n}") for n in range(6)], misbehave={"*": "slow"}) as pacs:
        assert run("move", "-aem", "WORKSTATION", "--associations", 3, "--csv", table, *peer(pacs)).code == 0
        assert pacs.most_associations == 3
        ran = run("move", "-aem", "WORKSTATION", "--max-matches", 2, "-k", "AccessionNumber=0012*", *peer(pacs))
        assert ran.code == 2
        assert "--max-matches 2" in ran.out
        assert run("plan", "--max-matches", 0, "-k", "AccessionNumber=0012*", *peer(pacs)).code == 0


def test_a_long_accession_number_is_a_warning(run: Shell) -> None:
    """What will be sent although it looks odd is said in one line; -q takes it away."""
    args = ["plan", "-k", f"AccessionNumber={'1' * 20}"]
    with DemoPacs([]) as pacs:
        ran = run(*args, *peer(pacs))
        assert ran.err.startswith("Warning: ")
        assert "16" in ran.err
        assert run(*args, "-q", *peer(pacs)).err == ""


def test_the_log_is_as_before_afterwards(run: Shell) -> None:
    """A command leaves no handler and no level behind."""
    root = logging.getLogger("dicomover")
    before = (list(root.handlers), root.level, root.propagate)
    run("echo", "-d", "127.0.0.1", 9)
    assert (list(root.handlers), root.level, root.propagate) == before


def test_the_commands_say_nothing_of_the_library_until_they_run() -> None:
    """`--help` does not import pandas."""
    assert not hasattr(commands, "pd")


# --- other tools' spellings


@pytest.mark.parametrize(
    ("args", "hint"),
    [
        (["+P", "21112"], "write --port 21112 for +P 21112"),
        (["-pdu", "16384"], "leave -pdu 16384 out"),
        (["-aetHERE"], "write -aet HERE for -aetHERE"),
        (["-odfolder"], "write -od folder for -odfolder"),
        (["-ll", "debug"], "write -d for -ll debug"),
        (["+xa"], "options begin with a hyphen here"),
    ],
)
def test_another_spelling_of_an_option_is_explained(run: Shell, args: list[str], hint: str) -> None:
    """What DCMTK's tools understand and ours do not is answered with what to write."""
    ran = run("move", *args, *MINIMAL)
    assert ran.code == 2
    assert hint in ran.err


def test_only_options_that_are_alike_are_suggested(run: Shell) -> None:
    """A wrong guess is worse than none."""
    assert "'--summary'" in run("move", "--sumary", "x", *MINIMAL).err
    ran = run("move", "--store", "x", *MINIMAL)
    assert "No such option '--store'" in ran.err
    assert "--json" not in ran.err
    assert "unexpected" in run("echo", "host", "104", "105").err


def test_a_query_file_of_dcmtk_is_told_from_ours(run: Shell, tmp_path: Path) -> None:
    """Its syntax is not read; the error says what a line is to be, without its value."""
    path = tmp_path / "query"
    path.write_text("(0008,0052) CS [STUDY]   # 6, 1 QueryRetrieveLevel\n(0010,0020) LO [4711]\n")
    ran = run("find", "-f", path, "host", "104")
    assert ran.code == 2
    assert "line 1 is written as dcmdump prints it; a query file has one Keyword=value a line" in ran.err
    path.write_text("Nonsense Smith\n")
    ran = run("find", "-f", path, "host", "104")
    assert "line 1: what stands there is no DICOM keyword" in ran.err
    assert "Smith" not in ran.err


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


def test_a_batch_without_rows_says_so(run: Shell, tmp_path: Path) -> None:
    """A CSV of a header only has no requests, whatever is done with it."""
    table = tmp_path / "cohort.csv"
    table.write_text("AccessionNumber\n")
    with DemoPacs([]) as pacs:
        for command in (["move", "-aem", "X"], ["plan"], ["lock", "-o", tmp_path / "c.json"]):
            ran = run(*command, "--csv", table, *peer(pacs))
            assert ran.code == 2
            assert "the batch has no requests" in ran.out


def test_columns_that_ours_replace_are_named_once(run: Shell, tmp_path: Path) -> None:
    """A column of the same name is a warning, unless the table is one of ours."""
    table, done, plan = tmp_path / "cohort.csv", tmp_path / "done.csv", tmp_path / "plan.csv"
    table.write_text("AccessionNumber,status,error,site\n1,todo,,A\n")
    with DemoPacs([made_study("1")]) as pacs:
        ran = run("move", "-aem", "WORKSTATION", "--csv", table, "--summary", done, *peer(pacs))
        assert ran.code == 0
        assert ran.err.count("has columns status, error; in the table that comes out ours takes its place") == 1
        assert run("move", "-aem", "WORKSTATION", "--csv", done, *peer(pacs)).err == ""
        assert "has a column error" in run("plan", "--csv", table, "--output", plan, *peer(pacs)).err
        assert run("plan", "--csv", plan, *peer(pacs)).err == ""
        assert run("move", "-aem", "WORKSTATION", "--csv", plan, *peer(pacs)).err == ""


def test_no_class_of_python_is_named(run: Shell) -> None:
    """What cannot be read is answered with what can be typed."""
    ran = run("move", "--retry", "often", *MINIMAL)
    assert "--retry often cannot be read; give a number of attempts" in ran.err
    with DemoPacs([]) as pacs:
        assert "name who receives: -aem AET, or us by -od DIR" in run("doctor", *peer(pacs)).out
