"""Which presentation contexts are accepted, and in which transfer syntax."""

from __future__ import annotations

import pynetdicom.sop_class as known
import pytest

from dicomover.errors import ConfigurationError
from dicomover.events import Admission, Offer, Refused
from dicomover.receiver.scp.contexts import (
    accept_contexts,
    explain_refused,
    find_offers,
    is_storage,
    parse_accept,
)
from dicomover.wire.messages import Context
from receiver_kit import (
    CT,
    EXPLICIT,
    IMPLICIT,
    Start,
)

JPEG, BIG, DEFLATED_ = "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"


def test_contexts_that_we_do_not_serve_are_refused_one_by_one(start_one: Start) -> None:
    """Storage and unknown classes are accepted in the first syntax that can be filed; others are refused."""
    offered = (
        Context(1, CT, ("1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.4.70", EXPLICIT)),
        Context(3, CT, ("1.2.840.10008.1.2.1.99",)),
        Context(5, "1.2.840.10008.5.1.4.1.2.2.1", (IMPLICIT,)),  # Study Root FIND
        Context(7, "1.2.840.10008.1.20.1", (IMPLICIT,)),  # Storage Commitment
        Context(9, "1.3.6.1.4.1.99999.1", (IMPLICIT, EXPLICIT)),  # private
        Context(11, "1.2.840.10008.5.1.4.1.1.999", ("1.2.840.10008.1.2.4.202",)),  # newer than we are
    )
    with start_one() as run, run.peer(contexts=offered) as peer:
        got = {id_: context.transfer_syntaxes[0] for id_, context in peer.connection.contexts.items()}
        deflated = "1.2.840.10008.1.2.1.99"  # nothing else is offered
        assert got == {1: "1.2.840.10008.1.2.4.70", 3: deflated, 9: IMPLICIT, 11: "1.2.840.10008.1.2.4.202"}
        peer.release()
        run.wait(1)
        assert [refusal.what for refusal in run.refusals] == [Refused.CONTEXT]
        assert "Study Root Query/Retrieve Information Model - FIND is no storage class" in run.refusals[0].why


@pytest.mark.parametrize(
    ("accept", "offered", "chosen"),
    [
        ("as-stored", (JPEG, EXPLICIT), JPEG),
        ("as-stored", (BIG, DEFLATED_, EXPLICIT), EXPLICIT),
        ("as-stored", (BIG,), BIG),
        ("as-stored", (DEFLATED_,), DEFLATED_),
        ("as-stored", (BIG, DEFLATED_), BIG),
        ("as-stored", ("1.2.840.10008.1.2.4.95",), ""),
        ("as-stored", ("1.2.3",), ""),
        ("as-stored", (), ""),
        ("uncompressed", (JPEG, IMPLICIT), IMPLICIT),
        ("uncompressed", (IMPLICIT, EXPLICIT), EXPLICIT),
        ("uncompressed", (JPEG, DEFLATED_), ""),
        ("uncompressed", (BIG,), BIG),
        (["JPEG2000Lossless", EXPLICIT], (EXPLICIT, "1.2.840.10008.1.2.4.90"), "1.2.840.10008.1.2.4.90"),
        ("implicitvrlittleendian", (JPEG, EXPLICIT, IMPLICIT), IMPLICIT),
        ([DEFLATED_], (EXPLICIT, DEFLATED_), DEFLATED_),
    ],
)
def test_accept_chooses(accept: str | list[str], offered: tuple[str, ...], chosen: str) -> None:
    """The first that is offered and fits, a retired one only where nothing else does; a list by its own order."""
    context = Context(1, CT, offered)
    assert accept_contexts([context], parse_accept(accept)) == {1: chosen}
    assert bool(explain_refused([context], {1: chosen})) is not bool(chosen)


@pytest.mark.parametrize(
    ("accept", "said"),
    [
        ("JPEG2000Losless", "did you mean 'JPEG2000Lossless'"),
        ("uncompresed", "did you mean 'uncompressed'"),
        (["1.2.840.10008.1.2.4.95"], "cannot be filed as it comes"),
        ([CT], "is no transfer syntax"),
        (["1.2.840.10008.1.2.x"], "is no transfer syntax"),
        ([], "an empty list"),
    ],
)
def test_an_accept_that_cannot_be_meant(accept: str | list[str], said: str) -> None:
    """What is unknown or cannot be filed is an error with the nearest name, before anything runs."""
    with pytest.raises(ConfigurationError, match=said):
        parse_accept(accept)


def test_a_class_that_is_served_in_one_context_is_not_told_of_in_another() -> None:
    """An archive that offers each transfer syntax in a context of its own has nothing refused that it needs."""
    contexts = [Context(1, CT, ("1.2.840.10008.1.2.4.95",)), Context(3, CT, (EXPLICIT,))]
    assert explain_refused(contexts, accept_contexts(contexts)) == ""
    assert explain_refused(contexts[:1], {1: ""}) == "CT Image Storage is offered in JPIP Referenced Deflate only"
    many = [Context(id_, f"1.2.840.10008.5.1.4.1.1.99{id_}", ("1.2.3",)) for id_ in range(1, 21, 2)]
    assert explain_refused(many, accept_contexts(many)).endswith("; 7 more classes")


def test_every_storage_class_that_pynetdicom_knows_is_taken() -> None:
    """Our rule agrees with the list of the Standard's storage SOP Classes, and refuses the other services."""
    assert [uid for uid in known._STORAGE_CLASSES.values() if not is_storage(uid)] == []
    groups = ("_QR_CLASSES", "_BASIC_WORKLIST_CLASSES", "_PRINT_MANAGEMENT_CLASSES", "_STORAGE_COMMITMENT_CLASSES")
    groups += ("_UNIFIED_PROCEDURE_STEP_CLASSES", "_PROCEDURE_STEP_CLASSES", "_VERIFICATION_CLASSES")
    others = [uid for group in groups for uid in getattr(known, group).values()]
    assert others
    assert [uid for uid in others if is_storage(uid)] == []
    assert not is_storage("")
    assert not is_storage("not a uid")


@pytest.mark.parametrize(
    ("accept", "offered", "chosen"),
    [
        ("as-stored", (JPEG, EXPLICIT), EXPLICIT),
        ("as-stored", (EXPLICIT, IMPLICIT, JPEG), JPEG),
        ("as-stored", (JPEG, BIG, IMPLICIT), IMPLICIT),
        ("as-stored", (EXPLICIT, IMPLICIT), EXPLICIT),
        ("as-stored", (JPEG,), JPEG),
        ("uncompressed", (JPEG, IMPLICIT), IMPLICIT),
        ([JPEG, EXPLICIT], (EXPLICIT, JPEG), EXPLICIT),
    ],
)
def test_the_other_kind_is_chosen_where_it_is_offered(accept: str, offered: tuple[str, ...], chosen: str) -> None:
    """Asked for it, the first one that is compressed or not as the usual one is not; else the usual one."""
    context = Context(1, CT, offered)
    assert accept_contexts([context], parse_accept(accept), other_kind=True) == {1: chosen}


def test_it_is_found_how_each_class_is_offered() -> None:
    """Uncompressed only, in one context with both kinds, of which one has to be chosen, or otherwise."""
    mr, us = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.6.1"
    find = "1.2.840.10008.5.1.4.1.2.2.1"
    offered = [
        Context(1, CT, (EXPLICIT, BIG)),
        Context(3, mr, (JPEG,)),
        Context(5, mr, (EXPLICIT,)),
        Context(7, us, (EXPLICIT, JPEG)),
        Context(9, find, (EXPLICIT,)),
    ]
    uncompressed, either, otherwise = Offer.UNCOMPRESSED, Offer.EITHER_KIND, Offer.OTHERWISE
    assert find_offers(offered) == {CT: uncompressed, mr: otherwise, us: either}
    assert find_offers(offered, [EXPLICIT]) == {CT: uncompressed, mr: uncompressed, us: uncompressed}
    assert find_offers(offered, [JPEG]) == {CT: otherwise, mr: otherwise, us: otherwise}


def test_what_the_archive_offers_is_known_to_the_batch(start: Start) -> None:
    """Of whoever calls from where the archive answers, by SOP Class; what a stranger offers is nothing."""
    offered = (Context(1, CT, (EXPLICIT, JPEG)),)
    with start() as run:
        with run.peer(contexts=offered) as peer:
            peer.release()
        run.receiver.admit(Admission(1, study_uids=frozenset({"1.2"}), archive="127.0.0.1"))
        assert run.receiver.ask_offers() == {}
        with run.peer(contexts=offered) as peer:
            assert peer.connection.contexts[1].transfer_syntaxes == (EXPLICIT,)
            peer.release()
            assert run.receiver.ask_offers() == {CT: Offer.EITHER_KIND}
        run.receiver.admit(Admission(2, study_uids=frozenset({"1.3"}), archive="127.0.0.1", other_kind=True))
        with run.peer(contexts=offered) as peer:
            assert peer.connection.contexts[1].transfer_syntaxes == (JPEG,)
            peer.release()
