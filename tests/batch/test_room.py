"""What a move will cost: learned from moves, told by a plan, and refused where it does not fit on the disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from dicomover import Mover, ReceiverError
from dicomover.batch.room import find_free
from dicomover.testing import DemoPacs, made_study
from peers import ONCE, files_in

STUDIES = tuple(made_study(f"0000{number}", instances=number + 2) for number in range(4))
REQUESTS = [{"AccessionNumber": study.accession_number} for study in STUDIES]


@pytest.fixture
def pacs() -> Iterator[DemoPacs]:
    """Run a well-behaved archive."""
    with DemoPacs(STUDIES) as archive:
        yield archive


@pytest.fixture
def mover(pacs: DemoPacs, tmp_path: Path) -> Iterator[Mover]:
    """Receive, after a first study has shown what an image of this archive is."""
    node = replace(pacs.node, name="archive")
    with Mover(node, receive=tmp_path / "in", port=0, progress="none", **ONCE) as receiving:
        pacs.destinations["MOVESCU"] = receiving.port
        assert list(receiving.move(REQUESTS[:1]).status) == ["success"]
        yield receiving


def have_free(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    """Let the disk say that so much is free."""
    monkeypatch.setattr("dicomover.batch.room.shutil.disk_usage", lambda _: SimpleNamespace(free=free))


def moves(pacs: DemoPacs) -> int:
    """Return how many C-MOVEs the archive has seen."""
    return sum(request.kind == "C-MOVE" for request in list(pacs.requests))


def test_a_plan_says_what_is_still_to_come(mover: Mover, tmp_path: Path) -> None:
    """Bytes and minutes of what would move, by what has moved; nothing of what is here, or comes twice."""
    plan = mover.plan([*REQUESTS, REQUESTS[1]])
    image = sum(path.stat().st_size for path in files_in(tmp_path / "in")) / 2
    assert list(plan.decision) == ["skip", "move", "move", "move", "duplicate"]
    assert list(plan.estimated_bytes.isna()) == [True, False, False, False, True]
    for place, images in ((1, 3), (2, 4), (3, 5)):
        assert plan.estimated_bytes[place] == pytest.approx(image * images, rel=0.3)
    assert (plan.estimated_minutes.dropna() > 0).all()
    assert plan.attrs["free_bytes"] == pytest.approx(find_free(tmp_path), rel=0.2)


def test_of_a_study_that_is_here_in_part_the_rest_is_to_come(mover: Mover, tmp_path: Path) -> None:
    """What lies here costs nothing again."""
    mover.move(REQUESTS[3:])
    for path in mover.files(REQUESTS[3:]).path[:2]:
        Path(path).unlink()
    image = mover.plan(REQUESTS[1:2]).estimated_bytes[0] / 3
    (left,) = mover.plan(REQUESTS[3:]).estimated_bytes
    assert left == pytest.approx(2 * image, rel=0.01)


def test_nothing_is_known_before_the_first_move_and_without_a_journal(pacs: DemoPacs, tmp_path: Path) -> None:
    """Then nothing is said, and nothing refused."""
    for journal in ("auto", None):
        mover = Mover(pacs.node, receive=tmp_path / "none", port=0, journal=journal)
        plan = mover.plan(REQUESTS)
        assert plan.estimated_bytes.isna().all()
        assert plan.estimated_minutes.isna().all()


@pytest.mark.parametrize("verb", ["move", "start"])
def test_what_does_not_fit_is_refused_before_anything_moves(
    pacs: DemoPacs, mover: Mover, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """With the numbers and what to do; force=True goes on."""
    have_free(monkeypatch, 1000)
    before = moves(pacs)
    with pytest.raises(ReceiverError, match=r"about .* kB are to come, and 1.0 kB are free in .*force=True"):
        getattr(mover, verb)(REQUESTS)
    assert moves(pacs) == before
    summary = mover.start(REQUESTS, force=True)
    assert summary.wait(60)
    assert list(summary.summary().status) == ["skipped", "success", "success", "success"]


def test_a_plan_that_is_moved_is_held_against_the_disk(
    pacs: DemoPacs, mover: Mover, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it says itself, where the usual size of a row would fit; and a row that is here needs nothing."""
    plan = mover.plan(REQUESTS)
    usual = mover.plan(REQUESTS[1:2]).estimated_bytes[0]
    have_free(monkeypatch, int(plan.estimated_bytes[3] * 0.9))
    assert usual < plan.estimated_bytes[3] * 0.9
    with pytest.raises(ReceiverError, match="are to come"):
        mover.move(plan.iloc[3:])
    have_free(monkeypatch, 1)
    before = moves(pacs)
    assert list(mover.move(REQUESTS[:1] * 3).status) == ["skipped"] * 3
    assert moves(pacs) == before


def test_what_is_here_is_no_reason_to_refuse_the_rest(mover: Mover, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that was stopped goes on though all of it, moved again, would not fit."""
    mover.move(REQUESTS[:3])
    left = mover.plan(REQUESTS).estimated_bytes.sum()
    have_free(monkeypatch, int(left) + 1)
    assert list(mover.move(REQUESTS).status) == ["skipped"] * 3 + ["success"]


def test_force_is_a_switch(mover: Mover) -> None:
    """Anything else than True and False is an error."""
    with pytest.raises(ValueError, match="neither True nor False"):
        mover.move(REQUESTS, force="yes")  # type: ignore[arg-type]


def test_a_plan_with_estimates_can_be_moved_from_a_file(mover: Mover, tmp_path: Path) -> None:
    """Its own columns are left out of the summary, the estimates too."""
    mover.plan(REQUESTS).to_csv(tmp_path / "plan.csv", index=False)
    from dicomover import read_requests

    summary = mover.move(read_requests(tmp_path / "plan.csv"))
    assert list(summary.status) == ["skipped", "success", "success", "success"]
    assert pd.api.types.is_string_dtype(summary.StudyInstanceUID)
