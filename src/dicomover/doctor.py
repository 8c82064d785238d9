"""Why does nothing arrive? One check after the other between us, the archive and the destination, with what to do."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import pandas as pd
from pydicom.uid import generate_uid

from dicomover.errors import (
    AssociationLost,
    AssociationRejected,
    ContextRejected,
    LostBy,
    NodeError,
    NodeUnreachable,
    ProtocolError,
    QueryRefused,
    ReceiverError,
)
from dicomover.identifier import Identifier, Level, Model, find_dataset
from dicomover.node import Node, Timeouts
from dicomover.outcome import SUCCESS, Ended, describe
from dicomover.text.face import advise
from dicomover.wire.association import Association
from dicomover.wire.responses import MoveEnd

__all__ = ["COLUMNS", "NOBODY", "Check", "Setup", "diagnose", "findings_table"]

Verdict = Literal["ok", "failed", "unclear", "skipped"]
COLUMNS = ("check", "result", "found", "advice")
NOBODY = "NOBODY-DICOMOVER"
"""An AE title that no archive should know, to tell what it says of one that it does not know."""

_PATIENCE = 60.0  # seconds for a response, where nobody has set a limit
_SHORT_OF_RESOURCES = range(0xA700, 0xA800)
_NOT_ALLOWED = (0x0122, 0x0124, 0x0211)


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
    trouble
        Why we cannot listen or write although we should receive; None if we can.
    """

    node: Node
    ae_title: str
    timeouts: Timeouts
    destination: str | None = None
    destination_node: Node | None = None
    port: int | None = None
    bind: str | None = None
    trouble: ReceiverError | None = None


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
        Always the same five, in the order of the way; what a failure makes impossible is skipped.
    """
    if setup.timeouts.dimse is None:  # a batch may wait for a tape; what is asked here is on none
        setup = replace(setup, timeouts=replace(setup.timeouts, dimse=_PATIENCE))
    return list(_checks(setup, _Archive(setup, next_message_id)))


def findings_table(checks: list[Check]) -> pd.DataFrame:
    """Return the findings as a table: `check`, `result`, `found`, `advice`, all of dtype string."""
    rows = [(item.check, item.result, item.found, item.advice or None) for item in checks]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype("string")


def _checks(setup: Setup, archive: _Archive) -> Iterator[Check]:
    try:
        yield (opened := _open(setup, archive))
        if opened.result == "failed":
            gone = "there is no association to ask on"
            yield Check("C-ECHO", "skipped", gone)
            yield Check("C-FIND", "skipped", gone)
            yield _destination(setup)
            yield Check("C-MOVE", "skipped", gone)
            return
        yield _echo(archive)
        yield _find(setup, archive)
        yield _destination(setup)
        yield _move(setup, archive)
    finally:
        archive.release()


class _Archive:
    """The archive, on an association that is opened anew when a check has cost us the last one."""

    def __init__(self, setup: Setup, next_message_id: Callable[[], int]) -> None:
        self._setup = setup
        self._next_message_id = next_message_id
        self._association: Association | None = None

    def associated(self) -> tuple[Association, int]:
        """Return an open association and the number of the next message."""
        if self._association is None or not self._association.is_usable():
            self.release()
            self._association = Association(self._setup.node, self._setup.ae_title, self._setup.timeouts)
            self._association.open()
        return self._association, self._next_message_id()

    def release(self) -> None:
        """Release the association, if there is one."""
        if self._association is not None:
            self._association.release()
            self._association = None

    def echo(self) -> None:
        association, number = self.associated()
        association.echo(number)

    def finds(self, model: Model) -> bool:
        """Ask for what cannot exist; tell whether it answers all the same."""
        keys = {"StudyInstanceUID": str(generate_uid())}
        if model is Model.PATIENT:
            keys["PatientID"] = NOBODY
        association, number = self.associated()
        return bool(list(association.find(find_dataset(Level.STUDY, keys), model, number, limit=2)))

    def move(self, model: Model, destination: str) -> MoveEnd:
        """Ask for what cannot exist: nothing moves, but the archive may look at the destination."""
        patient = NOBODY if model is Model.PATIENT else ""
        identifier = Identifier(Level.STUDY, model, patient=patient, study=generate_uid())
        association, number = self.associated()
        return association.move(identifier.dataset(), model, destination, number)


# --- from us to the archive


def _open(setup: Setup, archive: _Archive) -> Check:
    try:
        archive.associated()
    except NodeError as error:
        if isinstance(error, AssociationRejected):
            return Check("association", "failed", error.what, _rejected(setup, error))
        if isinstance(error, NodeUnreachable):
            return Check("association", "failed", error.what, error.mend)
        return Check("association", "failed", _strange(setup, error), _who_is_it(setup))
    return Check("association", "ok", f"{setup.node} accepts {setup.ae_title!r}")


def _us(setup: Setup) -> str:
    """Say what an administrator has to know of us."""
    address = _own_address(setup.node)
    words = f"AE title {setup.ae_title!r}, " + (f"address {address}" if address else "this machine's address")
    return words if setup.port is None else f"{words}, port {setup.port}"


def _rejected(setup: Setup, error: AssociationRejected) -> str:
    if error.retriable:
        return "it has no room for another association now; try again later"
    if (error.source, error.reason) == (1, 3):
        return f"ask the archive's administrator to add us: {_us(setup)}"
    if (error.source, error.reason) == (1, 7):
        return (
            f"ask the archive's administrator for its AE title, if it is not {setup.node.ae_title!r}; if it is, "
            f"the archive does not know us (some say it so): {_us(setup)}"
        )
    return f"ask the archive's administrator what it allows, and tell them: {_us(setup)}"


def _strange(setup: Setup, error: NodeError) -> str:
    """Say what listens there instead of an archive that accepts us."""
    if isinstance(error, ProtocolError):
        return f"what listens on {setup.node.host} port {setup.node.port} answers, but not in DICOM"
    if isinstance(error, AssociationLost) and error.by is LostBy.CLOSED:
        return f"{setup.node} closed the connection upon our association request"
    return str(error)


def _who_is_it(setup: Setup) -> str:
    return (
        f"check host and port: is it an archive that listens there, and without TLS? If so, it may not know us "
        f"({_us(setup)}); ask its administrator"
    )


def _echo(archive: _Archive) -> Check:
    try:
        archive.echo()
    except ContextRejected as error:
        return Check("C-ECHO", "unclear", error.what, "moves do not need it; see whether the rest is well")
    except NodeError as error:
        return Check("C-ECHO", "failed", error.what, "look at the archive's log")
    return Check("C-ECHO", "ok", "the archive answers")


def _find(setup: Setup, archive: _Archive) -> Check:
    model = Model.STUDY
    try:
        try:
            answers = archive.finds(model)
        except ContextRejected:
            model = Model.PATIENT
            answers = archive.finds(model)
    except ContextRejected:
        found = f"{setup.node} does not offer C-FIND to {setup.ae_title!r}"
        return Check("C-FIND", "failed", found, _no_find("ask the archive's administrator to allow it"))
    except QueryRefused as error:
        return Check("C-FIND", "failed", error.what, _no_find(_refused_find(error.status)))
    except NodeError as error:
        return Check("C-FIND", "failed", error.what, _no_find(_look("a query", getattr(error, "by", None))))
    if answers:
        found = "the archive answers a query for a study that cannot exist: it ignores keys"
        return Check("C-FIND", "unclear", found, "what does not match is left out here; expect slow look-ups")
    if model is Model.PATIENT:
        found = f"the archive answers queries, but in {model.title} only"
        return Check("C-FIND", "ok", found, "take the Patient Root model; each request then has to name PatientID")
    return Check("C-FIND", "ok", f"the archive answers queries ({model.title})")


def _no_find(mend: str) -> str:
    return f"{mend}; until then accession numbers cannot be looked up, and only UIDs move"


def _look(refused: str, by: LostBy | None) -> str:
    silent = by is LostBy.TIMEOUT
    return "look at the archive's log" + ("" if silent else f": some archives end an association to refuse {refused}")


def _refused_find(status: int | None) -> str:
    if status in _SHORT_OF_RESOURCES:
        return "it is short of resources; try again later, then look at its log"
    if status in _NOT_ALLOWED:
        return "ask the archive's administrator to allow C-FIND for our AE title"
    return "look at the archive's log"


# --- where the images should come


def _destination(setup: Setup) -> Check:
    if setup.trouble is not None:
        return Check("our port", "failed", setup.trouble.what, setup.trouble.mend)
    if setup.port is not None:
        return _own_port(setup, setup.port)
    if setup.destination_node is not None:
        return _third_party(setup, setup.destination_node)
    if setup.destination is not None:
        found = f"{setup.destination!r} is known to us by its AE title only"
        return Check("destination", "skipped", found, "name it as AET@host:port to have it examined")
    return Check("destination", "skipped", "nobody is named to receive")


def _own_port(setup: Setup, port: int) -> Check:
    address, bound = _own_address(setup.node), _bound(setup.bind)
    if bound is not None and Node(bound, port).is_loopback and not setup.node.is_loopback:
        advice = "listen on every address; the archive cannot reach a loopback address of ours"
        return Check("our port", "failed", f"we listen on {bound} only", advice)
    here = bound or address or "127.0.0.1"
    try:
        socket.create_connection((here, port), timeout=5).close()
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        found = f"no connection to {here} port {port} from this machine ({why})"
        return Check("our port", "failed", found, "does a firewall on this machine close it?")
    if setup.node.is_loopback:
        advice = f"the archive has to have this port for {setup.ae_title!r}; only a move can show"
        return Check("our port", "ok", f"we listen on {here} port {port}", advice)
    if bound is not None and address is not None and bound != address:
        found = f"we listen on {bound} only, but go to the archive from {address}"
        advice = f"listen on every address, or see that the archive has {bound} for {setup.ae_title!r}"
        return Check("our port", "unclear", found, advice)
    where = address or "this machine's address"
    advice = (
        f"the archive has to know {setup.ae_title!r} at {where}, port {port}; whether a firewall lets it in, "
        "only a move can show"
    )
    return Check("our port", "ok", f"we listen on {here} port {port}", advice)


def _bound(bind: str | None) -> str | None:
    """Return the one address that we listen on; None if it is every one."""
    try:
        return None if not bind or ipaddress.ip_address(bind).is_unspecified else bind
    except ValueError:
        return bind


def _own_address(node: Node) -> str | None:
    """Return the address of this machine as the archive sees it, if the route says so; nothing is sent."""
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(node.host, node.port, type=socket.SOCK_DGRAM):
            with socket.socket(family, kind, protocol) as probe:
                probe.connect(address)
                return str(probe.getsockname()[0])
    except OSError:
        pass
    return None


def _third_party(setup: Setup, node: Node) -> Check:
    association = Association(node, setup.ae_title, setup.timeouts)
    try:
        association.open()
        association.echo(1)
    except (AssociationRejected, ContextRejected) as error:
        advice = "it listens, but is not open to us; it may be open to the archive"
        return Check("destination", "unclear", error.what, advice)
    except NodeUnreachable as error:
        if error.code == errno.ECONNREFUSED:
            return Check("destination", "failed", error.what, "is it running, and is this its port?")
        return Check("destination", "unclear", error.what, "we cannot reach it from here; perhaps the archive can")
    except NodeError as error:
        return Check("destination", "failed", _strange(replace(setup, node=node), error), "is this its port?")
    finally:
        association.release()
    return Check("destination", "ok", f"{node} answers us", "whether the archive reaches it too, only a move can show")


# --- from the archive to there


def _move(setup: Setup, archive: _Archive) -> Check:
    if setup.destination is None:
        return Check(
            "C-MOVE", "skipped", "nobody is named to receive", advise("name who receives: a destination, or us")
        )
    try:
        model = Model.STUDY
        try:
            end = archive.move(model, setup.destination)
        except ContextRejected:
            model = Model.PATIENT
            end = archive.move(model, setup.destination)
        control = archive.move(model, NOBODY) if _is_open_to_doubt(end) else None
    except ContextRejected:
        found = f"{setup.node} does not offer C-MOVE to {setup.ae_title!r}"
        return Check("C-MOVE", "failed", found, "ask the archive's administrator to allow it for our AE title")
    except NodeError as error:
        return Check("C-MOVE", "failed", error.what, "look at the archive's log")
    return _judged_move(setup, end, control)


def _is_open_to_doubt(end: MoveEnd) -> bool:
    """Tell whether what an archive says of a destination that nobody has may explain how it ends."""
    return end.status_code is not None and end.status_code not in (0xA801, *_NOT_ALLOWED)


def _judged_move(setup: Setup, end: MoveEnd, control: MoveEnd | None) -> Check:
    """Judge a C-MOVE of nothing by how it ends, and by how one to a destination that nobody has ends."""
    title, port = setup.destination, setup.port
    where = "with its address and port" if port is None else f"with this machine's address and port {port}"
    register = f"ask the archive's administrator to add the AE title {title!r} {where}"
    if end.ended is not Ended.ANSWERED or end.status_code is None:
        found = f"a C-MOVE of nothing to {title!r}: {end.why}"
        return Check("C-MOVE", "failed", found, _look("a C-MOVE", end.lost_by))
    found = f"a C-MOVE of nothing to {title!r} ends with {describe(end.status_code)}"
    if end.status_code == 0xA801:
        return Check("C-MOVE", "failed", found, register)
    if end.status_code in _NOT_ALLOWED:
        advice = "ask the archive's administrator to allow C-MOVE for our AE title"
        return Check("C-MOVE", "failed", found, advice)
    if control is not None and control.status_code == 0xA801:
        found += f"; one to {NOBODY!r} with 0xA801, so the archive knows {title!r}"
        if end.status_code == SUCCESS:
            return Check("C-MOVE", "ok", found)
        return Check("C-MOVE", "unclear", found, "it may only say that there is no such study; move a small one to see")
    if end.status_code in _SHORT_OF_RESOURCES:
        return Check("C-MOVE", "unclear", found, "the archive may be short of resources; try again later")
    found += f"; but this does not show whether the archive knows {title!r}"
    if control is not None and control.status_code == end.status_code:
        found += f", since one to {NOBODY!r} ends so too"
    return Check("C-MOVE", "unclear", found, f"move a small study to see; if nothing arrives, {register}")
