"""What spreadsheets and programs leave in a cell, and what only looks like it."""

from __future__ import annotations

import pandas as pd
import pytest

from dicomover.errors import RequestError
from dicomover.requests.parse import parse_requests
from requests_kit import parsed

LEFT_OVER = ["NaN", "nan", "NA", "#N/A", "#NV", "#REF!", "#NAME?", "None", "NULL", "<NA>", "NaT", "1,234", "12,345,678",
             '="00123"', "'00123"]  # fmt: skip


@pytest.mark.parametrize("keyword", ["AccessionNumber", "PatientID"])
@pytest.mark.parametrize("text", LEFT_OVER)
def test_what_programs_leave_in_tables(keyword: str, text: str) -> None:
    """What a spreadsheet or a program leaves in a cell is named with how to ask for it if it is real: by a dict."""
    with pytest.raises(RequestError) as caught:
        parse_requests(pd.DataFrame({keyword: [text, "00123"]}))
    (problem,) = caught.value.problems
    assert (problem.position, problem.column, problem.value) == (0, keyword, text)
    assert f"ask for it in a dict: {{'{keyword}': …}}" in problem.mend
    if "?" not in text:  # a wildcard
        assert dict(parsed({keyword: text}).keys) == {keyword: text}


@pytest.mark.parametrize("text", ["00123", "NA12", "1,23", "12,34,567", "#12", "Nanny", "A'1", "none-such", "1.234"])
def test_what_may_stand_in_tables(text: str) -> None:
    """What only resembles such a leftover goes on."""
    (request,) = parse_requests(pd.DataFrame({"AccessionNumber": [text]})).requests
    assert dict(request.keys) == {"AccessionNumber": text}
