"""Whether what is to come fits on the disk: looked up and refused before anything moves, where it may not."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from dicomover.batch.plan import Planned
from dicomover.errors import ReceiverError
from dicomover.journal import Costs
from dicomover.progress.text import size
from dicomover.requests.parse import Batch
from dicomover.text.face import advise

__all__ = ["check_room", "find_free", "tell_lack"]


def find_free(folder: Path) -> int | None:
    """Return how many bytes are free where a folder is, or is to be; None where the system does not say."""
    where = folder.absolute()
    while not where.exists() and where != where.parent:
        where = where.parent
    try:
        return shutil.disk_usage(where).free
    except OSError:
        return None


def tell_lack(needed: int, free: int, folder: Path) -> str:
    """Say that something does not fit."""
    return f"about {size(needed)} are to come, and {size(free)} are free in {str(folder)!r}"


def check_room(batch: Batch, folder: Path, costs: Costs, make_plan: Callable[[], Sequence[Planned]]) -> None:
    """Raise ReceiverError if what a batch brings does not fit on the disk.

    It is looked up only where the sizes of a plan that is moved, or else what C-MOVEs have brought so far, do not fit:
    asking twice for every row would cost an archive more than it is worth.
    """
    free = find_free(folder)
    if free is None or _guess(batch, costs) <= free:
        return
    needed = sum(item.bytes or 0 for item in make_plan())
    if needed > free:
        mend = advise("make room, move less at once, or say force=True")
        raise ReceiverError(f"{tell_lack(needed, free, folder)}; nothing was moved", mend)


def _guess(batch: Batch, costs: Costs) -> float:
    """Say how much may come, without the archive and without what is here."""
    usual = costs.bytes_of_move
    if not usual:
        return 0
    if "estimated_bytes" not in batch.given.columns:
        return usual * len(batch.requests)
    sizes = pd.to_numeric(batch.given["estimated_bytes"], errors="coerce").fillna(usual).tolist()
    return sum(float(sizes[request.position]) for request in batch.requests)
