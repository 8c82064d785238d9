"""A script without a word is good manners."""

from __future__ import annotations

import dataclasses

from dicomover.testing._script import Script, Storing


def test_the_defaults_change_nothing() -> None:
    """No twist is set, nothing is left out, and scripts compare by what they do."""
    plain = Script()
    assert (plain.acceptance, plain.response, plain.storing) == (None, None, Storing())
    assert (plain.again, plain.counts_from, plain.together, plain.charset) == (0, 0, False, None)
    assert dataclasses.replace(plain, again=1) != plain == Script("move")
