"""What a request comes to, as the journal names it: from where, and which part of which study of whom.

Two archives, and two patients, never share anything: neither an archive's word for the one nor files of the other say
anything about a scope.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence
from typing import NamedTuple

from dicomover.disk import DamagedRecord, inflate
from dicomover.identifier import Identifier, Level

__all__ = ["Place", "Scope", "bind", "pack_scopes", "unpack_scopes"]


class Place(NamedTuple):
    """Where images come from, and where they go to: an archive, and a third party unless we receive."""

    number: int  # the same for the same two
    name: str  # both, as JSON

    @classmethod
    def of(cls, archive: object, destination: object) -> Place:
        """Give the two their number."""
        name = json.dumps([archive, destination])
        return cls(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True), name)


class Scope(NamedTuple):
    """A part of what a request comes to: what one C-MOVE of a whole would ask for."""

    level: Level  # PATIENT, STUDY, SERIES or IMAGE
    # its UIDs, as far down as the level; `sops` may be several
    study: str
    series: str
    sops: tuple[str, ...]
    whose: str  # the PatientIDs that the archive names for it, as the journal keeps them; empty if nobody knows

    @classmethod
    def of(cls, identifier: Identifier, whose: str) -> Scope:
        """Name what an identifier asks for."""
        sops = tuple(identifier.instance.split("\\")) if identifier.instance else ()
        return cls(identifier.level, identifier.study, identifier.series, sops, whose)

    def __repr__(self) -> str:
        return f"Scope({self.level}, study={self.study!r}, series={self.series!r}, sops={len(self.sops)})"


def bind(*belongs: object) -> str:
    """Return what stands in content, so that it is nothing under another request, study, patient or place."""
    return hashlib.blake2b(repr(belongs).encode(), digest_size=6).hexdigest()


def pack_scopes(scopes: Sequence[Scope], key: str) -> bytes:
    """Write what the request of a key comes to.

    Examples
    --------
    >>> scopes = (Scope(Level.STUDY, "1.2", "", (), "P-1"),)
    >>> unpack_scopes(pack_scopes(scopes, "k"), "k") == scopes, unpack_scopes(pack_scopes(scopes, "k"), "another")
    (True, None)
    """
    content = [[str(each.level), each.study, each.series, "\\".join(each.sops), each.whose] for each in scopes]
    content.append([bind(key)])
    return zlib.compress(json.dumps(content, separators=(",", ":")).encode(), 1)


def unpack_scopes(packed: object, key: str) -> tuple[Scope, ...] | None:
    """Read what `pack_scopes` wrote; None if it is of another request.

    Raises DamagedRecord if it is not that.
    """
    try:
        if type(packed) is not bytes:
            raise TypeError("no bytes")
        content = json.loads(inflate(packed).decode("ascii"))
        if not {type(text) for each in content for text in each} <= {str}:
            raise TypeError("something else than texts")
        *scopes, (bond,) = content
        return (
            None
            if bond != bind(key)
            else tuple(
                Scope(Level(level), study, series, tuple(sops.split("\\")) if sops else (), whose)
                for level, study, series, sops, whose in scopes
            )
        )
    except (zlib.error, ValueError, TypeError, RecursionError) as error:
        raise DamagedRecord(f"what a request comes to cannot be read, {type(error).__name__}") from error
