"""A Mover: the verbs that take a batch: plan, move, start, lock, verify. How it is set up and lives is the client's."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Unpack

import pandas as pd

from dicomover.batch.job import Job, OnInterrupt
from dicomover.batch.plan import Answers, Planned, foresee_way, make_plan, tabulate_plan
from dicomover.batch.resume import Resumption
from dicomover.batch.room import check_room, find_free
from dicomover.batch.run import BatchRun
from dicomover.batch.settings import (
    BatchSettings,
    Options,
    check_port_named,
    find_destination,
    find_shard,
    make_pace,
    say_reading,
)
from dicomover.batch.ways import Via
from dicomover.client import Client
from dicomover.cluster.place import Place, check_cluster
from dicomover.cohort import Cohort
from dicomover.events import Noted
from dicomover.journal import Journal
from dicomover.library import files, lock, verify
from dicomover.progress import choose, row_labels
from dicomover.query.resolve import Resolver
from dicomover.query.targets import Resolve
from dicomover.requests.parse import Batch, Invalid, RequestsLike, parse_requests
from dicomover.requests.shards import take_shard
from dicomover.text.sentences import count_of
from dicomover.text.traces import forgetting
from dicomover.wire.services import FIND, RETRIEVE

if TYPE_CHECKING:
    from dicomover.cluster.places import Places

__all__ = ["Mover"]


class Mover(Client):
    """Moves images out of an archive. Constructing one does no I/O."""

    _last: Job | None = None
    files, lock, verify = files, lock, verify

    @property
    def last(self) -> Job | None:
        """The batch that was begun last, by `move` or `start`, whatever became of it; None before the first."""
        return self._last

    @cached_property
    def _answers(self) -> Answers:
        return Answers()

    @forgetting
    def plan(
        self,
        requests: RequestsLike | Cohort,
        *,
        keys: Sequence[str] = (),
        invalid: Invalid = "raise",
        max_age: float = 600.0,
        **overrides: Unpack[Options],
    ) -> pd.DataFrame:
        """Look up what would move; nothing moves.

        Parameters
        ----------
        requests, keys, invalid, **overrides
            As for `move`.
        max_age
            For how many seconds an answer of an earlier plan of this Mover is believed; 0 asks anew, as `move` does.

        Returns
        -------
        DataFrame
            One row per request: what was given, the UIDs that were found, then

            - `decision`: `move`; `several`, where it moves more than one; `skip`, where the journal says that it is
              complete; `duplicate`, where an earlier row moves all of it; and what needs a decision of yours:
              `not-found`, `too-many`, `refused`, `invalid`;
            - `level`, `matches`, `series`, `expected` and `modalities` of what was found;
            - `here`: instances of it that are here already, according to the journal;
            - `estimated_bytes` and `estimated_minutes` of what is still to come, by what moves of these modalities from
              this archive have come to (no archive says them): `<NA>` before the first of them, and without a journal;
            - `error`: why, or what a person should know.

            It can be edited and given to `move`. Where we receive, `plan.attrs["free_bytes"]` is what the disk has.
            `plan.attrs["via"]` is the way that it would begin by, for all rows: `move` or `get`; `auto` stays only
            where nothing would move, or as long as nothing had to be looked up: no association is opened for it.

        Raises
        ------
        RequestError, NodeError
            As for `move`.

        Examples
        --------
        >>> from dicomover.testing import DemoPacs, made_study
        >>> with DemoPacs([made_study("00123", instances=7)]) as pacs:
        ...     plan = Mover(pacs.node).plan([{"AccessionNumber": "00123"}, {"AccessionNumber": "4"}])
        >>> plan[["AccessionNumber", "decision", "expected"]]
          AccessionNumber   decision  expected
        0           00123       move         7
        1               4  not-found      <NA>
        """
        options = self._options(overrides)
        batch, resolve, fits_model = self._read(requests, keys, invalid, options)
        resumption = self._resumption(options, recheck=options["recheck"], only_old=True)
        services = RETRIEVE if options["via"] == "auto" else FIND
        with self._session.lend_line(options["timeouts"], services=services) as line, resumption or nullcontext():
            answers = Answers() if isinstance(requests, Cohort) else self._answers
            looks_here = self.receive is not None and self._journal is not None
            planned = make_plan(
                batch, line, resolve, answers, max_age, resumption, fits_model=fits_model, looks_here=looks_here
            )
            table = tabulate_plan(batch, planned, associations=options["associations"])
            moves = table["decision"].isin(["move", "several"]).any()
            table.attrs["via"] = foresee_way(options["via"], line, self._answers) if moves else options["via"]
        if self.receive is not None:
            table.attrs["free_bytes"] = find_free(self.receive)
        return table

    @forgetting
    def move(
        self,
        requests: RequestsLike | Cohort,
        *,
        keys: Sequence[str] = (),
        invalid: Invalid = "raise",
        interrupt: OnInterrupt = "raise",
        **overrides: Unpack[Options],
    ) -> pd.DataFrame:
        r"""Move what the requests ask for (C-MOVE), and say what became of each.

        Only unique keys go into a C-MOVE (PS3.4 section C.4.2.2.1); anything else is looked up by C-FIND first.

        Parameters
        ----------
        requests
            A dict, a DataFrame of n rows or one of its columns, such as `table.AccessionNumber`, or an iterable of n
            dicts or rows. Keys are DICOM keywords or tags. In a dict every entry is a query key; in a table PatientID,
            StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID, AccessionNumber and names such as `key:StudyDate` are,
            and the other columns ride along into the summary. Or a `Cohort`: what moves is exactly what was locked.
        keys
            Further columns of a table that are query keys.
        invalid
            `raise` if a row cannot be meant, or `record` it as a row with the status `invalid`.
        interrupt
            After an interrupt (Ctrl-C, the kernel's stop button) `raise` `Interrupted`, so that no cell below goes on
            with a part of the images, or `return` the summary as always.
        **overrides
            What this call says otherwise than the Mover, by the same names: any of `Options`. And `wildcards=True`, or
            the columns of a table in whose cells * and ? are meant as in a dict. And `force=True`, to move what may not
            fit on the disk. And `shard="2/4"` or `(2, 4)`, to move only the second of four parts of the table, each row
            with its place in a column of its own, by which `dicomover.merge` joins their summaries. And `on`, a Dask
            `Client`, with `places=[Place("MOVER1", 11112), ...]`: the batch runs here, and its images land at the
            workers of that cluster, in the folder that all of them see as `receive`.

        Returns
        -------
        DataFrame of n rows
            The index and the columns of the input, then `status`, `status_code`, `matches`, `expected`, `completed`,
            `failed`, `warning`, `remaining`, `received`, `bytes`, `attempts`, `started`, `seconds`, `error` and
            `failed_uids`; see `dicomover.summary.SCHEMA`. It is itself a valid input.

        Raises
        ------
        RequestError
            If a row cannot be meant; nothing was sent. All such rows are named.
        ConfigurationError
            If nobody is named to receive.
        NodeError
            If the archive cannot be reached at all.
        ReceiverError
            If we cannot listen or write; or if what is to come does not fit on the disk, as far as that can be
            estimated, unless `force=True`.
        Interrupted
            If it was interrupted: what ran has been cancelled, and the summary is its `summary`.

        Examples
        --------
        >>> from dicomover.testing import DemoPacs, made_study
        >>> with DemoPacs([made_study("00123", instances=7)]) as pacs:
        ...     with Mover(pacs.node, destination="WORKSTATION", progress="none") as mover:
        ...         summary = mover.move([{"AccessionNumber": "00123"}])
        >>> summary[["AccessionNumber", "status", "completed", "failed"]]
          AccessionNumber   status  completed  failed
        0           00123  success          7       0
        """
        return self.job(requests, keys=keys, invalid=invalid, **overrides).run(interrupt=interrupt).summary()

    @forgetting
    def start(
        self,
        requests: RequestsLike | Cohort,
        *,
        keys: Sequence[str] = (),
        invalid: Invalid = "raise",
        **overrides: Unpack[Options],
    ) -> Job:
        """Do the same as `move`, in the background.

        Parameters
        ----------
        requests, keys, invalid, **overrides
            As for `move`.

        Returns
        -------
        Job
            It runs: `job.cancel()`, `job.wait()`, `job.summary()`, `job.failures()`.

        Raises
        ------
        RequestError, ConfigurationError, NodeError, ReceiverError
            As for `move`.

        Examples
        --------
        >>> from dicomover.testing import DemoPacs, made_study
        >>> with DemoPacs([made_study("00123")]) as pacs:
        ...     with Mover(pacs.node, destination="WORKSTATION", progress="none") as mover:
        ...         job = mover.start({"AccessionNumber": "00123"})
        ...         ended = job.wait(60)
        >>> ended, str(job.summary().status[0])
        (True, 'success')
        """
        return self._job(requests, keys, invalid, overrides, in_cell=False).start()

    @forgetting
    def job(
        self,
        requests: RequestsLike | Cohort,
        *,
        keys: Sequence[str] = (),
        invalid: Invalid = "raise",
        **overrides: Unpack[Options],
    ) -> Job:
        """Prepare what `move` runs: `job.run()` does it, and the job knows more than its summary.

        Parameters
        ----------
        requests, keys, invalid, **overrides
            As for `move`.

        Returns
        -------
        Job
            Not running yet; nothing was sent.
        """
        return self._job(requests, keys, invalid, overrides, in_cell=True)

    # --- behind them

    def _job(
        self, requests: RequestsLike | Cohort, keys: Sequence[str], invalid: Invalid, said: Options, *, in_cell: bool
    ) -> Job:
        options = self._options(said)
        if find_shard(options) is not None and self.receive is not None and options["via"] != "get":
            check_port_named(self._receiving)
        find_destination(options)
        is_asked = options["verify"] == "destination"
        pace, force = make_pace(options), options.get("force", False)
        batch, resolve, fits_model = self._read(requests, keys, invalid, options)

        def cancel() -> None:
            job.cancel()

        def look_for_room(resumption: Resumption) -> None:
            if self.receive is not None and pace.may_ask() is None:  # else the archive is not to be asked yet
                check_room(batch, self.receive, resumption.costs, partial(plan, resumption))

        def plan(resumption: Resumption) -> list[Planned]:
            with self._session.lend_line(options["timeouts"]) as line:
                how = {"fits_model": fits_model, "looks_here": True}
                return make_plan(batch, line, resolve, self._answers, 600.0, resumption, **how)

        label = row_labels(batch.given.index, batch.requests, show_keys=options["show_keys"])
        view = choose(options["progress"], on_cancel=None if in_cell else cancel, label=label)
        cluster = check_cluster(options, self._receiving, receives=self.receive is not None)
        places = None if cluster is None or self.receive is None else self._make_places(*cluster)
        run = BatchRun.of(
            batch,
            BatchSettings.of(options, resolve, self._receiving, self._syntaxes, fits_model=fits_model),
            pool=self._session.pool,
            pace=pace,
            scp=places or self._receiver,
            destinations=places,
            destination_pool=self._session.destination_pool if is_asked else None,
            get_pool=self._session.get_pool if options["via"] != "move" else None,
            resumption=self._resumption(
                options,
                recheck=options["recheck"] or is_asked,
                check_room=None if force else look_for_room,
                sync=None if places is None else places.sync,
            ),
        )
        if places is None:
            job = Job(run, view, partial(self._begin, via=options["via"]), self._session.end_job)
        else:
            places.tell = lambda text: run.events.put(Noted(time.monotonic(), text))
            elsewhere = ExitStack()
            job = Job(run, view, partial(self._begin_elsewhere, places, elsewhere), lambda _: elsewhere.close())
            places.on_event, run.handing.find_worker = job.arrived, places.find_worker
            if (idle := places.count - options["associations"]) > 0:
                places.tell(
                    f"{count_of(idle, 'place has', 'places have')} nothing to do: say associations={places.count}"
                )
        return job

    def _make_places(self, client: Any, places: Sequence[Place]) -> Places:
        """Make what receives on a cluster, as this Mover would here."""
        from dicomover.cluster.places import Places
        from dicomover.cluster.workers import Workers

        assert self.receive is not None
        handed_on = {name: value for name, value in self._receiving.items() if name != "port"}
        settings = {**handed_on, "layout": self._layout, "share": self.share}
        return Places(Workers(client), places, self.receive, settings, keeps_journal=self._journal is not None)

    def _begin_elsewhere(self, places: Places, elsewhere: ExitStack, job: Job) -> None:
        self._last = job
        with ExitStack() as stack:
            stack.enter_context(self._session.use(job=job))
            places.start()
            stack.callback(places.stop)
            elsewhere.enter_context(stack.pop_all())

    def _begin(self, job: Job, via: Via) -> None:
        self._last = job
        self._session.begin_job(job, via)

    def _read(
        self, requests: RequestsLike | Cohort, keys: Sequence[str], invalid: Invalid, options: Options
    ) -> tuple[Batch, Resolve, bool]:
        """Return the batch, what says of each request what it comes to, and whether the model may be exchanged."""
        shard = find_shard(options)
        if isinstance(requests, Cohort):
            batch, rows = requests.batch(keys), None
            if shard is not None:
                batch, rows = take_shard(
                    batch, shard, [[study.uid for study in one.studies] for one in requests.locked]
                )
            return batch, requests.resolver(self.node, options["verify"], rows), False
        batch = parse_requests(requests, keys=keys, invalid=invalid, **say_reading(options))
        if shard is not None:
            batch, _ = take_shard(batch, shard)
        resolver = Resolver(self.node, options["verify"], options["max_matches"], options["via"] != "move")
        return batch, resolver, options["model"] == "auto"

    def _resumption(
        self,
        options: Options,
        *,
        recheck: bool = False,
        only_old: bool = False,
        check_room: Callable[[Resumption], None] | None = None,
        sync: Callable[[], None] | None = None,
    ) -> Resumption | None:
        """Make what one job needs to go on where an earlier one stopped; None without a journal, or an old one."""
        journal, receiver, node = self._journal, self._receiver, self._destination_node
        if journal is None:
            return None
        journal = journal.again() if isinstance(journal, Journal) else Journal(journal, share=self.share)
        if only_old and not journal.path.exists():
            return None
        if receiver is not None:
            resume = partial(Resumption, headers_only=options["headers_only"], recheck=recheck, check_room=check_room)
            return resume(journal, self.node, None, self.receive, sync or receiver.sync)
        destination = options.get("destination", "")
        third = node if node is not None and node.ae_title == destination else destination
        return Resumption(journal, self.node, third, None, lambda: None, recheck=recheck)
