"""The encoding of a text: what its bytes say, and how a guess is told."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomover.requests.encoding import Undecodable, decode, describe_guess

TEXT = "AccessionNumber;ward\r\n00123;Zürich\r\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_what_the_bytes_say(encoding: str) -> None:
    """UTF-8, UTF-16 and UTF-32 are known by their bytes, and nothing is guessed."""
    text, guessed = decode(TEXT.encode(encoding))
    assert (text.removeprefix("\ufeff"), guessed) == (TEXT, False)


def test_a_mark_says_the_order() -> None:
    """The bytes of UTF-16 and UTF-32 may come in either order."""
    assert decode(codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"))[0] == TEXT
    assert decode(codecs.BOM_UTF32_BE + TEXT.encode("utf-32-be"))[0] == TEXT


def test_half_a_character() -> None:
    """What is UTF-16 by its first bytes and not to its end is damaged, and no Windows-1252."""
    with pytest.raises(Undecodable, match="UTF-16"):
        decode(TEXT.encode("utf-16")[:-1])


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0\ufeff")))
def test_any_text_of_utf_8(text: str) -> None:
    """What was written as UTF-8 is never guessed at, as long as it has no NUL."""
    assert decode(text.encode()) == (text, False)


@given(st.binary())
def test_any_bytes(raw: bytes) -> None:
    """Whatever a file holds, it is a text or it is said to be damaged."""
    try:
        text, _ = decode(raw)
    except Undecodable:
        return
    assert isinstance(text, str)


def test_a_guess_shows_no_letters() -> None:
    """A cell of no key is shown by its shape, with the letters that are in question; of keys there is only a count."""
    rows = [(1, ["PatientID", "name"]), (2, ["Ä1", "x"]), (3, ["É2", "Åsa Öberg 47"])]
    assert describe_guess(rows[:2]) == "where 1 cell of a key has such letters"
    assert describe_guess(rows) == (
        "where cell 2 of line 3 is now 'Åaa Öaaaa 99' (a for a letter, 9 for a digit), and 2 cells of keys have such "
        "letters too"
    )
    assert describe_guess([(1, ["Größe"]), (2, ["1"])]).startswith("where cell 1 of line 1 is now 'Aaößa'")
    assert describe_guess([(1, ["name"]), (2, ["Èâàíîâ Èâàí"])]).startswith("where cell 1 of line 2 is now 'Èâ…'")
