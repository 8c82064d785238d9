"""Which keys match what."""

from __future__ import annotations

import pytest

from dicomover.testing._search import matches


@pytest.mark.parametrize(
    ("keyword", "wanted", "value", "result"),
    [
        ("AccessionNumber", "A1", "A1", True),
        ("AccessionNumber", "a1", "A1", False),
        ("AccessionNumber", "A*", "A1", True),
        ("AccessionNumber", "A?", "A12", False),
        ("AccessionNumber", "A.", "A1", False),
        ("AccessionNumber", "*", "", True),
        ("StudyInstanceUID", "1.2*", "1.2.3", False),
        ("StudyInstanceUID", "1.2\\1.2.3", "1.2.3", True),
        ("PatientName", "mueller^*", "Mueller^A", True),
        ("PatientName", "Mueller", "Mueller^^", True),
        ("StudyDate", "20240101-20240131", "20240131", True),
        ("StudyDate", "-20240131", "20240201", False),
        ("StudyDate", "-20240131", "", False),
        ("StudyDate", "20240131", "20240131", True),
        ("StudyTime", "10-11", "115959", True),
        ("StudyTime", "10-11", "120000", False),
        ("ModalitiesInStudy", "MR", "CT\\MR", True),
        ("SeriesNumber", "1", "01", True),
        ("SeriesNumber", "x", "01", False),
    ],
)
def test_matching(keyword: str, wanted: str, value: str, result: bool) -> None:
    """Single value, wildcard, list of UID, range and universal matching."""
    assert matches(keyword, wanted, value) is result
