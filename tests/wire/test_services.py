"""Which presentation contexts are proposed for which verb, and what an archive accepted."""

from __future__ import annotations

import threading

import pytest

from dicomover import Mover, Timeouts
from dicomover.errors import ContextRejected
from dicomover.identifier import Model
from dicomover.wire.association import Association
from dicomover.wire.command_set import C_FIND_RQ
from dicomover.wire.connection import Connection
from dicomover.wire.lines import Line, Pool
from dicomover.wire.messages import Context
from dicomover.wire.negotiation import encode_accept, read_request
from dicomover.wire.services import (
    ECHO,
    FIND,
    GET,
    RETRIEVE,
    SERVICES,
    VERIFICATION,
    WITHOUT_BULK,
    propose_contexts,
)
from dicomover.wire.stop import Controls
from wire_kit import EXPLICIT, SHORT, STUDY, answer, counts, listening

FINDS = {"1.2.840.10008.5.1.4.1.2.1.1", "1.2.840.10008.5.1.4.1.2.2.1"}
MOVES = {"1.2.840.10008.5.1.4.1.2.1.2", "1.2.840.10008.5.1.4.1.2.2.2"}


def archive(proposed: list[set[str]], accepted: set[str] | None = None) -> object:
    """Return an archive that notes what is proposed to it, and accepts some of it."""

    def serve(connection: Connection) -> None:
        request = read_request(connection)
        proposed.append({each.abstract_syntax for each in request.contexts})
        kept = [each for each in request.contexts if accepted is None or each.abstract_syntax in accepted]
        connection.contexts = {each.id: Context(each.id, each.abstract_syntax, (EXPLICIT,)) for each in kept}
        connection.send(encode_accept(request, dict.fromkeys((each.id for each in kept), EXPLICIT), 1 << 16))
        while True:
            message = connection.read_message()
            is_find = message.command["CommandField"] == C_FIND_RQ
            answer(connection, message, 0x0000, **({} if is_find else counts(1)))

    return serve


def test_what_the_services_are() -> None:
    """Each verb has its SOP Classes, in both models; their contexts have odd ids and an order that stays."""
    assert {VERIFICATION} == ECHO
    assert FINDS == FIND
    assert FINDS | MOVES == RETRIEVE
    assert {f"1.2.840.10008.5.1.4.1.2.{model}.3" for model in (1, 2)} == GET
    assert set(SERVICES) == ECHO | RETRIEVE | GET | {WITHOUT_BULK}
    contexts = propose_contexts(ECHO | RETRIEVE | GET | {WITHOUT_BULK})
    assert [each.id for each in contexts] == [1, 3, 5, 7, 9, 11, 13, 15]
    assert [each.abstract_syntax for each in contexts] == list(SERVICES)
    assert propose_contexts(frozenset()) == ()


@pytest.mark.parametrize("verb", ["echo", "find", "plan", "move"])
def test_only_what_a_verb_needs_is_proposed(verb: str) -> None:
    """An echo asks for Verification, a look-up for C-FIND, a move for C-FIND and C-MOVE."""
    proposed: list[set[str]] = []
    with listening(archive(proposed)) as node:  # type: ignore[arg-type]
        mover = Mover(node, destination="THERE", progress="none", timeouts=Timeouts(stall=20))
        if verb == "echo":
            mover.echo()
        else:
            getattr(mover, verb)({"StudyInstanceUID": "1.2.3"})
    wanted = {"echo": {VERIFICATION}, "find": FINDS, "plan": FINDS, "move": FINDS | MOVES}[verb]
    assert proposed == [wanted]


def test_what_is_kept_serves_every_verb() -> None:
    """Inside `with` the first verb opens the association for all of them."""
    proposed: list[set[str]] = []
    with (
        listening(archive(proposed)) as node,  # type: ignore[arg-type]
        Mover(node, destination="THERE", progress="none", timeouts=Timeouts(stall=20)) as mover,
    ):
        mover.echo()
        mover.move({"StudyInstanceUID": "1.2.3"})
    assert proposed == [{VERIFICATION} | FINDS | MOVES]


@pytest.mark.parametrize("model", list(Model))
def test_what_was_accepted_can_be_asked(model: Model) -> None:
    """Of an archive with one model it is known which one, and the other one cannot be asked."""
    other = Model.STUDY if model is Model.PATIENT else Model.PATIENT
    kept = {model.find_sop_class, model.move_sop_class}
    with listening(archive([], kept)) as node:  # type: ignore[arg-type]
        association = Association(node, "TESTER", SHORT)
        association.open()
        try:
            assert association.accepts(model.find_sop_class)
            assert association.accepts(model.move_sop_class)
            assert not association.accepts(other.find_sop_class)
            assert not association.accepts(VERIFICATION)
            with pytest.raises(ContextRejected, match=other.title):
                list(association.find(STUDY, other, 1))
        finally:
            association.release()


def test_an_idle_association_that_does_not_do_makes_room() -> None:
    """One that was opened for less is released before another is opened; one that was opened for more is used."""
    proposed: list[set[str]] = []
    one = threading.Semaphore(1)

    def serve(connection: Connection) -> None:
        assert one.acquire(timeout=10), "the association before has not ended"
        try:
            archive(proposed)(connection)  # type: ignore[operator]
        finally:
            one.release()

    with listening(serve) as node:
        pool = Pool(node, "TESTER")
        for services in (ECHO, RETRIEVE, FIND):
            with Line(pool, SHORT, Controls(lambda _: None), services=services) as line:
                line.connect()
        pool.close()
    assert proposed == [{VERIFICATION}, FINDS | MOVES]
