"""Progress in a notebook: what a kernel stores, and what happens without working widgets."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import nbclient
import nbformat
import pytest

from dicomover.events import BatchEnded, BatchStarted, MoveProgressed, MoveStarted, Noted, RequestEnded
from dicomover.outcome import Counters, Status
from dicomover.progress import NotebookView, Progress, State, fold, notebook
from dicomover.progress.markup import closing_html, running_html
from dicomover.progress.notebook import UNFINISHED
from dicomover.progress.text import closing, headline

WIDGET = "application/vnd.jupyter.widget-view+json"

BATCH = """
import sys
from dicomover.events import BatchEnded, BatchStarted, MoveProgressed, MoveStarted, RequestEnded
from dicomover.outcome import Counters, Status
from dicomover.progress import NotebookView, Progress, choose

def run(view):
    now = 0.0
    with Progress(view, lambda: now) as progress:
        progress.take(BatchStarted(now, 2))
        for request, status in enumerate((Status.SUCCESS, Status.PARTIAL)):
            progress.take(MoveStarted(now, request, request, 4))
            for completed in range(5):
                now += 0.6
                progress.take(MoveProgressed(now, request, Counters(completed, request, 0, 4 - completed)))
                progress.refresh()
            progress.take(RequestEnded(now, request, status))
        progress.take(BatchEnded(now))
"""


class Handle:
    """Stands for what `display` returns: keeps what stands in the output."""

    def __init__(self, bundle: dict[str, Any]) -> None:
        self.shown = [bundle]

    def update(self, bundle: dict[str, Any], *, raw: bool) -> None:
        """Put the bundle in the place of the last one."""
        assert raw
        self.shown.append(bundle)


@pytest.fixture
def outputs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Handle]]:
    """Collect what is displayed."""
    handles: list[Handle] = []

    def display(bundle: dict[str, Any]) -> Handle:
        handles.append(Handle(bundle))
        return handles[-1]

    monkeypatch.setattr(notebook, "_display", display)
    yield handles
    for widget in list(widgets().values()):
        widget.close()


def widgets() -> dict[str, Any]:
    """Return the widgets that are open, by their model."""
    from ipywidgets.widgets import widget

    return widget._instances  # the public list warns


def running(note: str = "") -> State:
    """Return a batch of two with one request running."""
    state = State()
    for event in (BatchStarted(0.0, 2), MoveStarted(0.0, 0, 0), MoveProgressed(1.0, 0, Counters(3, 1, 0, 4))):
        state = fold(state, event)
    return fold(state, Noted(1.0, note)) if note else state


def over(state: State) -> State:
    """Return the batch when it has ended."""
    for event in (RequestEnded(2.0, 0, Status.PARTIAL), RequestEnded(2.0, 1, Status.SUCCESS), BatchEnded(2.0)):
        state = fold(state, event)
    return state


def test_saved_notebook_tells_the_final_counts() -> None:
    """A notebook run without a browser stores the final counts as text and HTML and no widget."""
    cells = [
        BATCH,
        "run(choose('auto'))",
        "sys.modules['ipywidgets'] = None\nrun(choose('auto'))",
        "assert type(choose('auto')) is NotebookView",
    ]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(book, kernel_name="python3", timeout=60).execute()
    for cell in book.cells[1:3]:
        (output,) = cell.outputs
        assert set(output.data) == {"text/html", "text/plain"}
        assert output.data["text/plain"] == (
            "dicomover: 2 requests, 1 not complete\n"
            "  Requests      1 success, 1 partial\n"
            "  PACS counted  8 completed, 0 with a warning, 1 failed\n"
            "  Expected      8 instances\n"
            "  Time          6 s, 1.3/s\n"
            "Not complete:\n"
            "  row 1  partial"
        )
        assert "8 completed, 0 with a warning, 1 failed" in output.data["text/html"]
    states = json.dumps(book.metadata.get("widgets", {}))
    assert "Cancel" not in states
    assert "of 2 requests" not in states, "a widget tells of a batch that runs"


def test_widget_while_it_runs(outputs: list[Handle]) -> None:
    """What runs in the background has one output, a widget whose words follow the state."""
    view = NotebookView(on_cancel=list, label=lambda position: f"#{position}")
    view.show(fold(State(), BatchStarted(0.0, 2)), 0.0)
    state = running("Trying <again>")
    view.show(state, 2.0)
    (output,) = outputs
    (bundle,) = output.shown
    assert bundle["text/plain"] == UNFINISHED
    box = widgets()[bundle[WIDGET]["model_id"]]
    head, body, fold_ = box.children
    top, _ = head.children
    assert "<strong>25 %</strong>" in top.value
    assert headline(state, 2.0) in top.value
    assert "row #0" in body.value
    assert "Trying &lt;again&gt;" in body.value
    assert fold_.layout.display == "none"
    view.show(state, 60.0)
    assert "nothing has moved for 59 s" in top.value


def test_table_of_rows_that_are_not_complete(outputs: list[Handle]) -> None:
    """The table appears with the first row, changes at most once a second, and only when there is something new."""
    view, state = (
        NotebookView(on_cancel=list, label=lambda position: f"#{position}"),
        fold(State(), BatchStarted(0.0, 100)),
    )
    view.show(state, 0.0)
    table = widgets()[outputs[0].shown[0][WIDGET]["model_id"]].children[2]
    values: list[str] = []
    table.children[0].observe(lambda change: values.append(change["new"]), "value")
    for step in range(25):
        if step < 15:
            state = fold(state, RequestEnded(step / 10, step, Status.LOST, "the association died"))
        view.show(state, step / 10)
    assert table.layout.display is None
    assert ["row #0<" in values[0], "and 7 more<" in values[1], "and 11 more<" in values[2]] == [True] * 3
    assert len(values) == 3
    assert table.titles == ("15 rows not complete",)


def test_close_replaces_the_widget(outputs: list[Handle]) -> None:
    """At the end text and HTML stand where the widget stood, which says the same to a page that was loaded again."""
    before = set(widgets())
    view, state = NotebookView(on_cancel=lambda: None, label=lambda _: "a patient's key"), over(running())
    view.show(running(), 1.0)
    box = widgets()[outputs[0].shown[0][WIDGET]["model_id"]]
    view.close(state, 9.0)
    (output,) = outputs
    assert output.shown[-1] == {
        "text/html": closing_html(state, 9.0, lambda _: "a patient's key"),
        "text/plain": closing(state, 9.0, lambda _: "a patient's key"),
    }
    (text,) = box.children
    assert text.value == closing_html(state, 9.0)
    kept = {box, box.layout, text, text.layout, text.style}
    assert set(widgets()) - before == {widget.model_id for widget in kept}
    assert not [widget for widget in widgets().values() if "patient's key" in str(widget.get_state())]


def test_close_without_a_drawing(outputs: list[Handle]) -> None:
    """A batch that is over before the first drawing shows its end all the same."""
    NotebookView().close(over(running()), 9.0)
    assert [handle.shown[0]["text/plain"] for handle in outputs] == [closing(over(running()), 9.0)]


def test_cancel_button(outputs: list[Handle]) -> None:
    """The button calls back once and then cannot be pressed; without a callback there is none."""
    calls: list[str] = []
    NotebookView(on_cancel=lambda: calls.append("cancel")).show(running(), 1.0)
    box = widgets()[outputs[0].shown[0][WIDGET]["model_id"]]
    button = box.children[0].children[1]
    button.click()
    assert calls == ["cancel"]
    assert (button.disabled, button.description) == (True, "Cancelling")


def test_without_ipywidgets(outputs: list[Handle], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ipywidgets the output itself is updated, at most twice a second."""
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    hold_redrawn(NotebookView(on_cancel=list), outputs, monkeypatch)


def test_a_cell_that_waits_has_no_widget(outputs: list[Handle], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its kernel would answer nobody: the output itself is updated, and says what it means if it stands still."""
    hold_redrawn(NotebookView(), outputs, monkeypatch)
    html = outputs[0].shown[0]["text/html"]
    assert "As of 18:03:20. If this stands still" in html
    assert "run the cell again, and what is here is skipped" in html
    assert "run the cell again: what is here is skipped" in UNFINISHED


def hold_redrawn(view: NotebookView, outputs: list[Handle], monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold that a view redraws its one output, at most twice a second."""
    clock = "18:03:20"
    monkeypatch.setattr("dicomover.progress.notebook.time.strftime", lambda _: clock)
    for step in range(11):
        view.show(running(), step / 10)
    (output,) = outputs
    assert [shown["text/html"] for shown in output.shown] == [
        running_html(running(), now, clock=clock) for now in (0.0, 0.5, 1.0)
    ]
    assert {shown["text/plain"] for shown in output.shown} == {UNFINISHED}
    view.close(over(running()), 2.0)
    assert output.shown[-1]["text/plain"] == closing(over(running()), 2.0)


def test_widgets_that_break(outputs: list[Handle], monkeypatch: pytest.MonkeyPatch) -> None:
    """When a widget cannot be updated any more, the output is updated instead."""
    view = NotebookView(on_cancel=list)
    view.show(running(), 0.0)

    def fail(*_: object) -> None:
        raise OSError("comm is closed")

    import ipywidgets

    monkeypatch.setattr(ipywidgets.Widget, "send_state", fail)
    for step in range(1, 4):
        view.show(fold(running(), MoveProgressed(step, 0, Counters(3 + step))), float(step))
    monkeypatch.undo()
    (output,) = outputs
    assert [set(shown) for shown in output.shown[1:]] == [{"text/html", "text/plain"}] * 2


def test_a_display_that_breaks_is_survived(
    outputs: list[Handle], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When nothing can be displayed at all, the batch goes on and says so once."""

    def fail(*_: object) -> None:
        raise OSError("no display")

    monkeypatch.setattr(notebook, "_display", fail)
    progress = Progress(NotebookView())
    progress.refresh()
    progress.close()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
