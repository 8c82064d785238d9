"""Which presentation contexts the archive accepts, and in which roles."""

from __future__ import annotations

import pytest

from dicomover.testing import (
    DemoPacs,
    made_study,
)
from dicomover.wire.command_set import C_GET_RQ
from testing_kit import BOTH, CT, EXPLICIT, GET, NEITHER, SCP, client_of, move_keys


def test_one_model_only() -> None:
    """An archive without Study Root refuses its presentation contexts."""
    with DemoPacs([], models=["PATIENT"]) as pacs, client_of(pacs, stored=()) as client:
        assert client.connection.contexts == {}


@pytest.mark.parametrize(
    ("get", "roles", "ids"),
    [(True, SCP, {1, 3, 5, 7}), (True, BOTH, {1, 3, 5, 7}), (True, NEITHER, {1, 3, 5}), (False, SCP, {1, 3})],
)
def test_images_are_stored_to_their_scp(get: bool, roles: tuple[bool, bool], ids: set[int]) -> None:
    """A storage SOP Class is accepted from one who proposes to be its SCP, by an archive that serves C-GET."""
    with DemoPacs([], get=get) as pacs, client_of(pacs, roles=roles) as client:
        assert set(client.connection.contexts) == ids
        assert (GET in {context.abstract_syntax for context in client.connection.contexts.values()}) is get


def test_one_context_for_each_pair() -> None:
    """Each context is accepted in its own transfer syntax, the compressed ones too."""
    syntaxes = (EXPLICIT, "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5")
    with DemoPacs([]) as pacs, client_of(pacs, stored=[(CT, syntax) for syntax in syntaxes]) as client:
        accepted = list(client.connection.contexts.values())[3:]
        assert [context.transfer_syntaxes for context in accepted] == [(syntax,) for syntax in syntaxes]


@pytest.mark.parametrize(
    ("how", "roles", "ids", "counters"),
    [
        ("associate-no-storage", SCP, {1, 3, 5}, (0, 3, 0)),
        ("associate-refuses-roles", SCP, {1, 3, 5}, (0, 3, 0)),
        ("associate-wants-both-roles", SCP, {1, 3, 5}, (0, 3, 0)),
        ("associate-wants-both-roles", BOTH, {1, 3, 5, 7}, (3, 0, 0)),
        ("associate-without-roles", SCP, {1, 3, 5, 7}, (3, 0, 0)),
        ("associate-unproposed-context", SCP, {1, 3, 5, 7}, (3, 0, 0)),
    ],
)
def test_roles_and_what_becomes_of_a_get(
    how: str, roles: tuple[bool, bool], ids: set[int], counters: tuple[int, int, int]
) -> None:
    """Images come only over a context that was accepted in the role, however oddly the archive says so."""
    with DemoPacs([made_study("A")], on_associate=how) as pacs, client_of(pacs, roles=roles) as client:
        assert set(client.connection.contexts) == ids
        assert client.ask(C_GET_RQ, move_keys(pacs, "A")).counters == counters
