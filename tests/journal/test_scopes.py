"""What a request comes to, as the journal names it."""

from __future__ import annotations

import pytest

from dicomover.identifier import Identifier, Level, Model
from dicomover.journal import Place, Scope
from dicomover.journal.scopes import pack_scopes, unpack_scopes
from dicomover.privacy import DamagedRecord
from journal_kit import STUDY


def test_a_scope_is_named_by_what_a_c_move_asks_for() -> None:
    """Its level and UIDs, several images each by itself, and whose they are; nothing of that is shown of a patient."""
    scope = Scope.of(Identifier(Level.IMAGE, Model.PATIENT, "SECRET", "1", "1.2", "1.2.1\\1.2.2"), "SECRET")
    assert scope == Scope(Level.IMAGE, "1", "1.2", ("1.2.1", "1.2.2"), "SECRET")
    assert "SECRET" not in repr(scope)


def test_two_places_have_two_numbers() -> None:
    """The archive and the destination both count, and the same two have the same number next year."""
    places = {Place.of(*both).number for both in (("A", None), ("A", "B"), (("A", "h", "1"), None), ("B", "A"))}
    assert len(places) == 4
    assert Place.of("A", None).number == 7399720867103986849


@pytest.mark.parametrize("packed", [None, 7, "text", b"", b"\0", b"x\x9c"])
def test_scopes_that_are_none_are_damaged(packed: object) -> None:
    """Whatever stands there is read or is our error."""
    with pytest.raises(DamagedRecord):
        unpack_scopes(packed, "key")


def test_scopes_of_another_request_are_none() -> None:
    """What stands under another key than it was written for is not known."""
    assert unpack_scopes(pack_scopes((STUDY,), "a"), "a") == (STUDY,)
    assert unpack_scopes(pack_scopes((STUDY,), "a"), "b") is None
