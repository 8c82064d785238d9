"""When nothing in a batch can work, so that it stops with one sentence. Pure: it looks at what has ended so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from dicomover.errors import AssociationRejected
from dicomover.node import Node
from dicomover.outcome import Status
from dicomover.policy.retry import RETRIABLE, Tried

__all__ = ["Parties", "find_hopeless_cause"]


@dataclass(frozen=True, slots=True)
class Parties:
    """Who takes part in a batch, for a sentence that its reader can hand to the archive's administrator."""

    node: Node  # the archive
    # ours, and the Move Destination's
    ae_title: str
    destination: str
    # this machine's address, and where we listen; no port if a third party receives
    address: str | None = None
    port: int | None = None
    by_get: bool = False  # whether images come by C-GET, which needs no destination


_LEAST = 3  # so many in a row, with nothing moved in between, make it certain

_Cause = Literal["calling", "called", "destination", "unsent", "elsewhere"]


def find_hopeless_cause(
    tries: Sequence[Tried],  # what the requests came to so far, in the order of their ends; the last hundred do
    parties: Parties,
    *,
    reached: bool = False,  # whether anything of this batch has come to the destination before
) -> str | None:
    """Say why nothing in this batch can work, and what to give to whom, so that it stops with one sentence.

    None while there is hope. An AE title that is not recognised (A-ASSOCIATE-RJ 1/1/3 and 1/1/7, PS3.8 section 9.3.4)
    needs no second proof unless something has moved before. Some archives answer 0xCxxx rather than 0xA801 to an
    unknown destination; that takes twice as many, all for studies that C-FIND has found. So does an archive that counts
    instances as moved of which none arrive here: they go to somebody else. None of these is the cause where something
    has come to the same destination in this batch, or our own receiver has refused something: then the archive knows
    the way.

    Examples
    --------
    >>> parties = Parties(Node("10.1.2.3", 104, ae_title="ARCHIVE"), "MOVESCU", "MOVESCU", "10.9.9.9", 11112)
    >>> print(find_hopeless_cause([Tried(Status.FAILURE, 0xA801)] * 3, parties))
    ARCHIVE@10.1.2.3:104 does not know the Move Destination 'MOVESCU' (0xA801, 3 times in a row); give its
    administrator: AE title 'MOVESCU', address 10.9.9.9, port 11112
    """
    cause = _read_cause(tries[-1]) if tries else None
    if cause is None or (parties.by_get and cause not in ("calling", "called")):
        return None
    run = 0
    for tried in reversed(tries):
        if _read_cause(tried) == cause:
            run += 1
        elif tried.moved or tried.status in RETRIABLE:
            break
    ever = reached or any(tried.moved for tried in tries)
    if cause in ("calling", "called"):
        least = _LEAST if ever else 1
    elif ever or any(tried.has_reached_us for tried in tries):
        return None
    else:
        least = _LEAST if cause == "destination" else 2 * _LEAST
    return _tell(cause, run, parties) if run >= least else None


def _read_cause(tried: Tried) -> _Cause | None:
    if isinstance(tried.error, AssociationRejected):
        rejection = (tried.error.result, tried.error.source, tried.error.reason)
        return {(1, 1, 3): "calling", (1, 1, 7): "called"}.get(rejection)  # type: ignore[return-value]
    if tried.error is not None or tried.moved:
        return None
    if tried.status is Status.EMPTY and tried.counters.moved and tried.received == 0:
        return "elsewhere"
    if tried.status is not Status.FAILURE or tried.status_code is None:
        return None
    if tried.status_code == 0xA801:
        return "destination"
    if tried.status_code >> 12 == 0xC and tried.expected and not tried.counters.failed:
        return "unsent"
    return None


def _tell(cause: _Cause, times: int, parties: Parties) -> str:
    node, ours, destination = parties.node, parties.ae_title, parties.destination
    here = f"address {parties.address}" if parties.address else "this machine's address"
    if parties.port is None:
        there = f"AE title {destination!r} with the address and the port of the machine that receives"
    else:
        there = f"AE title {destination!r}, {here}, port {parties.port}"
    who = f"; or it does not accept {node.identity}, whom we have named" if node.identity else ""
    if cause == "calling":
        give = f"AE title {ours!r}, {here}" + ("" if parties.port is None else f", port {parties.port}")
        return f"{node} does not recognise our AE title (A-ASSOCIATE-RJ 1/1/3); give its administrator: {give}{who}"
    if cause == "called":
        return (
            f"{node} does not answer to the AE title {node.ae_title!r} (A-ASSOCIATE-RJ 1/1/7); ask its administrator "
            f"for its own one at address {node.host}, port {node.port}{who}"
        )
    what = {
        "destination": f"does not know the Move Destination {destination!r} (0xA801, {times} times in a row)",
        "unsent": f"finds what we ask for and sends none of it ({times} times in a row), as if it did not know "
        f"the Move Destination {destination!r} or could not reach it",
        "elsewhere": f"reports instances as moved, but none arrives here ({times} times in a row): they go elsewhere",
    }[cause]
    return f"{node} {what}; give its administrator: {there}"
