"""With what a C-STORE is answered: failures that every archive counts as such, each with something to do about it."""

from __future__ import annotations

from dicomover.receiver.scp import statuses


def test_what_is_not_filed_is_a_failure_for_every_archive() -> None:
    """No answer but success is a warning or pending (PS3.7 Annex C): the archive would count the image as sent."""
    known = {value for name in statuses.__all__ if isinstance(value := getattr(statuses, name), int)}
    assert statuses.SUCCESS in known
    for status in known - {statuses.SUCCESS}:
        assert status >> 12 in (0xA, 0xC) or status >> 8 == 0x01, f"0x{status:04X} is no failure"


def test_what_to_do_is_said_of_failures_alone() -> None:
    """Those that name no cause of their own have their mend here; a success needs none."""
    assert statuses.SUCCESS not in statuses.MENDS
    assert {statuses.PROCESSING_FAILURE, statuses.OUT_OF_RESOURCES, statuses.CANNOT_UNDERSTAND} <= set(statuses.MENDS)
