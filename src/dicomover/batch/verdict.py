"""The verdict on one C-MOVE in its words: from how it ended and what is there to its outcome."""

from __future__ import annotations

from dataclasses import dataclass

from dicomover.batch.arrivals import COUNTING_SECONDS, STRAGGLER_SECONDS
from dicomover.batch.evidence import Evidence
from dicomover.batch.explain import Situation, explain
from dicomover.batch.ledger import Move, Outcome
from dicomover.outcome import SUCCESS, Ended, Status, judge
from dicomover.policy.retry import Tried
from dicomover.query.resolve import Target
from dicomover.receiver import Receiver
from dicomover.wire.responses import MoveEnd

__all__ = ["Facts", "first_sight", "has_sent", "judged", "still_due"]

_NOBODY_KNOWS = 1 << 62  # how many instances are due: only silence tells that all are here


@dataclass(frozen=True, slots=True)
class Facts:
    """What a verdict needs to know beyond its C-MOVE: who receives, who has cancelled, what has moved before."""

    destination: str
    receiver: Receiver | None
    cancelled: bool
    sends: bool = False


def judged(end: MoveEnd, move: Move, attempts: int, evidence: Evidence, facts: Facts) -> tuple[Outcome, Tried | None]:
    """Return what a C-MOVE came to, and what decides whether it is tried again; None if that could not help."""
    target, running, receiver = move.target, move.running, facts.receiver
    there = None if evidence.present is None else len(evidence.present)
    missing = evidence.missing(target)
    if receiver is None and not has_sent(end):
        there, missing = None, ()  # what a destination has although nothing was sent was there before
    status = judge(
        end.status_code,
        end.counters,
        expected=target.expected,
        received=there,
        missing=len(missing),
        ended=end.ended,
        cancelled=facts.cancelled,
    )
    if target.found is False and status in (Status.EMPTY, Status.FAILURE):
        status = Status.NOT_FOUND
    is_doubted = bool(evidence.doubt) and status.complete
    if is_doubted:
        status = Status.CANCELLED if facts.cancelled else Status.LOST
    port = None if receiver is None else receiver.port
    refused = dict(running.refused)
    situation = Situation(facts.destination, port, target.expected, there, refused, len(missing), facts.sends)
    said = [evidence.doubt if is_doubted else explain(status, end, situation) or ""]
    if running.conflicts:
        said.append(f"{running.conflicts} arrived with other bytes than a file that was here; both were kept")
    if running.foreign:
        said.append(f"{running.foreign} arrived with it not asked for; they lie under their own UIDs")
    if receiver is not None and receiver.failed is not None and not status.complete:
        said.append(str(receiver.failed))
    error = "; ".join(part for part in said if part) or None
    received, size = (None, None) if receiver is None else (there, running.bytes)
    outcome = Outcome(status, end, attempts, received, size, error, missing)
    if is_doubted and not evidence.passing:
        return outcome, None
    return outcome, Tried(status, end.status_code, end.counters, end.ended, target.expected, there, refused)


def first_sight(end: MoveEnd) -> Status:
    """Judge an exchange by itself, before what arrived is counted: enough to tell how busy the archive is."""
    return judge(end.status_code, end.counters, ended=end.ended)


def has_sent(end: MoveEnd) -> bool:
    """Tell whether the archive says that it has sent something, by a count or by a final success."""
    return end.status_code == SUCCESS or bool(end.counters.moved)


def still_due(end: MoveEnd, target: Target) -> tuple[int, float]:
    """Return how many instances may be here in the end, and how long a silence tells that no more will come."""
    claimed = end.counters.moved
    if end.ended is Ended.LOST:
        return target.expected or 0, STRAGGLER_SECONDS
    if claimed is None and end.status_code == SUCCESS:
        return target.expected or _NOBODY_KNOWS, STRAGGLER_SECONDS
    if claimed:
        return claimed + (end.counters.remaining or 0), STRAGGLER_SECONDS
    # The archive says that nothing has moved: give what is already here the time to be counted.
    return target.expected or 1, COUNTING_SECONDS
