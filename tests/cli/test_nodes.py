"""`dicomover nodes`, and `doctor --learn`: archives by their names, at a shell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli_kit import Shell, free_port
from dicomover import Quirks
from dicomover.profiles import load_profile
from dicomover.testing import DemoPacs, made_study
from profiles_kit import MAIN, Home, make_home

MADE_UP = "hunter2-made-up"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Make a user's folder and a project's."""
    return make_home(tmp_path, monkeypatch)


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    """Run commands in this process."""
    return Shell(capsys)


def test_from_nothing_to_a_name(shell: Shell, home: Home) -> None:
    """A node is added, listed, shown, tested and used by its name."""
    assert shell("nodes", "list").code == 1
    with DemoPacs([made_study("1")]) as pacs:
        added = shell("nodes", "add", "main", pacs.node)
        assert (added.code, added.out) == (0, "")
        assert load_profile("main").path == home.config / "nodes.toml"
        listed = shell("nodes", "list")
        assert (listed.code, str(pacs.node) in listed.out) == (0, True)
        assert str(pacs.node) in shell("nodes", "show", "main").out
        tested = shell("nodes", "test", "main")
        assert (tested.code, "it offers C-ECHO, C-FIND" in tested.out) == (0, True)
        assert shell("echo", "main").code == 0
    assert shell("nodes", "test", "main").code == 2


def test_a_projects_node(shell: Shell, home: Home) -> None:
    """It is added to the project's file; a name is given once in a file."""
    home.user(MAIN)
    assert shell("nodes", "add", "--project", "main", "A@h:1").code == 0
    assert load_profile("main").path == home.project / "dicomover.toml"
    again = shell("nodes", "add", "--project", "main", "B@h:1")
    assert (again.code, "has a node 'main' already" in again.err) == (2, True)
    assert load_profile("main").node.ae_title == "A"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (["show"], "NAME is missing"),
        (["add", "main"], "where is it?"),
        (["add", "a:b", "A@h:1"], "is no name for a node"),
        (["add", "main", "h"], "cannot be read"),
        (["add", "main", "A@h:0"], "is not a TCP port"),
        (["show", "nobody"], "there is no node 'nobody'"),
        (["drop", "main"], "'drop'"),
    ],
)
def test_what_cannot_be_meant(shell: Shell, line: list[str], says: str) -> None:
    """It is a sentence, and nothing is written."""
    ran = shell("nodes", *line)
    assert (ran.code, says in " ".join(ran.err.split())) == (2, True), ran.err


def test_no_secret_is_shown(shell: Shell, home: Home) -> None:
    """Neither in a list nor where all of a profile is shown."""
    home.user(MAIN + f"tls = true\nidentity = {{ user = 'alice', password = '{MADE_UP}' }}\nwindow = '19:00-07:00'\n")
    shown = shell("nodes", "show", "main")
    assert "user 'alice' with a password" in shown.out
    assert "19:00-07:00" in shown.out
    assert MADE_UP not in shown.out + shell("nodes", "list").out


def test_quirks_are_learned(shell: Shell, home: Home) -> None:
    """They are told with what shows them, and stand in the profile afterwards, beside what stood there."""
    held = [made_study(f"{number}", instances=1) for number in range(3)]
    with DemoPacs(held, misbehave={"*": "find-takes-no-lists"}) as pacs:
        path = home.own(MAIN.replace("104", str(pacs.node.port)).replace("ARCHIVE", "DEMO") + "# ours\n")
        ran = shell("doctor", "--learn", "main")
        assert ran.code == 0, ran.err
        assert "kept as lists = false" in ran.out
        assert load_profile("main").node.quirks == Quirks(lists=False)
        assert "# ours\n" in path.read_text()
        records = json.loads(shell("doctor", "--learn", "--json", "main").out)
        assert {"check", "result", "found", "advice"} == set(records[0])
        refused = shell("doctor", "--learn", pacs.node)
        assert (refused.code, "name it" in refused.err) == (2, True)
    before = path.read_text()
    assert shell("doctor", "--learn", "main").code == 2
    assert path.read_text() == before


def test_what_cannot_be_reached(shell: Shell, home: Home) -> None:
    """It ends with 2 and says what to do."""
    home.user(f"[nodes.main]\nhost = '127.0.0.1'\nport = {free_port()}\n")
    ran = shell("nodes", "test", "main")
    assert (ran.code, "check host and port" in " ".join(ran.out.split())) == (2, True)
