"""The commands that ask no archive: each works without one."""

from __future__ import annotations

import pytest

from dicomover.cli import cli, local_commands


@pytest.mark.parametrize("name", local_commands.__all__)
def test_no_archive_has_to_be_named(name: str) -> None:
    """Where a command takes the name of one at all it may be left out."""
    params = {param.name: param for param in cli.commands[name].params}
    assert "peer" not in params or not params["peer"].required
