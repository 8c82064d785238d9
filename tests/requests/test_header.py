"""The header of a file of requests: which of its columns are keys."""

from __future__ import annotations

import pytest

from dicomover.requests.header import NoTable, check_names, is_key, number_doubles


@pytest.mark.parametrize(
    ("column", "key"),
    [
        ("PatientID", True),
        ("0008,0050", True),
        ("StudyUID", True),
        ("key:StudyDate", True),
        ("StudyDate", False),
        ("", False),
    ],
)
def test_keys(column: str, key: bool) -> None:
    """A key is one by its name, by its tag, by `key:`, or nearly."""
    assert is_key(column) is key


def test_doubles() -> None:
    """Two columns of one key are refused with their place; others get names that differ."""
    with pytest.raises(NoTable) as caught:
        check_names("row 3", ["PatientID", "note", "PatientID", "note"])
    assert (caught.value.where, caught.value.mend) == ("row 3", "keep one of them")
    check_names("row 3", ["note", "note"])
    assert number_doubles(["a", "a", "a.1", "a"]) == ["a", "a.1", "a.1.1", "a.2"]
