"""A list of UIDs, and an archive that finds nothing by one, refuses it, or hangs up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from pydicom import Dataset

from dicomover import Mover, Quirks
from dicomover.errors import AssociationLost, LostBy, QueryRefused
from dicomover.identifier import Level, Model
from dicomover.query.lists import UidLists
from dicomover.testing import DemoPacs, Misbehaviour, made_study

KEYS = {"StudyInstanceUID": "1", "SeriesInstanceUID": "1.1"}


def archive(asked: list[str], held: set[str], on_list: Callable[[], list[str]]) -> Any:
    """Return the find of an archive that holds some images, and does with a list what it does."""

    def find(
        level: Level, model: Model, keys: Mapping[str, str], returned: Sequence[str], limit: int | None
    ) -> list[Dataset]:
        wanted = keys[level.unique_key]
        asked.append(wanted)
        answers = []
        for uid in on_list() if "\\" in wanted else held & {wanted}:
            answer = Dataset()
            setattr(answer, level.unique_key, uid)
            answers.append(answer)
        return answers

    return find


def refuse(status: int) -> Callable[[], list[str]]:
    """Return what refuses a list."""

    def raises() -> list[str]:
        raise QueryRefused("no", status)

    return raises


def hang_up() -> list[str]:
    """Close the connection."""
    raise AssociationLost("closed", LostBy.CLOSED)


def ask(lists: UidLists, find: Any, uids: str, limit: int | None = None) -> list[str]:
    """Return the UIDs that are found by a list."""
    answers = lists.wrap(find)(Level.IMAGE, Model.STUDY, {**KEYS, "SOPInstanceUID": uids}, (), limit)
    return [str(answer.SOPInstanceUID) for answer in answers]


@pytest.mark.parametrize("on_list", [list, refuse(0xA900), refuse(0xC320), hang_up])
def test_one_uid_after_the_other_from_then_on(on_list: Callable[[], list[str]]) -> None:
    """A list is sent once; what it names is found by each UID alone."""
    asked: list[str] = []
    lists, find = UidLists(), archive(asked, {"2", "3"}, on_list)
    assert [ask(lists, find, "1\\2\\3") for _ in range(2)] == [["2", "3"]] * 2
    assert asked == ["1\\2\\3", "1", "2", "3", "1", "2", "3"]
    assert ask(lists, find, "1\\2\\3\\3", 1) == ["2"]
    assert lists.are_taken is False


def test_one_answer_is_not_believed_to_be_all() -> None:
    """Some look at the first UID alone: the others are asked for alone too."""
    asked: list[str] = []
    lists, find = UidLists(), archive(asked, {"1", "3"}, lambda: ["1"])
    assert [ask(lists, find, "1\\2\\3") for _ in range(2)] == [["1", "3"]] * 2
    assert asked == ["1\\2\\3", "2", "3", "1", "2", "3"]


@pytest.mark.parametrize("named", [["1", "1"], ["7", "8", "9"]], ids=["twice", "others"])
def test_two_answers_to_one_uid_are_no_two_uids(named: list[str]) -> None:
    """An archive that names less than two UIDs of a list has not shown that it takes lists."""
    asked: list[str] = []
    lists = UidLists()
    assert "2" in ask(lists, archive(asked, {"2"}, lambda: named), "1\\2")
    assert (asked[-1], lists.are_taken) == ("2", False)


def test_who_hangs_up_on_a_list_has_answered_to_each_uid() -> None:
    """What is not there is not there, and no association is lost over it."""
    asked: list[str] = []
    assert ask(UidLists(), archive(asked, set(), hang_up), "1\\2") == []
    assert asked == ["1\\2", "1", "2"]


def test_who_takes_lists_is_believed_from_then_on() -> None:
    """Once a list was answered, one that finds nothing names what is not there, and costs no further question."""
    asked: list[str] = []
    found = [["1", "2"], [], []]
    lists, find = UidLists(), archive(asked, {"1", "2"}, lambda: found.pop(0))
    assert [ask(lists, find, "1\\2") for _ in range(3)] == [["1", "2"], [], []]
    assert asked == ["1\\2"] * 3


def test_no_list_is_sent_to_an_archive_that_is_known_to_take_none() -> None:
    """What a node's quirk says is believed from the beginning, in one of C-FIND and in one of C-MOVE."""
    asked: list[str] = []
    assert ask(UidLists(False), archive(asked, {"1", "2"}, list), "1\\2") == ["1", "2"]
    assert asked == ["1", "2"]
    study = made_study("1", instances=2)
    keys = {"StudyInstanceUID": study.study_instance_uid, "SeriesInstanceUID": study.series[0].series_instance_uid}
    with DemoPacs([study]) as pacs:
        keys["SOPInstanceUID"] = [each.sop_instance_uid for each in study.series[0].instances]
        node = replace(pacs.node, quirks=Quirks(lists=False))
        summary = Mover(node, destination="WORKSTATION", progress="none").move(keys)
        assert (summary.status[0], summary.completed[0]) == ("success", 2)
        assert "takes no lists" not in str(summary.error[0])
        assert not any("\\" in seen.keys.get("SOPInstanceUID", "") for seen in pacs.requests)


def test_what_is_not_there_proves_nothing() -> None:
    """Where no UID of a list is found alone either, the next list is asked for as a list again; a refusal stands."""
    asked: list[str] = []
    lists = UidLists()
    assert ask(lists, archive(asked, set(), list), "1\\2") == []
    with pytest.raises(QueryRefused):
        ask(lists, archive(asked, set(), refuse(0xC000)), "1\\2")
    assert asked == ["1\\2", "1", "2"] * 2
    assert lists.are_taken is None


def test_an_archive_that_is_busy_has_said_nothing_of_lists() -> None:
    """It is asked again later, and not more often now."""
    asked: list[str] = []
    lists = UidLists()
    with pytest.raises(QueryRefused):
        ask(lists, archive(asked, {"1"}, refuse(0xA700)), "1\\2")
    assert (asked, lists.are_taken) == (["1\\2"], None)


@pytest.mark.parametrize("how", ["find-takes-no-lists", Misbehaviour("find-takes-no-lists", status=0xA900)])
def test_a_find_by_a_list(how: str | Misbehaviour) -> None:
    """`Mover.find` has an answer for each UID, whatever the archive makes of lists."""
    studies = [made_study(f"{number}", instances=1) for number in range(3)]
    uids = [study.study_instance_uid for study in studies]
    with DemoPacs(studies, misbehave={"*": how}) as pacs:
        found = Mover(pacs.node).find({"StudyInstanceUID": uids[1:]})
    assert found["StudyInstanceUID"].tolist() == uids[1:]
