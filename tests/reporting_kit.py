"""What the tests of reports share: a night with every kind of row, and a page that is read back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pandas as pd

from dicomover import Status
from dicomover.outcome import Counters
from dicomover.summary import Result, build

BEGAN = datetime(2024, 2, 29, 19, 0, 0, tzinfo=UTC)


UNKNOWN = "0xA801 (Move Destination unknown): ask the archive's administrator to add the AE title 'ME'"


def moved(count: int, *, failed: int = 0, at: float = 0.0, seconds: float = 2.0, **more: object) -> Result:
    """Return the result of a row of which so many instances are here."""
    error = f"0xB000, {count} of {count + failed} moved, {failed} failed" if failed else None
    status = Status.PARTIAL if failed else Status.SUCCESS
    known = {"received": count, "bytes": count * 1_000_000, "error": error, **more}
    return Result(
        status, 0xB000 if failed else 0, 1, count + failed, Counters(count, failed, 0), attempts=1,
        started=BEGAN + timedelta(seconds=at), seconds=seconds, **known,  # type: ignore[arg-type]
    )  # fmt: skip


def table(results: list[Result], index: pd.Index | None = None) -> pd.DataFrame:
    """Return a summary of these results whose keys are canaries."""
    given = pd.DataFrame(
        {
            "PatientID": [f"CANARY-{n}" for n in range(len(results))],
            "AccessionNumber": [f"CANARY-ACC{n}" for n in range(len(results))],
            "note": ["CANARY^NAME"] * len(results),
        },
        index=index,
        dtype="string",
    )
    return build(results, given)


NIGHT = [
    moved(10),
    moved(7, failed=1, at=10),
    moved(3, failed=4, at=20),
    Result(Status.NOT_FOUND, matches=0, error="C-FIND has no match"),
    *[Result(Status.CANCELLED, error="not sent: the batch was cancelled")] * 4,
    Result(Status.FAILURE, 0xA801, expected=5, attempts=3, started=BEGAN, seconds=1.0, error=UNKNOWN),
    Result(Status.SKIPPED, received=20, bytes=20_000_000),
]


class Page(HTMLParser):
    """Checks that tags match, and gathers text and attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.values: list[str] = []
        self.text = ""
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open a tag."""
        self.tags.append(tag)
        self.values += [f"{name}={value}" for name, value in attrs]
        if tag not in ("meta", "br", "link", "img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close the tag that was opened last."""
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag that closes itself."""
        self.tags.append(tag)
        self.values += [f"{name}={value}" for name, value in attrs]

    def handle_data(self, data: str) -> None:
        """Keep the text."""
        self.text += data
