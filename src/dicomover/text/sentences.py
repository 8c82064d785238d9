"""Sentences for people that differ in their numbers only, told once."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["count_of", "distinct", "extremes", "kind_of", "merge", "part_of", "span_of"]

# Not the numbers of status codes, addresses, versions and reasons such as 0xA702, 10.1.2.3:104 and 1/1/7.
_NUMBER = re.compile(r"(?<![\w.:/,])(?:\d{1,3}(?:,\d{3})+|\d+)(?![\w:/]|[.,]\d)")


def count_of(number: int, noun: str, plural: str = "") -> str:
    """Say how many there are of something.

    Examples
    --------
    >>> count_of(1, "request"), count_of(2000, "request"), count_of(2, "study", "studies")
    ('1 request', '2,000 requests', '2 studies')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def part_of(number: int | None, whole: int | None) -> str:
    """Say how many of how many; empty where neither is known.

    Examples
    --------
    >>> part_of(2, 1300), part_of(None, 3), part_of(None, None)
    ('2 of 1,300', '? of 3', '')
    """
    known = ["?" if one is None else f"{one:,}" for one in (number, whole)]
    return "" if known == ["?", "?"] else " of ".join(known)


def kind_of(sentence: str) -> str:
    """Return a sentence without its numbers; two of one kind say the same.

    Examples
    --------
    >>> kind_of("0xB000, 3 of 5 moved")
    '0xB000, # of # moved'
    """
    return _NUMBER.sub("#", sentence)


def merge(sentences: Sequence[str]) -> str:
    """Return sentences of one kind as one, with a range where a number differs; an empty text for none.

    Examples
    --------
    >>> merge(["0xB000, 3 of 5 moved", "0xB000, 4 of 5 moved"])
    '0xB000, 3 to 4 of 5 moved'
    """
    if len(sentences) < 2:
        return "".join(sentences)
    found = [_NUMBER.findall(sentence) for sentence in sentences]
    spread = iter([sorted(numbers, key=_value) for numbers in zip(*found, strict=True)])

    def span(_: re.Match[str]) -> str:
        least, *_between, most = next(spread)
        return least if _value(least) == _value(most) else f"{least} to {most}"

    return _NUMBER.sub(span, sentences[0])


def extremes(sentences: Sequence[str]) -> tuple[str, str]:
    """Return two sentences for many of one kind: one with the least number at each place, one with the largest.

    `merge` makes the same of these two as of all of them.

    Examples
    --------
    >>> extremes(["3 of 5 moved", "4 of 5 moved", "2 of 9 moved"])
    ('2 of 5 moved', '4 of 9 moved')
    """
    found = [_NUMBER.findall(sentence) for sentence in sentences]
    places = [sorted(numbers, key=_value) for numbers in zip(*found, strict=True)]
    least, most = (iter([numbers[end] for numbers in places]) for end in (0, -1))
    return _NUMBER.sub(lambda _: next(least), sentences[0]), _NUMBER.sub(lambda _: next(most), sentences[0])


def span_of(names: Sequence[str], most: int = 5) -> str:
    """Return names, each once, runs of numbers as such, and of the rest how many they are.

    Examples
    --------
    >>> span_of(["0", "1", "2", "7"]), span_of([str(n) for n in range(0, 40, 2)])
    ('0 to 2, 7', '0, 2, 4, 6, 8 and 15 more')
    """
    runs: list[list[str]] = []
    for name in dict.fromkeys(names):
        if runs and name.isdecimal() and runs[-1][-1].isdecimal() and int(name) == int(runs[-1][-1]) + 1:
            runs[-1].append(name)
        else:
            runs.append([name])
    shown = [run[0] if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs[:most]]
    rest = sum(map(len, runs[most:]))
    return ", ".join(shown) + (f" and {rest:,} more" if rest else "")


def distinct(sentences: Sequence[str]) -> list[str]:
    """Return each kind of sentence once, in the order in which they first come.

    Examples
    --------
    >>> distinct(["0xB000, 3 of 5 moved", "cancelled", "0xB000, 4 of 5 moved"])
    ['0xB000, 3 to 4 of 5 moved', 'cancelled']
    """
    kinds: dict[str, list[str]] = {}
    for sentence in sentences:
        kinds.setdefault(kind_of(sentence), []).append(sentence)
    return [merge(alike) for alike in kinds.values()]


def _value(number: str) -> int:
    return int(number.replace(",", ""))
