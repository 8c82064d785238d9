"""A receiver for a test: in this process, in its own, or in two that share the port."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from receiver_kit import ENGINES, Start, running


@pytest.fixture(params=ENGINES, ids=ENGINES)
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Start:
    """Start a receiver in this process, in its own, or in two that share the port."""
    return partial(running, tmp_path, **ENGINES[request.param])


@pytest.fixture(params=[False, True], ids=["threads", "process"])
def start_one(request: pytest.FixtureRequest, tmp_path: Path) -> Start:
    """Start a receiver in this process, or in its own."""
    return partial(running, tmp_path, request.param)
