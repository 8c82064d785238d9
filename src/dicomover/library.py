"""What is here, and what was locked: the verbs `Mover.files`, `lock` and `verify`, which move nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, Protocol, Unpack

import pandas as pd

from dicomover.batch.inventory import list_all_files, list_files, tabulate_files
from dicomover.batch.settings import Options, say_reading
from dicomover.cohort import Cohort
from dicomover.cohort.drift import drift_table
from dicomover.cohort.folder import digest_file, read_file
from dicomover.cohort.lock import lock_requests, read_earlier, write_lockfile
from dicomover.cohort.verify import check_readable, find_drift
from dicomover.dicomfile import HeadError
from dicomover.disk import Share
from dicomover.errors import ConfigurationError
from dicomover.identifier import Request
from dicomover.journal import Journal
from dicomover.node import Node, Timeouts
from dicomover.privacy import Privacy, check_privacy
from dicomover.requests.parse import Batch, Invalid, RequestsLike, parse_requests
from dicomover.session import Session
from dicomover.text.traces import forgetting

__all__ = ["files", "lock", "verify"]


class Holding(Protocol):
    """As much of a Mover as has to do with what it has, and what it should have."""

    receive: Path | None
    node: Node
    share: Share
    _session: Session
    _journal: str | os.PathLike[str] | Journal | None

    def _options(self, overrides: Options) -> Options:
        """Return what is usual, and what was said otherwise."""


@forgetting
def files(
    self: Holding,
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


@forgetting
def lock(
    self: Holding,
    requests: RequestsLike,
    path: str | os.PathLike[str] | None = "cohort.lock.json",
    *,
    keys: Sequence[str] = (),
    invalid: Invalid = "raise",
    privacy: Privacy = "plain",
    secret: str | bytes | None = None,
    overwrite: bool = False,
    **overrides: Unpack[Options],
) -> Cohort:
    """Look up what the requests come to, down to the instances (C-FIND), and write that into a lockfile.

    Nothing moves. A request that comes to nothing, or to too much, is locked as that: a change can be told later. So is
    a row that cannot be meant with `invalid="record"`; moved, it is a row with the status `invalid`.

    Parameters
    ----------
    requests, keys, invalid
        As for `move`.
    path
        The lockfile; None writes none. If it is there and says the same, it stays as it is and is returned.
    privacy
        `plain` keeps the rows as they are; `hashed` keeps keyed hashes of their keys and seals the rest. UIDs
        are needed to move, and remain.
    secret
        For `hashed`: at least 16 characters, such as `secrets.token_hex(16)`. Whoever has it can read the rows.
    overwrite
        Whether to replace a lockfile that says otherwise.
    **overrides
        Of those of `move`: `level`, `model`, `max_matches`, `associations`, `timeouts`, `wildcards`.

    Returns
    -------
    Cohort

    Raises
    ------
    RequestError, NodeError
        As for `move`.
    CohortError
        If there is a lockfile that says otherwise, or that cannot be read.
    OSError
        If the lockfile cannot be written.

    Examples
    --------
    >>> from dicomover import Mover
    >>> from dicomover.testing import DemoPacs, made_study
    >>> with DemoPacs([made_study("00123", instances=7)]) as pacs:
    ...     cohort = Mover(pacs.node).lock([{"AccessionNumber": "00123"}, {"AccessionNumber": "4"}], path=None)
    >>> cohort.requests[["AccessionNumber", "state", "instances"]]
      AccessionNumber      state  instances
    0           00123      found          7
    1               4  not-found          0
    """
    if overrides.get("shard") is not None:
        raise ConfigurationError("a lockfile is of a whole table", "lock that, and move the cohort in shards")
    options = self._options(overrides)
    check_privacy(privacy, secret)
    batch = parse_requests(requests, keys=keys, invalid=invalid, **say_reading(options))
    earlier = None if path is None or overwrite else read_earlier(path)
    query = {name: options[name] for name in ("level", "model", "max_matches")}
    with self._session.lend_lines(options["timeouts"], min(options["associations"], len(batch.requests))) as lines:
        cohort = lock_requests(batch, lines, archive=self.node, query=query, privacy=privacy, secret=secret)
    return cohort if path is None else write_lockfile(cohort, path, earlier, self.share)


@forgetting
def verify(self: Holding, cohort: Cohort, *, look_again: bool = True, timeouts: Timeouts | None = None) -> pd.DataFrame:
    r"""Say what has changed in the archive since a cohort was locked (C-FIND); nothing moves.

    Parameters
    ----------
    cohort
        What was locked, maybe at another archive.
    look_again
        Whether to look the requests up again, in the way in which they were locked. False looks only at the
        studies that were locked: that needs no secret, and cannot tell that an accession number has become
        ambiguous.
    timeouts
        As for the Mover.

    Returns
    -------
    DataFrame
        One row per change, none if nothing has changed: `request` (the label of the row), `level`, `kind`,
        `StudyInstanceUID`, `SeriesInstanceUID`, `SOPInstanceUID` (those that changed, joined by a backslash),
        `expected` and `found` (numbers of instances of the study or series), and `note`, a sentence. The kinds are

        - `gained`, `lost`: studies, series or instances that were not, or no longer are, in the archive;
        - `changed`: instances that are in another series now, or a study to which the request no longer leads;
        - `ambiguous`: an accession number that stands for further studies, or a request that matches too many;
        - `not-found`: the request has no match any more, though what was locked is still there;
        - `unknown`: the archive would not say.

    Raises
    ------
    ConfigurationError
        If it is no `Cohort`, or its keys are hashed and it was loaded without the secret.
    NodeError
        If the archive cannot be reached.

    Examples
    --------
    >>> from dicomover import Mover
    >>> from dicomover.testing import DemoPacs, made_study
    >>> with DemoPacs([made_study("00123")]) as pacs:
    ...     mover = Mover(pacs.node)
    ...     cohort = mover.lock({"AccessionNumber": "00123"}, path=None)
    ...     unchanged = mover.verify(cohort)
    ...     _ = pacs.add(made_study("00123", number=2))
    ...     drift = mover.verify(cohort)
    >>> len(unchanged), drift[["kind", "expected", "found", "note"]].to_dict("records")
    (0, [{'kind': 'ambiguous', 'expected': 0, 'found': 3,
          'note': 'the accession number now stands for 2 studies, this one among them'}])
    """
    check_readable(cohort, look_again)
    options = self._options({} if timeouts is None else {"timeouts": timeouts})
    with self._session.lend_lines(options["timeouts"], min(options["associations"], len(cohort))) as lines:
        return drift_table(find_drift(cohort, lines, archive=self.node, look_again=look_again))
