"""Complete is one word: whatever the batch calls complete the journal believes, over every combination of facts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest

from dicomover.batch.evidence import Evidence
from dicomover.batch.ledger import _sum_up, add_kept
from dicomover.batch.running import RunningMove
from dicomover.batch.verdict import Facts, judge_move
from dicomover.batch.work import Kept, OpenRow, SharedMove, Verdict
from dicomover.identifier import Identifier, Level, Model
from dicomover.journal import Decision, FileCheck, decide, is_verified
from dicomover.outcome import CANCELLED, Counters, Ended
from dicomover.query.targets import Resolution, Target
from dicomover.requests.parse import parse_requests
from dicomover.summary import Result
from dicomover.wire.responses import MoveEnd

STATUSES = (None, 0x0000, 0xA702, 0xB000, CANCELLED)
COUNTED = (None, 0, 2, 3, 65535)
FACTS = {True: Facts("ME", port=11112), False: Facts("ELSEWHERE")}
UIDS = tuple(f"1.1.{number}" for number in range(5))
(REQUEST,) = parse_requests({"StudyInstanceUID": "1"}).requests


def verdicts(is_ours: bool) -> Iterator[tuple[SharedMove, Verdict]]:
    """Yield the verdict on a C-MOVE for each combination of what the archive says and what is there."""
    counters = [
        Counters(completed, failed, warning, remaining)
        for completed, failed, warning, remaining in itertools.product(
            COUNTED, (None, 0, 1), (None, 0, 1), (None, 0, 1)
        )
    ]
    there = (None, 0, 2, 3, 4) if not is_ours else (0, 2, 3, 4)
    for code, counted, expected, here, listed in itertools.product(
        STATUSES, counters, (None, 3, 70_000), there, (False, True)
    ):
        instances = {"1.1": UIDS[:3]} if listed else None
        target = Target(Identifier(Level.STUDY, Model.STUDY, study="1"), True, expected, instances=instances)
        move = SharedMove(0, target, OpenRow(REQUEST), RunningMove(0, target.identifier))
        ended = Ended.LOST if code is None else Ended.ANSWERED
        evidence = Evidence(None if here is None else UIDS[:here])
        yield move, judge_move(MoveEnd(ended, code, counted), move, 1, 0, evidence, FACTS[is_ours])


def result_of(*moves: tuple[SharedMove, Verdict]) -> Result:
    """Return the result of a row of these C-MOVEs, as the journal keeps it."""
    row = OpenRow(REQUEST)
    row.resolution = Resolution(tuple(move.target for move, _ in moves), len(moves))
    for move, verdict in moves:
        move.verdict = verdict
        row.moves.append(move)
    result = _sum_up(row)
    return result if result.settled is None else replace(result, counters=result.settled)


@pytest.mark.parametrize("is_ours", [True, False], ids=["here", "at a third party"])
def test_what_the_batch_calls_complete_the_journal_believes(is_ours: bool) -> None:
    """Of every combination: complete is verified, anything else is not, and a rerun decides by that."""
    files = FileCheck() if is_ours else None
    believed = 0
    for move, verdict in verdicts(is_ours):
        result = result_of((move, verdict))
        is_complete = result.status is not None and result.status.complete
        facts = f"{verdict.end} of {move.target.expected}, here: {verdict.received}"
        assert is_verified(result) == is_complete, f"{result.status} from {facts}"
        if files is None:
            assert (decide(result) is Decision.SKIP) == is_complete, facts
        believed += is_complete
    assert believed > 100


@pytest.mark.parametrize("is_ours", [True, False], ids=["here", "at a third party"])
def test_so_with_a_row_of_two(is_ours: bool) -> None:
    """A row of two C-MOVEs that are both complete is believed, whatever each of them counted."""
    complete = [(move, verdict) for move, verdict in verdicts(is_ours) if verdict.status.complete]
    for first, second in itertools.product(complete[::17], complete[::23]):
        result = result_of(first, second)
        assert is_verified(result), f"{first[1].end} and {second[1].end}"


def test_so_with_what_was_here_before() -> None:
    """What was missing and came completes what was here, and the sum of both is believed."""
    for is_ours in (True, False):
        for move, verdict in verdicts(is_ours):
            if verdict.status.complete:
                result = add_kept(result_of((move, verdict)), Kept(2, 2 if is_ours else 0))
                assert is_verified(result), str(verdict.end)
                assert (result.received is not None) == is_ours
