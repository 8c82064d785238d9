"""One real image: what only it can show, and that nothing of a patient is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cli_kit import Shell, free_port, peer
from dicomover import Mover
from dicomover.doctor import Check, move_one_image
from dicomover.testing import DemoPacs, made_study


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Shell:
    """Run a command in this process."""
    return Shell(capsys)


@pytest.fixture
def pacs() -> Iterator[DemoPacs]:
    """Run an archive with one study of a patient."""
    with DemoPacs([made_study("SECRET-1", patient="SECRET-2", name="Secret^Three")]) as pacs:
        yield pacs


def test_an_image_that_arrives(pacs: DemoPacs, tmp_path: Path) -> None:
    """One image, and no more, is moved here."""
    with Mover(pacs.node, receive=tmp_path, port=0, progress="none") as mover:
        pacs.destinations["MOVESCU"] = mover.port
        assert move_one_image(mover).result == "ok"
    assert len(list(tmp_path.rglob("*.dcm"))) == 1


def test_an_image_that_is_here_already_shows_nothing(pacs: DemoPacs, tmp_path: Path) -> None:
    """Where the journal leaves it out nothing was moved, and nothing else is claimed."""
    with Mover(pacs.node, receive=tmp_path, port=0, progress="none") as mover:
        pacs.destinations["MOVESCU"] = mover.port
        move_one_image(mover)
        again = move_one_image(mover)
    assert (again.result, again.found) == (
        "unclear",
        "the image that the archive names first is here already, and nothing was moved",
    )


def test_a_closed_port_is_told_from_an_unknown_destination(pacs: DemoPacs) -> None:
    """A destination that the archive knows, but does not reach, fails otherwise than one that it does not know."""
    pacs.destinations["CLOSED"] = free_port()
    closed, unknown = (move_one_image(Mover(pacs.node, destination=name)) for name in ("CLOSED", "NOBODY"))
    assert closed.result == unknown.result == "failed"
    assert "0xA801" in unknown.found
    assert "0xA801" not in closed.found
    assert "SECRET" not in closed.found + unknown.found


def test_an_archive_with_nothing_in_it() -> None:
    """Without an image there is nothing to show it by."""
    with DemoPacs([]) as pacs:
        check = move_one_image(Mover(pacs.node, destination="WORKSTATION"))
    assert check == Check("one image", "unclear", "the archive names no study to try with", "move a small study to see")


def test_an_archive_that_answers_no_query(pacs: DemoPacs) -> None:
    """What keeps it from being found is told."""
    with DemoPacs([made_study("1")], misbehave={"*": "find-mismatch"}) as refusing:
        check = move_one_image(Mover(refusing.node, destination="WORKSTATION"))
    assert check.result == "failed"
    assert check.found


def test_both_faces_move_one_if_they_are_asked_to(pacs: DemoPacs, tmp_path: Path) -> None:
    """`diagnose(one_image=True)` has one finding more; not where a check has failed already."""
    with Mover(pacs.node, receive=tmp_path, port=0, progress="none") as mover:
        pacs.destinations["MOVESCU"] = mover.port
        assert "one image" not in mover.diagnose()["check"].tolist()
        assert mover.diagnose(one_image=True)[["check", "result"]].iloc[-1].tolist() == ["one image", "ok"]
    assert len(list(tmp_path.rglob("*.dcm"))) == 1
    unknown = Mover(pacs.node, destination="NOBODY").diagnose(one_image=True)
    assert "one image" not in unknown["check"].tolist()


def test_the_command_moves_one_image_if_it_is_asked_to(run: Shell, pacs: DemoPacs, tmp_path: Path) -> None:
    """`doctor --one-image` has one finding more, and says that something was moved."""
    pacs.destinations["MOVESCU"] = port = free_port()
    here = ["-od", tmp_path, "--port", port, *peer(pacs)]
    ran = run("doctor", *here)
    assert "nothing was moved" in ran.out
    assert not list(tmp_path.rglob("*.dcm"))
    ran = run("doctor", "--one-image", *here)
    assert ran.code == 0
    assert "one image of the archive was moved, and is there" in ran.out
    assert "one image was moved" in ran.out
    assert len(list(tmp_path.rglob("*.dcm"))) == 1
