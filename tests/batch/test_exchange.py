"""Lists of UIDs in a C-MOVE, and archives that take none: each UID is asked for alone, and nobody else is blamed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from batch_kit import seen
from dicomover import Mover, Retry
from dicomover.testing import DemoPacs, Misbehaviour, made_study
from dicomover.testing._archive import Archive
from dicomover.testing._script import Script

LISTS = pytest.mark.parametrize(
    "how",
    [
        ["takes-no-lists"],
        [Misbehaviour("takes-no-lists", status=0xA801), Misbehaviour("find-takes-no-lists", status=0xC320)],
        [Misbehaviour("takes-no-lists", status=0xA900), "find-takes-no-lists"],
        [Misbehaviour("takes-no-lists", status=0xC000), "find-closes-on-lists"],
    ],
    ids=["0000", "A801 as qrscp", "A900", "C000"],
)
HERE = pytest.mark.parametrize("here", [True, False], ids=["here", "there"])


@pytest.fixture
def pacs() -> Iterator[DemoPacs]:
    """Run an archive with one study of two series."""
    with DemoPacs([made_study("00123", series=2, instances=4)]) as archive:
        yield archive


def requests(pacs: DemoPacs, *parts: slice, unknown: int = 0) -> list[dict[str, object]]:
    """Return a request for some of the images of each series, and of so many that are not there."""
    study = pacs.study("00123")
    return [
        {
            "StudyInstanceUID": study.study_instance_uid,
            "SeriesInstanceUID": series.series_instance_uid,
            "SOPInstanceUID": [
                *(f"{series.series_instance_uid}.9{number}" for number in range(unknown)),
                *(image.sop_instance_uid for image in series.instances[part]),
            ],
        }
        for series, part in zip(study.series, parts, strict=False)
    ]


def move(pacs: DemoPacs, folder: Path | None, rows: list[dict[str, object]], **options: object) -> pd.DataFrame:
    """Move them, one after the other, here or to WORKSTATION."""
    where = {"destination": "WORKSTATION"} if folder is None else {"receive": folder, "port": 0, "journal": None}
    options = {"associations": 1, "progress": "none", "retry": "none", **where, **options}
    with Mover(pacs.node, **options) as mover:  # type: ignore[arg-type]
        pacs.destinations["MOVESCU"] = mover.port or 9
        return mover.move(rows)


@HERE
@LISTS
def test_each_uid_is_asked_for_alone(tmp_path: Path, pacs: DemoPacs, how: list, here: bool) -> None:
    """A list is sent once for the batch; all that it names moves, and its answer is in no row."""
    pacs.misbehave["*"] = how
    summary = move(pacs, tmp_path if here else None, requests(pacs, slice(3), slice(2)))
    assert summary["status"].tolist() == ["success"] * 2
    assert summary["completed"].tolist() == [3, 2]
    assert summary["attempts"].tolist() == [4, 2]
    assert summary["error"].isna().all()
    assert summary["received"].tolist() == [3, 2] if here else summary["received"].isna().all()
    assert len(pacs.stores) == 5


@HERE
@pytest.mark.parametrize("how", [["takes-no-lists"], [Misbehaviour("takes-no-lists", status=0xA801)]])
def test_what_is_not_there_is_no_success(tmp_path: Path, pacs: DemoPacs, how: list, here: bool) -> None:
    """The row says how many of the UIDs moved, though the first ones that were tried alone came to nothing too."""
    pacs.misbehave["*"] = how
    (row,) = move(pacs, tmp_path if here else None, requests(pacs, slice(3), unknown=2)).to_dict("records")
    assert (row["status"], row["completed"], row["expected"]) == ("partial", 3, 5)
    assert "3 of 5 moved" in row["error"]


@HERE
def test_who_looks_at_the_first_uid_alone(
    tmp_path: Path, pacs: DemoPacs, here: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What moves one thing of a list, and says success, is asked for the others alone."""
    resolve = Archive.resolve

    def resolve_first(self: Archive, level: str, keys: dict[str, str]) -> object:
        return resolve(self, level, {keyword: value.split("\\")[0] for keyword, value in keys.items()})

    monkeypatch.setattr(Archive, "resolve", resolve_first)
    summary = move(pacs, tmp_path if here else None, requests(pacs, slice(3), slice(2)))
    assert summary["status"].tolist() == ["success"] * 2
    assert summary["completed"].tolist() == [3, 2]
    assert summary["attempts"].tolist() == [3 if here else 4, 2]


@HERE
def test_one_of_two_that_is_there_is_one_of_two(tmp_path: Path, pacs: DemoPacs, here: bool) -> None:
    """A list of which only one thing is there has no more to it, whoever is asked how."""
    (row,) = move(pacs, tmp_path if here else None, requests(pacs, slice(1), unknown=1)).to_dict("records")
    assert (row["status"], row["completed"], row["expected"]) == ("partial", 1, 2)


@HERE
def test_who_takes_lists_is_sent_lists(tmp_path: Path, pacs: DemoPacs, here: bool) -> None:
    """One that has moved more than one UID of a list is believed where a list comes to nothing afterwards."""
    rows = [*requests(pacs, slice(3)), *requests(pacs, slice(0), unknown=2)]
    summary = move(pacs, tmp_path if here else None, rows)
    assert summary["status"].tolist() == ["success", "not-found"]
    assert len(seen(pacs, "C-MOVE")) == 2


@pytest.mark.parametrize(
    ("how", "sent"), [("destination-unknown", 2), ("unable", 2), ("identifier-mismatch", 2), ("empty-success", 4)]
)
def test_a_refusal_for_another_reason_stands(pacs: DemoPacs, how: str, sent: int) -> None:
    """What one UID, or a few, come to as well is not about lists: the row says what the list came to."""
    pacs.misbehave["*"] = how
    alone = move(pacs, None, [{**requests(pacs, slice(1))[0]}])
    pacs.forget()
    listed = move(pacs, None, requests(pacs, slice(4)))
    assert listed["status"][0] == alone["status"][0]
    assert listed["error"][0].replace("4", "1") == alone["error"][0]
    assert len(seen(pacs, "C-MOVE")) == sent


def test_a_retry_asks_for_what_is_not_here(tmp_path: Path, pacs: DemoPacs) -> None:
    """Of UIDs that are asked for alone only those come again that did not come."""
    pacs.misbehave["*"] = [Misbehaviour("takes-no-lists", times=2), Misbehaviour("out-of-resources", times=1)]
    (row,) = move(pacs, tmp_path, requests(pacs, slice(3)), retry=Retry(first_wait=0.1)).to_dict("records")
    assert (row["status"], row["completed"], row["received"], row["attempts"]) == ("success", 3, 3, 5)
    first, second, third = (image.sop_instance_uid for image in pacs.study("00123").series[0].instances[:3])
    assert [request.keys["SOPInstanceUID"] for request in seen(pacs, "C-MOVE")][1:] == [first, second, third, second]


def test_the_panel_counts_on(pacs: DemoPacs) -> None:
    """What each UID comes to adds up in what is shown of the C-MOVE."""
    states = []

    class View:
        def show(self, *_: object) -> None:
            """Show nothing."""

        def close(self, state: object, _: float) -> None:
            states.append(state)

    pacs.misbehave["*"] = ["takes-no-lists"]
    move(pacs, None, requests(pacs, slice(3), slice(2)), progress=View())
    assert [(state.completed, state.expected) for state in states] == [(5, 5)]  # type: ignore[attr-defined]


@HERE
@pytest.mark.parametrize("how", [["takes-no-lists"], ["takes-no-lists", "find-takes-no-lists"]])
def test_what_is_there_is_tried_alone_first(tmp_path: Path, pacs: DemoPacs, how: list, here: bool) -> None:
    """However many UIDs that are gone come before them, those that C-FIND has found are asked for."""
    pacs.misbehave["*"] = how
    (row,) = move(pacs, tmp_path if here else None, requests(pacs, slice(4), unknown=4)).to_dict("records")
    assert (row["status"], row["completed"], row["expected"]) == ("partial", 4, 8)


def test_a_refusal_of_what_nobody_has_looked_up_is_tried_a_few_times(pacs: DemoPacs) -> None:
    """Where no C-FIND has said what is there, one UID that is refused alone does not stand for all."""
    pacs.misbehave["*"] = "identifier-mismatch"
    assert move(pacs, None, requests(pacs, slice(4)), verify="none")["status"].tolist() == ["failure"]
    assert len(seen(pacs, "C-MOVE")) == 4


@HERE
@pytest.mark.parametrize("breaks", ["abort", "close"])
def test_who_hangs_up_on_a_list_is_asked_one_after_the_other(
    tmp_path: Path, pacs: DemoPacs, here: bool, breaks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list is sent once, or twice over an association that was idle, and all that it names moves."""

    def break_off(self: Script, *, is_list: bool) -> Script:
        return replace(Script(self.service), breaks=breaks) if is_list and self.no_lists else Script(self.service)

    monkeypatch.setattr(Script, "facing", break_off)
    pacs.misbehave["*"] = ["takes-no-lists"]
    summary = move(pacs, tmp_path if here else None, requests(pacs, slice(3), slice(2)))
    assert summary["status"].tolist() == ["success"] * 2, summary["error"].tolist()
    assert summary["completed"].tolist() == [3, 2]
    assert summary["attempts"].tolist()[1] == 2
