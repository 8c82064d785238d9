"""Which rows fall to which shard: the same on every machine, and together what names one study."""

from __future__ import annotations

import random
import re
import string

import pandas as pd
import pytest

from dicomover.errors import ConfigurationError
from dicomover.requests import shards
from dicomover.requests.parse import Batch, parse_requests
from dicomover.requests.shards import Mark, Shard, choose_shards, find_marks, take_shard

_ROUNDS = shards._ROUNDS
ARRAY = ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_MAX")


@pytest.fixture(autouse=True)
def outside_of_an_array(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the tests as if no scheduler did; tell tables apart in no time."""
    monkeypatch.setattr(shards, "_ROUNDS", 1)
    for name in ARRAY:
        monkeypatch.delenv(name, raising=False)


def shards_of(rows: object, count: int = 1000) -> list[int]:
    """Return the shard of each row; with so many, two that are alike are no accident."""
    return choose_shards(parse_requests(rows).requests, count)  # type: ignore[arg-type]


def batch_of(*accessions: str, **more: object) -> Batch:
    """Return a batch of accession numbers."""
    return parse_requests(pd.DataFrame({"AccessionNumber": list(accessions), **more}, dtype="string"))


def digest_of(batch: Batch) -> str:
    """Return what tells a table from others."""
    return find_marks(take_shard(batch, Shard(1, 2))[0].given)[0].table


def test_the_split_is_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """These numbers may never change: another version of us goes on where one has stopped."""
    assert shards_of([{"AccessionNumber": f"A{n}"} for n in range(12)], 4) == [1, 4, 4, 2, 2, 4, 4, 4, 4, 2, 3, 4]
    assert shards_of([{"StudyInstanceUID": f"1.2.{n}"} for n in range(6)], 8) == [7, 8, 6, 5, 8, 8]
    monkeypatch.setattr(shards, "_ROUNDS", _ROUNDS)
    assert digest_of(batch_of("00123", "B2077", note=["a", None])) == "7987"


def test_what_names_one_study_goes_together() -> None:
    """A study, its series and images, its accession number, and rows that a third one links are of one shard."""
    series = {"StudyInstanceUID": "1.2", "SeriesInstanceUID": "1.2.3"}
    rows = [
        {"StudyInstanceUID": "1.2"},
        series,
        {**series, "SOPInstanceUID": "1.2.3.4"},
        {"AccessionNumber": "A7", "StudyInstanceUID": "1.2"},
        {"AccessionNumber": "A7"},
        {"AccessionNumber": "A7", "PatientID": "P1"},
        {"StudyInstanceUID": ["1.9", "1.2"]},
        {"StudyInstanceUID": "1.9"},
    ]
    assert len(set(shards_of(rows))) == 1
    assert len(set(shards_of([{"AccessionNumber": f"A{n}"} for n in range(50)]))) > 40


def test_a_whole_patient_goes_together() -> None:
    """Where a row names a patient and no study, what names that patient goes with it; elsewhere it does not."""
    rows = [{"PatientID": "P1", "AccessionNumber": f"A{n}"} for n in range(9)]
    assert len(set(shards_of(rows))) > 1
    assert len(set(shards_of([*rows, {"PatientID": "P1"}]))) == 1
    assert len(set(shards_of([*rows, {"PatientID": "P1", "StudyDate": "2024-"}][:9]))) > 1
    dated = [{"PatientID": "P1", "StudyDate": f"2024010{n}"} for n in range(1, 9)]
    assert len(set(shards_of([*dated, *rows]))) == 1
    assert shards_of([{"StudyDate": "20240101"}] * 2) == shards_of([{"StudyDate": "20240101"}]) * 2


def test_the_order_of_rows_and_further_studies_change_nothing() -> None:
    """A row's shard is the same in a table that was sorted, and in one that has grown by other studies."""
    chance = random.Random(7)
    rows = [
        {"AccessionNumber": f"A{chance.randrange(60)}", "StudyInstanceUID": f"1.2.{chance.randrange(900)}"}
        for _ in range(200)
    ]
    first = dict(zip(map(str, rows), shards_of(rows), strict=True))
    chance.shuffle(rows)
    assert [first[str(row)] for row in rows] == shards_of(rows)
    others = [{"AccessionNumber": f"B{n}"} for n in range(100)]
    assert shards_of([*others, *rows])[100:] == shards_of(rows)


def test_every_row_is_in_one_shard_in_its_order() -> None:
    """The shards of a batch are its rows, each once, with their labels, columns and what is wrong with them."""
    table = pd.DataFrame({"AccessionNumber": ["A1", "A2*", "A3", "A4"], "age": [1, 2, 3, 4]}, index=[*"abcd"])
    batch = parse_requests(table, invalid="record")
    found = {}
    for number in (1, 2, 3):
        part, rows = take_shard(batch, Shard(number, 3))
        assert part.given[part.given.columns[-1]].tolist() == rows == sorted(rows)
        assert part.given.drop(columns=part.given.columns[-1]).equals(table.iloc[rows])
        assert [part.given.index[one.position] for one in part.requests] == [one.label for one in part.requests]
        assert set(part.problems) == {place for place, row in enumerate(rows) if row == 1}
        assert all(problem.position == place for place, found in part.problems.items() for problem in found)
        found |= dict.fromkeys(rows, number)
    assert sorted(found) == [0, 1, 2, 3]
    assert found[1] == 1  # what cannot be sent falls to the first


def test_a_table_is_told_from_others_and_not_told() -> None:
    """Another order, cell, row or level is another table; nothing of a patient stands in its sixteen bits."""
    known = digest_of(batch_of("00123", "B2077"))
    assert re.fullmatch("[0-9a-f]{4}", known)
    requests = parse_requests([{"AccessionNumber": "00123"}, {"AccessionNumber": "B2077"}])
    assert digest_of(requests) == known
    for other in (
        batch_of("B2077", "00123"),
        batch_of("00123", "B2078"),
        batch_of("00123"),
        batch_of("00123", "B2077", split=["train", "test"]),
        parse_requests(requests.given, level="PATIENT", model="patient", keys=["AccessionNumber"], invalid="record"),
    ):
        assert digest_of(other) != known
    summary = requests.given.assign(status="success", seconds=1.0)
    assert digest_of(parse_requests(summary)) == known  # our own columns are none of the table's


def test_a_shard_is_not_split_again() -> None:
    """Who splits a shard's own summary, and not the whole table, is told so."""
    part, _ = take_shard(batch_of("1", "2", "3"), Shard(1, 2))
    with pytest.raises(ConfigurationError, match="a shard already; give the whole table"):
        take_shard(parse_requests(part.given), Shard(1, 2))


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("0/4", "counted from 1"),
        ("5/4", "counted from 1, to 4 of 4"),
        ((0, 4), "sbatch --array=1-4"),
        ("/", "a variable before or after its / is empty"),
        ("2/", "a variable before or after its / is empty"),
        ("2", "write its number"),
        ("-1/4", "write its number"),
        ((1.0, 2), "write its number"),
        ((True, 2), "write its number"),
        (2, "write its number"),
        (("CANARY", 2), "write its number"),
    ],
)
def test_what_is_no_shard_is_refused(given: object, why: str) -> None:
    """A number from 0 on, or an empty variable, is named for what it is."""
    with pytest.raises(ConfigurationError, match=why):
        Shard.parse(given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("array", "given", "is_meant"),
    [
        (("3", "8", "1", "8"), "3/8", True),
        (("3", "8", "0", "7"), "3/8", False),  # shard 8 would never run
        (("2", "2", "2", "5"), "2/2", False),  # two tasks run again, of eight
        (("2", "2", "2", "5"), "2/8", True),
        (("3", "4", "0", "3"), "4/4", True),  # somebody has added 1
        (("1", "4", "1", "7"), "1/4", False),  # 1, 3, 5, 7
        (("", "8", "1", "8"), "3/8", True),
    ],
)
def test_an_array_that_leaves_shards_out_is_refused(
    monkeypatch: pytest.MonkeyPatch, array: tuple[str, ...], given: str, is_meant: bool
) -> None:
    """Each task of it says so, those too whose number exists."""
    for name, value in zip(ARRAY, array, strict=True):
        monkeypatch.setenv(name, value)
    if is_meant:
        assert str(Shard.parse(given)) == given
    else:
        with pytest.raises(ConfigurationError, match="this Slurm array are numbered from"):
            Shard.parse(given)


def test_marks_are_found_as_they_are_written() -> None:
    """The name of the column is read back as what it was; a column of the table's own is none."""
    mark = Mark(Shard(12, 400), 0, 1_000_000, "00ff")
    table = pd.DataFrame(columns=["shard 2/4", str(mark), f"{mark}{string.ascii_letters}", 7])
    assert find_marks(table) == [mark]
