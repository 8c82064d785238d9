"""One real image: what only it can show, and that nothing of a patient is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cli_kit import Shell, free_port, peer
from dicomover import Mover
from dicomover.doctor import Check, move_one_image
from dicomover.identifier import Level
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


class Answering:
    """Names what it is told to at one level, and moves with one outcome."""

    def __init__(self, level: str = "", uid: object = None, **row: object) -> None:
        self.level, self.uid, self.row = level, uid, row
        self.asked: list[object] = []

    def find(self, keys: Mapping[Any, Any], *, level: str, limit: int) -> pd.DataFrame:
        """Return one answer."""
        self.asked += keys.values()
        uid = self.uid if level == self.level else "1.2.3"
        return pd.DataFrame({Level(level).unique_key: pd.Series([uid], dtype="string")})

    def move(self, requests: Mapping[str, str], **_: object) -> pd.DataFrame:
        """Return one row."""
        self.asked += requests.values()
        return pd.DataFrame([self.row])


@pytest.mark.parametrize("level", ["STUDY", "SERIES", "IMAGE"])
@pytest.mark.parametrize("uid", [None, "", " ", "*", "1.2*", "?", "1.2\\1.3", "DOE^JANE"])
def test_a_uid_that_can_be_none_is_the_archives_fault(level: str, uid: str | None) -> None:
    """It is not asked for, nor is anybody else blamed; what it says is not told."""
    mover = Answering(level, uid)
    check = move_one_image(mover)
    assert check.found.endswith("without a usable UID, so that it cannot be moved")
    assert (check.result, check.advice) == ("failed", "ask its administrator")
    assert uid not in [*mover.asked[1:]]
    assert len(mover.asked) <= 6


def test_a_uid_that_is_said_twice_is_one() -> None:
    """Some answer so."""
    assert move_one_image(Answering("STUDY", "1.2\\1.2", status="success")).result == "ok"


@pytest.mark.parametrize(
    ("error", "found", "advice"),
    [
        ("lost: the peer aborted; run it again", "the peer aborted", "run it again"),
        ("0xA801 (unknown): ask its administrator", "0xA801 (unknown)", "ask its administrator"),
        ("not sent: another run holds it", "not sent: another run holds it", ""),
    ],
)
def test_what_to_do_stands_beside_what_was_found(error: str, found: str, advice: str) -> None:
    """The row's error is told in two parts, and its status once."""
    check = move_one_image(Answering(status="lost", error=error))
    assert (check.found, check.advice) == (f"lost: {found}", advice)


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
