"""Options as other tools spell them: what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli_kit import MINIMAL, Shell


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Shell:
    """Run a command in this process."""
    return Shell(capsys)


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


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["plan", "-od", "x"], "plan has no option -od; move --dry-run plans with it."),
        (["plan", "--port=104"], "plan has no option --port; move --dry-run plans with it."),
        (["find", "-aem", "WS7"], "find has no option -aem."),
        (["echo", "--csv", "c.csv"], "echo has no option --csv."),
        (["verify", "-od", "x"], "verify has no option -od."),
        (["lock", "-o", "c.json", "-od", "x"], "lock has no option -od."),
        (["move", "-x"], "No such option '-x'."),
    ],
)
def test_an_option_of_another_command_is_named_whole(run: Shell, args: list[str], said: str) -> None:
    """Nobody is told of `-o` who wrote `-od`."""
    assert f"Error: {said}\n" in run(*args, *MINIMAL).err


@pytest.mark.parametrize(
    ("args", "shape"),
    [
        (["find", "A@h:1", "104", "4711"], "unexpected extra argument (9999)"),
        (["plan", "A@h:1", "104", "4711", "Miller"], "unexpected extra arguments (9999 Aaaaaa)"),
        (["find", "h", "47Miller"], "'99Aaaaaa' is not a valid integer"),
    ],
)
def test_what_belongs_nowhere_may_be_a_patients(run: Shell, args: list[str], shape: str) -> None:
    """A stray argument is shown by its shape, with how a key is written; --show-keys shows it."""
    ran = run(*args)
    said = " ".join(ran.err.split())
    assert shape in said
    assert "a key is written -k Keyword=value" in said
    assert not any(name in said for name in ("4711", "Miller"))
    shown = run(*args, "--show-keys").err
    assert "4711" in shown or "47Miller" in shown


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
