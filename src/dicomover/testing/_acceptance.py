"""Which presentation contexts an archive accepts, and how it may get even that wrong."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from pydicom.uid import ExplicitVRLittleEndian

from dicomover.testing._elements import IMPLICIT
from dicomover.testing._script import Script
from dicomover.testing._server import silence
from dicomover.wire.connection import Connection
from dicomover.wire.negotiation import AssociationRequest, encode_accept

_VERIFICATION = "1.2.840.10008.1.1"
SERVICES = {
    "1.2.840.10008.5.1.4.1.2.1.1": ("C-FIND", "PATIENT"),
    "1.2.840.10008.5.1.4.1.2.1.2": ("C-MOVE", "PATIENT"),
    "1.2.840.10008.5.1.4.1.2.2.1": ("C-FIND", "STUDY"),
    "1.2.840.10008.5.1.4.1.2.2.2": ("C-MOVE", "STUDY"),
}
_SYNTAXES = (str(ExplicitVRLittleEndian), IMPLICIT)


def accept(connection: Connection, request: AssociationRequest, models: Collection[str], script: Script) -> bool:
    """Answer an association request in the way of the script; tell whether there is an association now.

    Raises AssociationLost or ProtocolError if the script is to be silent, and the peer has had enough of it.
    """
    how = script.breaks
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
    offered = {uid for uid, (_, model) in SERVICES.items() if model in models} | {_VERIFICATION}
    accepted = {
        context.id: next((syntax for syntax in context.transfer_syntaxes if syntax in _SYNTAXES), "")
        for context in request.contexts
        if context.abstract_syntax in offered and how != "no-context"
        if how != "no-verification" or context.abstract_syntax != _VERIFICATION
    }
    raw = agree(connection, request, accepted)
    connection.send(raw if script.acceptance is None else script.acceptance(raw))
    return True


def agree(connection: Connection, request: AssociationRequest, accepted: Mapping[int, str]) -> bytes:
    """Note the transfer syntax of each context, empty where none is accepted; return what tells the peer."""
    connection.peer_max_pdu = request.max_pdu or connection.peer_max_pdu
    connection.contexts = {
        context.id: replace(context, transfer_syntaxes=(accepted[context.id],))
        for context in request.contexts
        if accepted.get(context.id)
    }
    return encode_accept(request, accepted, connection.max_pdu)
