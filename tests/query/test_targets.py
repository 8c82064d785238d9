"""What a request comes to, as values."""

from __future__ import annotations

from dicomover.identifier import Identifier, Level, Model
from dicomover.query.targets import Resolution, Target, TooManyMatches


def identifier(**keys: str) -> Identifier:
    """Return a study's."""
    return Identifier(Level.STUDY, Model.PATIENT, study="1", **keys)


def test_whose_a_target_is() -> None:
    """The answers say whose it is; where they do not, the request does."""
    assert Target(identifier(patient="P")).named_patients == ("P",)
    assert Target(identifier(patient="P"), patients=("p ",)).named_patients == ("p ",)
    assert Target(identifier()).named_patients == ()


def test_all_are_expected_only_if_each_is_counted() -> None:
    """A number for a part of them would be too small."""
    parts = (Target(identifier(), expected=2), Target(identifier(), expected=3))
    assert Resolution(parts).expected == 5
    assert Resolution((*parts, Target(identifier()))).expected is None
    assert Resolution(()).expected is None


def test_how_many_are_too_many() -> None:
    """The limit is named as it is set, and the number kept."""
    error = TooManyMatches(Level.STUDY, 100, 101)
    assert error.matches == 101
    assert "more than max_matches=100 studies match" in str(error)
