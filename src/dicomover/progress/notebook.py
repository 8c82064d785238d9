"""Progress in a notebook: a live bar while it runs, static HTML and text once it is over.

What a widget shows is frozen in a saved notebook as it was when it was first displayed, and an exported page
needs scripts from the internet to show it. So the widget lives only while the batch runs; at the end its display
is replaced by HTML and text that stay.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from html import escape
from typing import Any

from dicomover.progress.markup import closing_html, running_html
from dicomover.progress.state import State
from dicomover.progress.text import closing, headline

__all__ = ["NotebookView"]

logger = logging.getLogger("dicomover.progress")

UNFINISHED = "dicomover: running; the counts stand here when it is over"
REDRAW_EVERY = 0.5  # seconds between two updates without widgets: each redraws the output


class NotebookView:
    """A bar with counts in the output of the cell.

    Parameters
    ----------
    on_cancel : callable, optional
        What the Cancel button does; without it there is no button.

    Notes
    -----
    Where ipywidgets is missing or does not work, the output itself is updated, without a button.
    """

    def __init__(self, *, on_cancel: Callable[[], object] | None = None) -> None:
        self._on_cancel = on_cancel
        self._panel: _Panel | None = None
        self._handle: Any = None
        self._drawn_at: float | None = None

    def show(self, state: State, now: float) -> None:
        """Draw the bar and the counts."""
        if self._handle is None:
            self._open(state, now)
        elif self._panel is not None:
            try:
                self._panel.update(state, now)
            except Exception:
                logger.debug("The widget cannot be updated; going on without", exc_info=True)
                self._panel = None
        elif self._drawn_at is None or now - self._drawn_at >= REDRAW_EVERY:
            self._drawn_at = now
            self._handle.update(_bundle(running_html(state, now), UNFINISHED), raw=True)

    def close(self, state: State, now: float) -> None:
        """Put static HTML and text in the place of whatever was shown, and close the widgets."""
        bundle = _bundle(closing_html(state, now), closing(state, now))
        try:
            if self._handle is None:
                _display(bundle)
            else:
                self._handle.update(bundle, raw=True)
        finally:
            panel, self._panel = self._panel, None
            if panel is not None:
                panel.close()

    def _open(self, state: State, now: float) -> None:
        try:
            self._panel = _Panel(self._on_cancel)
            self._panel.update(state, now)
            self._handle = _display(self._panel.bundle())
        except Exception:
            logger.debug("No widgets here; going on without", exc_info=True)
            self._panel, self._drawn_at = None, now
            self._handle = _display(_bundle(running_html(state, now), UNFINISHED))


class _Panel:
    """The widgets: a bar, the headline, the latest note and, if wanted, a button."""

    def __init__(self, on_cancel: Callable[[], object] | None) -> None:
        import ipywidgets

        self._bar = ipywidgets.FloatProgress(min=0.0, max=1.0, layout={"width": "100%"})
        self._headline = ipywidgets.HTML()
        self._note = ipywidgets.HTML()
        self._all: list[Any] = [self._bar, self._headline, self._note]
        row: list[Any] = [self._bar]
        if on_cancel is not None:
            row.append(self._button(on_cancel))
        top = ipywidgets.HBox(row, layout={"max_width": "56em"})
        self._box = ipywidgets.VBox([self._headline, top, self._note])
        self._all += [top, self._box]

    def _button(self, on_cancel: Callable[[], object]) -> Any:
        import ipywidgets

        button = ipywidgets.Button(description="Cancel", tooltip="Cancel the batch")

        def clicked(_: object) -> None:
            button.disabled = True
            button.description = "Cancelling"
            on_cancel()

        button.on_click(clicked)
        self._all.append(button)
        return button

    def update(self, state: State, now: float) -> None:
        self._bar.value = state.fraction
        self._bar.bar_style = "" if state.stalled_for(now) is None else "warning"
        self._headline.value = f"{state.percent} % · {escape(headline(state, now))}"
        self._note.value = escape(state.notes[-1]) if state.notes else ""

    def bundle(self) -> dict[str, Any]:
        """Return what Jupyter is to display; its text is for frontends and saved notebooks without the widget."""
        mimes = dict(self._box._repr_mimebundle_())
        return {**mimes, "text/plain": UNFINISHED}

    def close(self) -> None:
        # A saved notebook may keep the last state of widgets that are gone: let it be an empty one.
        self._headline.value = self._note.value = ""
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
