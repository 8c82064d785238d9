"""The verdict on a C-MOVE: a truth table, and what must hold for every combination of facts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomover.outcome import CANCELLED, SUCCESS, Counters, Ended, Status, is_warning, judge, judge_all

NOTHING = Counters()


def counted(completed: int | None = None, failed: int | None = 0, warning: int | None = 0) -> Counters:
    """Return the counters of a final response, which has no Remaining."""
    return Counters(completed, failed, warning)


TWICE = {"received": 3, "repeated": 1}
LISTED = {"received": 3, "listed": True}
LACKING = {"listed": True, "missing": 1}

TRUTH = [
    # --- final 0x0000, a third party receives
    ("as it should be", SUCCESS, counted(3), {"expected": 3}, "success"),
    ("nobody counted beforehand", SUCCESS, counted(3), {}, "success"),
    ("only completed was counted", SUCCESS, Counters(3), {"expected": 3}, "success"),
    ("more than was promised", SUCCESS, counted(4), {"expected": 3}, "success"),
    ("fewer than were promised", SUCCESS, counted(2), {"expected": 3}, "partial"),
    ("success although some failed (GE)", SUCCESS, counted(2, failed=1), {"expected": 3}, "partial"),
    ("success although all failed", SUCCESS, counted(0, failed=3), {"expected": 3}, "failure"),
    ("some with a warning", SUCCESS, counted(2, warning=1), {"expected": 3}, "warning"),
    ("all with a warning", SUCCESS, counted(0, warning=3), {"expected": 3}, "warning"),
    ("zero sub-operations", SUCCESS, counted(0), {}, "empty"),
    ("zero sub-operations of three", SUCCESS, counted(0), {"expected": 3}, "empty"),
    ("no counter in any response", SUCCESS, NOTHING, {}, "empty"),
    ("no counter in any response, three promised", SUCCESS, NOTHING, {"expected": 3}, "empty"),
    ("some remained when it last counted", SUCCESS, Counters(3, 0, 0, 1), {"expected": 4}, "partial"),
    ("the same, nobody counted beforehand", SUCCESS, Counters(3, 0, 0, 1), {}, "partial"),
    ("only Remaining was ever counted", SUCCESS, Counters(remaining=2), {"expected": 2}, "empty"),
    ("none remained when it last counted", SUCCESS, Counters(4, 0, 0, 0), {"expected": 4}, "success"),
    # --- final 0x0000, we receive
    ("all of it is here", SUCCESS, counted(3), {"expected": 3, "received": 3}, "success"),
    ("a warning that counts as completed too", SUCCESS, counted(3, 0, 1), {"expected": 3, "received": 3}, "warning"),
    ("the same of each", SUCCESS, counted(3, 0, 3), {"expected": 3, "received": 3}, "warning"),
    ("the same, a status that says so", 0xB000, counted(3, 0, 1), {"expected": 3, "received": 3}, "warning"),
    ("the same, nobody looked", SUCCESS, counted(3, 0, 1), {"expected": 3}, "warning"),
    ("the same, one is not here", SUCCESS, counted(3, 0, 1), {"expected": 3, "received": 2}, "partial"),
    ("the same, one failed", SUCCESS, counted(3, 1, 1), {"expected": 3, "received": 3}, "partial"),
    ("the same, one remained", SUCCESS, Counters(3, 0, 1, 1), {"expected": 3, "received": 3}, "partial"),
    ("it may be another one, nobody counted", SUCCESS, counted(3, 0, 1), {"received": 3}, "partial"),
    ("it is another one, more than promised", SUCCESS, counted(3, 0, 1), {"expected": 2, "received": 3}, "partial"),
    ("more completed than here", SUCCESS, counted(4, 0, 1), {"expected": 3, "received": 3}, "partial"),
    ("all of it is here, without counters", SUCCESS, NOTHING, {"expected": 3, "received": 3}, "success"),
    ("what remained has arrived", SUCCESS, Counters(3, 0, 0, 1), {"expected": 4, "received": 4}, "success"),
    ("what remained has not arrived", SUCCESS, Counters(3, 0, 0, 1), {"received": 3}, "partial"),
    ("only Remaining was ever counted, fewer here", SUCCESS, Counters(remaining=5), {"received": 1}, "partial"),
    ("more is here than was promised", SUCCESS, counted(3), {"expected": 2, "received": 3}, "success"),
    ("fewer are here than it claims", SUCCESS, counted(3), {"expected": 3, "received": 2}, "partial"),
    ("the same, nobody counted beforehand", SUCCESS, counted(3), {"received": 2}, "partial"),
    ("fewer are here than were promised", SUCCESS, NOTHING, {"expected": 3, "received": 2}, "partial"),
    ("it claims three and nothing is here", SUCCESS, counted(3), {"expected": 3, "received": 0}, "empty"),
    ("it claims three asynchronously (Orthanc)", SUCCESS, counted(3), {"received": 0}, "empty"),
    ("here, but it counted a failure", SUCCESS, counted(2, failed=1), {"expected": 3, "received": 3}, "partial"),
    ("here, with a warning", SUCCESS, counted(2, warning=1), {"expected": 3, "received": 3}, "warning"),
    ("as many as promised, not those that were listed", SUCCESS, counted(3), {"received": 3, "missing": 1}, "partial"),
    ("zeros at the end after files have come", SUCCESS, counted(0), {"expected": 3, "received": 3}, "success"),
    # --- counting: an image twice, counters of 16 bits, failures that are none
    ("one came twice and is counted twice", SUCCESS, counted(4), {"expected": 3, **TWICE}, "success"),
    ("the same, nobody counted beforehand", SUCCESS, counted(4), TWICE, "success"),
    ("one came twice, another one is missing", SUCCESS, counted(5), TWICE, "partial"),
    ("the same, as many as promised", SUCCESS, counted(5), {"expected": 3, **TWICE}, "partial"),
    ("one came twice, fewer than promised", SUCCESS, counted(4), {"expected": 4, **TWICE}, "partial"),
    ("all twice, counted once", SUCCESS, counted(3), {"expected": 3, "received": 3, "repeated": 3}, "success"),
    ("70,000, counters stop", SUCCESS, counted(65535), {"expected": 70_000}, "success"),
    ("70,000, counters stop, all here", SUCCESS, counted(65535), {"expected": 70_000, "received": 70_000}, "success"),
    ("70,000, counters stop, some here", SUCCESS, counted(65535), {"expected": 70_000, "received": 69_999}, "partial"),
    ("70,000, counters begin anew", SUCCESS, counted(4464), {"expected": 70_000}, "success"),
    ("the same, one fewer", SUCCESS, counted(4463), {"expected": 70_000}, "partial"),
    ("the same, some with a warning", SUCCESS, counted(4460, 0, 4), {"expected": 70_000}, "warning"),
    ("the same, one failed", SUCCESS, counted(4463, 1), {"expected": 70_000}, "partial"),
    ("140,000, counters began anew twice", SUCCESS, counted(8928), {"expected": 140_000}, "success"),
    ("none of 65,536", SUCCESS, counted(0), {"expected": 65_536, "received": 0}, "empty"),
    ("65,535, all", SUCCESS, counted(65535), {"expected": 65_535}, "success"),
    ("nothing to compare, counters stop", SUCCESS, counted(65535), {}, "success"),
    ("warnings counted as failed, all is there", 0xB000, counted(1, 2), {"expected": 3, **LISTED}, "warning"),
    ("the same, all of them", 0xA702, counted(0, 3), {"expected": 3, **LISTED}, "warning"),
    ("the same, with success", SUCCESS, counted(1, 2), {"expected": 3, **LISTED}, "warning"),
    ("failed, and one is missing", 0xB000, counted(1, 2), {"received": 2, **LACKING}, "partial"),
    ("failed, and as many others are there", 0xB000, counted(1, 2), {"received": 3, **LACKING}, "partial"),
    ("failed, and nobody looked", 0xB000, counted(1, 2), {"expected": 3}, "partial"),
    ("warnings counted as completed", SUCCESS, counted(3), {"expected": 3, **LISTED}, "success"),
    # --- 0xB000 and other warnings
    ("some failed", 0xB000, counted(2, failed=1), {"expected": 3}, "partial"),
    ("some failed, nobody counted beforehand", 0xB000, counted(2, failed=1), {}, "partial"),
    ("a warning, none failed", 0xB000, counted(3), {}, "warning"),
    ("a warning, Failed not counted", 0xB000, Counters(3), {}, "partial"),
    ("the same, but all that was promised", 0xB000, Counters(3), {"expected": 3}, "warning"),
    ("a warning without counters", 0xB000, NOTHING, {"expected": 3}, "failure"),
    ("all failed", 0xB000, counted(0, failed=3), {"expected": 3}, "failure"),
    ("warnings counted", 0xB000, counted(2, warning=1), {"expected": 3}, "warning"),
    ("some remained", 0xB000, Counters(2, 0, 0, 1), {}, "partial"),
    ("our disk was full (dcmqrscp)", 0xB000, counted(37, failed=3), {"expected": 40, "received": 37}, "partial"),
    ("a warning of PS3.7", 0x0107, counted(3), {"expected": 3}, "warning"),
    # --- failures
    ("destination unknown", 0xA801, NOTHING, {"expected": 3}, "failure"),
    ("destination down (dcmqrscp)", 0xA702, counted(0, failed=40), {"expected": 40}, "failure"),
    ("out of resources after some", 0xA702, counted(2, failed=1), {"expected": 3}, "partial"),
    ("cannot count", 0xA701, NOTHING, {}, "failure"),
    ("identifier does not match", 0xA900, NOTHING, {"received": 0}, "failure"),
    ("zero counters (Orthanc)", 0xC000, counted(0), {"expected": 3}, "failure"),
    ("zero counters after two have come", 0xC000, counted(0), {"expected": 40, "received": 2}, "partial"),
    ("zero counters after two, nobody counted", 0xC000, counted(0), {"received": 2}, "partial"),
    ("zero counters after all have come", 0xC000, counted(0), {"expected": 3, "received": 3}, "warning"),
    ("it claims all, and fails", 0xC000, counted(3), {"expected": 3}, "partial"),
    ("not authorised", 0x0124, NOTHING, {}, "failure"),
    ("a status in no table, after all", 0x1234, counted(3), {"expected": 3}, "partial"),
    # --- cancelled
    ("cancelled, confirmed", CANCELLED, counted(1), {"expected": 3, "cancelled": True}, "cancelled"),
    ("cancelled by the archive", CANCELLED, counted(1), {"expected": 3}, "cancelled"),
    ("cancelled, nothing confirmed it", None, NOTHING, {"ended": Ended.CANCELLED, "cancelled": True}, "cancelled"),
    ("cancelled, ended 0x0000, some came", SUCCESS, counted(1), {"expected": 3, "cancelled": True}, "cancelled"),
    ("cancelled, ended 0x0000, unknown how many", SUCCESS, counted(1), {"cancelled": True}, "cancelled"),
    ("the same, one is here", SUCCESS, NOTHING, {"cancelled": True, "received": 1}, "cancelled"),
    ("cancelled, ended 0x0000, nothing came", SUCCESS, counted(0), {"expected": 3, "cancelled": True}, "cancelled"),
    ("cancelled too late", SUCCESS, counted(3), {"expected": 3, "cancelled": True}, "success"),
    ("cancelled too late, all here", SUCCESS, NOTHING, {"expected": 3, "received": 3, "cancelled": True}, "success"),
    ("cancelled, ended with a warning", 0xB000, counted(3), {"expected": 3, "cancelled": True}, "cancelled"),
    # --- no answer
    ("lost after some", None, counted(2), {"expected": 3, "ended": Ended.LOST}, "lost"),
    ("lost, all here", None, counted(2), {"expected": 3, "received": 3, "ended": Ended.LOST}, "lost"),
    ("lost while being cancelled", None, NOTHING, {"ended": Ended.LOST, "cancelled": True}, "lost"),
    ("never sent", None, NOTHING, {"ended": Ended.UNSENT}, "failure"),
    ("never sent since cancelled", None, NOTHING, {"ended": Ended.UNSENT, "cancelled": True}, "cancelled"),
    ("answered without a status", None, counted(3), {"expected": 3}, "failure"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "counters", "facts", "verdict"), [row[1:] for row in TRUTH], ids=[r[0] for r in TRUTH]
)
def test_truth_table(code: int | None, counters: Counters, facts: dict[str, object], verdict: str) -> None:
    """Every row of what archives do has its verdict."""
    assert judge(code, counters, **facts) == verdict  # type: ignore[arg-type]


numbers = st.none() | st.integers(0, 5)
every_counters = st.builds(Counters, numbers, numbers, numbers, numbers)
codes = st.none() | st.sampled_from(
    [0, 1, 0x0107, 0x0110, 0x0116, 0x0122, 0xA701, 0xA702, 0xA801, 0xA900, 0xB000, 0xB007, 0xC000, 0xFE00, 0xFF00]
)
facts = st.fixed_dictionaries(
    {
        "expected": st.none() | st.integers(1, 5),
        "received": numbers,
        "ended": st.sampled_from(Ended),
        "cancelled": st.booleans(),
    }
)


@given(codes | st.integers(0, 0xFFFF), every_counters, facts)
def test_every_combination_has_one_verdict(code, counters, facts) -> None:
    """Whatever the facts, there is a verdict, and twice the same."""
    verdict = judge(code, counters, **facts)
    assert isinstance(verdict, Status)
    assert judge(code, counters, **facts) is verdict


@given(codes, every_counters, facts)
def test_complete_is_never_said_of_what_did_not_move(code, counters, facts) -> None:
    """Success and warning are never said if anything that is known says that something is missing."""
    verdict = judge(code, counters, **facts)
    if not verdict.complete:
        return
    expected, received = facts["expected"], facts["received"]
    moved = counters.moved if received is None else received
    assert moved, "something that shows what moved"
    assert not counters.failed
    assert moved >= (expected or 0)
    assert moved >= (counters.moved or 0) + (counters.remaining or 0)
    assert facts["ended"] is Ended.ANSWERED
    assert code not in (None, CANCELLED)


@given(codes, every_counters, facts)
def test_success_is_said_of_a_plain_success_only(code, counters, facts) -> None:
    """Success needs the final 0x0000 and no warning; a cancelled move needs a count from C-FIND besides."""
    if judge(code, counters, **facts) is Status.SUCCESS:
        assert code == SUCCESS
        assert not counters.warning
        assert not facts["cancelled"] or facts["expected"] is not None


@given(codes, every_counters, facts)
def test_nothing_moved_is_never_partial(code, counters, facts) -> None:
    """Partial means that something moved."""
    if judge(code, counters, **facts) is Status.PARTIAL:
        assert counters.moved if facts["received"] is None else facts["received"]


@pytest.mark.parametrize(
    ("verdicts", "verdict"),
    [
        (["success", "success"], "success"),
        (["success", "warning"], "warning"),
        (["success", "skipped"], "success"),
        (["skipped", "skipped"], "skipped"),
        (["success", "partial"], "partial"),
        (["success", "failure"], "partial"),
        (["success", "empty"], "partial"),
        (["success", "not-found"], "partial"),
        (["partial", "failure"], "partial"),
        (["empty", "failure"], "failure"),
        (["empty", "empty"], "empty"),
        (["not-found", "not-found"], "not-found"),
        (["success", "lost"], "lost"),
        (["failure", "lost"], "lost"),
        (["success", "cancelled"], "cancelled"),
        (["lost", "cancelled"], "cancelled"),
        ([], "failure"),
    ],
)
def test_several_moves_have_one_verdict(verdicts: list[str], verdict: str) -> None:
    """A request of several C-MOVEs is as good as all of them together."""
    assert judge_all([Status(item) for item in verdicts]) == verdict


@given(st.lists(st.sampled_from(Status), max_size=6))
def test_several_moves_are_complete_only_if_each_is(verdicts: list[Status]) -> None:
    """One C-MOVE that is not complete, or none at all, makes the request incomplete; the order does not matter."""
    verdict = judge_all(verdicts)
    assert verdict.complete == (bool(verdicts) and all(item.complete for item in verdicts))
    assert judge_all(verdicts[::-1]) is verdict
    if Status.WARNING in verdicts:
        assert verdict is not Status.SUCCESS


@pytest.mark.parametrize(
    ("responses", "merged"),
    [
        ([Counters(1, 0, 0, 2), Counters(3, 0, 0, None)], Counters(3, 0, 0, None)),
        ([Counters(1, 0, 0, 2), Counters()], Counters(1, 0, 0, 2)),
        ([Counters(3, 1, 1, 0), Counters(0, 0, 0, None)], Counters(3, 1, 1, None)),
        ([Counters(3, 0, 0, 2), Counters(0, 0, 0, None)], Counters(3, 0, 0, 2)),
        ([Counters(3, 0, 0, 2), Counters(4, 0, 0, None)], Counters(4, 0, 0, 1)),
        ([Counters(), Counters()], Counters()),
        ([Counters(remaining=4), Counters(remaining=3)], Counters(remaining=3)),
        ([Counters(2), Counters(failed=1)], Counters(2, 1)),
        ([Counters(65000, 0, 0, 5000), Counters(1964, 0, 0, 2500), Counters(4464, 0, 0)], Counters(70_000, 0, 0)),
        ([Counters(65535, 0, 0, 1), Counters(65535, 0, 0)], Counters(65535, 0, 0)),
        ([Counters(65000, 0, 0), Counters(0, 0, 0)], Counters(65000, 0, 0)),
        ([Counters(40_000, 0, 0, 9), Counters(30_000, 0, 0, 8)], Counters(40_000, 0, 0, 8)),
        ([Counters(70_000, 0, 0, 9), Counters(70_009, 0, 0)], Counters(70_009, 0, 0)),
        ([Counters(60_000), Counters(2_000), Counters(50_000), Counters(1_000)], Counters(132_072)),
    ],
    ids=[
        "final counts",
        "final is silent",
        "zeros at the end",
        "zeros too early",
        "fewer than announced",
        "never",
        "only remaining",
        "by and by",
        "begin anew",
        "stop",
        "zeros at the end of many",
        "out of order",
        "of 4 bytes",
        "begin anew twice",
    ],
)
def test_the_largest_counters_are_kept(responses: list[Counters], merged: Counters) -> None:
    """What was once counted stays counted; what never was stays unknown."""
    total = Counters()
    for response in responses:
        total = total.merge(response)
    assert total == merged


@given(every_counters, every_counters)
def test_counters_add_up(one: Counters, other: Counters) -> None:
    """The sum of two C-MOVEs is unknown only where both are."""
    for name in ("completed", "failed", "warning", "remaining"):
        parts = [getattr(one, name), getattr(other, name)]
        known = [part for part in parts if part is not None]
        assert getattr(one + other, name) == (sum(known) if known else None)


@pytest.mark.parametrize(
    ("code", "warns"), [(0xB000, True), (0xB007, True), (1, True), (0x0107, True), (0, False), (0xA702, False)]
)
def test_warning_class(code: int, warns: bool) -> None:
    """The statuses of the class Warning are known (PS3.7 Annex C)."""
    assert is_warning(code) is warns


def test_status_words() -> None:
    """The words of the summary stand in their order, and three of them mean that nothing is missing."""
    assert [str(status) for status in Status] == [
        "success", "warning", "partial", "failure", "empty", "not-found", "lost", "cancelled", "skipped", "invalid",
    ]  # fmt: skip
    assert [str(status) for status in Status if status.complete] == ["success", "warning", "skipped"]


@pytest.mark.parametrize(
    ("earlier", "later", "together", "verdict"),
    [
        (counted(3).merge(Counters(remaining=2)), counted(0), Counters(3, 0, 0, 2), "partial"),
        (counted(3, 2), counted(4), Counters(4, 0, 0, 1), "partial"),
        (counted(3, 2), counted(5), counted(5), "success"),
        (counted(3, 2), counted(4, 1), counted(4, 1), "partial"),
        (NOTHING, counted(2), counted(2), "success"),
        (counted(2), NOTHING, Counters(2, None, 0), "success"),
    ],
)
def test_a_later_attempt_hides_nothing(earlier: Counters, later: Counters, together: Counters, verdict: str) -> None:
    """What one attempt has shown to exist does not vanish because the next one counts less."""
    assert later.carry(earlier) == together
    assert judge(SUCCESS, later.carry(earlier)) == verdict
