"""What a value looks like, without what it says."""

from __future__ import annotations

import decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomover.text.shapes import shape_of


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        ("MILLER^Anna", "'AAAAAA^Aaaa'"),
        ("", "''"),
        ("*123*", "'*999*'"),
        ("20230101\u20132024", "'99999999–9999'"),
        ("1\n\u202e2", "'9\\n\\u202e9'"),
        ("é\u0301山", "'aA'"),
        ("x" * 100, "'" + "a" * 32 + "…'"),
        (123, "999"),
        (np.float64(1.5), "9.9"),
        (decimal.Decimal("1.5"), "9.9"),
        (True, "True"),
        (["a", "b"], "[2 values]"),
        (("a",), "[1 value]"),
        (b"abc", "<bytes>"),
        ({"a": 1}, "<dict>"),
    ],
)
def test_shapes(value: object, shape: str) -> None:
    """Digits, letters and their number stay to be seen, and what else there is."""
    assert shape_of(value) == shape


@given(st.text())
def test_no_letter_and_no_digit_is_told(text: str) -> None:
    """Nothing but 9, A and a is left of letters and digits."""
    shown = shape_of(text)
    if text.isprintable():
        assert {letter for letter in shown if letter.isalnum()} <= set("9Aa")
