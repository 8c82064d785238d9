"""Where progress is shown: the seam, the views without a notebook, and the choice among all of them."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from dicomover.errors import ConfigurationError
from dicomover.progress.labels import Label
from dicomover.progress.state import State
from dicomover.progress.text import brief, closing, heading, headline, new_notes, verdicts
from dicomover.text.widths import fit

__all__ = ["LogView", "NullView", "TerminalView", "View", "choose"]

logger = logging.getLogger("dicomover.progress")

LOG_EVERY = 30.0  # seconds between two lines of the log while it runs


@runtime_checkable
class View(Protocol):
    """Something that can show a state. Called only from the thread that draws."""

    def show(self, state: State, now: float) -> None:
        """Show the running batch; called at most ten times a second, `now` is on the clock of the events."""

    def close(self, state: State, now: float) -> None:
        """Show for good what came of the batch, and let go of everything live; called once."""


class NullView:
    """Shows nothing."""

    def show(self, state: State, now: float) -> None:
        """Show nothing."""

    def close(self, state: State, now: float) -> None:
        """Show nothing."""


class LogView:
    """One line in the log `dicomover.progress` at the start, then now and then, at every note, and at the end."""

    def __init__(self) -> None:
        self._logged_at: float | None = None
        self._notes = 0

    def show(self, state: State, now: float) -> None:
        """Log the notes that are new, and the headline if the last one is long enough ago."""
        self._log_notes(state)
        if self._logged_at is None or now - self._logged_at >= LOG_EVERY:
            self._logged_at = now
            logger.info("%s", headline(state, now))

    def close(self, state: State, now: float) -> None:
        """Log what came of the batch."""
        self._log_notes(state)
        _, _, rest = headline(state, now).partition(" · ")  # it begins with the heading, in other words
        parts = (heading(state), verdicts(state), rest)
        logger.info("%s", " · ".join(part for part in parts if part))

    def _log_notes(self, state: State) -> None:
        for note in new_notes(state, self._notes):
            logger.info("%s", note)
        self._notes = state.noted


class TerminalView:
    """A bar on stderr, and at the end the facts in its place, if not a program reports them (`closing=False`)."""

    def __init__(self, *, closing: bool = True, label: Label = str) -> None:
        self._closing = closing
        self._label = label
        self._bar: Any = None
        self._notes = 0

    def show(self, state: State, now: float) -> None:
        """Draw the bar, and above it the notes that are new."""
        if self._bar is None:
            self._bar = _new_bar(state, now)
        self._write_notes(state)
        self._bar.draw(state, now)

    def close(self, state: State, now: float) -> None:
        """Take the bar away and write what came of the batch."""
        self._write_notes(state)
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        if self._closing and sys.stderr is not None:
            sys.stderr.write(f"{fit(closing(state, now, self._label), _columns())}\n")
            sys.stderr.flush()

    def _write_notes(self, state: State) -> None:
        if self._bar is not None:
            for note in new_notes(state, self._notes):
                self._bar.write(fit(note, _columns()), file=sys.stderr)
        self._notes = state.noted


def _new_bar(state: State, now: float) -> Any:
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[type-arg]
        """A bar whose words are ours; its length does not follow them, so that it grows as what it shows does."""

        monitor_interval = 0  # tqdm would draw on a thread of its own
        shown, at = state, now

        @property
        def format_dict(self) -> Any:
            columns = _columns()
            length = max(_LEAST_BAR, columns // 5 - 5)
            words = brief(self.shown, self.at, columns - length - len("100%|| "))
            form = f"{{percent}}|{{bar:{length}}}| {{words}}"
            ours = {"ncols": columns, "bar_format": form, "percent": f"{self.shown.percent:3d}%", "words": words}
            return {**super().format_dict, **ours}

        def draw(self, state: State, now: float) -> None:
            self.shown, self.at, self.n = state, now, state.fraction
            self.refresh()

    return Bar(total=1.0, initial=state.fraction, file=sys.stderr, leave=False, ncols=_columns(), nrows=20)


def _columns() -> int:
    """Return how many characters fit on a line of stderr; a terminal that does not know its size says 0."""
    try:
        columns = os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError):
        columns = 0
    return (columns or 80) - 1


_LEAST_BAR = 10  # columns
_NAMES = ("auto", "notebook", "terminal", "log", "none")


def choose(
    progress: str | bool | View = "auto", *, on_cancel: Callable[[], object] | None = None, label: Label = str
) -> View:
    """Return the view that is asked for, a new one for every batch; a view of your own is returned as it is.

    ``"auto"`` (or True) takes the notebook inside a Jupyter kernel, the terminal if stderr is one, and the log
    otherwise; False is ``"none"``. Only the notebook has a button, and only with `on_cancel`: while a cell runs, most
    frontends do not deliver the click. Raises ConfigurationError if the value means nothing, or if a notebook is asked
    for where there is none.

    Examples
    --------
    >>> type(choose("log")).__name__
    'LogView'
    >>> choose("loud")
    Traceback (most recent call last):
        ...
    dicomover.errors.ConfigurationError: progress 'loud' is not a way to show progress;
    give 'auto', 'notebook', 'terminal', 'log', 'none' or an object with show() and close()
    """
    if isinstance(progress, bool):
        progress = "auto" if progress else "none"
    if isinstance(progress, str):
        name = _guess() if progress == "auto" else progress
        if name == "notebook":
            from dicomover.progress.notebook import NotebookView

            if _shell() is None:
                raise ConfigurationError(
                    "progress 'notebook' needs an IPython kernel and there is none here", "give 'auto' or 'terminal'"
                )
            return NotebookView(on_cancel=on_cancel, label=label)
        views: dict[str, Callable[[], View]] = {
            "terminal": lambda: TerminalView(label=label),
            "log": LogView,
            "none": NullView,
        }
        if name in views:
            return views[name]()
    elif isinstance(progress, View) and not isinstance(progress, type):
        return progress
    names = ", ".join(map(repr, _NAMES))
    raise ConfigurationError(
        f"progress {progress!r} is not a way to show progress", f"give {names} or an object with show() and close()"
    )


def _guess() -> str:
    if any(kind.__name__ == "ZMQInteractiveShell" for kind in type(_shell()).__mro__):
        return "notebook"
    return "terminal" if sys.stderr is not None and sys.stderr.isatty() else "log"


def _shell() -> object:
    """Return the running IPython shell, None without one; a program that has not imported IPython has none."""
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython

    return get_ipython()
