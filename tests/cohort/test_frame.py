"""The rows of a table as JSON keeps them, and the table again."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohort_strategies import texts
from dicomover import Cohort, Mover, RequestError
from dicomover.cohort.frame import join_table, split_table
from dicomover.testing import DemoPacs


@given(st.lists(st.tuples(texts, st.none() | st.integers(-(2**53), 2**53), st.booleans()), max_size=5))
def test_a_table_comes_back(rows: list[tuple[object, ...]]) -> None:
    """Texts, gaps, numbers and truth values have the dtype and the value that they had."""
    table = pd.DataFrame(rows, columns=["text", "number", "truth"])
    table = table.astype({"text": "string", "number": "Int64", "truth": "bool"})
    frame, names, taken = split_table(table)
    pd.testing.assert_frame_equal(join_table(frame, names, json.loads(json.dumps(taken))), table)


def test_what_json_has_no_word_for_comes_back_as_text() -> None:
    """Categories and odd objects are kept as text, infinite numbers too, and gaps stay gaps."""
    table = pd.DataFrame(
        {
            "split": pd.Categorical(["train", None]),
            "share": [float("inf"), float("nan")],
            "odd": [("a", 1), None],
            7: [1, 2],
        },
        index=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["site", None]),
    )
    frame, names, rows = split_table(table)
    again = join_table(frame, names, json.loads(json.dumps(rows, allow_nan=False)))
    assert again.index.equals(table.index)
    assert list(again.index.names) == ["site", None]
    assert again["split"].tolist() == ["train", pd.NA]
    assert again["share"].tolist()[0] == float("inf")
    assert again["share"].isna().tolist() == [False, True]
    assert again["odd"].tolist()[0] == "('a', 1)"
    assert again["7"].tolist() == [1, 2]


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_moments_come_back_as_moments(pacs: DemoPacs, tmp_path: Path, zone: str | None) -> None:
    """A column of moments rides along through a lockfile as it was, time zone and gaps included."""
    when = pd.Series(pd.to_datetime(["2024-01-31 10:30", None])).dt.tz_localize(zone)
    table = pd.DataFrame({"AccessionNumber": ["00123", "4"], "when": when})
    Mover(pacs.node).lock(table, tmp_path / "cohort.lock.json")
    pd.testing.assert_series_equal(Cohort.load(tmp_path / "cohort.lock.json").requests["when"], when, check_names=False)


def test_two_columns_of_one_name_are_refused() -> None:
    """They could not be told apart in the file."""
    with pytest.raises(RequestError, match="'age' is there twice"):
        split_table(pd.DataFrame([[1, 2]], columns=["age", "age"]))
