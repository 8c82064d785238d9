"""Where progress is shown: a log, a terminal, nowhere, and the choice among them."""

from __future__ import annotations

import io
import logging
import re
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace

import pytest

from dicomover.errors import ConfigurationError
from dicomover.events import BatchEnded, BatchStarted, RequestEnded
from dicomover.outcome import Status
from dicomover.progress import LogView, NotebookView, NullView, Progress, State, TerminalView, View, choose, fold, views
from dicomover.progress.text import closing
from progress_kit import Recorder, over, running


class Terminal(io.StringIO):
    """A stderr that says that it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def new_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Put a terminal in the place of stderr; in the test itself, since pytest sets stderr after the fixtures."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    return terminal


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return what our logger has logged so far."""
    caplog.set_level(logging.DEBUG)
    return lambda: [record.getMessage() for record in caplog.records if record.name == "dicomover.progress"]


def test_log_lines(lines: Callable[[], list[str]]) -> None:
    """The log has a line at the start, every 30 s, at every note, and at the end."""
    view = LogView()
    view.show(fold(State(), BatchStarted(0.0, 2)), 0.0)
    for now in range(1, 40):
        view.show(running("The association was lost"), float(now))
    view.close(over(running("The association was lost")), 40.0)
    assert lines() == [
        "0 of 2 requests",
        "The association was lost",
        "1 of 2 requests, 1 not complete · nothing has moved for 20 s · 11 of 16 instances moved, 1 failed",
        "2 requests, 1 not complete · 1 success, 1 partial · 11 of 16 instances moved, 1 failed · in 20 s",
    ]


def test_log_is_information(caplog: pytest.LogCaptureFixture) -> None:
    """Progress is logged as information, so that a program that wants none sees none."""
    caplog.set_level(logging.INFO, "dicomover.progress")
    LogView().close(running("A note"), 12.0)
    assert {record.levelname for record in caplog.records} == {"INFO"}
    assert len(caplog.records) == 2


def test_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The terminal shows bar, counts and notes on one line that moves, then the closing facts instead."""
    stderr = new_terminal(monkeypatch)
    view = TerminalView()
    view.show(fold(State(), BatchStarted(0.0, 2)), 0.0)
    assert "  0%|" in stderr.getvalue()
    view.show(running("A note\x1b[2J"), 12.0)
    view.show(running("A note\x1b[2J"), 12.5)
    drawn = stderr.getvalue().split("\r")
    assert drawn[-1].startswith(" 75%|")
    assert "| 1/2 requests · 4 s left · 1 not complete · 11 moved · 1 failed" in drawn[-1]
    assert max(map(len, drawn)) < 80
    assert stderr.getvalue().count("A note\\x1b[2J\n") == 1
    view.show(running("A note\x1b[2J"), 52.0)
    assert "nothing has moved for 42 s" in stderr.getvalue()
    state = over(running())
    view.close(state, 60.0)
    written = stderr.getvalue()
    assert written.endswith(f"\r{closing(state, 60.0)}\n")
    assert "\x1b[2J" not in written


def test_terminal_that_was_never_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that is over before the first drawing leaves the closing facts alone."""
    stderr = new_terminal(monkeypatch)
    state = over(running())
    TerminalView().close(state, 20.0)
    assert stderr.getvalue() == f"{closing(state, 20.0)}\n"


def test_terminal_starts_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the calling thread draws: tqdm's monitor is not started for our bar."""
    from tqdm import tqdm

    new_terminal(monkeypatch)
    monkeypatch.setattr(tqdm, "monitor", None)
    view = TerminalView()
    view.show(running(), 1.0)
    assert type(view._bar).monitor is None
    view.close(running(), 1.0)


def test_null_view_says_nothing(capsys: pytest.CaptureFixture[str], lines: Callable[[], list[str]]) -> None:
    """The null view shows nothing anywhere."""
    with Progress(choose("none")) as progress:
        progress.refresh()
    assert capsys.readouterr() == ("", "")
    assert not lines()


class ZMQInteractiveShell:
    """Stands for the shell of a Jupyter kernel."""


class TerminalInteractiveShell:
    """Stands for the shell of IPython in a terminal."""


class Shell(ZMQInteractiveShell):
    """Stands for a kernel that derives its shell."""


def pretend(monkeypatch: pytest.MonkeyPatch, shell: object) -> None:
    """Let IPython say that this is its shell."""
    module = ModuleType("IPython")
    module.get_ipython = lambda: shell  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", module)


@pytest.mark.parametrize(
    ("shell", "terminal", "kind"),
    [
        (ZMQInteractiveShell(), True, NotebookView),
        (ZMQInteractiveShell(), False, NotebookView),
        (Shell(), False, NotebookView),
        (TerminalInteractiveShell(), True, TerminalView),
        (None, True, TerminalView),
        (None, False, LogView),
    ],
)
def test_auto(monkeypatch: pytest.MonkeyPatch, shell: object, terminal: bool, kind: type) -> None:
    """Auto takes the notebook in a kernel, the terminal where stderr is one, the log otherwise."""
    pretend(monkeypatch, shell)
    monkeypatch.setattr(sys, "stderr", Terminal() if terminal else io.StringIO())
    assert type(choose()) is kind


def test_auto_without_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program without any stderr gets the log."""
    pretend(monkeypatch, None)
    monkeypatch.setattr(sys, "stderr", None)
    assert type(choose("auto")) is LogView
    TerminalView().close(State(), 0.0)


def test_auto_does_not_import_ipython(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain program does not pay for importing IPython."""
    new_terminal(monkeypatch)
    for name in [name for name in sys.modules if name.partition(".")[0] == "IPython"]:
        monkeypatch.delitem(sys.modules, name)
    assert type(choose("auto")) is TerminalView
    assert "IPython" not in sys.modules


@pytest.mark.parametrize(
    ("name", "kind"), [("terminal", TerminalView), ("log", LogView), ("none", NullView)], ids=lambda v: str(v)
)
def test_by_name(name: str, kind: type) -> None:
    """A view that is named is the one that is taken."""
    assert type(choose(name)) is kind


def test_notebook_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The notebook can be asked for in any IPython shell, and only there."""
    pretend(monkeypatch, SimpleNamespace())
    assert type(choose("notebook")) is NotebookView
    pretend(monkeypatch, None)
    with pytest.raises(ConfigurationError, match="needs an IPython kernel and there is none here; give 'auto'"):
        choose("notebook")


def test_own_view() -> None:
    """A view of the user's own is taken as it is."""
    view = Recorder()
    assert isinstance(view, View)
    assert choose(view) is view


def test_yes_and_no_are_understood() -> None:
    """True shows progress as it fits, False shows none; neither is an error, as in other libraries."""
    assert type(choose(True)) is type(choose("auto"))
    assert isinstance(choose(False), NullView)


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_line_of_the_terminal_is_cut_between_facts(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    """Whatever the terminal is as wide as, the line fits, ends with a whole fact, and the bar keeps its length."""
    stderr = new_terminal(monkeypatch)
    monkeypatch.setattr(views, "_columns", lambda: columns - 1)
    view = TerminalView()
    for now in (8.0, 10.0, 12.0):
        view.show(running(), now)
    drawn = [line for line in stderr.getvalue().split("\r") if "requests" in line]
    assert max(map(len, drawn)) < columns
    assert len({line.index("| ") for line in drawn}) == 1
    facts = {"1/2 requests", "1 not complete", "11 moved", "1 failed"}
    for line in drawn:
        told = line.partition("| ")[2].rstrip().split(" · ")
        assert all(fact in facts or re.fullmatch(r"[\d.]+( s left|/min|/s)", fact) for fact in told), told


def test_texts_of_the_terminal_break_between_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long sentence goes on below, set in, and no line is wider than the terminal."""
    stderr = new_terminal(monkeypatch)
    monkeypatch.setattr(views, "_columns", lambda: 60)
    why = "0xC000 (unable to process), 0 of 4 moved; run it again, and ask the archive's administrator if it stays so"
    state = fold(fold(State(), BatchStarted(0.0, 1)), RequestEnded(1.0, 0, Status.FAILURE, why))
    TerminalView().close(fold(state, BatchEnded(2.0)), 3.0)
    lines = stderr.getvalue().splitlines()
    assert max(map(len, lines)) <= 60
    assert why in " ".join(" ".join(lines).split())


@pytest.mark.parametrize("value", [None, "tqdm", "", 1, Recorder, object()], ids=lambda value: type(value).__name__)
def test_unknown_progress(value: object) -> None:
    """Anything else is an error that names the value and what may be given."""
    with pytest.raises(ConfigurationError) as caught:
        choose(value)  # type: ignore[arg-type]
    assert repr(value) in str(caught.value)
    assert "'auto', 'notebook', 'terminal', 'log', 'none' or an object with show() and close()" in str(caught.value)
