"""Which presentation contexts are accepted, and in which transfer syntax."""

from __future__ import annotations

import pynetdicom.sop_class as known

from dicomover.receiver.scp.contexts import is_storage
from dicomover.wire.messages import Context
from receiver_kit import (
    CT,
    EXPLICIT,
    IMPLICIT,
    Start,
)


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
        assert got == {1: "1.2.840.10008.1.2.4.70", 9: IMPLICIT, 11: "1.2.840.10008.1.2.4.202"}
        peer.release()


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
