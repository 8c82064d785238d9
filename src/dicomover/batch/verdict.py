"""The verdict on one C-MOVE in its words: from how it ended and what is there to its outcome."""

from __future__ import annotations

from dataclasses import dataclass

from dicomover.batch.evidence import Evidence, has_sent
from dicomover.batch.explain import Situation, explain
from dicomover.batch.work import SharedMove, Verdict
from dicomover.outcome import Counters, Status, judge, settle, weigh
from dicomover.policy.retry import Tried
from dicomover.wire.responses import MoveEnd

__all__ = ["Facts", "judge_exchange", "judge_move"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a verdict needs to know of the batch, beyond its C-MOVE."""

    destination: str  # the Move Destination's AE title
    # where we listen; no port if a third party receives, no address to bind to if on every one
    port: int | None = None
    trouble: str = ""  # why our receiver has ended; empty while all is well
    cancelled: bool = False  # whether somebody has asked to cancel
    sends: bool = False  # whether something of the batch has come there, taken or refused: the archive does send there
    bind: str | None = None
    called: bool = False  # whether our receiver had an association since the C-MOVE began, whoever opened it
    gone: int = 0  # how many came into folders that are not there any more
    by_get: bool = False  # whether it came by C-GET, and so to no port
    remark: str = ""  # what a person should know of the way in which it came


def judge_move(
    end: MoveEnd, move: SharedMove, attempts: int, repeated: int, evidence: Evidence, facts: Facts
) -> Verdict:
    """Say what a C-MOVE came to, after its last attempt."""
    target, running, is_ours = move.target, move.running, facts.port is not None
    there, strange = evidence.count, max(running.strange, running.most_strange)  # of any attempt: the files lie there
    missing = evidence.missing(target)
    listed = there is not None and target.instances is not None
    if not is_ours and not has_sent(end) and (missing or not listed or not end.counters.failed):
        # What a destination has although nothing was sent was there before. If it has all of what is counted as failed,
        # it has taken it: some archives count so what a destination answered with a warning.
        there, missing, listed = None, (), False
    status = judge(
        end.status_code,
        end.counters,
        expected=target.expected,
        received=there,
        repeated=repeated,
        missing=len(missing),
        listed=listed,
        strange=strange,
        ended=end.ended,
        cancelled=facts.cancelled,
    )
    if target.found is False and status in (Status.EMPTY, Status.FAILURE):
        status = Status.NOT_FOUND
    is_doubted = bool(evidence.doubt) and status.complete
    if is_doubted:
        status = Status.CANCELLED if facts.cancelled else Status.LOST
    if facts.gone and status is not Status.CANCELLED:
        status = Status.LOST
    refused = dict(running.refused)
    situation = Situation(
        facts.destination,
        facts.port,
        target.expected,
        there,
        refused,
        len(missing),
        sends=facts.sends,
        repeated=repeated,
        unclear=dict(running.unclear),
        reasons=dict(running.reasons),
        turned_away=dict(running.turned_away),
        bind=facts.bind,
        foreign=running.foreign,
        stray=dict(running.stray),
        called=facts.called,
        strange=strange,
        is_archives=running.is_called,
        by_get=facts.by_get,
    )
    said = [evidence.doubt if is_doubted else explain(status, end, situation) or ""]
    if facts.gone:
        said = [f"{facts.gone} of those that came are gone with their folder, which was here; run it again"]
    if running.conflicts:
        said.append(f"{running.conflicts} arrived with other bytes than a file that was here; both were kept")
    if running.twins:
        said.append(f"{len(running.twins)} have the SOP Instance UID of another one in another series; all were kept")
    if running.foreign:
        said.append(f"we refused {running.foreign} that came with it, not asked for")
    if strange:
        said.append(
            f"{strange} came under these UIDs as another patient's, unlisted, or beside the patient's own: "
            "they are not counted; see what they are before you use the folder"
        )
    if running.renamed:
        said.append(
            f"{running.renamed} carry another PatientID than the archive names, or none: they count since it lists "
            "them; see whose they are before you use them"
        )
    if not is_ours and status.complete and target.found and target.identifier.patient and not target.patients:
        said.append("the archive does not say whose it is, and nothing else shows that it is this patient's")
    if facts.remark:
        said.append(facts.remark)
    if facts.trouble and not status.complete:
        said.append(facts.trouble)
    error = "; ".join(part for part in said if part) or None
    received, size = (there, running.bytes) if is_ours else (None, None)
    tried = Tried(
        status,
        end.status_code,
        end.counters,
        end.ended,
        target.expected,
        there,
        refused,
        # That the archive does not know us is not gainsaid by a stranger who does.
        turned_away=running.turned_away.total() + running.unclear.total() + running.stray.total()
        if running.is_called or end.status_code != 0xA801
        else 0,
    )
    can_change = not facts.gone and (not is_doubted or evidence.passing)
    return Verdict(
        status,
        end,
        attempts,
        received,
        size,
        error,
        missing,
        tried if can_change else None,
        repeated=repeated,
        settled=_settle(end, there, target.expected) if status.complete else None,
        by_get=facts.by_get,
    )


def _settle(end: MoveEnd, there: int | None, expected: int | None) -> Counters | None:
    moved, _ = weigh(end.counters, expected=expected, received=there)
    return None if moved is None else settle(end.counters, moved)


def judge_exchange(end: MoveEnd) -> Status:
    """Judge an exchange by itself, before what arrived is counted: enough to tell how busy the archive is."""
    return judge(end.status_code, end.counters, ended=end.ended)
