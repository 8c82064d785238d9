"""The Mover of a command is the one that its values describe."""

from __future__ import annotations

from dicomover.cli.arguments import Arguments
from dicomover.cli.movers import make_asker, make_mover
from dicomover.node import Node


def test_a_mover_is_made_of_what_a_command_was_given() -> None:
    """The archive and our own name are those of the command, unless another archive is named."""
    given = Arguments(peer="ARCHIVE@host:104", aetitle="OURS")
    assert repr(make_mover(given)) == "Mover('ARCHIVE@host:104', ae_title='OURS', destination=None)"
    there = Node("other", 105, ae_title="THEIRS")
    assert make_mover(given, there, destination="WS7").node == there
    assert make_asker(given, "SERIES").node == given.node
