"""A table to be read: whole sentences in text and HTML, and a DataFrame for all else."""

from __future__ import annotations

import re

import pandas as pd

from dicomover.text.wholetable import WholeTable

WHY = "0xC000 (unable to process), 0 of 4 moved; run it again, and ask the archive's administrator if it stays so"


def test_a_sentence_is_shown_whole() -> None:
    """Nothing is cut off, on a page and in a terminal, where the lines break between words."""
    table = WholeTable({"status": ["failure"], "error": [WHY]})
    assert WHY.replace("'", "&#x27;") in table._repr_html_() or WHY in table._repr_html_()
    assert WHY in " ".join(repr(table).split())
    assert "<script" not in WholeTable({"a": ["<script>\u202e"]})._repr_html_()
    assert "\u202e" not in WholeTable({"a": ["<script>\u202e"]})._repr_html_()


def test_its_page_is_to_be_read() -> None:
    """Sentences begin at the left, also where a notebook moves cells to the right, and what is unknown is blank."""
    table = WholeTable({"received": pd.array([3, None], dtype="Int64"), "error": pd.array([None, WHY], dtype="string")})
    page = table._repr_html_()
    assert "NA" not in page
    cells = re.findall("<t[dh](?=[ >])([^>]*)>", page)
    assert len(cells) == 9
    assert all("text-align: left" in cell for cell in cells)


def test_what_is_made_of_it_is_plain() -> None:
    """A selection, a copy and a result are DataFrames like any other; so is what it is compared with."""
    table = WholeTable({"status": ["ok", "failed"], "error": ["", WHY]})
    assert isinstance(table, pd.DataFrame)
    assert type(table[table.status == "failed"]) is pd.DataFrame
    assert type(table.assign(n=1)) is pd.DataFrame
    assert repr(WholeTable({"a": []})).strip() == "a"
