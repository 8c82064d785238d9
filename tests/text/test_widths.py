"""How wide a text is in a terminal, and where its lines are broken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomover.text.widths import columns_of, fit


@pytest.mark.parametrize(("text", "columns"), [("", 0), ("abc", 3), ("日本", 4), ("e\u0301", 1)])
def test_a_letter_takes_its_columns(text: str, columns: int) -> None:
    """A terminal gives an East Asian letter two columns, and a combining mark none."""
    assert columns_of(text) == columns


@given(st.lists(st.text(alphabet="ab-/", min_size=1, max_size=30), max_size=30))
def test_lines_are_broken_between_words(words: list[str]) -> None:
    """Every word stays whole, in its order; a line is too long only where one word is."""
    lines = fit(f"  {' '.join(words)}", 40).split("\n")
    assert " ".join(lines).split() == words
    assert all(len(line) <= 40 for line in lines)
    assert all(line.startswith("    ") for line in lines[1:])
