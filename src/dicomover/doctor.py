"""Why does nothing arrive? One check after the other between us, the archive and the destination, with what to do."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import pandas as pd
from pydicom.uid import generate_uid

from dicomover.dimse import Association, MoveEnd, describe
from dicomover.errors import AssociationRejected, ContextRejected, NodeError, NodeUnreachable, QueryRefused
from dicomover.identifier import Identifier, Level, Model, query_dataset
from dicomover.node import Node, Timeouts
from dicomover.outcome import SUCCESS, Ended

__all__ = ["COLUMNS", "Check", "Setup", "diagnose", "findings_table"]

Verdict = Literal["ok", "failed", "unclear", "skipped"]
COLUMNS = ("check", "result", "found", "advice")


@dataclass(frozen=True, slots=True)
class Check:
    """One finding: what was checked, how it went, what was seen, and what to do."""

    check: str
    result: Verdict
    found: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Setup:
    """What is examined.

    Attributes
    ----------
    node
        The archive.
    ae_title
        What we call ourselves.
    timeouts
        How long to wait for what.
    destination
        The Move Destination's AE title, None if nobody receives.
    destination_node
        Where a third party listens, if that is known.
    port
        Where we listen, if we receive.
    bind
        The address that we listen on; None is every one.
    """

    node: Node
    ae_title: str
    timeouts: Timeouts
    destination: str | None = None
    destination_node: Node | None = None
    port: int | None = None
    bind: str | None = None


def diagnose(setup: Setup, next_message_id: Callable[[], int]) -> list[Check]:
    """Examine the way from us to the archive and from the archive to the destination; nothing moves.

    Parameters
    ----------
    setup
        Who takes part.
    next_message_id
        Numbers our messages.

    Returns
    -------
    list of Check
        In the order of the way; after a failure that the rest depends on, the rest is skipped.
    """
    return list(_checks(setup, next_message_id))


def findings_table(checks: list[Check]) -> pd.DataFrame:
    """Return the findings as a table: `check`, `result`, `found`, `advice`, all of dtype string."""
    rows = [(item.check, item.result, item.found, item.advice or None) for item in checks]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype("string")


def _checks(setup: Setup, next_message_id: Callable[[], int]) -> Iterator[Check]:
    association = Association(setup.node, setup.ae_title, setup.timeouts)
    try:
        yield (opened := _open(setup, association))
        if opened.result == "failed":
            yield from _destination(setup)
            return
        yield _attempt("C-ECHO", lambda: association.echo(next_message_id()), "the archive answers")
        yield _find(association, next_message_id())
        yield from _destination(setup)
        if setup.destination is None:
            yield Check("C-MOVE", "skipped", "nobody is named to receive", "give destination= or receive=")
        else:
            yield _move(setup, association, next_message_id())
    finally:
        association.release()


def _open(setup: Setup, association: Association) -> Check:
    try:
        association.open()
    except NodeUnreachable as error:
        return Check("association", "failed", str(error), "check host and port; ask whether a firewall is between")
    except AssociationRejected as error:
        give = f"give the archive's administrator: AE title {setup.ae_title!r}, this machine's address"
        if setup.port is not None:
            give += f", port {setup.port}"
        return Check("association", "failed", str(error), give)
    except NodeError as error:
        return Check("association", "failed", str(error), "is it a DICOM archive that listens there?")
    return Check("association", "ok", f"{setup.node} accepts {setup.ae_title!r}")


def _attempt(name: str, call: Callable[[], object], good: str) -> Check:
    try:
        call()
    except NodeError as error:
        return Check(name, "failed", str(error), "ask the archive's administrator to allow it for our AE title")
    return Check(name, "ok", good)


def _find(association: Association, message_id: int) -> Check:
    dataset = query_dataset(Level.STUDY, {"StudyInstanceUID": generate_uid()})
    try:
        answers = list(association.find(dataset, Model.STUDY, message_id, limit=2))
    except (QueryRefused, ContextRejected) as error:
        advice = "accession numbers cannot be looked up; ask the administrator to allow C-FIND, or move by UID"
        return Check("C-FIND", "failed", str(error), advice)
    except NodeError as error:
        return Check("C-FIND", "failed", str(error), "look at the archive's log")
    if answers:
        found = "it answers a query for a study that cannot exist: it ignores keys"
        return Check("C-FIND", "unclear", found, "dicomover filters the answers; expect slow look-ups")
    return Check("C-FIND", "ok", "the archive answers queries (Study Root)")


def _destination(setup: Setup) -> Iterator[Check]:
    if setup.port is not None:
        yield _own_port(setup)
    elif setup.destination_node is not None:
        yield _third_party(setup, setup.destination_node)
    elif setup.destination is not None:
        found = f"{setup.destination!r} is known to us by its AE title only"
        yield Check("destination", "skipped", found, "name it with host and port to have it examined")


def _own_port(setup: Setup) -> Check:
    assert setup.port is not None
    address = _own_address(setup.node)
    if setup.bind is not None and setup.bind.startswith("127.") and not setup.node.is_loopback:
        advice = "leave bind= out; the archive cannot reach a loopback address"
        return Check("our port", "failed", f"we listen on {setup.bind} only", advice)
    try:
        socket.create_connection((address, setup.port), timeout=5).close()
    except OSError as error:
        found = f"no connection to {address}:{setup.port} from this machine ({error.strerror or error})"
        return Check("our port", "failed", found, "is a firewall on this machine closing it?")
    advice = "" if setup.node.is_loopback else f"the archive must know {setup.ae_title!r} at {address}:{setup.port}"
    return Check("our port", "ok", f"we listen on {address}:{setup.port}", advice)


def _own_address(node: Node) -> str:
    """Return the address of this machine as the archive sees it, if the route says so; nothing is sent."""
    family = socket.AF_INET6 if ":" in node.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((node.host, node.port))
            return str(probe.getsockname()[0])
    except OSError:
        return "127.0.0.1"


def _third_party(setup: Setup, node: Node) -> Check:
    association = Association(node, setup.ae_title, setup.timeouts)
    try:
        association.open()
        association.echo(1)
    except AssociationRejected as error:
        return Check("destination", "unclear", str(error), "it listens, but not to us; the archive may be welcome")
    except NodeError as error:
        return Check("destination", "failed", str(error), "is it running, and is its port open?")
    finally:
        association.release()
    return Check("destination", "ok", f"{node} answers")


def _move(setup: Setup, association: Association, message_id: int) -> Check:
    """Ask for a study that cannot exist: nothing moves, but the archive has to look at the destination."""
    assert setup.destination is not None
    identifier = Identifier(Level.STUDY, Model.STUDY, study=generate_uid())
    try:
        end = association.move(identifier.dataset(), Model.STUDY, setup.destination, message_id)
    except ContextRejected as error:
        return Check("C-MOVE", "failed", str(error), "ask the administrator to allow C-MOVE for our AE title")
    return _judged_move(setup, end)


def _judged_move(setup: Setup, end: MoveEnd) -> Check:
    title, port = setup.destination, setup.port
    where = "with its address and port" if port is None else f"with this machine's address and port {port}"
    register = f"ask the archive's administrator to add the AE title {title!r} {where}"
    if end.ended is not Ended.ANSWERED or end.status_code is None:
        return Check("C-MOVE", "failed", end.why, "look at the archive's log")
    found = f"a C-MOVE of nothing to {title!r} ends with {describe(end.status_code)}"
    if end.status_code == SUCCESS:
        return Check("C-MOVE", "ok", found)
    if end.status_code == 0xA801:
        return Check("C-MOVE", "failed", found, register)
    if end.status_code in (0x0122, 0x0124):
        return Check("C-MOVE", "failed", found, "ask the administrator to allow C-MOVE for our AE title")
    if end.status_code >> 12 == 0xC:
        advice = f"some archives say so for an unknown study too; if nothing moves, {register}"
        return Check("C-MOVE", "unclear", found, advice)
    return Check("C-MOVE", "unclear", found, "the study does not exist, so this may be the archive's way to say it")
