"""Which presentation contexts our Storage SCP accepts, and in which transfer syntax."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache

from dicomover.attributes.registry import REGISTERED
from dicomover.attributes.uid import is_uid
from dicomover.dicomfile import (
    DEFLATED,
    EXPLICIT_BIG_ENDIAN,
    EXPLICIT_LITTLE_ENDIAN,
    IMPLICIT_LITTLE_ENDIAN,
    NATIVE,
)
from dicomover.errors import ConfigurationError
from dicomover.events import Offer
from dicomover.text.face import setting
from dicomover.text.sentences import count_of
from dicomover.wire.messages import Context

__all__ = [
    "VERIFICATION",
    "accept_contexts",
    "explain_refused",
    "find_offers",
    "is_storage",
    "is_supported_transfer_syntax",
    "name_of",
    "parse_accept",
]

VERIFICATION = "1.2.840.10008.1.1"

_DICOM = "1.2.840.10008."
_STORAGE = "1.2.840.10008.5.1.4.1.1."
_TRANSFER = "1.2.840.10008.1.2"
_LAST_RESORT = (DEFLATED, EXPLICIT_BIG_ENDIAN)  # retired, or slow to read: taken where nothing else is offered
_UNCOMPRESSED = (EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN, EXPLICIT_BIG_ENDIAN)
_REFUSED_TRANSFER = frozenset(
    {
        "1.2.840.10008.1.2.4.95",  # JPIP Referenced Deflate: the pixels stay with the archive
        "1.2.840.10008.1.2.4.205",  # JPIP HTJ2K Referenced Deflate
        "1.2.840.10008.1.2.6.1",  # RFC 2557 MIME encapsulation
        "1.2.840.10008.1.2.6.2",  # XML encoding
        "1.2.840.10008.1.2.8.1",  # Deflated Image Frame Compression
    }
)
_NAMED = 3  # of what is refused, in one sentence


def is_storage(uid: str) -> bool:
    """Tell whether an abstract syntax is a storage SOP Class, a private one, or one that is newer than we are.

    Examples
    --------
    >>> is_storage("1.2.840.10008.5.1.4.1.1.2"), is_storage("1.2.840.10008.5.1.4.1.2.2.1")
    (True, False)
    """
    known = REGISTERED.get(uid)
    if known is not None:
        name, kind = known[0], known[1]
        return kind == "SOP Class" and "Storage" in name and "Commitment" not in name and "Directory" not in name
    if uid.startswith(_DICOM):
        return uid.startswith(_STORAGE)
    return is_uid(uid)


def is_supported_transfer_syntax(uid: str) -> bool:
    """Tell whether a data set in this transfer syntax can be filed as it comes."""
    return (uid == _TRANSFER or uid.startswith(_TRANSFER + ".")) and uid not in _REFUSED_TRANSFER


def parse_accept(accept: str | Collection[str]) -> tuple[str, ...]:
    """Return the transfer syntaxes that are accepted, the preferred ones first; none stand for "as stored".

    Raises ConfigurationError if one of them is unknown, or cannot be filed.

    Examples
    --------
    >>> parse_accept("as-stored"), parse_accept(["JPEG2000Lossless", "1.2.840.10008.1.2.1"])
    ((), ('1.2.840.10008.1.2.4.90', '1.2.840.10008.1.2.1'))
    """
    if isinstance(accept, str):
        if accept in ("as-stored", "uncompressed"):
            return () if accept == "as-stored" else _UNCOMPRESSED
        accept = [accept]
    found = tuple(dict.fromkeys(map(_parse_syntax, accept)))
    if not found:
        raise ConfigurationError(f"{setting('accept')} is an empty list", "name a transfer syntax, or leave it out")
    return found


def _parse_syntax(text: str) -> str:
    uid = _syntaxes().get(str(text).strip().casefold(), str(text).strip())
    if is_supported_transfer_syntax(uid) and is_uid(uid):
        return uid
    if uid in _REFUSED_TRANSFER:
        raise ConfigurationError(f"{setting('accept', text)} cannot be filed as it comes", "leave it out")
    names = [
        "as-stored",
        "uncompressed",
        *(each[4] for each in REGISTERED.values() if each[1] == "Transfer Syntax"),
    ]
    near = difflib.get_close_matches(str(text), [name for name in names if name], 1)
    mend = f"did you mean {near[0]!r}?" if near else "give 'as-stored', 'uncompressed', or UIDs or keywords"
    raise ConfigurationError(f"{setting('accept', text)} is no transfer syntax", mend)


@lru_cache(maxsize=1)
def _syntaxes() -> dict[str, str]:
    """Return the UIDs of the transfer syntaxes by keyword, in small letters."""
    return {each[4].casefold(): uid for uid, each in REGISTERED.items() if each[1] == "Transfer Syntax" and each[4]}


def accept_contexts(
    contexts: Iterable[Context], accept: Collection[str] = (), *, other_kind: bool = False
) -> dict[int, str]:
    """Choose a transfer syntax for each context.

    It is the first of `accept` that the peer offers; without `accept` the first that it offers and that we can file,
    which spares it a transcoding, and a retired one where it offers no other. With `other_kind` it is the first
    compressed one where that is not, and the first uncompressed one where that is compressed, if the context has it.

    An empty text stands for "no transfer syntax of these"; a context that is missing has an abstract syntax that we
    do not serve.
    """
    accepted = {}
    for context in contexts:
        if context.abstract_syntax == VERIFICATION:
            accepted[context.id] = next(filter(is_supported_transfer_syntax, context.transfer_syntaxes), "")
        elif is_storage(context.abstract_syntax):
            ranked = _rank(context.transfer_syntaxes, accept)
            others = _find_others(ranked) if other_kind else []
            accepted[context.id] = next(iter(others or ranked), "")
    return accepted


def _rank(offered: tuple[str, ...], accept: Collection[str]) -> list[str]:
    if accept:
        return [uid for uid in accept if uid in offered]
    return sorted(filter(is_supported_transfer_syntax, offered), key=_LAST_RESORT.__contains__)


def _find_others(ranked: list[str]) -> list[str]:
    """Return those that are compressed if the first one is not, or the other way round."""
    return [uid for uid in ranked if (uid in NATIVE) is not (ranked[0] in NATIVE)]


def find_offers(contexts: Iterable[Context], accept: Collection[str] = ()) -> dict[str, Offer]:
    """Return how a peer offers each storage class, as far as we accept it.

    Examples
    --------
    >>> ct, jpeg, native = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.1"
    >>> print(find_offers([Context(1, ct, (jpeg, native))])[ct])
    either kind
    """
    kinds: dict[str, set[bool]] = {}
    either = set()
    for context in contexts:
        if is_storage(context.abstract_syntax):
            ranked = _rank(context.transfer_syntaxes, accept)
            kinds.setdefault(context.abstract_syntax, set()).update(uid in NATIVE for uid in ranked)
            if _find_others(ranked):
                either.add(context.abstract_syntax)
    return {
        uid: Offer.EITHER_KIND if uid in either else Offer.UNCOMPRESSED if found == {True} else Offer.OTHERWISE
        for uid, found in kinds.items()
    }


def explain_refused(contexts: Iterable[Context], accepted: Mapping[int, str]) -> str:
    """Say which SOP Classes no context was accepted for, and why; nothing if there are none.

    Examples
    --------
    >>> jpip = Context(1, "1.2.840.10008.5.1.4.1.1.2", ("1.2.840.10008.1.2.4.95",))
    >>> explain_refused([jpip], accept_contexts([jpip]))
    'CT Image Storage is offered in JPIP Referenced Deflate only'
    """
    refused: dict[str, dict[str, None]] = {}
    for context in contexts:
        refused.setdefault(context.abstract_syntax, {}).update(dict.fromkeys(context.transfer_syntaxes))
    for context in contexts:
        if accepted.get(context.id):
            refused.pop(context.abstract_syntax, None)
    parts = []
    for uid, syntaxes in refused.items():
        if uid == VERIFICATION or is_storage(uid):
            names = [name_of(each) for each in syntaxes]
            more = [f"{len(names) - _NAMED} more"] if len(names) > _NAMED else []
            offered = ", ".join([*names[:_NAMED], *more]) if names else "no transfer syntax that is a UID"
            parts.append(f"{name_of(uid)} is offered in {offered}{' only' if names else ''}")
        else:
            parts.append(f"{name_of(uid)} is no storage class" if uid else "a class whose UID is none")
    more = [f"{count_of(len(parts) - _NAMED, 'more class', 'more classes')}"] if len(parts) > _NAMED else []
    return "; ".join([*parts[:_NAMED], *more])


def name_of(uid: str) -> str:
    """Return the name of a SOP Class or transfer syntax, or the UID where it has none that we know."""
    return str(REGISTERED[uid][0]).partition(":")[0].removesuffix(" (Retired)") if uid in REGISTERED else uid
