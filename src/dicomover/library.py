"""What is here: the verb `Mover.files`, which asks the journal and the folder, and no archive."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, Protocol

import pandas as pd

from dicomover.batch.inventory import list_all_files, list_files, tabulate_files
from dicomover.batch.settings import Options, say_reading
from dicomover.cohort import Cohort
from dicomover.cohort.folder import digest_file, read_file
from dicomover.dicomfile import HeadError
from dicomover.errors import ConfigurationError
from dicomover.identifier import Request
from dicomover.journal import Journal
from dicomover.node import Node
from dicomover.requests.parse import Batch, RequestsLike, parse_requests
from dicomover.text.traces import forgetting

__all__ = ["files"]


class Receiving(Protocol):
    """As much of a Mover as has to do with what is here."""

    receive: Path | None
    node: Node
    _journal: str | os.PathLike[str] | Journal | None

    def _options(self, overrides: Options) -> Options:
        """Return what is usual, and what was said otherwise."""


@forgetting
def files(
    self: Receiving,
    requests: RequestsLike | Cohort | None = None,
    *,
    level: Literal["IMAGE", "SERIES"] = "IMAGE",
    keys: Sequence[str] = (),
    checksums: bool = False,
) -> pd.DataFrame:
    r"""List what is here, by the journal and as it lies in the folder now; the archive is not asked.

    Parameters
    ----------
    requests, keys
        As for `move`, a summary for one: what is here of each row, whichever row brought it. None lists all of the
        folder, from every archive. Of keys that only the archive can look up, such as an accession number, that is
        known which was moved by them.
    level
        `"IMAGE"` has one row for each file, `"SERIES"` one for each series.
    checksums
        Whether to read each file for the SHA-256 of its data set, as a sealed cohort has it; at level IMAGE.

    Returns
    -------
    DataFrame
        `request`, the label of the row that it is of, and the columns that ride along; then `StudyInstanceUID`,
        `SeriesInstanceUID`, `SOPInstanceUID` (at level SERIES the number of `images`), `path` (its folder), `size`
        in bytes, `TransferSyntaxUID`, `arrived`, `intact` (whether size and time are those with which it came),
        and `sha256`. A row that cannot be meant has none.

    Raises
    ------
    ConfigurationError
        If nothing is received here, or without a journal.
    RequestError
        If the input is no table of requests.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from dicomover import Mover
    >>> from dicomover.testing import DemoPacs, made_study
    >>> with TemporaryDirectory() as folder, DemoPacs([made_study("00123", instances=2)]) as pacs:
    ...     with Mover(pacs.node, receive=folder, port=0, progress="none") as mover:
    ...         pacs.destinations[mover.ae_title] = mover.port
    ...         summary = mover.move([{"AccessionNumber": "00123"}])
    ...         files = mover.files(summary)
    >>> files[["request", "AccessionNumber", "size", "intact"]]
       request AccessionNumber  size  intact
    0        0           00123  2982    True
    1        0           00123  2982    True
    """
    if level not in ("IMAGE", "SERIES") or (checksums and level != "IMAGE"):
        raise ConfigurationError(f"level={level!r} is none of IMAGE and SERIES, or has no checksums", "say IMAGE")
    if self.receive is None or self._journal is None:
        raise ConfigurationError("nothing is known of what is here", "give the Mover receive= and a journal")
    locked = requests.locked if isinstance(requests, Cohort) else ()

    def pinned(request: Request) -> Iterable[tuple[str, frozenset[str]]] | None:
        if not locked:
            return None
        studies = locked[request.position].studies
        return [(each.uid, frozenset(uid for uids in each.by_series.values() for uid in uids)) for each in studies]

    if isinstance(requests, Cohort):
        batch: Batch | None = requests.batch(keys)
    elif requests is not None:
        reading = say_reading(self._options({}))
        batch = parse_requests(requests, keys=keys, invalid="record", **reading)
    else:
        batch = None
    journal = self._journal.again() if isinstance(self._journal, Journal) else Journal(self._journal)
    held = []
    if journal.path.exists():
        with journal:
            found = list_all_files(journal, self.receive)
            held = list(found if batch is None else list_files(batch, journal, self.node, self.receive, pinned))
    table = tabulate_files(held, self.receive.absolute(), batch, level)
    if checksums:
        table["sha256"] = pd.Series(map(_digest, table["path"]), index=table.index, dtype="string")
    return table


def _digest(path: str) -> str | None:
    """Return the SHA-256 of a data set; None if the file cannot be read."""
    try:
        file = read_file(path)
        return None if file is None else digest_file(file).sha256
    except (HeadError, OSError):
        return None
