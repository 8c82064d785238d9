"""What a batch works on, as values: what the journal says of a row, and what a C-MOVE lets go of when it is over."""

from __future__ import annotations

import pandas as pd

from dicomover.batch.running import RunningMove
from dicomover.batch.work import OpenRow, SharedMove, Taken
from dicomover.identifier import Identifier, Level, Model
from dicomover.journal import Asked
from dicomover.query.targets import Target
from dicomover.requests.parse import parse_requests

STUDY = Identifier.of(Level.STUDY, Model.STUDY, {"StudyInstanceUID": "1.2"})


def test_a_move_that_is_over_lets_go_of_its_instances() -> None:
    """A batch may bring millions of them: neither arrivals nor lists stay, but the verdict does."""
    (request,) = parse_requests({"StudyInstanceUID": "1.2"}).requests
    target = Target(STUDY, expected=1, instances={"1.2.3": ["1.2.3.4"]})
    move = SharedMove(1, target, OpenRow(request), RunningMove(1, STUDY))
    move.running.sop_uids["1.2.3.4"] = None
    move.forget()
    assert move.target.instances is None
    assert move.target.identifier == STUDY
    assert move.target.expected == 1
    assert not move.running.sop_uids
    assert not move.running.arrivals


def test_what_a_request_asks_for_is_not_shown() -> None:
    """The repr of what the journal knows a request by has no keys in it."""
    assert "SECRET" not in repr(Taken(Asked("key", '{"PatientID": "SECRET"}')))


def test_no_label_is_shown() -> None:
    """The index of a table may be of names: neither a batch, nor a request, nor a C-MOVE for it shows its labels."""
    batch = parse_requests(pd.DataFrame({"StudyInstanceUID": ["1.2"], "note": ["SECRET"]}, index=["SECRET"]))
    (request,) = batch.requests
    row = OpenRow(request)
    move = SharedMove(1, Target(STUDY), row, RunningMove(1, STUDY), [row], labels=[request.label])
    assert request.label == "SECRET"
    assert "SECRET" not in repr([batch, request, row, move])
