"""What a row is called where people look, and that no patient is named unless asked for."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from dicomover.progress import State
from dicomover.progress.labels import row_labels
from dicomover.progress.text import (
    rows,
    unlisted,
)


def test_rows_are_named_by_their_labels() -> None:
    """Rows are called by what the table calls them, few of many."""
    assert rows(3, (0, 1, 2), lambda position: f"a{position}") == "rows a0, a1, a2"
    assert rows(1_000, (0, 1), str) == "rows 0, 1 and 998 more"
    assert unlisted(State(unlisted=1)) == "and 1 more row for other reasons"


@dataclass
class Asked:
    """Stands for a request."""

    position: int
    keys: dict[str, str]


def test_labels_name_no_patient_unless_asked() -> None:
    """Only numbers without a name are labels; texts and named columns are not, and keys come only where asked for."""
    asked = [Asked(0, {"PatientID": "P-1", "StudyDate": ""}), Asked(2, {"PatientID": "P-3", "StudyDate": "20240101"})]
    numbers, names = pd.Index([7, 8, 9]), pd.Index(["Doe", "Roe", "Poe"])
    column = pd.Index([4711, 4712, 4713], name="PatientID")
    assert [row_labels(index, asked)(2) for index in (numbers, names, column)] == ["9", "2", "2"]
    assert row_labels(pd.Index([7, 7, 7]), asked)(2) == "2"  # a label that is there twice names no row
    label = row_labels(numbers, asked, show_keys=True)
    assert [label(0), label(1), label(2)] == ["7 (PatientID P-1)", "8", "9 (PatientID P-3, StudyDate 20240101)"]
