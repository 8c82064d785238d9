"""The sentence of the error column: what to do, and nothing of the request."""

from __future__ import annotations

import inspect
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomover import Mover
from dicomover.batch.explain import Situation, explain
from dicomover.events import Refused
from dicomover.outcome import Counters, Ended, Status, describe, judge
from dicomover.testing import DemoPacs, made_study
from dicomover.wire.responses import MoveEnd

THIRD = Situation("WORKSTATION", expected=4)
HERE = Situation("ME", port=11112, expected=4, received=2)


CANNOT = ["does send to", "if the same instances fail each time", "give its administrator the UIDs"]


def said(code: int | None, counters: Counters, situation: Situation, **end: object) -> str | None:
    """Return the sentence for the verdict on these facts."""
    ended = end.pop("ended", Ended.ANSWERED)
    status = judge(code, counters, expected=situation.expected, received=situation.received, ended=ended)  # type: ignore[arg-type]
    return explain(status, MoveEnd(ended, code, counters, **end), situation)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("code", "counters", "situation", "parts"),
    [
        (0x0000, Counters(3, 1, 0), THIRD, ["reports success, 3 of 4 moved, 1 failed; run it again"]),
        (0x0000, Counters(3, 0, 0, 1), Situation("W"), ["reports success", "3 of 4 moved"]),
        (0x0000, Counters(2, 0, 0), THIRD, ["2 of 4 moved"]),
        (0x0000, Counters(3, 0, 1), THIRD, ["1 with a warning", "; the images can be used"]),
        (0x0000, Counters(0, 0, 0), THIRD, ["moved nothing", "run it again, or check with find()"]),
        (0x0000, Counters(), THIRD, ["without any count", "check the destination"]),
        (0x0000, Counters(4, 0, 0), Situation("ME", 11112, 4, 0), ["4 moved, but nothing arrived", "'ME'", "11112"]),
        (0x0000, Counters(4, 0, 0), HERE, ["2 of 4 moved"]),
        (0xB000, Counters(3, 1, 0), THIRD, ["0xB000", "3 of 4 moved, 1 failed; run it again"]),
        (0xA801, Counters(), THIRD, ["0xA801 (Move Destination unknown)", "add the AE title 'WORKSTATION'"]),
        (0xA801, Counters(), replace(HERE, received=0), ["this machine's address and port 11112"]),
        (0xA801, Counters(), HERE, ["0xA801 (Move Destination unknown), 2 of 4 moved: the archive does know 'ME'"]),
        (0xA702, Counters(0, 4, 0), THIRD, ["could not send to 'WORKSTATION'", "firewall", "4 failed"]),
        (0xA702, Counters(3, 1, 0), THIRD, CANNOT),
        (0xA702, Counters(0, 0, 0), HERE, CANNOT),
        (0xA702, Counters(0, 4, 0), replace(THIRD, sends=True), CANNOT),
        (0xA700, Counters(3, 1, 0), THIRD, ["short of resources", "fewer associations"]),
        (0xA701, Counters(), THIRD, ["run it again later"]),
        (0xA900, Counters(), THIRD, ["does not accept these keys", "try the other model"]),
        (0x0120, Counters(), THIRD, ["missing attribute", "try the other model"]),
        (0xA900, Counters(), replace(THIRD, sends=True), ["run it again, and if it stays so try the other model"]),
        (0xA900, Counters(2, 0, 0), THIRD, ["the SOP Class), 2 of 4 moved; run it again"]),
        (0xA900, Counters(), HERE, ["the SOP Class), 2 of 4 moved; run it again"]),
        (0x0122, Counters(), THIRD, ["allow C-MOVE from our AE title"]),
        (0x0124, Counters(), THIRD, ["not authorised", "ask the archive's administrator"]),
        (0xC000, Counters(0, 0, 0), THIRD, ["unable to process", "is unknown to them or does not answer"]),
        (0xC000, Counters(0, 0, 0), HERE, ["unable to process", "2 of 4 moved"]),
        (0x1234, Counters(), THIRD, ["(a status that the Standard does not define here); run it again, and ask"]),
    ],
)  # fmt: skip
def test_sentences(code: int, counters: Counters, situation: Situation, parts: list[str]) -> None:
    """Each end has a sentence that names the status, the numbers and what to do."""
    sentence = said(code, counters, situation)
    assert sentence is not None
    for part in parts:
        assert part in sentence
    assert parts is not CANNOT or "firewall" not in sentence


def test_what_failed_is_pointed_to_where_it_is_known() -> None:
    """The column that names what failed is named only where it has something to say."""
    listed = str(said(0xB000, Counters(3, 1, 0), THIRD, failed_uids=("1.2",)))
    assert listed.endswith("1 failed; run it again; failed_uids names what failed")
    missing = explain(Status.PARTIAL, MoveEnd(Ended.ANSWERED, 0, Counters(4, 0, 0)), replace(THIRD, missing=1))
    assert str(missing).endswith(
        "1 of those that the archive lists are missing; run it again; failed_uids names what failed"
    )
    assert str(said(0xB000, Counters(3, 1, 0), THIRD)).endswith("1 failed; run it again")


def test_an_archive_that_has_sent_to_us_before_is_not_told_where_we_are() -> None:
    """0xA702 after other rows have moved is about the images, not about address, port and firewall."""
    with DemoPacs([made_study("A"), made_study("B")], misbehave={"B": "out-of-resources"}) as pacs:
        mover = Mover(pacs.node, destination="WORKSTATION", associations=1, retry="none", progress="none")
        alone = mover.move({"AccessionNumber": "B"}).error[0]
        after = mover.move([{"AccessionNumber": "A"}, {"AccessionNumber": "B"}]).error[1]
    assert "firewall" in alone
    assert "firewall" not in after
    assert all(part in after for part in CANNOT)


def test_nothing_to_say_of_a_success() -> None:
    """A success has no error."""
    assert said(0x0000, Counters(4, 0, 0), THIRD) is None


def test_an_association_that_died() -> None:
    """What was lost says why and to run it again."""
    sentence = said(None, Counters(2), THIRD, ended=Ended.LOST, why="the connection was closed")
    assert sentence == "lost: the connection was closed; what is on its way is unknown, run it again"


def test_cancelled_and_not_found() -> None:
    """A cancelled row says how far it came; one that was not found says so."""
    assert said(0xFE00, Counters(2, 0, 0, 2), THIRD) == "cancelled, 2 of 4 moved"
    sentence = said(None, Counters(), THIRD, ended=Ended.CANCELLED, why="the archive did not confirm it")
    assert sentence == "the archive did not confirm it"
    assert "has nothing by these keys" in str(explain(Status.NOT_FOUND, MoveEnd(Ended.ANSWERED, 0), THIRD))


@pytest.mark.parametrize(
    ("status", "words"),
    [(0xA700, "make room"), (0xA900, "disagree"), (0xC000, "read or filed"), (0x0124, "nobody asked"), (0x0111, "UID")],
)
def test_what_we_refused_ourselves(status: int, words: str) -> None:
    """What our own receiver refused is said with its number and reason, after everything else."""
    situation = Situation("ME", 11112, 4, 3, {status: 1})
    sentence = str(said(0xB000, Counters(3, 1, 0), situation))
    assert sentence.startswith("0xB000")
    assert re.search(rf"; we refused 1: .*{words}", sentence)


def test_a_reason_is_said_where_a_status_has_many() -> None:
    """The Standard has one status for all that cannot be understood; what our receiver found is told beside it."""
    reasons = {0xC000: "the data set ends inside an element", 0xA700: "the disk is full"}
    situation = Situation("ME", 11112, 4, 2, {0xC000: 1, 0xA700: 1}, unclear={0xC000: 3}, reasons=reasons)
    sentence = str(said(0xB000, Counters(2, 2, 0), situation))
    assert "we refused 1: they could not be read or filed (the data set ends inside an element)" in sentence
    assert "we refused 3 meanwhile" in sentence
    assert sentence.count("the data set ends inside an element") == 2
    assert "make room and run it again" in sentence
    assert "(the disk is full)" not in sentence


@pytest.mark.parametrize("what", ["foreign", "refused", "unclear", "strange"])
def test_an_archive_that_reached_us_is_not_asked_for_our_address(what: str) -> None:
    """Where something came, or was refused, nobody is sent to look at addresses and ports."""
    value: object = 4 if what in ("foreign", "strange") else {0xC000: 4}
    sentence = str(said(0x0000, Counters(4, 0, 0), Situation("ME", 11112, 4, 0, **{what: value})))  # type: ignore[arg-type]
    assert sentence.startswith("the archive reports 4 moved, but")
    assert "address" not in sentence
    if what == "strange":
        uncounted = str(said(0x0000, Counters(), Situation("ME", 11112, 4, 0, strange=4)))
        assert uncounted.startswith("the archive reports success, but nothing that was asked for came")


@pytest.mark.parametrize(("code", "moved", "failed"), [(0xA702, 0, 3), (0x0000, 3, 0)])
def test_what_we_refused_of_something_else_is_told(code: int, moved: int, failed: int) -> None:
    """Whoever sent it, no firewall is in the way; if it was not the archive, the archive's address for us is wrong."""
    stray = Situation("ME", 11112, 3, 0, stray={0xA900: 2}, reasons={0xA900: "command and data set differ"})
    sentence = str(said(code, Counters(moved, failed, 0), stray))
    assert "firewall" not in sentence
    assert "nothing arrived" not in sentence
    assert "which address and port" in sentence.replace("to which", "which")
    refused = "we refused 2 meanwhile of something else: their command and data set disagree (command and data set"
    assert refused in sentence
    here = str(said(0xB000, Counters(2, 1, 0), replace(stray, received=2)))
    assert "something else" not in here, "what belongs to others is no remark where something has come"


def test_an_association_that_brought_nothing_shows_that_the_way_is_open() -> None:
    """Nobody looks for a firewall; it may have been the archive, and may have been somebody else."""
    sentence = str(said(0xA702, Counters(0, 3, 0), Situation("ME", 11112, 3, 0, called=True)))
    assert "firewall" not in sentence
    assert "something does reach 'ME'; if it was the archive, its log says why" in sentence
    assert "else check which address and port it has for us (we listen on port 11112" in sentence
    assert "administrator to add" in str(said(0xA801, Counters(), Situation("ME", 11112, 3, 0, called=True)))


def test_a_stranger_is_no_proof_that_a_destination_is_known() -> None:
    """An archive that calls our AE title unknown is believed, whatever we refused of somebody else; not of itself."""
    turned_away = {(False, Refused.ASSOCIATION, "it calls 'X', we are 'ME'", "let it call 'ME'"): 1}
    for refused in ({"stray": {0x0124: 2}}, {"unclear": {0xC000: 2}}, {"turned_away": turned_away}, {"foreign": 1}):
        stranger = Situation("ME", 11112, 3, 0, **refused)  # type: ignore[arg-type]
        assert "administrator to add the AE title 'ME'" in str(said(0xA801, Counters(), stranger))
        itself = replace(stranger, is_archives=True)
        assert "the archive does know 'ME'" in str(said(0xA801, Counters(), itself))


@pytest.mark.parametrize("is_archives", [False, True])
def test_a_stranger_who_was_turned_away_does_not_speak_for_the_archive(is_archives: bool) -> None:
    """Of an archive that could not send it is only said that it reaches us where it was the one whom we refused."""
    turned_away = {(False, Refused.CONNECTION, "connection refused", "add the address to addresses"): 1}
    situation = Situation("ME", 11112, 3, 0, turned_away=turned_away, is_archives=is_archives)
    sentence = str(said(0xA702, Counters(0, 3, 0), situation))
    assert ("the archive does reach 'ME'" in sentence) == is_archives
    assert ("something does reach 'ME'; if it was the archive" in sentence) != is_archives
    assert "firewall" not in sentence
    assert "add the address to addresses" in sentence


def test_the_offending_element_is_a_tag() -> None:
    """An OffendingElement is named by its tag."""
    assert "(0008,0050)" in str(said(0xA900, Counters(), THIRD, offending="(0008,0050)"))


numbers = st.none() | st.integers(0, 5)


@given(
    st.sampled_from(Status),
    st.builds(
        MoveEnd,
        st.sampled_from(Ended),
        st.none() | st.integers(0, 0xFFFF),
        st.builds(Counters, numbers, numbers, numbers, numbers),
    ),
    st.builds(
        Situation,
        st.just("DEST"),
        st.none() | st.just(11112),
        numbers,
        numbers,
        st.dictionaries(st.integers(0, 0xFFFF), st.integers(1, 9), max_size=2),
    ),
)
def test_every_end_has_one_line(status: Status, end: MoveEnd, situation: Situation) -> None:
    """Whatever happened, it is said in one line, and only a success has nothing to say."""
    sentence = explain(status, end, situation)
    if sentence is None:
        assert status is Status.SUCCESS
    else:
        assert "\n" not in sentence
        assert "None" not in sentence
        assert sentence == sentence.strip()


def test_the_sentence_cannot_know_the_request() -> None:
    """Neither the function nor its values can carry a key of the request."""
    assert set(inspect.signature(explain).parameters) == {"status", "end", "situation"}
    assert set(Situation.__slots__) == {
        *("destination", "port", "bind", "by_get", "expected", "received", "refused", "missing", "sends", "called"),
        *("foreign", "is_archives", "reasons", "repeated", "strange", "stray", "turned_away", "unclear"),
    }


@pytest.mark.parametrize("code", [0x0000, 0xA702, 0xB000, 0xC123, 0xFE00, 0x9999])
def test_describe_is_the_code_with_words(code: int) -> None:
    """A status is said as a number and in words."""
    assert re.fullmatch(rf"0x{code:04X} \([^)]+\)", describe(code))


@pytest.mark.parametrize("code", [0xA702, 0xC000, 0x0122, 0x0124])
def test_by_c_get_nobody_blames_a_destination(code: int) -> None:
    """There is none, and no port that could be shut."""
    situation = Situation("MOVESCU", 0, 4, 0, by_get=True)
    for counters in (Counters(), Counters(0, 4, 0)):
        said = explain(Status.FAILURE, MoveEnd(Ended.ANSWERED, code, counters), situation) or ""
        assert not re.search(r"\b(MOVESCU|port|firewall|C-MOVE)\b", said), said
    for claimed in (Counters(4, 0, 0), Counters()):
        said = explain(Status.EMPTY, MoveEnd(Ended.ANSWERED, 0, claimed), situation) or ""
        assert "nothing arrived here" in said
        assert "MOVESCU" not in said


@pytest.mark.parametrize("code", [0x0000, 0xA702, 0xA801, 0xC000])
@pytest.mark.parametrize("what", [{}, {"stray": {0x0124: 3}}, {"unclear": {0xC000: 3}}, {"foreign": 3}])
def test_no_port_is_to_blame_where_images_come_by_c_get(code: int, what: dict[str, object]) -> None:
    """Whatever came instead of what was asked for on our own association, no port and no address are named."""
    situation = replace(HERE, received=0, by_get=True, **what)  # type: ignore[arg-type]
    sentence = said(code, Counters(4, 0, 0), situation)
    assert sentence is not None
    assert not {"11112", "port", "address"} & set(sentence.split())
