"""What a command was given, as values of the library: the archive, the time-outs, the model, who receives."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from dicomover.cli.options import DEFAULT_AEC
from dicomover.cli.screen import show_log
from dicomover.cli.secured import Secured
from dicomover.disk import Share
from dicomover.node import Node, Timeouts
from dicomover.outcome import Verify

if TYPE_CHECKING:
    from dicomover.batch.ways import Via
    from dicomover.policy.retry import Retry
    from dicomover.policy.window import Window
    from dicomover.query.splitting import Split
    from dicomover.requests.shards import Shard

__all__ = ["DOWNLOADS", "Arguments", "read_node"]

DOWNLOADS = Path("downloads")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments(Secured):
    """The values of a command's arguments and options, by their names; None and the like where it has no such option.

    Their defaults stand with the options: what is here is for the commands that do not have them.
    """

    peer: str | Node | None = None  # a node where a profile was named
    port: int | None = None
    aetitle: str = ""
    call: str | None = None
    timeout: float = 0
    acse_timeout: float = 0
    dimse_timeout: float = 0
    stall_timeout: float = 0
    progress_timeout: float = 0
    total_timeout: float = 0
    verbose: bool = False
    debug: bool = False
    quiet: bool = False
    show_keys: bool = False
    as_records: bool = False
    # what is asked for
    key: tuple[str, ...] = ()
    query_file: Path | None = None
    csv_file: Path | None = None
    wildcards: bool = False
    shard: Shard | None = None
    invalid: Literal["raise", "record"] = "raise"
    lockfile: Path | None = None
    secret_file: Path | None = None
    level: str | None = None
    patient_root: bool = False
    study_root: bool = False
    max_matches: int = 0
    limit: int | None = None
    split: Split = "auto"
    # who receives, and how
    move_dest: str | Node | None = None
    output_dir: Path | None = None
    via: Via = "move"
    headers_only: bool = False
    listen: int | None = None
    bind: str | None = None
    workers: int = 1
    accept: tuple[str, ...] = ()
    calling_aet: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    max_associations: int = 0
    layout: str | None = None
    existing: Literal["keep", "replace", "error"] = "keep"
    checksums: bool = False
    # how it is moved
    verify: Verify = "counts"
    recheck: bool = False
    associations: int = 1
    journal: Path | None = None
    no_journal: bool = False
    retry: Retry | str = "none"
    window: Window | None = None
    max_per_minute: int | None = None
    utilization: float = 1.0
    dry_run: bool = False
    force: bool = False
    # what comes out
    summary: Path | None = None
    page: Path | None = None
    output: Path | None = None
    progress: bool = False
    ignore_pending: bool = False
    share: Share = "owner"
    # of lockfiles
    overwrite: bool = False
    folder: Path | None = None
    seal: bool = False
    locked_only: bool = False
    # of the doctor
    one_image: bool = False

    @property
    def node(self) -> Node:
        """The archive."""
        assert self.peer is not None
        node = self.peer
        if not isinstance(node, Node):
            node = read_node(node, self.port, self.call)
        elif self.call is not None:
            node = replace(node, ae_title=self.call)
        return self.secure(node)

    @property
    def accept_or_default(self) -> str | tuple[str, ...]:
        """The transfer syntaxes that are accepted; one word may stand for several."""
        return self.accept[0] if len(self.accept) == 1 else self.accept or "as-stored"

    @property
    def client(self) -> dict[str, Any]:
        """Who we are and how long we wait, as a Mover takes it."""
        named = {"ae_title": self.aetitle, "timeouts": self.timeouts}
        return {**named, "show_keys": self.show_keys, "share": self.share}

    def lookup(self, level: str) -> dict[str, Any]:
        """Return how a batch is looked up at a level, as a Mover takes it."""
        return {"level": level, "model": self.model, "max_matches": self.max_matches or None}

    def receiver(self, destination: str | Node | None, folder: Path | None) -> dict[str, Any]:
        """Return who receives and how, as a Mover takes it."""
        named = {"destination": destination, "receive": folder, "via": self.via}
        return {**named, "port": self.listen, "bind": self.bind, **self.senders(receives=folder is not None)}

    def senders(self, *, receives: bool = True) -> dict[str, Any]:
        """Return who may send to us."""
        tls = self.read_receiving(receives=receives)
        return {"addresses": self.addresses, "calling_ae_titles": self.calling_aet, "tls": tls}

    @property
    def timeouts(self) -> Timeouts:
        """The time-outs, 0 as no limit."""
        return Timeouts(
            connect=self.timeout or None,
            acse=self.acse_timeout or None,
            dimse=self.dimse_timeout or None,
            stall=self.stall_timeout or None,
            progress=self.progress_timeout or None,
            total=self.total_timeout or None,
        )

    @property
    def model(self) -> str:
        """The model's name for the library."""
        if self.patient_root and self.study_root:
            raise click.UsageError("-P and -S cannot both be; choose one model, or leave both out")
        return "patient" if self.patient_root else "study" if self.study_root else "auto"

    def show_log(self) -> contextlib.AbstractContextManager[None]:
        """Show the log of the library as far as was asked for, for as long as this lasts."""
        return show_log(verbose=self.verbose, debug=self.debug, quiet=self.quiet, show_keys=self.show_keys)


def read_node(peer: str, port: int | None, call: str | None) -> Node:
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
