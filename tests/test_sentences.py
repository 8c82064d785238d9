"""Sentences that differ in their numbers only are told once."""

from __future__ import annotations

import pytest

from dicomover.sentences import distinct, merge


@pytest.mark.parametrize(
    ("sentences", "merged"),
    [
        ([], ""),
        (["lost"], "lost"),
        (["port 104, 2 of 3", "port 104, 1 of 3"], "port 104, 1 to 2 of 3"),
        (["1 of 9", "10 of 9", "2 of 9"], "1 to 10 of 9"),
        (["1,234 match", "999 match"], "999 to 1,234 match"),
        (["0xA801 at 10.1.2.3:104", "0xA801 at 10.1.2.3:104"], "0xA801 at 10.1.2.3:104"),
    ],
)
def test_sentences_are_merged(sentences: list[str], merged: str) -> None:
    """Only numbers that differ become a range, by their size; status codes and addresses stay."""
    assert merge(sentences) == merged


def test_other_things_are_not_merged() -> None:
    """Two status codes, two addresses, two rejections, two dates are two things."""
    other = ["0xA700 (no room)", "0xA702 (no room)", "at 10.1.2.3:104", "at 10.1.2.3:105", "(1/1/3)", "(1/1/7)"]
    assert distinct(other) == other
