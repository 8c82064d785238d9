"""The names in messages: each reader's own words, no phrase without a twin, and every option there really is."""

from __future__ import annotations

import ast
import re
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path

import pytest

import dicomover
from dicomover.cli import cli
from dicomover.text.face import COMMANDS, MENDS, OPTIONS, advise, at_a_shell, call, setting

PYTHON = re.compile(r"\b\w+\(\)|\b[a-z_]+=(?:[\[ ,;.]|'|$)|\bDataFrame\b|\b[a-z]+_[a-z]+\b|dtype", re.MULTILINE)
SOURCES = {path: path.read_text(encoding="utf-8") for path in Path(dicomover.__file__).parent.rglob("*.py")}


def literals_of(function: str) -> set[str]:
    """Return the first arguments with which the package calls a function, where they are plain text."""
    nodes = [node for text in SOURCES.values() for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    firsts = [node.args[0] for node in nodes if isinstance(node.func, ast.Name) and node.func.id == function]
    return {first.value for first in firsts if isinstance(first, ast.Constant)}


def test_python_reads_what_stands_in_the_code() -> None:
    """By default messages are for those who write Python."""
    assert setting("verify", "instances") == "verify='instances'"
    assert setting("receive") == "receive="
    assert call("find") == "find()"
    assert {advise(python) for python in MENDS} == set(MENDS)


def test_a_shell_reads_options() -> None:
    """For the command line a value is written as it would be typed there, and a switch without one."""
    with at_a_shell():
        assert setting("verify", "instances") == "--verify instances"
        assert setting("window", "mon-fri 19:00-07:00") == "--window 'mon-fri 19:00-07:00'"
        assert setting("destination", "WS") == "-aem WS"
        assert setting("look_again", False) == "--locked-only"
        assert setting("retry attempts", 0) == "0"
        assert call("mover.lock") == "dicomover lock"
        assert advise("name the Python to start by multiprocessing.set_executable(path)").startswith("see whether")
    assert setting("receive") == "receive="


def test_what_a_shell_has_not_stays_python() -> None:
    """A setting or a method without an option is named as it is, never by an option that there is not."""
    with at_a_shell():
        assert setting("no_such", 1) == "no_such=1"
        assert call("diagnose") == "diagnose()"
        assert advise("check the disk") == "check the disk"


def test_threads_keep_the_face() -> None:
    """A worker that runs in a copy of its caller's context makes messages for the same reader."""
    with at_a_shell(), ThreadPoolExecutor(1) as pool:
        assert pool.submit(copy_context().run, setting, "receive").result() == "-od"


@pytest.mark.parametrize("python", sorted(MENDS))
def test_every_mend_has_both_faces(python: str) -> None:
    """What a shell is told instead has no Python in it, and what Python is told is said somewhere."""
    assert not PYTHON.findall(MENDS[python])
    assert any(python in text for path, text in SOURCES.items() if path.name != "face.py")


def test_no_advice_is_without_a_twin() -> None:
    """Whatever is handed to `advise` as it stands has its words for a shell, and so has every method that is named."""
    assert literals_of("advise") <= set(MENDS)
    assert {name.rpartition(".")[2] for name in literals_of("call")} == set(COMMANDS)


def test_options_and_commands_are_those_of_the_command_line() -> None:
    """No message names an option or a command that there is not."""
    known = {name for command in cli.commands.values() for param in command.params for name in param.opts}
    assert {option for option in OPTIONS.values() if option} <= known
    assert set(COMMANDS) <= set(cli.commands)
    assert {word.rstrip(",") for text in MENDS.values() for word in text.split() if word.startswith("-")} <= known
