"""What is examined, what is found, and who watches our receiver meanwhile."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Literal

import pandas as pd

from dicomover.errors import AssociationLost, LostBy, NodeError, ProtocolError, ReceiverError
from dicomover.events import Arrival, Refusal
from dicomover.node import Node, Timeouts
from dicomover.security.tls import TLSLike
from dicomover.text.wholetable import WholeTable

__all__ = ["COLUMNS", "NOBODY", "Check", "Setup", "Witness", "describe_stranger", "findings_table"]

Verdict = Literal["ok", "failed", "unclear", "skipped"]
COLUMNS = ("check", "result", "found", "advice")
NOBODY = "NOBODY-DICOMOVER"
"""An AE title that no archive should know, to tell what it says of one that it does not know."""


@dataclass(frozen=True, slots=True)
class Check:
    """One finding: what was checked, how it went, what was seen, and what to do."""

    check: str
    result: Verdict
    found: str
    advice: str = ""


class Witness:
    """Keeps what our receiver refuses while the archive is examined; the session takes it for a job."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._refusals: list[Refusal] = []

    def arrived(self, event: Arrival | Refusal) -> None:
        """Take what the receiver reports; on its thread."""
        if isinstance(event, Refusal):
            with self._lock:
                self._refusals.append(event)

    def cancel(self) -> None:
        """There is nothing to end."""

    def wait(self, timeout: float | None = None) -> bool:  # noqa: ARG002 - as for a job
        """There is nothing to wait for."""
        return True

    def checks(self) -> list[Check]:
        """Return a finding for each cause for which our receiver has refused something."""
        with self._lock:
            causes = {(refusal.why, refusal.mend): refusal for refusal in self._refusals}
        return [
            Check("our receiver", "failed", f"we refused {_name_peer(refusal)}: {why}", mend)
            for (why, mend), refusal in causes.items()
        ]


@dataclass(frozen=True, slots=True)
class Setup:
    """What is examined."""

    node: Node  # the archive
    ae_title: str  # what we call ourselves
    timeouts: Timeouts  # how long to wait for what
    destination: str | None = None  # the Move Destination's AE title, None if nobody receives
    destination_node: Node | None = None  # where a third party listens, if that is known
    port: int | None = None  # where we listen, if we receive
    bind: str | None = None  # the address that we listen on; None is every one
    is_open: bool = True  # whether anybody may connect to us
    has_received: bool = False  # whether images have come to us from there
    tls: TLSLike | None = None  # how we receive, if not in plain
    via: Literal["move", "get", "auto"] = "move"  # how images are to come
    trouble: ReceiverError | None = None  # why we cannot listen or write although we should receive; None if we can
    witness: Witness = field(default_factory=Witness)  # what our receiver reports meanwhile


def _name_peer(refusal: Refusal) -> str:
    who = " at ".join(filter(None, (refusal.calling_ae_title, refusal.peer))) or "somebody"
    return f"the {refusal.what} of {who}" if refusal.what != "everything" else "everything"


def findings_table(checks: list[Check]) -> pd.DataFrame:
    """Return the findings as a table: `check`, `result`, `found`, `advice`, all of dtype string."""
    rows = [(item.check, item.result, item.found, item.advice or None) for item in checks]
    return WholeTable(pd.DataFrame(rows, columns=list(COLUMNS)).astype("string"))


def describe_stranger(setup: Setup, error: NodeError) -> str:
    """Say what listens there instead of an archive that accepts us."""
    if isinstance(error, ProtocolError):
        return f"what listens on {setup.node.host} port {setup.node.port} answers, but not in DICOM"
    if isinstance(error, AssociationLost) and error.by is LostBy.CLOSED:
        return f"{setup.node} closed the connection upon our association request"
    return str(error)
