"""How several requests for one C-MOVE have ended: what they count together, and the worst of it."""

from __future__ import annotations

from dicomover.batch.ends import Parts, join_ends
from dicomover.outcome import Counters, Ended
from dicomover.wire.responses import MoveEnd


def test_parts_count_together_from_what_was_before() -> None:
    """Progress begins anew with the first request, and goes on from what others of the same C-MOVE have come to."""
    parts, further = Parts(), Parts(before=Counters(5))
    assert (parts.so_far, further.so_far) == (None, Counters(5))
    for sent in (parts, further):
        sent.add(2, MoveEnd(Ended.ANSWERED, 0, Counters(1, 0, 0)))
        sent.add(1, MoveEnd(Ended.LOST, None, Counters(2, 0, 0)))
        assert sent.end is not None
        assert (sent.attempts, sent.end.ended, sent.end.counters.completed) == (3, Ended.LOST, 3)
    assert parts.so_far == Counters(3, 0, 0)
    assert further.so_far == Counters(5) + Counters(3, 0, 0)


def test_of_two_ends_the_worse_one_stands() -> None:
    """A success does not hide what was before or comes after it, and the UIDs that failed are those of both."""
    well = MoveEnd(Ended.ANSWERED, 0, Counters(1))
    ill = MoveEnd(Ended.ANSWERED, 0xB000, Counters(1), ("1",))
    lost = MoveEnd(Ended.LOST)
    assert join_ends(well, ill).status_code == join_ends(ill, well).status_code == 0xB000
    assert join_ends(ill, lost).ended is Ended.LOST
    assert join_ends(ill, lost).failed_uids == ("1",)
