"""The Mover of a command, of the values that the command was given."""

from __future__ import annotations

from typing import Any

from dicomover.cli.arguments import Arguments
from dicomover.mover import Mover
from dicomover.node import Node

__all__ = ["make_asker", "make_mover"]


def make_mover(given: Arguments, node: Node | None = None, **others: Any) -> Mover:
    """Make a Mover for the archive; nobody is named to receive unless `others` does."""
    return Mover(
        node or given.node,
        ae_title=given.aetitle,
        timeouts=given.timeouts,
        show_keys=given.show_keys,
        share=given.share,
        **others,
    )


def make_asker(given: Arguments, level: str) -> Mover:
    """Make a Mover that looks up a batch at a level."""
    return make_mover(given, level=level, model=given.model, max_matches=given.max_matches or None)
