"""From options that were given to the values of the library."""

from __future__ import annotations

import click

from dicomover.cli.options import DEFAULT_AEC
from dicomover.node import Node, Timeouts

__all__ = ["model_of", "node_of", "timeouts_of"]


def node_of(peer: str, port: int | None, call: str | None) -> Node:
    """Return the archive, from `PEER PORT` with `-aec`, or from a PEER such as `ARCHIVE@host:104`."""
    if port is not None:
        if "@" in peer:
            raise click.UsageError(
                "PEER names the AE title already; write ARCHIVE@host:port, or -aec ARCHIVE host port"
            )
        return Node(peer, port, ae_title=call or DEFAULT_AEC)
    if ":" not in peer:
        raise click.UsageError("PORT is missing; write, say, 'pacs.example.org 104' or 'ARCHIVE@pacs.example.org:104'")
    node = Node.parse(peer)
    if "@" not in peer:
        return Node(node.host, node.port, ae_title=call or DEFAULT_AEC)
    if call is not None and call != node.ae_title:
        raise click.UsageError(f"-aec says {call!r}, PEER says {node.ae_title!r}; leave one out")
    return node


def timeouts_of(**given: float) -> Timeouts:
    """Return the time-outs by their names, 0 as no limit."""
    return Timeouts(**{name: seconds or None for name, seconds in given.items()})


def model_of(patient_root: bool, study_root: bool) -> str:
    """Return the model's name for the library."""
    if patient_root and study_root:
        raise click.UsageError("-P and -S cannot both be; choose one model, or leave both out")
    return "patient" if patient_root else "study" if study_root else "auto"
