"""Why does nothing arrive? One check after the other between us, the archive and the destination, with what to do.

*Never here:* how a batch runs; what a real move came to is read from its summary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from dicomover.doctor.archive import (
    Archive,
    advise_get,
    check_association,
    check_echo,
    check_find,
    check_get,
    check_move,
)
from dicomover.doctor.destination import check_destination
from dicomover.doctor.findings import COLUMNS, NOBODY, Check, Setup, findings_table
from dicomover.doctor.image import move_one_image

__all__ = ["COLUMNS", "NOBODY", "Check", "Setup", "diagnose", "findings_table", "move_one_image"]

_PATIENCE = 60.0  # seconds for a response, where nobody has set a limit


def diagnose(setup: Setup, next_message_id: Callable[[], int]) -> list[Check]:
    """Examine the way from us to the archive and from the archive to the destination; nothing moves.

    It returns always the same five checks, in the order of the way; what a failure makes impossible is skipped. By
    C-GET the last one is of that, and with `auto` it is one more. Then one for each cause for which our own receiver
    has refused something meanwhile.
    """
    if setup.timeouts.dimse is None:  # a batch may wait for a tape; what is asked here is on none
        setup = replace(setup, timeouts=replace(setup.timeouts, dimse=_PATIENCE))
    return list(_checks(setup, Archive(setup, next_message_id)))


def _checks(setup: Setup, archive: Archive) -> Iterator[Check]:
    try:
        yield (opened := check_association(setup, archive))
        if opened.result == "failed":
            gone = "there is no association to ask on"
            yield Check("C-ECHO", "skipped", gone)
            yield Check("C-FIND", "skipped", gone)
            yield check_destination(setup)
            yield Check("C-GET" if setup.via == "get" else "C-MOVE", "skipped", gone)
            return
        yield check_echo(archive)
        yield check_find(setup, archive)
        yield advise_get(archive, check_destination(setup))
        if setup.via != "get":
            yield advise_get(archive, check_move(setup, archive))
        if setup.via != "move":
            yield check_get(setup, archive)
        yield from setup.witness.checks()
    finally:
        archive.release()
