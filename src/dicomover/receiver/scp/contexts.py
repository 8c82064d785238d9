"""Which presentation contexts our Storage SCP accepts, and in which transfer syntax."""

from __future__ import annotations

from collections.abc import Iterable

from pydicom._uid_dict import UID_dictionary

from dicomover.identifier import is_uid
from dicomover.wire.messages import Context

__all__ = ["VERIFICATION", "accept_contexts", "is_storage", "is_supported_transfer_syntax"]

VERIFICATION = "1.2.840.10008.1.1"

_DICOM = "1.2.840.10008."
_STORAGE = "1.2.840.10008.5.1.4.1.1."
_TRANSFER = "1.2.840.10008.1.2"
_REFUSED_TRANSFER = frozenset(
    {
        "1.2.840.10008.1.2.1.99",  # Deflated: 200 KB may be 200 MB
        "1.2.840.10008.1.2.2",  # Explicit VR Big Endian, retired
        "1.2.840.10008.1.2.4.95",  # JPIP Referenced Deflate
        "1.2.840.10008.1.2.4.205",  # JPIP HTJ2K Referenced Deflate
        "1.2.840.10008.1.2.6.1",  # RFC 2557 MIME encapsulation
        "1.2.840.10008.1.2.6.2",  # XML encoding
        "1.2.840.10008.1.2.8.1",  # Deflated Image Frame Compression
    }
)


def is_storage(uid: str) -> bool:
    """Tell whether an abstract syntax is a storage SOP Class, a private one, or one that is newer than we are.

    Examples
    --------
    >>> is_storage("1.2.840.10008.5.1.4.1.1.2"), is_storage("1.2.840.10008.5.1.4.1.2.2.1")
    (True, False)
    """
    known = UID_dictionary.get(uid)
    if known is not None:
        name, kind = known[0], known[1]
        return kind == "SOP Class" and "Storage" in name and "Commitment" not in name and "Directory" not in name
    if uid.startswith(_DICOM):
        return uid.startswith(_STORAGE)
    return is_uid(uid)


def is_supported_transfer_syntax(uid: str) -> bool:
    """Tell whether a data set in this transfer syntax can be filed as it comes; the deflated ones cannot."""
    return (uid == _TRANSFER or uid.startswith(_TRANSFER + ".")) and uid not in _REFUSED_TRANSFER


def accept_contexts(contexts: Iterable[Context]) -> dict[int, str]:
    """Choose a transfer syntax for each context: the first that the peer offers and we can file.

    An empty text stands for "no transfer syntax of these"; a context that is missing has an abstract syntax that we
    do not serve. What is chosen so spares the peer a transcoding.
    """
    accepted = {}
    for context in contexts:
        if context.abstract_syntax == VERIFICATION or is_storage(context.abstract_syntax):
            accepted[context.id] = next(filter(is_supported_transfer_syntax, context.transfer_syntaxes), "")
    return accepted
