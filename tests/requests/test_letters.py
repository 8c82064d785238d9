"""Characters that a value cannot have, named by their code point."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomover.requests.letters import find_bad_letter, find_look_alike


@pytest.mark.parametrize("vr", ["LO", "PN", "SH", "ST", "UT"])
@pytest.mark.parametrize("text", ["Müller", "山田\u3000太郎", "علی\u200cرضا", "अक्\u200dष", "Петров", "–", "１２"])
def test_what_texts_may_have(vr: str, text: str) -> None:
    """Letters of all alphabets are texts, joiners between them and the Japanese space too."""
    assert find_bad_letter(vr, text) is None


@given(st.sampled_from(["CS", "DA", "LO", "PN", "UI", "US"]), st.text())
def test_every_character_can_be_named(vr: str, text: str) -> None:
    """Whatever characters a text has, they are passed or named, with a mend."""
    for found in (find_bad_letter(vr, text), find_look_alike(text)):
        assert found is None or all(part.isprintable() for part in found)
    if vr not in ("LO", "PN") and find_bad_letter(vr, text) is None:
        assert text.isascii()
        assert text.isprintable()
