"""What a batch tries again, how often and when; what it does meanwhile; and when it stops for good."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dicomover import Mover
from dicomover.events import Noted
from dicomover.journal import Journal, JournalError
from dicomover.policy import pace
from dicomover.policy.retry import Retry, schedule_retry
from dicomover.receiver import Receiver
from dicomover.testing import DemoPacs, Misbehaviour, made_study
from peers import wait_until

SOON = Retry(first_wait=0.05, longest_wait=0.1)
LATE = Retry(first_wait=600, longest_wait=600)


@pytest.fixture
def pacs() -> Iterator[DemoPacs]:
    """Run a well-behaved archive with fifty studies of two instances."""
    with DemoPacs([made_study(f"S{number:02d}", instances=2, size=512) for number in range(50)]) as archive:
        yield archive


def batch(*numbers: int) -> list[dict[str, str]]:
    """Return a request for each study."""
    return [{"AccessionNumber": f"S{number:02d}"} for number in numbers]


def third(pacs: DemoPacs, **options: Any) -> Mover:
    """Return a Mover that lets WORKSTATION receive."""
    return Mover(pacs.node, **{"destination": "WORKSTATION", "progress": "none", "retry": SOON, **options})


def run(pacs: DemoPacs, requests: Any, **options: Any) -> pd.DataFrame:
    """Run a batch that WORKSTATION receives."""
    return third(pacs, **options).move(requests)


def receiving(pacs: DemoPacs, folder: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Mover:
    """Return an open Mover that receives on its own threads."""

    def light(*arguments: Any, **more: Any) -> Receiver:
        return Receiver(*arguments, **{**more, "own_process": False})

    monkeypatch.setattr("dicomover.client.Receiver", light)
    mover = Mover(pacs.node, **{"receive": folder, "port": 0, "progress": "none", "retry": SOON, **options}).open()
    pacs.destinations["MOVESCU"] = mover.port
    return mover


def moves(pacs: DemoPacs, number: int | None = None) -> int:
    """Return how many C-MOVEs the archive has seen, of one study or of all."""
    if number is not None:
        return len(pacs.moves_of(pacs.study(f"S{number:02d}").study_instance_uid))
    return sum(request.kind == "C-MOVE" for request in list(pacs.requests))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list of all that batches note from now on."""
    notes: list[str] = []
    made = Noted.__init__

    def noted(self: Noted, at: float, text: str, until: float | None = None) -> None:
        notes.append(text)
        made(self, at, text, until)

    monkeypatch.setattr(Noted, "__init__", noted)
    return notes


# --- what is tried again


@pytest.mark.parametrize(
    "misbehaviour",
    ["busy", "out-of-resources", "out-of-resources-some", "cannot-count", "abort", "close", "garbage", "some-failed"],
)
def test_a_bad_moment(pacs: DemoPacs, misbehaviour: str) -> None:
    """What may end otherwise the next time is tried again, and then the row is complete, with both attempts."""
    pacs.misbehave["S01"] = Misbehaviour(misbehaviour, times=1)
    summary = run(pacs, batch(0, 1, 2))
    assert summary["status"].tolist() == ["success"] * 3, summary["error"].tolist()
    assert summary["attempts"].tolist() == [1, 2, 1]
    assert summary["completed"].tolist() == [2, 2, 2]
    assert summary["failed"].tolist() == [0, 0, 0]
    assert [moves(pacs, number) for number in (0, 1, 2)] == [1, 2, 1]


@pytest.mark.parametrize("misbehaviour", ["busy", "some-failed", "abort"])
def test_a_bad_moment_while_we_receive(
    pacs: DemoPacs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, misbehaviour: str
) -> None:
    """What has arrived in an earlier attempt counts once."""
    pacs.misbehave["S00"] = Misbehaviour(misbehaviour, times=1)
    with receiving(pacs, tmp_path, monkeypatch) as mover:
        summary = mover.move(batch(0))
    assert summary["status"].tolist() == ["success"], summary["error"].tolist()
    assert summary[["attempts", "received", "expected"]].to_numpy().tolist() == [[2, 2, 2]]
    assert len(list(tmp_path.rglob("*.dcm"))) == 2


@pytest.mark.parametrize(
    ("misbehaviour", "status", "attempts"),
    [("busy", "failure", 3), ("abort", "lost", 3), ("some-failed", "partial", 3), ("unable", "failure", 2)],
)
def test_a_bad_night(pacs: DemoPacs, misbehaviour: str, status: str, attempts: int) -> None:
    """What does not end otherwise is tried so often, and then what it came to stands."""
    pacs.misbehave["S01"] = misbehaviour
    summary = run(pacs, batch(0, 1))
    assert summary["status"].tolist() == ["success", status]
    assert summary["attempts"].tolist() == [1, attempts]
    assert moves(pacs, 1) == attempts
    assert summary["error"][1]


@pytest.mark.parametrize("empty", ["empty-success", "empty-success-without-counters"])
def test_empty_is_believed_the_second_time(pacs: DemoPacs, empty: str) -> None:
    """An empty success is tried once more; if it stays so, it is `empty`."""
    pacs.misbehave["S00"] = Misbehaviour(empty, times=1)
    pacs.misbehave["S01"] = empty
    summary = run(pacs, batch(0, 1), associations=1)
    assert summary["status"].tolist() == ["success", "empty"]
    assert summary["attempts"].tolist() == [2, 2]


@pytest.mark.parametrize(
    "misbehaviour",
    ["identifier-mismatch", "missing-attribute", "sop-class-not-supported", "not-authorized", "destination-unknown"],
)
def test_what_will_not_change(pacs: DemoPacs, misbehaviour: str) -> None:
    """A refusal for good is not tried again."""
    pacs.misbehave["S01"] = misbehaviour
    summary = run(pacs, batch(0, 1, 2))
    assert summary["status"].tolist() == ["success", "failure", "success"]
    assert summary["attempts"].tolist() == [1, 1, 1]
    assert moves(pacs, 1) == 1


def test_no_retry(pacs: DemoPacs) -> None:
    """With `retry="none"` the first attempt stands, for the Mover or for one call."""
    pacs.misbehave["*"] = "busy"
    assert run(pacs, batch(0), retry="none")["attempts"].tolist() == [1]
    assert third(pacs).move(batch(0), retry=1)["attempts"].tolist() == [1]


@pytest.mark.parametrize("misbehaviour", ["find-aborts", "find-closes", "find-refused", "find-breaks"])
def test_a_lookup_is_tried_again(pacs: DemoPacs, misbehaviour: str) -> None:
    """A C-FIND that was lost or refused for a moment is tried again; only C-MOVEs count as attempts."""
    pacs.misbehave["S01"] = Misbehaviour(misbehaviour, times=1)
    summary = run(pacs, batch(0, 1))
    assert summary["status"].tolist() == ["success", "success"], summary["error"].tolist()
    assert summary["attempts"].tolist() == [1, 1]


def test_congestion_of_associations(pacs: DemoPacs) -> None:
    """An archive that takes one association at a time gets one at a time, and every row is complete."""
    pacs.max_associations = 1
    summary = run(pacs, batch(*range(6)), associations=4)
    assert set(summary["status"]) == {"success"}
    assert pacs.most_associations == 1


def test_congestion_of_moves(pacs: DemoPacs) -> None:
    """An archive that is busy with more than one C-MOVE at a time gets less, and every row is complete."""
    pacs.max_moves = 1
    pacs.misbehave["*"] = Misbehaviour("slow", seconds=0.005)
    summary = run(pacs, batch(*range(12)), associations=4, retry=Retry(attempts=8, first_wait=0.05, longest_wait=0.2))
    assert set(summary["status"]) == {"success"}, summary["error"].tolist()
    assert summary["attempts"].max() > 1


# --- meanwhile


def test_a_waiting_row_blocks_nobody(pacs: DemoPacs) -> None:
    """While rows wait for their next attempt, all others move over the one association; a cancel ends the wait."""
    for number in (0, 1, 2):
        pacs.misbehave[f"S{number:02d}"] = "some-failed"
    with third(pacs, retry=LATE, associations=1) as mover:
        job = mover.start(batch(*range(10)))
        wait_until(lambda: job.summary()["status"].notna().sum() == 7)
        assert not job.done
        assert job.summary()["status"].isna().tolist() == [True] * 3 + [False] * 7
        job.cancel()
        assert job.wait(10)
    summary = job.summary()
    assert summary["status"].tolist() == ["partial"] * 3 + ["success"] * 7, "what was known"
    assert summary["attempts"].tolist() == [1] * 10
    assert summary["completed"].tolist() == [1] * 3 + [2] * 7


def test_cancel_while_a_lookup_waits(pacs: DemoPacs) -> None:
    """A row whose C-FIND was to be tried again says what became of it."""
    pacs.misbehave["S00"] = "find-aborts"
    with third(pacs, retry=LATE) as mover:
        job = mover.start(batch(0, 1))
        wait_until(lambda: job.summary()["status"].notna().sum() == 1)
        job.cancel()
        assert job.wait(10)
    assert job.summary()["status"].tolist() == ["lost", "success"]


def test_the_archive_goes_away_during_a_pause(pacs: DemoPacs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A row whose next attempt finds no archive any more keeps what its last attempt came to."""

    def is_gone() -> bool:
        with socket.socket() as sock:
            return sock.connect_ex((pacs.node.host, pacs.node.port)) != 0

    def schedule(*arguments: Any, **options: Any) -> Any:
        pacs.restart(3600)
        wait_until(is_gone)
        return schedule_retry(*arguments, **options)

    monkeypatch.setattr("dicomover.wire.lines._RECONNECT_AFTER", (0.01,))
    monkeypatch.setattr("dicomover.batch.ledger.schedule_retry", schedule)
    pacs.misbehave["S00"] = "abort"
    summary = run(pacs, batch(0), journal=tmp_path / "j.db")
    assert summary["status"].tolist() == ["lost"]
    assert summary["attempts"].tolist() == [1]


def test_stopped_between_two_attempts(pacs: DemoPacs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that is about to be tried again when the batch is cancelled ends all the same, with what was known."""
    pacs.misbehave["S00"] = "some-failed"
    may_start, asked = pace.Pace.may_start, []

    def cancelling(self: pace.Pace, alone: object = None) -> Any:
        asked.append(1)
        if len(asked) == 2:
            job.cancel()
            return pace.Wait(0.01, "a moment")
        return may_start(self, alone)

    with third(pacs) as mover:
        job = mover.job(batch(0))
        monkeypatch.setattr(pace.Pace, "may_start", cancelling)
        job.start()
        assert job.wait(20)
    assert job.summary()["status"].tolist() == ["partial"]
    assert job.summary()["attempts"].tolist() == [1]
    assert moves(pacs) == 1


def test_a_full_disk_while_rows_wait(pacs: DemoPacs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """When the journal cannot be written, rows that wait for another attempt end too, with what was known."""

    def record(self: Journal, *_: object, **__: object) -> None:
        raise JournalError("journal 'x' cannot grow, the disk is full; make room, then run it again")

    monkeypatch.setattr(Journal, "record", record)
    for number in (0, 1):
        pacs.misbehave[f"S{number:02d}"] = "some-failed"
    summary = run(pacs, batch(*range(8)), retry=LATE, associations=1, journal=tmp_path / "j.db")
    assert summary["status"].tolist() == ["partial"] * 2 + ["success"] + ["failure"] * 5
    assert summary["error"].iloc[3:].str.startswith("not sent: journal 'x' cannot grow").all()
    assert moves(pacs) == 3


# --- when nothing can work


def test_a_destination_that_nobody_knows(pacs: DemoPacs) -> None:
    """A batch to an unknown destination stops after a few C-MOVEs, with one sentence for the administrator."""
    summary = run(pacs, batch(*range(50)), destination="NOBODY")
    assert set(summary["status"]) == {"failure"}
    assert moves(pacs) <= 5
    said = {error for error in summary["error"] if error.startswith("not sent: ")}
    assert len(said) == 1
    (sentence,) = said
    assert "does not know the Move Destination 'NOBODY' (0xA801" in sentence
    assert "give its administrator: AE title 'NOBODY'" in sentence
    assert summary["error"].eq(sentence).sum() >= 45


def test_our_own_title_that_the_archive_does_not_know(
    pacs: DemoPacs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When we receive, the sentence names our AE title, our address and our port."""
    with receiving(pacs, tmp_path, monkeypatch) as mover:
        del pacs.destinations["MOVESCU"]
        summary = mover.move(batch(*range(50)))
        port = mover.port
    assert moves(pacs) <= 5
    assert set(summary["status"]) == {"failure"}
    assert f"AE title 'MOVESCU', address 127.0.0.1, port {port}" in summary["error"].iloc[-1]
    pacs.destinations["MOVESCU"] = pacs.workstation.port


def test_hope_while_something_moves(pacs: DemoPacs) -> None:
    """A few refusals among rows that move do not stop a batch."""
    for number in (1, 3, 5, 7):
        pacs.misbehave[f"S{number:02d}"] = "destination-unknown"
    summary = run(pacs, batch(*range(10)), associations=1)
    assert summary["status"].tolist().count("success") == 6
    assert summary["attempts"].tolist() == [1] * 10


# --- the pace


class Clock(datetime):
    """A wall clock that stands where it was set."""

    at = datetime(2024, 1, 3, 12, 0, tzinfo=UTC)

    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        """Return where it stands."""
        return cls.at.astimezone(tz)


def test_a_window_that_is_closed(pacs: DemoPacs, monkeypatch: pytest.MonkeyPatch, told: list[str]) -> None:
    """A closed window holds the batch before the first connection, and says until when; it goes on once it is open."""
    monkeypatch.setattr(pace, "datetime", Clock)
    monkeypatch.setattr(Clock, "at", datetime(2024, 1, 3, 12, 0, tzinfo=UTC))
    monkeypatch.setattr(pace, "_LONGEST_NAP", 0.05)
    with third(pacs, window="19:00-07:00 UTC") as mover:
        job = mover.start(batch(0, 1))
        wait_until(lambda: told)
        assert not job.wait(0.2)
        assert pacs.associations == []
        assert "waiting for the window, resumes 19:00 UTC" in told
        monkeypatch.setattr(Clock, "at", datetime(2024, 1, 3, 19, 0, tzinfo=UTC))
        assert job.wait(20)
    assert job.summary()["status"].tolist() == ["success", "success"]


def test_cancel_before_the_window_opens(pacs: DemoPacs, monkeypatch: pytest.MonkeyPatch, told: list[str]) -> None:
    """A cancel ends the wait for the window, and nobody was asked."""
    monkeypatch.setattr(pace, "datetime", Clock)
    with third(pacs, window="19:00-07:00 UTC") as mover:
        job = mover.start(batch(0, 1))
        wait_until(lambda: told)
        job.cancel()
        assert job.wait(10)
    assert job.summary()["status"].tolist() == ["cancelled"] * 2
    assert pacs.associations == []


def test_not_more_than_so_many_a_minute(pacs: DemoPacs, told: list[str]) -> None:
    """A C-MOVE that would be one too many for its minute waits, and the batch says why."""
    summary = run(pacs, batch(0, 1), max_per_minute=50)
    assert set(summary["status"]) == {"success"}
    assert told == ["not more than 50 a minute"]


def test_utilization(pacs: DemoPacs) -> None:
    """An association rests between two C-MOVEs, and every row is complete."""
    summary = run(pacs, batch(0, 1, 2), utilization=0.5, associations=2)
    assert set(summary["status"]) == {"success"}
