"""What an archive has to fetch first: read from its answers, and told."""

from __future__ import annotations

import pytest
from pydicom import DataElement, Dataset
from pydicom.config import IGNORE

from dicomover.query.availability import delay_of, read_availability, tell_availability


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ([None], ""),
        (["ONLINE"], ""),
        ([""], ""),
        (["nearline "], "NEARLINE"),
        ([["ONLINE", "NEARLINE"]], "NEARLINE"),
        (["NEARLINE", "OFFLINE", "ONLINE"], "OFFLINE"),
        (["UNAVAILABLE"], "UNAVAILABLE"),
        (["SOMEWHERE"], ""),
    ],
)
def test_the_worst_of_what_is_said(said: list[object], read: str) -> None:
    """In any case, of several values and of several answers; what nobody knows is as if it were at hand."""
    answers = [Dataset() for _ in said]
    for answer, value in zip(answers, said, strict=True):
        if value is not None:
            answer.add(DataElement("InstanceAvailability", "CS", value, validation_mode=IGNORE))
    assert read_availability(answers) == read


def test_what_is_not_at_hand_is_told() -> None:
    """Each kind with how many and what to do; the later it comes, the longer the delay."""
    told = tell_availability(["NEARLINE", "", "OFFLINE", "NEARLINE"])
    assert "the archive has 2 of 4 NEARLINE: it is fetched from slower storage" in told
    assert "1 of 4 OFFLINE: somebody has to bring its medium" in told
    assert tell_availability(["UNAVAILABLE"]).startswith("the archive has it UNAVAILABLE: it cannot be had")
    assert tell_availability(["", ""]) == ""
    assert 0 == delay_of([""]) < delay_of(["NEARLINE"]) < delay_of(["OFFLINE"]) < delay_of(["UNAVAILABLE"])
