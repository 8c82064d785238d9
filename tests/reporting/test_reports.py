"""The report: what it says of a batch in tables, text and HTML, and what it keeps to itself."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

import dicomover
from dicomover import report
from dicomover.reporting import Report, Run
from dicomover.summary import Result
from dicomover.testing import DemoPacs, made_study
from reporting_kit import NIGHT, Page, moved, table


def test_a_move_counts_once_what_was_asked_for_twice(tmp_path: Path) -> None:
    """The report of a batch with repeated rows says what lies on the disk, in the first run and in the next."""
    with (
        DemoPacs([made_study("A", instances=5)]) as pacs,
        dicomover.Mover(pacs.node, receive=tmp_path, port=0, progress="none") as mover,
    ):
        pacs.destinations["MOVESCU"] = mover.port
        for _ in range(2):
            totals = report(mover.move([{"AccessionNumber": "A"}] * 3)).totals.loc["all"]
            assert totals[["rows", "received"]].tolist() == [3, len(list(tmp_path.rglob("*.dcm")))]


@pytest.mark.parametrize(
    "index",
    [
        None,
        pd.Index([f"CANARY-{n}" for n in range(10)]),
        pd.Index(range(4711000, 4711010), name="PatientID"),
        pd.MultiIndex.from_product([["CANARY"], range(4711000, 4711010)]),
    ],
    ids=["numbers", "texts", "named", "several"],
)
def test_nothing_of_a_patient_unless_asked_for(index: pd.Index | None, tmp_path: Path) -> None:
    """Keys, other columns and an index that may name patients stay out of all that a report shows."""
    made = report(table(NIGHT, index))
    shown = [str(made), repr(made), made._repr_html_(), made.write_html(tmp_path / "page.html").read_text()]
    for text in shown:
        assert "CANARY" not in text
        assert "4711" not in text
    asked = report(table(NIGHT, index), show_keys=True)
    for text in (str(asked), asked._repr_html_(), made.write_html(tmp_path / "page.html", show_keys=True).read_text()):
        assert "CANARY-ACC3" in text
        assert "CANARY^NAME" not in text


def test_an_unfinished_and_an_empty_batch() -> None:
    """Rows that are not over say so, and no rows at all are no error."""
    running = Report(table([moved(2), Result()]), run=Run(over=False))
    assert "2 requests, 1 of them not over yet" in str(running)
    assert re.search(r"1 row +1 +not over", str(running))
    assert "nan" not in (str(running) + running._repr_html_()).lower()
    nothing = report(table([]))
    assert str(nothing).startswith("Report: no requests")
    Page(nothing._repr_html_())
    assert nothing.timeline.empty
    assert nothing.reasons.empty


# --- what a job knows
