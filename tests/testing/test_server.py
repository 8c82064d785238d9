"""Archives that come and go."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from dicomover.testing import (
    DemoPacs,
    made_study,
)
from dicomover.wire.command_set import C_MOVE_RQ
from testing_kit import client_of, move_keys


def test_many_archives_leave_nothing_behind() -> None:
    """Archives that come and go leave neither threads nor descriptors."""
    folder = Path("/proc/self/fd")
    if not folder.exists():
        pytest.skip("no /proc to count descriptors in")
    with DemoPacs([]):
        pass
    before, threads = len(os.listdir(folder)), threading.active_count()  # noqa: PTH208
    for _ in range(20):
        with DemoPacs([made_study("A")]) as pacs, client_of(pacs) as client:
            client.ask(C_MOVE_RQ, move_keys(pacs, "A"))
    assert (len(os.listdir(folder)), threading.active_count()) == (before, threads)  # noqa: PTH208
