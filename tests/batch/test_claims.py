"""What the rows of a batch hold: who waits for whom, and that nothing is left behind."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomover.batch.claims import Claims
from dicomover.journal import BELOW

PATHS = [BELOW.join(path.split("/")) for path in ("1", "1/a", "1/b", "1/a/x", "1/a/y", "1/ab", "11", "11/a")]


@pytest.mark.parametrize(
    ("wanted", "waits"), [("1", True), ("1/a", True), ("1/a/x", True), ("1/b", False), ("1/ab", False), ("11", False)]
)
def test_what_is_above_and_below_is_held_too(wanted: str, waits: bool) -> None:
    """A series is held against its study, itself and its images, and against no other series."""
    claims = Claims()
    claims.add(7, {BELOW.join(["1", "a"]): "C-MOVE"})
    other = claims.find_other(8, {wanted.replace("/", BELOW): "another"})
    assert other == (7 if waits else None)
    assert claims.find_other(7, {wanted.replace("/", BELOW): "another"}) is None, "it waits for itself"


def test_who_shares_the_c_move_waits_for_nobody() -> None:
    """Rows of the same hold it together, until the last one needs it no more."""
    claims = Claims()
    for row in (1, 2):
        assert claims.find_other(row, {"1": "C-MOVE"}) is None
        claims.add(row, {"1": "C-MOVE"})
    assert claims.let_go(1) == []
    assert claims.find_other(3, {"1": "another"}) == 2
    assert claims.let_go(2) == ["1"]
    assert claims.find_other(3, {"1": "another"}) is None


@given(
    steps=st.lists(st.tuples(st.integers(0, 4), st.lists(st.sampled_from(PATHS), min_size=1, max_size=3, unique=True)))
)
def test_no_two_rows_hold_the_same_and_nothing_is_left_behind(steps: list[tuple[int, list[str]]]) -> None:
    """Whatever comes and goes: held is what no other row holds some of, and in the end nothing is."""
    claims, held = Claims(), dict[int, set[str]]()
    for row, paths in steps:
        if row in held:
            assert set(claims.let_go(row)) == held.pop(row)
            continue
        wanted = dict.fromkeys(paths, row)
        others = {
            other
            for other, theirs in held.items()
            for one in theirs
            for path in paths
            if (one + BELOW).startswith(path + BELOW) or (path + BELOW).startswith(one + BELOW)
        }
        found = claims.find_other(row, wanted)
        assert (found in others) if others else (found is None)
        if not others:
            claims.add(row, wanted)
            held[row] = set(paths)
    for row in held:
        claims.let_go(row)
    assert not any(path in claims for path in PATHS)
    assert not any((claims._rows, claims._below, claims._keys))
