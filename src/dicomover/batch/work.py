"""What a batch works on, as values: its rows, the C-MOVEs that they share, and what became of each.

No decision and no lock stands here. `Ledger` alone writes to rows and moves that more than one worker can see.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Self

from dicomover.batch.running import RunningMove
from dicomover.identifier import Request
from dicomover.journal import Asked, File, Manifest, Scope
from dicomover.outcome import Counters, Status
from dicomover.policy.retry import Tried
from dicomover.query.targets import Resolution, Target
from dicomover.summary import Instance, Result
from dicomover.wire.responses import MoveEnd

__all__ = ["NOTHING_KEPT", "Kept", "OpenRow", "SharedMove", "Taken", "Verdict"]


@dataclass(frozen=True, slots=True)
class Kept:
    """How much of a request was here before: distinct instances, and the bytes of their files; 0 at a third party."""

    count: int = 0
    bytes: int = 0
    files: tuple[File, ...] = ()

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        """Count some files."""
        return cls(manifest.count, manifest.bytes, manifest.files)


NOTHING_KEPT = Kept()


@dataclass(frozen=True, slots=True)
class Taken:
    """What the journal says of a request, before anything moves."""

    asked: Asked  # the request as the journal knows it
    skip: Result | None = None  # the result to report without moving; None if it has to be moved
    is_own: bool = False  # whether its own record says that it was complete
    seen: bool = False  # whether anything of it is known
    left: Resolution | None = None  # what is to be asked for; None until it is known what it comes to
    kept: Kept = NOTHING_KEPT  # how much of it is here
    scopes: tuple[Scope, ...] = field(default=(), repr=False)  # what it comes to as a whole
    # files of it, and whose they are, that are recorded under another name of its archive
    adopted: tuple[tuple[str, File], ...] = field(default=(), repr=False)
    has_grown: bool = False  # whether the archive has more of what is skipped
    holder: str = ""  # who else is moving some of it now; empty if we hold it
    behind: int | None = None  # the position of a row of this batch that is moving some of it now


@dataclass(slots=True)
class Verdict:
    """What one C-MOVE came to: how its exchange ended (`end`), held against what is there.

    `tried` is the same for the policy of retries; None where another attempt could not help. `unsent` says that the
    batch stopped before anything was sent; `repeated` how many sub-operations of it brought what had come already;
    `settled` are the counters of what is complete as the journal keeps them. A row's `Result` is put together from the
    verdicts on its C-MOVEs.
    """

    status: Status
    end: MoveEnd
    attempts: int = 0
    received: int | None = None
    bytes: int | None = None
    error: str | None = None
    missing: tuple[Instance, ...] = ()
    tried: Tried | None = None
    unsent: bool = False
    repeated: int = 0
    settled: Counters | None = None
    by_get: bool = False  # whether it came by C-GET


@dataclass(slots=True)
class SharedMove:
    """One C-MOVE of the batch: what it asks for, the row that sends it, and the rows that wait for it.

    It may take several attempts. `latest` is what the last one came to; `verdict` is there once that stands.
    """

    number: int
    target: Target
    row: OpenRow
    running: RunningMove
    waiting: list[OpenRow] = field(default_factory=list)
    open_rows: int = 0
    labels: list[object] = field(default_factory=list, repr=False)
    tries: list[Tried] = field(default_factory=list)
    latest: Verdict | None = None
    verdict: Verdict | None = None

    def forget(self) -> None:
        """Let go of what its verdict was made of: a batch may bring millions of instances, and keeps every C-MOVE."""
        self.running.forget()
        self.tries.clear()
        if self.verdict is not None:
            self.verdict.tried = None
        self.target = replace(self.target, instances=None, patients=())


@dataclass(slots=True)
class OpenRow:
    """One request under way.

    `taken` is what the journal says of it (None without a journal, or where it cannot be written down), `latest` what
    the last attempt at looking it up came to.
    """

    request: Request
    begun: float = field(default_factory=time.monotonic)
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    resolution: Resolution | None = None
    moves: list[SharedMove] = field(default_factory=list)
    tries: list[Tried] = field(default_factory=list)
    latest: Result | None = None
    taken: Taken | None = None
    kept: Kept = NOTHING_KEPT
    over: bool = False
    due: float | None = None
    is_put_last: bool = False
