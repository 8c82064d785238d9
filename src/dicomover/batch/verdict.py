"""The verdict on one C-MOVE in its words: from how it ended and what is there to its outcome."""

from __future__ import annotations

from dataclasses import dataclass

from dicomover.batch.arrivals import COUNTING_SECONDS, STRAGGLER_SECONDS
from dicomover.batch.evidence import Evidence
from dicomover.batch.explain import Situation, explain
from dicomover.batch.work import SharedMove, Verdict
from dicomover.outcome import SUCCESS, Ended, Status, judge
from dicomover.policy.retry import Tried
from dicomover.query.resolve import Target
from dicomover.wire.responses import MoveEnd

__all__ = ["Facts", "bound_wait", "has_sent", "judge_exchange", "judge_move"]

_NOBODY_KNOWS = 1 << 62  # how many instances are due: only silence tells that all are here


@dataclass(frozen=True, slots=True)
class Facts:
    """What a verdict needs to know of the batch, beyond its C-MOVE.

    Attributes
    ----------
    destination
        The Move Destination's AE title.
    port
        Where we listen; None if a third party receives.
    trouble
        Why our receiver has ended; empty while all is well.
    cancelled
        Whether somebody has asked to cancel.
    sends
        Whether something of the batch has moved: the archive does send there.
    """

    destination: str
    port: int | None = None
    trouble: str = ""
    cancelled: bool = False
    sends: bool = False


def judge_move(end: MoveEnd, move: SharedMove, attempts: int, evidence: Evidence, facts: Facts) -> Verdict:
    """Say what a C-MOVE came to, after its last attempt."""
    target, running, is_ours = move.target, move.running, facts.port is not None
    there = None if evidence.present is None else len(evidence.present)
    missing = evidence.missing(target)
    if not is_ours and not has_sent(end):
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
    refused = dict(running.refused)
    situation = Situation(facts.destination, facts.port, target.expected, there, refused, len(missing), facts.sends)
    said = [evidence.doubt if is_doubted else explain(status, end, situation) or ""]
    if running.conflicts:
        said.append(f"{running.conflicts} arrived with other bytes than a file that was here; both were kept")
    if running.foreign:
        said.append(f"{running.foreign} arrived with it not asked for; they lie under their own UIDs")
    if facts.trouble and not status.complete:
        said.append(facts.trouble)
    error = "; ".join(part for part in said if part) or None
    received, size = (there, running.bytes) if is_ours else (None, None)
    tried = Tried(status, end.status_code, end.counters, end.ended, target.expected, there, refused)
    can_change = not is_doubted or evidence.passing
    return Verdict(status, end, attempts, received, size, error, missing, tried if can_change else None)


def judge_exchange(end: MoveEnd) -> Status:
    """Judge an exchange by itself, before what arrived is counted: enough to tell how busy the archive is."""
    return judge(end.status_code, end.counters, ended=end.ended)


def has_sent(end: MoveEnd) -> bool:
    """Tell whether the archive says that it has sent something, by a count or by a final success."""
    return end.status_code == SUCCESS or bool(end.counters.moved)


def bound_wait(end: MoveEnd, target: Target) -> tuple[int, float]:
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
