"""Profiles at a shell: the name of one in the place of PEER."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicomover import TLS, Identity
from dicomover.cli import cli, main
from dicomover.cli.arguments import Arguments
from profiles_kit import MAIN, Home, make_home

PROFILE = """
[me]
ae_title = "RESEARCH"
port = 11113
receive = "cohort"
accept = "uncompressed"
""" + MAIN + """
associations = 4
retry = 3
window = "mon-fri 19:00-07:00"
model = "patient"
timeouts = { stall = 120, total = 0, connect = 5 }
"""  # fmt: skip


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Make a project with a profile."""
    made = make_home(tmp_path, monkeypatch)
    made.own(PROFILE)
    return made


def given(monkeypatch: pytest.MonkeyPatch, command: str, *line: str) -> Arguments:
    """Return what a command is run with."""
    seen: list[Arguments] = []

    def run(*arguments: object) -> int:
        seen.extend(each for each in arguments if isinstance(each, Arguments))
        return 0

    monkeypatch.setattr(f"dicomover.cli.actions.run_{command}", run)
    assert main([command, *line]) == 0
    return seen[0]


def test_a_profile_stands_for_what_nobody_has_typed(monkeypatch: pytest.MonkeyPatch, home: Home) -> None:
    """Each option of the command that the profile knows has its value from there."""
    found = given(monkeypatch, "move", "main")
    assert str(found.node) == "ARCHIVE@127.0.0.1:104"
    assert (found.aetitle, found.listen, found.output_dir) == ("RESEARCH", 11113, home.project / "cohort")
    assert (found.associations, found.retry, found.window) == (4, 3, "mon-fri 19:00-07:00")
    assert (found.accept_or_default, found.model) == ("uncompressed", "patient")
    assert (found.timeouts.stall, found.timeouts.total, found.timeouts.connect) == (120, None, 5)
    assert (found.timeouts.acse, found.verify) == (60, "counts")


def test_what_is_typed_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the profile, also where it is the usual."""
    typed = ["-aet", "MOVESCU", "-aem", "WS7", "--associations", "2", "-S", "-to", "60", "-aec", "OTHER"]
    found = given(monkeypatch, "move", *typed, "main")
    assert (found.aetitle, found.move_dest, found.output_dir, found.listen) == ("MOVESCU", "WS7", None, None)
    assert (found.associations, found.model, found.timeouts.connect) == (2, "study", 60)
    assert found.node.ae_title == "OTHER"
    assert given(monkeypatch, "move", "--port", "0", "main").listen == 0


def test_tls_of_each_leg_is_its_own(monkeypatch: pytest.MonkeyPatch, home: Home) -> None:
    """That of `[me]` is how we receive, that of the node how it is spoken to; what is typed wins over either."""
    ours = TLS(cert=str(home.project / "c.pem"), ca=str(home.project / "ca.pem"))
    home.own(PROFILE.replace("[nodes", "tls = { cert = 'c.pem', ca = 'ca.pem' }\n[nodes", 1))
    found = given(monkeypatch, "move", "main")
    assert (found.node.tls, found.senders()["tls"]) == (None, ours)
    assert given(monkeypatch, "move", "--receive-in-plain", "main").senders()["tls"] is None
    home.own(PROFILE + "tls = true\nidentity = { user = 'alice' }\n")
    found = given(monkeypatch, "move", "main")
    assert (found.node.tls, found.node.identity, found.senders()["tls"]) == (TLS(), Identity.user("alice"), None)
    assert given(monkeypatch, "move", "--user", "bob", "main").node.identity == Identity.user("bob")


def test_a_host_with_its_port_is_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written as it always was is what it was."""
    found = given(monkeypatch, "echo", "main", "104")
    assert (found.node.host, found.aetitle) == ("main", "MOVESCU")
    assert given(monkeypatch, "echo", "main:104").aetitle == "MOVESCU"


def test_a_name_that_nobody_has(capsys: pytest.CaptureFixture[str]) -> None:
    """It is told with the nearest."""
    assert main(["echo", "mian"]) == 2
    assert "did you mean 'main'" in capsys.readouterr().err.replace("\n", " ")


def test_every_command_that_asks_an_archive_takes_a_name(home: Home) -> None:
    """All take PEER in the same way."""
    home.own(PROFILE.replace("port = 104", "port = 104.5"))
    for name in [name for name, command in cli.commands.items() if any(p.name == "peer" for p in command.params)]:
        line = ["cohort.lock.json"] if name == "verify" else []
        assert main([name, *line, "main"]) == 2, name
