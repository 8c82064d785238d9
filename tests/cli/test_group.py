"""What `--help` looks like, of every command, in a narrow terminal and in a wide one."""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import sys

import click
import pytest

from cli_kit import Shell
from dicomover.cli import cli, main

COMMANDS = [[], *([name] for name in sorted(cli.commands))]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Shell:
    """Run a command in this process."""
    return Shell(capsys)


@pytest.mark.parametrize("columns", [80, 100])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_help_fits_and_says_how_it_ends(
    run: Shell, monkeypatch: pytest.MonkeyPatch, command: list[str], columns: int
) -> None:
    """No line is longer than the terminal, none shows the sign by which lines are kept apart."""
    monkeypatch.setenv("COLUMNS", str(columns))
    ran = run(*command, "--help")
    assert (ran.code, ran.err) == (0, "")
    assert "\\b" not in ran.out
    assert "\b" not in ran.out
    assert max(map(len, ran.out.splitlines())) <= columns
    assert not [line for line in ran.out.splitlines() if line.endswith("-")], "a word is broken at its hyphen"
    assert "\N{NON-BREAKING HYPHEN}" not in ran.out
    options = (
        [] if not command else [each for each in cli.commands[command[0]].params if isinstance(each, click.Option)]
    )
    words = {word for option in options for word in (option.help or "").split()}
    assert not words - set(ran.out.split()), "a word is broken in the middle"
    assert not command or command == ["demo"] or "Exit codes: 0 " in ran.out


@pytest.mark.parametrize("command", COMMANDS[1:], ids=" ".join)
def test_the_examples_of_the_help_are_lines_that_can_be_typed(run: Shell, command: list[str]) -> None:
    """Each stands on a line of its own, and names options that the command has."""
    ran = run(*command, "--help")
    examples = [shlex.split(line) for line in ran.out.splitlines() if line.startswith("    dicomover ")]
    assert examples
    params = cli.commands[command[0]].params
    known = {spelling for param in params for spelling in (*param.opts, *param.secondary_opts)}
    for example in examples:
        assert example[:2] == ["dicomover", *command]
        assert {word for word in example if word.startswith("-")} <= known


@pytest.mark.parametrize("asked", ["--help", "move --help", "--version"])
def test_help_is_there_at_once(asked: str) -> None:
    """Help loads nothing that takes a while, such as pandas: a shell completes and a person looks things up."""
    script = f"""
import sys
from dicomover.cli import main
main({asked.split()!r})
print("loaded:", *sorted({{"numpy", "pandas", "pydicom", "pynetdicom"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "loaded:"


def test_a_wrong_option_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """What click says of wrong input is broken between words where it is wider than the terminal."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    shown = Terminal()
    monkeypatch.setattr("sys.stderr", shown)
    monkeypatch.setattr("shutil.get_terminal_size", lambda *_, **__: os.terminal_size((80, 24)))
    assert main(["find", "-k", "AccessionNumbers=1", "ARCHIVE@127.0.0.1:1"]) == 2
    lines = shown.getvalue().splitlines()
    assert "did you mean 'AccessionNumber'?" in " ".join(shown.getvalue().split())
    assert max(map(len, lines)) <= 80
