"""Progress in a notebook: a live panel while it runs, static HTML and text once it is over.

A widget lives by its kernel: a page that is loaded again asks the kernel for it, and one that is busy with a cell does
not answer. So while a cell waits for its batch (`move`) it shows HTML that is drawn again and again, of which the last
state is kept by the notebook's file; a widget, which can have a button, is for what runs in the background (`start`).

What a widget shows is frozen in a saved notebook as it was when it was first displayed, and an exported page
needs scripts from the internet to show it. So the widget is shown only while the batch runs; at the end its display
is replaced by HTML and text that stay. Not everybody hears that:

- A page that was loaded again meanwhile does not. There the widget itself says the same at the end, for as long as the
  kernel lives.
- What executes a notebook without a browser (nbclient, and so papermill, nbmake and nbconvert) listens only to the cell
  that runs. So what ended in the background is told once more by the next cell that ends.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from dicomover.progress.labels import Label
from dicomover.progress.markup import (
    body_html,
    boxed,
    closing_html,
    reasons_html,
    reasons_title,
    running_html,
    top_html,
)
from dicomover.progress.state import Reason, State
from dicomover.progress.text import closing, reasons
from dicomover.text.traces import tell_trace

__all__ = ["NotebookView"]

logger = logging.getLogger("dicomover.progress")

UNFINISHED = (
    "dicomover: running when this was saved; if the kernel has ended since, run the cell again: what is here is skipped"
)
REDRAW_EVERY = 0.5  # seconds between two updates without widgets: each redraws the output
TABLE_EVERY = 1.0  # seconds between two updates of the table of rows that are not complete


class NotebookView:
    """A panel in the output of the cell: a bar, counts, the requests that run, the rows that are not complete.

    `on_cancel` is what the Cancel button does. Without a button, and where ipywidgets is missing or does not work, the
    output itself is updated.
    """

    def __init__(self, *, on_cancel: Callable[[], object] | None = None, label: Label = str) -> None:
        self._on_cancel = on_cancel
        self._label = label
        self._panel: _Panel | None = None
        self._handle: Any = None
        self._final: dict[str, Any] | None = None
        self._shell: Any = None  # whose cells we listen to
        self._drawn_at: float | None = None

    def show(self, state: State, now: float) -> None:
        """Draw the panel."""
        if self._handle is None:
            self._open(state, now)
        elif self._panel is not None:
            try:
                self._panel.update(state, now)
            except Exception as error:  # noqa: BLE001 - told without what it says
                logger.debug("The widget cannot be updated; going on without\n%s", tell_trace(error))
                self._panel = None
        elif self._drawn_at is None or now - self._drawn_at >= REDRAW_EVERY:
            self._drawn_at = now
            self._handle.update(self._running(state, now), raw=True)

    def close(self, state: State, now: float) -> None:
        """Put static HTML and text in the place of whatever was shown."""
        self._final = _bundle(closing_html(state, now, self._label), closing(state, now, self._label))
        try:
            if self._handle is None:
                _display(self._final)
            else:
                self._handle.update(self._final, raw=True)
        finally:
            if self._panel is not None:
                self._panel.finish(closing_html(state, now))  # whatever was asked for, a widget keeps no patient's keys
            if self._shell is None or threading.current_thread() is threading.main_thread():
                self._let_go()  # the cell that runs has told it

    def _listen(self) -> None:
        from IPython import get_ipython

        self._shell = get_ipython()
        if self._shell is not None:
            self._shell.events.register("post_run_cell", self._cell_ended)

    def _cell_ended(self, _: object) -> None:
        if self._final is not None:
            self._handle.update(self._final, raw=True)
            self._let_go()

    def _let_go(self) -> None:
        shell, self._shell = self._shell, None
        if shell is not None:
            shell.events.unregister("post_run_cell", self._cell_ended)
        panel, self._panel = self._panel, None
        if panel is not None:
            panel.close()

    def _open(self, state: State, now: float) -> None:
        if self._on_cancel is not None:
            try:
                self._panel = _Panel(self._on_cancel, self._label)
                self._panel.update(state, now)
                self._handle = _display(self._panel.bundle())
            except Exception as error:  # noqa: BLE001 - told without what it says
                logger.debug("No widgets here; going on without\n%s", tell_trace(error))
                self._panel = None
        if self._handle is None:
            self._drawn_at = now
            self._handle = _display(self._running(state, now))
        self._listen()

    def _running(self, state: State, now: float) -> dict[str, Any]:
        return _bundle(running_html(state, now, self._label, time.strftime("%H:%M:%S")), UNFINISHED)


class _Panel:
    """The widgets: what changes all the time, a table that a person may unfold meanwhile, and a button."""

    def __init__(self, on_cancel: Callable[[], object], label: Label) -> None:
        import ipywidgets

        self._label = label
        self._reasons: tuple[Reason, ...] = ()
        self._unlisted = 0
        self._listed_at: float | None = None
        self._top = ipywidgets.HTML(layout={"flex": "1 1 auto", "width": "auto"})
        self._body = ipywidgets.HTML()
        self._table = ipywidgets.HTML()
        self._fold = ipywidgets.Accordion([self._table], layout={"display": "none"})
        row: list[Any] = [self._top, self._button(on_cancel)]
        head = ipywidgets.HBox(row, layout={"align_items": "center"})
        self._box = ipywidgets.VBox([head, self._body, self._fold], layout={"max_width": "64em"})
        self._all: list[Any] = [*row, head, self._table, self._fold]

    def _button(self, on_cancel: Callable[[], object]) -> Any:
        import ipywidgets

        button = ipywidgets.Button(
            description="Cancel", tooltip="Cancel the batch", layout={"flex": "none", "width": "7em"}
        )

        def clicked(_: object) -> None:
            button.disabled = True
            button.description = "Cancelling"
            on_cancel()

        button.on_click(clicked)
        return button

    def update(self, state: State, now: float) -> None:
        self._top.value = boxed(top_html(state, now))
        self._body.value = boxed(body_html(state, now, self._label))
        due = self._listed_at is None or now - self._listed_at >= TABLE_EVERY
        if state.reasons and due and (self._reasons, self._unlisted) != (reasons(state), state.unlisted):
            self._listed_at, self._reasons, self._unlisted = now, reasons(state), state.unlisted
            self._table.value = boxed(reasons_html(state, self._label))
            self._fold.titles = (reasons_title(state),)
            self._fold.layout.display = None

    def bundle(self) -> dict[str, Any]:
        """Return what Jupyter is to display; its text is for frontends and saved notebooks without the widget."""
        mimes = dict(self._box._repr_mimebundle_())
        return {**mimes, "text/plain": UNFINISHED}

    def finish(self, html: str) -> None:
        """Leave one text, which says how it ended."""
        self._body.value = html
        self._box.children = [self._body]
        # A saved notebook may keep the last state of widgets that are gone: let it be an empty one.
        self._top.value = self._table.value = ""
        self._fold.titles = ()

    def close(self) -> None:
        """Let go of everything else; say to whoever listens only now how it is left."""
        for widget in (*self._all, self._body, self._box):
            widget.send_state()
        for widget in self._all:
            for part in (getattr(widget, "style", None), widget.layout, widget):
                if part is not None:
                    part.close()


def _bundle(html: str, text: str) -> dict[str, Any]:
    return {"text/html": html, "text/plain": text}


def _display(bundle: dict[str, Any]) -> Any:
    import IPython.display

    display: Any = IPython.display.display  # carries no types
    return display(bundle, raw=True, display_id=True)
