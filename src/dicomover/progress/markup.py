"""A state as static HTML: no script, nothing from the network, at home in light and dark themes.

Colours of texts come from the variables of JupyterLab, or of VS Code; where there are none, from values that suit both.
"""

from __future__ import annotations

from dicomover.progress.labels import Label
from dicomover.progress.lines import Line, latest_note, lines, unseen
from dicomover.progress.state import State
from dicomover.progress.text import facts, heading, headline, reasons, rows, unlisted, verdicts, waiting
from dicomover.text.sentences import count_of
from dicomover.text.visible import make_html

__all__ = [
    "COMPLETE",
    "INCOMPLETE",
    "RUNNING",
    "body_html",
    "boxed",
    "closing_html",
    "reasons_html",
    "reasons_title",
    "running_html",
    "top_html",
]

COMPLETE, INCOMPLETE, RUNNING = "#0072B2", "#D55E00", "#56B4E9"
"""From Okabe and Ito's palette, which the colour-blind can tell apart; a report has the same."""
_FONT = "var(--jp-ui-font-family, var(--vscode-font-family, system-ui, sans-serif))"
_BOX = (
    f"font-family: {_FONT}; font-size: var(--jp-ui-font-size1, 13px); line-height: 1.5; "
    "color: var(--jp-ui-font-color1, var(--vscode-foreground, inherit)); max-width: 64em; margin: 4px 0; "
    "font-variant-numeric: tabular-nums; white-space: normal"
)
_TRACK = "display: flex; border-radius: 3px; overflow: hidden; background: rgba(128, 128, 128, 0.3)"
_FAINT = "opacity: 0.75"
_LABEL = f"padding: 0 16px 0 0; text-align: left; vertical-align: top; font-weight: normal; {_FAINT}"
_TEXT = "padding: 0 16px 0 0; text-align: left; vertical-align: top"
_TABLE = "border-collapse: collapse; border: none; margin: 0; font-size: inherit; color: inherit"
_ROW = "background: none; border: none"
_UNBROKEN = "; white-space: nowrap"
_NARROW = 40  # characters of the names of rows that stay on one line
_SHORT = 5  # reasons that are shown unfolded


_STANDS_STILL = (
    "If this stands still, the page was loaded again, and mover.last.summary() knows more; "
    "or the kernel has ended: run the cell again, and what is here is skipped."
)


def running_html(state: State, now: float, label: Label = str, clock: str = "") -> str:
    """Return the running batch as HTML: the headline, a bar, the requests that run, and those that are not complete.

    With the time of day it says, for who finds it later, what it means if it does not change any more.
    """
    still = f'<div style="{_FAINT}">{make_html(f"As of {clock}. {_STANDS_STILL}")}</div>' if clock else ""
    parts = (top_html(state, now), body_html(state, now, label), _folded(state, label, is_open=False), still)
    return boxed("".join(parts))


def closing_html(state: State, now: float, label: Label = str) -> str:
    """Return what is to be kept of a batch as HTML; the same words as `dicomover.progress.text.closing`.

    Examples
    --------
    >>> "1 &lt;b&gt;" in closing_html(State(notes=("1 <b>",), noted=1), now=0.0)
    True
    """
    head = f"<div><strong>dicomover: {make_html(heading(state))}</strong></div>"
    body = "".join(
        f'<tr style="{_ROW}"><th scope="row" style="{_LABEL}{_UNBROKEN}">{make_html(name)}</th>'
        f'<td style="{_TEXT}">{make_html(text)}</td></tr>'
        for name, text in facts(state, now)
    )
    table = f'<table style="{_TABLE}">{body}</table>'
    folded = _folded(state, label, is_open=len(state.reasons) <= _SHORT)
    return boxed(f"{head}{_bar(state)}{table}{folded}")


def boxed(html: str) -> str:
    """Return some of this HTML with the fonts and colours of the place where it is shown."""
    return f'<div style="{_BOX}">{html}</div>'


def top_html(state: State, now: float) -> str:
    """Return the headline and the bar of a running batch."""
    stalled = state.stalled_for(now) is not None
    words = f"<div><strong>{state.percent} %</strong> · <span>{make_html(headline(state, now))}</span></div>"
    return f"{words}{_bar(state, stalled=stalled)}"


def body_html(state: State, now: float, label: Label = str) -> str:
    """Return what else there is to say of a running batch: its verdicts, the requests that run, the latest note."""
    parts = [f'<div style="{_FAINT}">{make_html(verdicts(state))}</div>'] if state.counts else []
    parts += [_line(line) for line in lines(state, now, label)]
    again = "" if state.is_paused(now) else waiting(state, now)  # else it is in the headline
    parts += [f"<div>{make_html(words)}</div>" for words in (unseen(state), again, latest_note(state, now)) if words]
    return "".join(parts)


def reasons_title(state: State) -> str:
    """Return the title of the rows that are not complete; empty if there are none."""
    return f"{count_of(state.incomplete, 'row')} not complete" if state.incomplete else ""


def reasons_html(state: State, label: Label = str) -> str:
    """Return the rows that are not complete and their reasons as a table; equal reasons share a line."""
    named = [(rows(reason.count, reason.requests, label), reason) for reason in reasons(state)]
    body = "".join(
        f'<tr style="{_ROW}"><td style="{_TEXT}{_UNBROKEN if len(name) <= _NARROW else ""}">{make_html(name)}</td>'
        f'<td style="{_TEXT}{_UNBROKEN}">{make_html(reason.status)}</td>'
        f'<td style="{_TEXT}{_UNBROKEN}">{make_html(reason.moved)}</td>'
        f'<td style="{_TEXT}">{make_html(reason.error)}</td></tr>'
        for name, reason in named
    )
    rest = f"<div>{make_html(more)}</div>" if (more := unlisted(state)) else ""
    return f'<table style="{_TABLE}">{body}</table>{rest}'


def _folded(state: State, label: Label, *, is_open: bool) -> str:
    if not state.reasons:
        return ""
    shown = " open" if is_open else ""
    head = '<summary style="cursor: pointer; margin: 4px 0 0">Not complete:</summary>'
    return f"<details{shown}>{head}{reasons_html(state, label)}</details>"


def _line(line: Line) -> str:
    colour = INCOMPLETE if line.stalled else RUNNING
    done = "" if not line.part else f'<span style="width: {100 * line.part:.2f}%; background: {colour}"></span>'
    bar = f'<span style="{_TRACK}; flex: none; width: 8em; height: 4px">{done}</span>'
    what = f'<span style="flex: none; min-width: 5em">{make_html(line.what)}</span>'
    words = f"<span>{make_html(line.words)}</span>"
    return f'<div style="display: flex; align-items: center; gap: 12px">{what}{bar}{words}</div>'


def _bar(state: State, *, stalled: bool = False) -> str:
    """Draw the requests: those complete, those not, what is done of those that run, and by its ground what is open."""
    whole = max(state.requests, 1)
    part = max(0.0, state.fraction * whole - state.done) if state.requests else 0.0
    pieces = (
        (state.done - state.incomplete, COMPLETE),
        (state.incomplete, INCOMPLETE),
        (part, INCOMPLETE if stalled else RUNNING),
    )
    drawn = "".join(
        f'<div style="width: {100 * count / whole:.2f}%; background: {colour}"></div>'
        for count, colour in pieces
        if count
    )
    style = f"{_TRACK}; height: 6px; margin: 4px 0 6px"
    return f'<div style="{style}" role="img" aria-label="{state.percent} % done">{drawn}</div>'
