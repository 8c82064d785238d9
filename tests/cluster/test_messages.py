"""What a client and its workers say to each other, and what Dask's log says of it."""

from __future__ import annotations

import asyncio
import logging
import pickle

import pytest

from dicomover.cluster import messages
from dicomover.cluster.messages import Held, Trouble, host


def test_a_worker_does_what_it_is_asked(caplog: pytest.LogCaptureFixture) -> None:
    """What is run is found by its name; Dask's log says nothing of it, and the same of what others run."""
    assert pickle.loads(pickle.dumps(host)) is host
    gone = asyncio.run(host("take", "nobody-1", 0, 0.1))
    assert isinstance(gone, Trouble)
    assert gone.is_gone
    worker = logging.getLogger("distributed.worker")
    with caplog.at_level(logging.INFO, "distributed.worker"):
        worker.info("Run out-of-band function %r", "host")
        worker.info("Run out-of-band function %r", "take")
    assert [record.args for record in caplog.records] == [("take",)]


def test_values_can_be_sent() -> None:
    """They are plain, and the same on the other side."""
    for value in (Held("a-1", 3), Trouble("what", "mend"), messages.Taken(0.1, 0.2, [])):
        assert pickle.loads(pickle.dumps(value)) == value
