"""What a person sees on the standard error: messages, the log, the progress. Results never go there."""

from __future__ import annotations

import contextlib
import logging
import shutil
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import FrameType
from typing import Any, Protocol

import click

from dicomover.errors import AnswerWarning, RequestWarning
from dicomover.outcome import Counters
from dicomover.progress import LogView, NullView, State, TerminalView, View
from dicomover.text.traces import tell_trace
from dicomover.text.visible import make_visible
from dicomover.text.widths import fit

__all__ = ["Cancellable", "Interrupts", "Watch", "on_interrupt", "say", "show_log", "without_pending"]

logger = logging.getLogger("dicomover.cli")

_SHORT = 5.0  # seconds


def say(text: str) -> None:
    """Write a line to the standard error, above a progress bar if there is one."""
    text, tqdm = make_visible(text, lines=True), sys.modules.get("tqdm")
    if sys.stderr is not None and sys.stderr.isatty():
        text = fit(text, shutil.get_terminal_size((80, 24)).columns)
    if tqdm is not None and getattr(tqdm.tqdm, "_instances", None):
        tqdm.tqdm.write(text, file=sys.stderr)
    else:
        click.echo(text, err=True)


class _Handler(logging.Handler):
    """Writes records with the seconds since the start; of an exception only its kind, unless debugging."""

    def __init__(self, debug: bool) -> None:
        super().__init__()
        self._begun = time.time()
        self._debug = debug

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.levelno >= logging.WARNING:
            text = f"{record.levelname.capitalize()}: {text}"
        else:
            name = f" {record.name.removeprefix('dicomover.')}:" if self._debug else ""
            text = f"[{max(0.0, record.created - self._begun):8.3f} s]{name} {text}"
        if record.exc_info and record.exc_info[0]:
            formatter = logging.Formatter()
            kind = record.exc_info[0].__name__
            text += f"\n{formatter.formatException(record.exc_info)}" if self._debug else f" ({kind})"
        with contextlib.suppress(Exception):
            say(text)


@contextlib.contextmanager
def show_log(
    *, verbose: bool = False, debug: bool = False, quiet: bool = False, show_keys: bool = False
) -> Iterator[None]:
    """Show the log of the library as far as a person wants it, for as long as this lasts."""
    if quiet and (verbose or debug):
        raise click.UsageError("-q cannot go with -v or -d; choose one of them")
    loud = logging.DEBUG if debug else logging.INFO if verbose else logging.WARNING
    level = logging.ERROR if quiet else loud
    handler = _Handler(debug)
    root, progress = logging.getLogger("dicomover"), logging.getLogger("dicomover.progress")
    identifiers = logging.getLogger("dicomover.identifiers")
    before = root.level, progress.level, root.propagate, identifiers.level
    root.addHandler(handler)
    root.setLevel(level)
    root.propagate = False
    identifiers.setLevel(logging.DEBUG if show_keys and debug else logging.WARNING)
    progress.setLevel(min(level, logging.INFO))  # there is progress only where it was asked for
    try:
        with warnings.catch_warnings():
            # Other warnings (pydicom's) quote values, which may be patient data.
            warnings.simplefilter("ignore")
            for ours in (AnswerWarning, RequestWarning):
                warnings.simplefilter("always", ours)
            warnings.showwarning = _warn if not quiet else _hush
            yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before[0])
        progress.setLevel(before[1])
        root.propagate = before[2]
        identifiers.setLevel(before[3])


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    say(f"Warning: {message}")


def _hush(*_: Any, **__: Any) -> None:
    pass


class Watch:
    """A view for the command line: draws as far as it is wanted, and remembers the last state."""

    def __init__(self, *, shown: bool, ignore_pending: bool) -> None:
        self.state = State()
        self._ignore_pending = ignore_pending
        self._bar: View = NullView()
        self._log: View = NullView()
        if shown and sys.stderr is not None and sys.stderr.isatty():
            self._bar = TerminalView(closing=False)
        elif shown:
            self._log = LogView()

    def show(self, state: State, now: float) -> None:
        """Draw the running batch; a short one is not worth a line of the log."""
        self.state = state
        self._draw(self._bar.show, now)
        if state.noted or state.elapsed(now) >= _SHORT:
            self._draw(self._log.show, now)

    def close(self, state: State, now: float) -> None:
        """Take the drawing away; the Move Summary says the rest."""
        self.state = state
        self._draw(self._bar.close, now)

    def _draw(self, how: Callable[[State, float], None], now: float) -> None:
        try:
            how(without_pending(self.state) if self._ignore_pending else self.state, now)
        except Exception as error:  # noqa: BLE001 - told without what it says
            logger.warning("progress cannot be shown any more; the batch goes on\n%s", tell_trace(error))
            self._bar = self._log = NullView()


def without_pending(state: State) -> State:
    """Return a state as if C-MOVEs that still run had not counted anything yet.

    Examples
    --------
    >>> from dicomover.events import BatchStarted, MoveProgressed, MoveStarted, RequestEnded
    >>> from dicomover.outcome import Status
    >>> from dicomover.progress import fold
    >>> state = fold(fold(State(), BatchStarted(0.0, requests=1)), MoveStarted(0.0, move=1, request=0))
    >>> state = fold(state, MoveProgressed(1.0, 1, Counters(completed=2, remaining=3)))
    >>> state.completed, without_pending(state).completed
    (2, None)
    >>> without_pending(fold(state, RequestEnded(2.0, 0, Status.PARTIAL))).completed
    2
    """
    running = [move.counters for move in state.moves.values()]
    if not running:
        return state

    def rest(total: int | None, parts: list[int | None]) -> int | None:
        left = (total or 0) - sum(part or 0 for part in parts)
        return left or None

    return replace(
        state,
        completed=rest(state.completed, [counters.completed for counters in running]),
        warnings=rest(state.warnings, [counters.warning for counters in running]),
        failed=rest(state.failed, [counters.failed for counters in running]),
        moves={number: replace(move, counters=Counters()) for number, move in state.moves.items()},
        reached=0.0,
        samples=() if state.received is None else state.samples,
    )


def on_interrupt(state: State) -> str:
    """Return what an interrupt of a batch means now, in a line.

    Examples
    --------
    >>> on_interrupt(State())
    'Interrupted: nothing was sent yet'
    >>> on_interrupt(State(moving_at=1.0, paused_until=60.0))
    'Interrupted: no C-MOVE was running'
    """
    if any(state.moves_of.get(request) for request in state.running):
        return "Interrupted: waiting for the archive's last word; interrupt again to stop at once"
    return f"Interrupted: {'nothing was sent yet' if state.moving_at is None else 'no C-MOVE was running'}"


class Cancellable(Protocol):
    """What runs and can be told to end."""

    def cancel(self) -> None:
        """Ask it to end; returns at once."""


class Interrupts:
    """Turns SIGINT and SIGTERM into a cancel of the job that runs; before it, into a KeyboardInterrupt.

    Behind it a first one is noted and no more: what the batch came to is being written. A second signal stops at once.
    """

    def __init__(self) -> None:
        self.number: int | None = None  # the first signal that came; None if none has
        self._job: Cancellable | None = None
        self._is_over = False
        self._words: Callable[[], str] = str
        self._before: dict[int, Any] = {}
        self._telling: threading.Thread | None = None

    @property
    def exit_code(self) -> int:
        """What a shell expects of a program that a signal has ended."""
        return 128 + (self.number or signal.SIGINT)

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    @contextlib.contextmanager
    def cancelling(self, job: Cancellable, words: Callable[[], str]) -> Iterator[None]:
        """Let signals cancel this job, and say what that means in the words of that moment."""
        self._job, self._words = job, words
        try:
            yield
        finally:
            self._job, self._is_over = None, True
            if self._telling is not None:
                self._telling.join(_SHORT)  # what it says comes before the summary

    def _take(self, number: int, _: FrameType | None) -> None:
        first = self.number is None
        if first:
            self.number = number
        if not first or (self._job is None and not self._is_over):
            raise KeyboardInterrupt
        if self._job is None:
            return
        # On a thread of its own: this one may hold any lock at this moment.
        self._telling = threading.Thread(target=self._cancel, args=(self._job,), daemon=True)
        self._telling.start()

    def _cancel(self, job: Cancellable) -> None:
        words = self._words()
        job.cancel()  # before it is said: who then interrupts again finds it ending
        say(words)
