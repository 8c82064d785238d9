"""How an association may begin: who is turned away, with which answer, and in which words."""

from __future__ import annotations

from typing import NamedTuple

from dicomover.receiver.settings import ReceiverSettings
from dicomover.wire.negotiation import AssociationRequest

__all__ = ["Rejection", "explain_beginning", "judge_request", "reject_for_now"]


class Rejection(NamedTuple):
    """An A-ASSOCIATE-RJ (PS3.8 section 9.3.4), and what is told of it."""

    result: int
    source: int
    reason: int
    why: str
    mend: str


def judge_request(request: AssociationRequest, settings: ReceiverSettings) -> Rejection | None:
    """Return why an association request is rejected for good; None if it is not."""
    called, calling, ours = request.called_ae_title[:16], request.calling_ae_title, settings.ae_title
    if request.rejection is not None:
        why = "it asks for another protocol version or application context than DICOM's"
        return Rejection(*request.rejection, why, "see what it is that calls us")
    if request.called_ae_title != ours:
        mend = f"let the archive's administrator enter {ours!r} as our AE title, letter by letter"
        return Rejection(1, 1, 7, f"it calls {called!r}, we are {ours!r}", mend)
    if settings.calling_ae_titles and calling not in settings.calling_ae_titles:
        mend = "add it to calling_ae_titles, if it is the archive's"
        return Rejection(1, 1, 3, f"its AE title {calling[:16]!r} is not among those let in", mend)
    return None


def reject_for_now(settings: ReceiverSettings) -> Rejection:
    """Return the rejection of one association too many."""
    why = f"there are {settings.max_associations} associations already"
    return Rejection(2, 3, 2, why, "let the archive open fewer at a time, or raise max_associations")


def explain_beginning(raw: bytes | bytearray) -> tuple[str, str]:
    """Say what a connection begins with that does not begin as a DICOM association does, and what to do.

    Examples
    --------
    >>> explain_beginning(b"GET / HTTP/1.1")
    ('it speaks HTTP or the like, not DICOM', 'see who else has been told of this port')
    """
    if raw[:1] == b"\x16":
        return "it speaks TLS, and we listen without", "let the archive send to us without TLS, or receive by TLS"
    if len(raw) >= 3 and raw[:3].isalpha() and raw[:3].isupper():
        return "it speaks HTTP or the like, not DICOM", "see who else has been told of this port"
    return "this is not the beginning of a DICOM association", ""
