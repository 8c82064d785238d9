"""Which presentation contexts an archive accepts, and how it may get even that wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from pydicom.uid import ExplicitVRLittleEndian

from dicomover.testing._elements import IMPLICIT
from dicomover.testing._exchange import Link
from dicomover.testing._script import Script
from dicomover.testing._server import silence
from dicomover.wire.association_pdus import Roles
from dicomover.wire.connection import Connection
from dicomover.wire.negotiation import AssociationRequest, encode_accept
from dicomover.wire.services import WITHOUT_BULK

_VERIFICATION = "1.2.840.10008.1.1"
SERVICES = {
    "1.2.840.10008.5.1.4.1.2.1.1": ("C-FIND", "PATIENT"),
    "1.2.840.10008.5.1.4.1.2.1.2": ("C-MOVE", "PATIENT"),
    "1.2.840.10008.5.1.4.1.2.1.3": ("C-GET", "PATIENT"),
    "1.2.840.10008.5.1.4.1.2.2.1": ("C-FIND", "STUDY"),
    "1.2.840.10008.5.1.4.1.2.2.2": ("C-MOVE", "STUDY"),
    "1.2.840.10008.5.1.4.1.2.2.3": ("C-GET", "STUDY"),
    WITHOUT_BULK: ("C-GET", "IMAGE"),
}
_EXPLICIT = str(ExplicitVRLittleEndian)
_SYNTAXES = (_EXPLICIT, IMPLICIT)


def accept(link: Link, request: AssociationRequest, script: Script) -> bool:
    """Answer an association request in the way of the script; tell whether there is an association now.

    Raises AssociationLost or ProtocolError if the script is to be silent, and the peer has had enough of it.
    """
    how, connection, pacs = script.breaks, link.connection, link.pacs
    if how in ("silence", "garbage"):
        if how == "garbage":
            connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        silence(connection)
    if how == "abort":
        connection.abort(source=2)
        return False
    if how == "close":
        connection.close()
        return False
    offered = {
        uid
        for uid, (service, model) in {**SERVICES, _VERIFICATION: ("", "")}.items()
        if not model or model in pacs.models or (model == "IMAGE" and pacs.without_bulk)
        if pacs.get or service != "C-GET"
        if how != "no-context" and (how != "no-verification" or uid != _VERIFICATION)
    }
    taken = {
        uid: (False, True)
        for uid, (is_scu, is_scp) in request.roles.items()
        if pacs.get and is_scp and uid not in SERVICES and uid != _VERIFICATION
        if how not in ("no-context", "no-storage") and (is_scu or how != "both-roles")
    }
    accepted = {
        context.id: next((syntax for syntax in context.transfer_syntaxes if syntax in _SYNTAXES), "")
        for context in request.contexts
        if context.abstract_syntax in offered
    } | {
        context.id: _EXPLICIT if _EXPLICIT in context.transfer_syntaxes else next(iter(context.transfer_syntaxes), "")
        for context in request.contexts
        if context.abstract_syntax in taken
    }
    link.stored_classes = frozenset() if how == "refuses-roles" else frozenset(taken)
    raw = agree(
        connection, request, accepted, dict.fromkeys(taken, (False, False)) if how == "refuses-roles" else taken
    )
    connection.send(raw if script.acceptance is None else script.acceptance(raw))
    return True


def read_user(item: bytes) -> tuple[str, str]:
    r"""Return the user and the password that an association request names; empty where there is none.

    Examples
    --------
    >>> read_user(bytes.fromhex("0200") + b"\0\5alice\0\7made-up")
    ('alice', 'made-up')
    """
    length = int.from_bytes(item[2:4], "big")
    return item[4 : 4 + length].decode(errors="replace"), item[6 + length :].decode(errors="replace")


def agree(
    connection: Connection,
    request: AssociationRequest,
    accepted: Mapping[int, str],
    roles: Roles = MappingProxyType({}),
) -> bytes:
    """Note the transfer syntax of each context, empty where none is accepted; return what tells the peer."""
    connection.peer_max_pdu = request.max_pdu or connection.peer_max_pdu
    connection.contexts = {
        context.id: replace(context, transfer_syntaxes=(accepted[context.id],))
        for context in request.contexts
        if accepted.get(context.id)
    }
    return encode_accept(request, accepted, connection.max_pdu, roles)
