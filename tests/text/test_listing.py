"""Tables as plain text: aligned whatever stands in them, and harmless whatever an archive wrote."""

from __future__ import annotations

import io
import os
import unicodedata

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomover.text.listing import facts, listing, terminal_width


def columns(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide - sum(unicodedata.combining(character) > 0 for character in text)


def test_numbers_stand_right_and_texts_left() -> None:
    """A column of numbers, unknown ones among them, is aligned at its end, any other at its beginning."""
    rows = [[np.int64(7), "a", None, "x"], [pd.NA, "long", 12.5, ""], [1234, "b", "c", "y"]]
    assert listing(["n", "name", "mixed", "last"], rows).splitlines() == [
        "     n  name  mixed  last",
        "     7  a     -      x",
        "     -  long  12.5   -",
        "  1234  b     c      y",
    ]


def test_a_table_without_rows_has_its_headings() -> None:
    """Nothing to list is a line of headings, and no error."""
    assert listing(["row", "status"], []) == "  row  status"


def test_the_last_column_is_wrapped_below_itself() -> None:
    """A long sentence goes on where it began, and no line is wider than the terminal."""
    made = listing(
        ["row", "error"], [[1, "the archive does not know who should receive; ask its administrator"]], width=40
    )
    first, *rest = made.splitlines()[1:]
    assert first.startswith("    1  the archive")
    assert rest
    assert all(line.startswith(" " * 7) and line[7] != " " for line in rest)
    assert max(map(len, made.splitlines())) <= 40


def test_a_last_text_without_room_stands_below_its_row() -> None:
    """Where the columns before it leave no room for a sentence, it stands below, and no line is too wide."""
    why = "AccessionNumber looks like a number that a program has rewritten"
    rows = [["99990", "CT\\MR", None], ["124.0", None, why]]
    made = listing(["AccessionNumber", "modalities", "why"], rows, width=40)
    assert made.splitlines() == [
        "  AccessionNumber modalities why",
        "  99990           CT\\MR      -",
        "  124.0           -",
        "      AccessionNumber looks like a",
        "      number that a program has",
        "      rewritten",
    ]
    assert max(map(len, made.splitlines())) <= 40


def test_characters_are_as_wide_as_a_terminal_draws_them() -> None:
    """Wide and combining characters do not push the next column away."""
    made = listing(["name", "status"], [["山田", "a"], ["Mu\u0308ller", "b"], ["Smith", "c"]])
    ends = {columns(line[: line.rindex(last)]) for line, last in zip(made.splitlines()[1:], "abc", strict=True)}
    assert len(ends) == 1


@given(st.text())
def test_nothing_from_an_archive_controls_the_terminal(text: str) -> None:
    """Whatever a cell holds, it stays on its line and sends no control character."""
    made = listing(["name", "last"], [[text, "x"]])
    assert len(made.split("\n")) == 2
    assert all(character.isprintable() for character in made.replace("\n", ""))


def test_facts_are_labels_and_texts() -> None:
    """Texts begin in one column, and a long one goes on there."""
    made = facts([("Level", "STUDY"), ("Total time", "word " * 12)], width=50)
    assert made.splitlines()[0] == "  Level       STUDY"
    assert {len(line) - len(line.lstrip()) for line in made.splitlines()[2:]} == {14}
    assert facts([]) == ""


def test_a_word_that_is_too_long_stands_below_its_label() -> None:
    """A digest or a path keeps within the terminal where that is possible, and whole in any case."""
    made = facts([("Instances", "3"), ("Hash", "f" * 71), ("Path", "/a" * 60)], width=80)
    assert made.splitlines() == ["  Instances  3", "  Hash", "    " + "f" * 71, "  Path", "    " + "/a" * 60]


def test_the_width_is_that_of_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal has its own width, but at least 40 columns; anything else has the one that is given."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert terminal_width(77) == 77
    monkeypatch.setattr("sys.stdout", None)
    assert terminal_width() == 100
    monkeypatch.setattr("sys.stdout", Terminal())
    for has, width in ((132, 132), (20, 40)):
        monkeypatch.setattr("shutil.get_terminal_size", lambda *_, has=has, **__: os.terminal_size((has, 24)))
        assert terminal_width() == width
