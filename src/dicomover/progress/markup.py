"""A state as static HTML: no script, nothing from the network, at home in light and dark themes.

Colours come from JupyterLab's CSS variables; where there are none, from values that suit both.
"""

from __future__ import annotations

from html import escape

from dicomover.progress.state import State
from dicomover.progress.text import facts, heading, headline

__all__ = ["closing_html", "running_html"]

_GOOD = "var(--jp-success-color1, #2e9e5b)"
_BAD = "var(--jp-warn-color1, #e08600)"
_BOX = (
    "font-family: var(--jp-ui-font-family, system-ui, sans-serif); font-size: var(--jp-ui-font-size1, 13px); "
    "line-height: 1.5; color: var(--jp-ui-font-color1, inherit); max-width: 56em; margin: 4px 0"
)
_TRACK = (
    "display: flex; height: 6px; margin: 4px 0 6px; border-radius: 3px; overflow: hidden; "
    "background: rgba(128, 128, 128, 0.3)"
)
_LABEL = "padding: 0 16px 0 0; text-align: left; font-weight: normal; opacity: 0.75; white-space: nowrap"
_TEXT = "padding: 0; text-align: left; font-variant-numeric: tabular-nums"


def running_html(state: State, now: float) -> str:
    """Return the running batch as HTML: the headline, a bar and the latest note."""
    note = f"<div>{escape(state.notes[-1])}</div>" if state.notes else ""
    return f'<div style="{_BOX}"><div>{escape(headline(state, now))}</div>{_bar(state)}{note}</div>'


def closing_html(state: State, now: float) -> str:
    """Return what is to be kept of a batch as HTML; the same words as `dicomover.progress.text.closing`.

    Examples
    --------
    >>> "1 &lt;b&gt;" in closing_html(State(notes=("1 <b>",), noted=1), now=0.0)
    True
    """
    rows = "".join(
        f'<tr style="background: none"><th scope="row" style="{_LABEL}">{escape(label)}</th>'
        f'<td style="{_TEXT}">{escape(text)}</td></tr>'
        for label, text in facts(state, now)
    )
    table = f'<table style="border-collapse: collapse; border: none; margin: 0; font-size: inherit">{rows}</table>'
    head = f"<div><strong>dicomover: {escape(heading(state))}</strong></div>"
    return f'<div style="{_BOX}">{head}{_bar(state)}{table}</div>'


def _bar(state: State) -> str:
    """Draw the requests: those complete, those not, and by its ground what is open."""
    whole = max(state.requests, 1)
    part = max(0.0, state.fraction * whole - state.done) if state.requests else 0.0
    pieces = ((state.done - state.incomplete + part, _GOOD), (state.incomplete, _BAD))
    drawn = "".join(
        f'<div style="width: {100 * count / whole:.2f}%; background: {colour}"></div>'
        for count, colour in pieces
        if count
    )
    return f'<div style="{_TRACK}" role="img" aria-label="{state.percent} % done">{drawn}</div>'
