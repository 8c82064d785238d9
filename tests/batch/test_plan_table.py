"""Plans as tables."""

from __future__ import annotations

import pandas as pd
import pytest

from dicomover.batch.plan_table import Planned, plan_table
from dicomover.identifier import Identifier, Level, Model
from dicomover.query.resolve import Resolution, Target
from dicomover.requests.parse import Batch, parse_requests
from dicomover.summary import PLAN_COLUMNS


def found(*studies: str, expected: int | None = 3, matches: int | None = 1) -> Resolution:
    """Return the resolution to some studies."""
    return Resolution(
        tuple(Target(Identifier(Level.STUDY, Model.STUDY, study=s), True, expected, 2, ("CT", "SR")) for s in studies),
        matches,
    )


def planned(requests: object, *plans: Planned) -> tuple[Batch, pd.DataFrame]:
    """Return the batch and its plan."""
    batch = parse_requests(requests, invalid="record")  # type: ignore[arg-type]
    return batch, plan_table(batch, plans)


@pytest.mark.parametrize(
    "plans",
    [
        [],
        [Planned("invalid", error="AccessionNumber is blank")],
        [Planned("not-found", Level.STUDY, Resolution((), 0))],
        [Planned("move", Level.STUDY, found("1.2"))],
        [Planned("too-many", Level.STUDY, matches=101, error="more")],
    ],
    ids=["no row", "invalid", "not found", "found", "too many"],
)
def test_plan_has_always_the_same_columns(plans: list[Planned]) -> None:
    """A plan's own columns are all there, with their dtypes."""
    _, plan = planned([{"AccessionNumber": "00123"} for _ in plans], *plans)
    assert list(plan.columns[-8:]) == list(PLAN_COLUMNS)
    numbers = {"matches", "series", "expected", "here"}
    assert {name: str(plan[name].dtype) for name in PLAN_COLUMNS} == {
        name: "Int64" if name in numbers else "string" for name in PLAN_COLUMNS
    }


def test_values_of_a_plan() -> None:
    """What would move is counted; what is not known is <NA>."""
    plans = [
        Planned("several", Level.STUDY, found("1.2", "1.3", matches=2)),
        Planned("move", Level.STUDY, found("1.4", expected=None)),
        Planned("too-many", Level.STUDY, matches=101, error="more"),
    ]
    _, plan = planned([{"AccessionNumber": text} for text in ("001", "2", "3")], *plans)
    several, move, many = plan.astype(object).where(plan.notna(), None).to_dict("records")
    assert several == {
        "AccessionNumber": "001", "StudyInstanceUID": "1.2\\1.3", "decision": "several", "level": "STUDY", "matches": 2,
        "series": 4, "expected": 6, "here": None, "modalities": "CT\\SR", "error": None,
    }  # fmt: skip
    assert (move["StudyInstanceUID"], move["series"], move["expected"]) == ("1.4", 2, None)
    assert (many["StudyInstanceUID"], many["matches"], many["error"]) == (None, 101, "more")


def test_a_plan_is_valid_input() -> None:
    """A plan can be given to move: the UIDs that were found are keys, our own columns are not."""
    requests = pd.DataFrame({"AccessionNumber": ["001", "2", "3"], "label": [1, 2, 3]}, index=["a", "a", "b"])
    plans = [
        Planned("several", Level.STUDY, found("1.2", "1.3", matches=2)),
        Planned("move", Level.STUDY, found("1.4")),
        Planned("not-found", Level.STUDY, Resolution((), 0)),
    ]
    batch, plan = planned(requests, *plans)
    assert plan.index.tolist() == ["a", "a", "b"]
    assert plan["label"].tolist() == [1, 2, 3]
    assert list(batch.given.columns) == ["AccessionNumber", "label"], "the input is left as it was"
    again = parse_requests(plan)
    assert [dict(request.keys) for request in again.requests] == [
        {"AccessionNumber": "001", "StudyInstanceUID": "1.2\\1.3"},
        {"AccessionNumber": "2", "StudyInstanceUID": "1.4"},
        {"AccessionNumber": "3"},
    ]
    assert list(plan_table(again, plans).columns) == list(plan.columns)


def test_a_plan_does_not_widen() -> None:
    """A patient of whom nothing was found is not asked for as a whole when the plan is moved."""
    resolution = Resolution((Target(Identifier(Level.STUDY, Model.PATIENT, patient="A", study="1.2"), True),), 1)
    plans = [Planned("move", Level.STUDY, resolution), Planned("not-found", Level.STUDY, Resolution((), 0))]
    _, plan = planned([{"PatientID": "A"}, {"PatientID": "B"}], *plans)
    with pytest.raises(ValueError, match="whole patient"):
        parse_requests(plan)
    (request,) = parse_requests(plan[plan.decision == "move"]).requests
    assert dict(request.keys) == {"PatientID": "A", "StudyInstanceUID": "1.2"}


def test_plan_of_columns_with_one_name() -> None:
    """Two columns of one name stay two."""
    table = pd.DataFrame([["1", "a", "b"]], columns=["AccessionNumber", "label", "label"])
    _, plan = planned(table, Planned("move", Level.STUDY, found("1.2")))
    assert list(plan.columns[:4]) == ["AccessionNumber", "label", "label", "StudyInstanceUID"]


def test_plan_of_dates() -> None:
    """A table whose index is of dates keeps its order."""
    index = pd.DatetimeIndex(["2024-01-03", "2024-01-01"])
    table = pd.DataFrame({"AccessionNumber": ["1", "2"]}, index=index)
    _, plan = planned(table, *[Planned("not-found", Level.STUDY, Resolution((), 0))] * 2)
    assert plan.index.equals(index)
