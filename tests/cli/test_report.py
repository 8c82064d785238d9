"""Results on the standard output: equal reasons once, and nothing that drives a terminal."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from cli_kit import Shell, peer
from dicomover.cli import report
from dicomover.cli.report import move_summary
from dicomover.identifier import Level
from dicomover.outcome import Counters, Status
from dicomover.progress import State
from dicomover.summary import Result, build
from dicomover.testing import DemoPacs, made_study


def summary_of(results: list[Result]) -> pd.DataFrame:
    """Return the summary of a batch of accession numbers."""
    accessions = pd.DataFrame({"AccessionNumber": [f"A{n:05d}" for n in range(len(results))]}, dtype="string")
    return build(results, accessions)


def text_of(summary: pd.DataFrame, **how: bool) -> str:
    """Return the Move Summary of a batch."""
    how = {"batch": True, "kept": False, **how}
    return move_summary(summary, State(), archive="A", destination="B", levels=[Level.STUDY], **how)


def test_equal_reasons_are_one_line() -> None:
    """A cancelled batch says once that the rest was not sent, with how many and which rows."""
    moved = Result(Status.SUCCESS, 0, counters=Counters(3, 0, 0), expected=3, attempts=1)
    partial = Result(Status.PARTIAL, 0xB000, expected=3, counters=Counters(2, 1, 0), error="0xB000, 2 of 3 moved")
    unsent = Result(Status.CANCELLED, error="not sent: the batch was cancelled")
    results = [moved] * 3 + [partial, Result(Status.NOT_FOUND, error="no match")] + [unsent] * 212
    assert re.search(r"(?m)^ +5-216 +cancelled +- +212 rows: not sent: the batch was can", text_of(summary_of(results)))
    troubled = text_of(summary_of(results), show_keys=True).partition("Not complete\n")[2].splitlines()
    assert len(troubled) == 5
    assert re.search(r"^ +3 +A00003 +partial +2 of 3 +0xB000, 2 of 3 moved$", troubled[1])
    assert re.search(
        r"^ +5-216 +A00005, A00006, A00007, … +cancelled +- +212 rows: not sent: the batch was cancelled$", troubled[3]
    )


def test_a_long_list_of_reasons_is_cut() -> None:
    """Twenty lines are shown, the rest is counted."""
    words = [chr(ord("a") + number) for number in range(25)]
    text = text_of(summary_of([Result(Status.FAILURE, error=f"reason {word}") for word in words]))
    assert len(re.findall("reason", text)) == 20
    assert "… and 5 more; --summary FILE keeps every row" in text
    assert "--summary" not in text_of(summary_of([Result(Status.LOST, error="lost")] * 30), kept=True)


def test_few_equal_reasons_name_their_rows() -> None:
    """Two or three rows with the same reason are still named one by one, the worst verdicts first."""
    lost = Result(Status.LOST, expected=4, error="lost: the peer aborted; run it again")
    text = text_of(summary_of([Result(Status.NOT_FOUND, error="no match")] * 3 + [lost]))
    assert re.findall(r"(?m)^ +(\d)  ", text.partition("Not complete\n")[2]) == ["3", "0", "1", "2"]


def test_counts_of_rows_with_the_same_reason_are_sums_that_say_so() -> None:
    """What was never sent has not moved; how much it was to be is said if that is known of every row."""
    short = [
        Result(Status.FAILURE, expected=n, counters=Counters(0, n, 0), attempts=1, error=f"0 of {n} moved")
        for n in (2, 3, 3, 2)
    ]
    unsent = Result(Status.CANCELLED, error="not sent: the batch was cancelled")
    known = Result(Status.CANCELLED, error=unsent.error, expected=10)
    text = text_of(summary_of(short))
    assert "0 of 10 in all  4 rows: 0 of 2 to 3 moved" in text
    assert "0 of 40 in all" in text_of(summary_of([known] * 4))
    assert "? of" not in text_of(summary_of([known] * 4 + [unsent] * 54))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Shell:
    """Run a command in this process."""
    return Shell(capsys)


@pytest.fixture
def pacs() -> DemoPacs:
    """Start an archive with two studies."""
    with DemoPacs([made_study("00123", instances=4), made_study("00124", instances=2)]) as archive:
        yield archive


def test_find_prints_a_table(run: Shell, pacs: DemoPacs) -> None:
    """Studies are shown with what is needed to move them."""
    ran = run("find", "-k", "AccessionNumber=0012*", *peer(pacs))
    assert ran.code == 0
    assert ran.out.splitlines()[0].split()[:3] == ["PatientID", "PatientName", "AccessionNumber"]
    for accession in ("00123", "00124"):
        study = pacs.study(accession)
        assert study.study_instance_uid in ran.out
        assert accession in ran.out
    assert f"2 studies found at {pacs.node}" in ran.err


def test_a_value_from_the_archive_cannot_drive_the_terminal(run: Shell) -> None:
    """Control characters are shown as blanks."""
    with DemoPacs([made_study("00123", description="\x1b[31mred", modality="CT")]) as pacs:
        ran = run("find", "-k", "AccessionNumber=00123", *peer(pacs))
    assert ran.code == 0
    assert "\x1b" not in ran.out


def test_labels_with_leading_zeros_are_no_numbers() -> None:
    """They are told as they are, and never as a range."""
    assert report._number("00123") == "00123"
    assert report._few(["00123", "00124", "00125", "00126"], numbers=True) == "00123, 00124, 00125, …"
