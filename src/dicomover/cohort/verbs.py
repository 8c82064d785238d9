"""The verbs of a Mover that have to do with cohorts: lock and verify."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import pandas as pd

from dicomover.batch.settings import Options
from dicomover.cohort.cohort import Cohort
from dicomover.cohort.drift import drift_table
from dicomover.cohort.locking import drift_of, lock, written
from dicomover.errors import ConfigurationError
from dicomover.node import Node, Timeouts
from dicomover.privacy import Privacy, check_privacy
from dicomover.requests.parse import RequestsLike, parse_requests
from dicomover.wire.line import Line
from dicomover.wire.lines import Lines, lines_of
from dicomover.wire.stop import Controls

__all__ = ["CohortVerbs"]


class CohortVerbs(ABC):
    """What a Mover can do with cohorts. It lends the archive and a line to it."""

    node: Node

    @abstractmethod
    def _options(self, overrides: Options) -> Options: ...

    @abstractmethod
    def _asking(self, timeouts: Timeouts, controls: Controls | None = None) -> AbstractContextManager[Line]: ...

    def _lines(self, options: Options, size: int) -> AbstractContextManager[Lines]:
        """Lend as many lines as may work side by side on so many requests."""
        lend = partial(self._asking, options["timeouts"])
        return lines_of(lend, min(options["associations"], size))

    def lock(
        self,
        requests: RequestsLike,
        path: str | os.PathLike[str] | None = "cohort.lock.json",
        *,
        keys: Sequence[str] = (),
        privacy: Privacy = "plain",
        secret: str | bytes | None = None,
        overwrite: bool = False,
        **overrides: Unpack[Options],
    ) -> Cohort:
        """Look up what the requests come to, down to the instances (C-FIND), and write that into a lockfile.

        Nothing moves. A request that comes to nothing, or to too much, is locked as that, so that a change can be
        told later.

        Parameters
        ----------
        requests, keys
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
            What this call says otherwise than the Mover: `level`, `model`, `max_matches`, `associations`, `timeouts`.

        Returns
        -------
        Cohort

        Raises
        ------
        RequestError
            If a row cannot be meant.
        CohortError
            If there is a lockfile that says otherwise, or that cannot be read.
        NodeError
            If the archive cannot be reached.
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
        options = self._options(overrides)
        check_privacy(privacy, secret)
        batch = parse_requests(requests, level=options["level"], model=options["model"], keys=keys)
        earlier = None
        if path is not None and not overwrite and Path(path).exists():
            earlier = Cohort.load(path)
        query: dict[str, Any] = {name: options[name] for name in ("level", "model", "max_matches")}
        with self._lines(options, len(batch)) as lines:
            cohort = lock(batch, lines, archive=self.node, query=query, privacy=privacy, secret=secret)
        return cohort if path is None else written(cohort, path, earlier)

    def verify(self, cohort: Cohort, *, look_again: bool = True, timeouts: Timeouts | None = None) -> pd.DataFrame:
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
        if not isinstance(cohort, Cohort):
            raise ConfigurationError(
                f"verify() takes a Cohort, not {type(cohort).__name__}; read a lockfile with Cohort.load(path)"
            )
        if look_again and not cohort.is_readable:
            raise ConfigurationError(
                "the keys of this cohort are hashed, so its requests cannot be looked up again; load it with "
                "secret=, or compare only what was locked with look_again=False"
            )
        options = self._options({} if timeouts is None else {"timeouts": timeouts})
        with self._lines(options, len(cohort)) as lines:
            return drift_table(drift_of(cohort, lines, archive=self.node, look_again=look_again))
