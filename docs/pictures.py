"""The pictures of notebooks in the README and on these pages. `python docs/pictures.py` takes them anew.

A picture is a page of what the code shows of two batches, as a browser draws it; the words and colours of that page are
kept in the picture's file, where a test holds them against the code. It needs Chromium and `pip install -e
".[browser]"`.
"""

from __future__ import annotations

import re
import sys
import zlib
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

import pandas as pd

import dicomover
from dicomover.events import (
    BatchEnded,
    BatchStarted,
    InstanceReceived,
    MoveProgressed,
    MoveStarted,
    RequestEnded,
    RequestStarted,
)
from dicomover.outcome import Counters, Status
from dicomover.progress import State, fold
from dicomover.progress.markup import body_html, boxed, closing_html, reasons_html, reasons_title, top_html
from dicomover.summary import Result, build
from dicomover.testing import DemoPacs, Misbehaviour, made_study

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from browser_kit import CHROMIUM, CHROMIUM_OPTIONS
from progress_kit import Words

__all__ = ["PICTURES", "read_told", "tell"]

_IMAGES = Path(__file__).parent / "images"
_SIZE = 524_288  # bytes of an image
_SECONDS = 2.0  # of a request
_KEPT = b"Comment"
_STYLE = """
body { margin: 0; background: #fff; font: 14px system-ui, "DejaVu Sans", sans-serif; color: #212121; }
main { width: 880px; padding: 6px 10px 12px; }
pre { margin: 0 0 12px; padding: 8px 10px; background: #f5f5f5; border: 1px solid #e0e0e0; font: 13px/1.45 monospace; }
button { font: inherit; border: none; background: #eee; width: 8em; height: 30px; color: #212121; }
summary { font-weight: bold; }
table.dataframe { border-collapse: collapse; font-size: 13px; margin-top: 10px; }
table.dataframe th, table.dataframe td { text-align: left !important; padding: 5px 16px 5px 0; vertical-align: top; }
table.dataframe thead tr { border-bottom: 1px solid #999; }
"""


class Row(NamedTuple):
    """What became of one request."""

    status: Status
    expected: int | None = None
    received: int | None = None
    error: str | None = None


def panel() -> str:
    """Return the panel of a job that runs."""
    partial, unknown = _sentences(24)
    bad = {2: partial, 5: unknown, 7: partial, 9: unknown}
    done = [bad.get(n, Row(Status.SUCCESS, 24, 24)) for n in range(22)]
    state = _batch(60, done, running=[20, 21, 20, 20])
    now = _moment(len(done)) + 1.4
    code = """mover = Mover("ARCHIVE@pacs.example.org:104", receive="cohort/", port=11112, associations=4)
job = mover.start(read_requests("cohort.csv"))"""
    top = (
        f'<div style="display: flex"><div style="flex: auto">{top_html(state, now)}</div><button>Cancel</button></div>'
    )
    table = f"<details open><summary>{reasons_title(state)}</summary>{reasons_html(state)}</details>"
    return _page(code, boxed(top + body_html(state, now) + table))


def notebook() -> str:
    """Return what stays of a batch in a saved notebook, and the short view of its summary."""
    partial, unknown = _sentences(5)
    rows = [Row(Status.SUCCESS, count, count) for count in (1, 12, 10)] + [partial, unknown]
    state = fold(_batch(len(rows), rows), BatchEnded(_moment(len(rows))))
    results = [Result(row.status, expected=row.expected, received=row.received, error=row.error) for row in rows]
    numbers = ["DEMO0007", "00123", "A-2024-7", "A-2024-8", "4711"]
    summary = build(results, pd.DataFrame({"AccessionNumber": numbers}, dtype="string"))
    table = dicomover.short(summary)._repr_html_()
    code = "summary = mover.move(requests)\ndicomover.short(summary)"
    return _page(code, f"{closing_html(state, 60.0)}{table}")


PICTURES: dict[str, Callable[[], str]] = {"panel.png": panel, "notebook.png": notebook}
"""The pages, by the names of their pictures."""


def _sentences(instances: int) -> tuple[Row, Row]:
    """Return what really becomes of a study of which one instance fails, and of one that nobody has."""
    study = made_study("1", instances=instances)
    with DemoPacs([study], misbehave={"1": Misbehaviour("some-failed", count=1)}) as pacs:
        mover = dicomover.Mover(pacs.node, destination="WORKSTATION", retry="none", progress="none")
        errors = mover.move([{"AccessionNumber": number} for number in "12"])["error"].tolist()
    return Row(Status.PARTIAL, instances, instances - 1, errors[0]), Row(Status.NOT_FOUND, error=errors[1])


def _moment(number: int) -> float:
    """Return when the request of this number begins, and the four before it end."""
    return number // 4 * _SECONDS


def _batch(requests: int, done: Sequence[Row], running: Iterable[int] = ()) -> State:
    """Return a batch of so many requests, of which some are over, and others have received so many of 24 instances."""
    state = fold(State(), BatchStarted(0.0, requests))
    for number, row in enumerate(done):
        at = _moment(number)
        state = _received(state, number, row.expected, row.received or 0, at, at + _SECONDS)
        counters = Counters(row.received, (row.expected or 0) - (row.received or 0), 0, 0)
        if row.expected:
            state = fold(state, MoveProgressed(at + _SECONDS, number, counters))
        ended = RequestEnded(at + _SECONDS, number, row.status, row.error, row.received, row.expected)
        state = fold(state, ended)
    for number, count in enumerate(running, len(done)):
        state = _received(state, number, 24, count, _moment(len(done)), _moment(len(done)) + 1.3)
    return state


def _received(state: State, number: int, expected: int | None, count: int, begun: float, over: float) -> State:
    state = fold(state, RequestStarted(begun, number))
    if expected is None:
        return state
    state = fold(state, MoveStarted(begun, number, number, expected))
    for n in range(count):
        state = fold(state, InstanceReceived(begun + (over - begun) * (n + 1) / count, number, _SIZE))
    return state


def _page(code: str, output: str) -> str:
    return f"<style>{_STYLE}</style><main><pre>{escape(code)}</pre>{output}</main>"


def tell(page: str) -> str:
    """Return the words and the colours of a page."""
    body = page.partition("</style>")[2]
    return "\n".join([*Words(body).words, *sorted(set(re.findall(r"#[0-9A-F]{6}", body)))])


def read_told(picture: Path) -> str:
    """Return what a picture tells, as far as it was kept in its file."""
    found = re.search(rb"zTXt" + _KEPT + rb"\0\0(.*)", picture.read_bytes(), re.DOTALL)
    return zlib.decompressobj().decompress(found[1]).decode() if found else ""


def _keep_told(png: bytes, told: str) -> bytes:
    """Return a picture with a text (PNG, 11.3.3.2) after its header."""
    chunk = b"zTXt" + _KEPT + b"\0\0" + zlib.compress(told.encode())
    header = 8 + 25
    parts = [png[:header], (len(chunk) - 4).to_bytes(4), chunk, zlib.crc32(chunk).to_bytes(4), png[header:]]
    return b"".join(parts)


def main() -> None:
    """Take the pictures."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_OPTIONS)
        tab = chromium.new_page(device_scale_factor=2)
        for name, make in PICTURES.items():
            page = make()
            tab.set_content(page)
            (_IMAGES / name).write_bytes(_keep_told(tab.locator("main").screenshot(), tell(page)))
        chromium.close()


if __name__ == "__main__":
    main()
