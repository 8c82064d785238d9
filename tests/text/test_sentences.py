"""Sentences that differ in their numbers only are told once."""

from __future__ import annotations

import pytest

from dicomover.text.sentences import distinct, extremes, merge, span_of


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


def test_two_stand_for_many() -> None:
    """The extremes of many sentences merge to what all of them merge to, also one after the other."""
    many = [f"{count:,} of {1000 - count} moved, 0xB000" for count in (500, 3, 999, 42)]
    least, most = extremes(many[:1])
    for sentence in many[1:]:
        least, most = extremes([least, most, sentence])
    assert (least, most) == extremes(many) == ("3 of 1 moved, 0xB000", "999 of 997 moved, 0xB000")
    assert merge([least, most]) == merge(many)


@pytest.mark.parametrize(
    ("names", "span"),
    [([], ""), (["3"], "3"), (["3", "3"], "3"), (["9", "10", "11"], "9 to 11"), (["'a'", "'b'"], "'a', 'b'"),
     (["2", "1"], "2, 1"), ([str(n * 2) for n in range(1005)], "0, 2, 4, 6, 8 and 1,000 more")],
)  # fmt: skip
def test_many_names_are_few_words(names: list[str], span: str) -> None:
    """Runs of numbers are told by their ends, each name once, and the rest is counted."""
    assert span_of(names) == span
