"""The verbs of a Mover: echo, find, diagnose, plan, move, start, lock, verify. What outlives one is in its session."""

from __future__ import annotations

import contextlib
import os
import ssl
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack

import pandas as pd

from dicomover.batch.job import Job, OnInterrupt
from dicomover.batch.plan import Answers, make_plan, tabulate_plan
from dicomover.batch.resume import Resumption
from dicomover.batch.run import BatchRun
from dicomover.batch.settings import (
    BatchSettings,
    Options,
    Progress,
    check_options,
    check_receiving,
    make_pace,
    say_reading,
)
from dicomover.cohort import Cohort
from dicomover.cohort.drift import drift_table
from dicomover.cohort.lock import lock_requests, write_lockfile
from dicomover.cohort.verify import check_readable, find_drift
from dicomover.disk import Share, check_share
from dicomover.doctor import Setup, diagnose, findings_table
from dicomover.errors import ConfigurationError, ReceiverError
from dicomover.identifier import Level, Model
from dicomover.journal import Journal
from dicomover.node import Node, NodeLike, Timeouts, check_ae_title, check_port
from dicomover.outcome import Verify
from dicomover.policy.retry import Retry, RetryLike
from dicomover.policy.window import Window
from dicomover.privacy import Privacy, check_privacy
from dicomover.progress import choose, row_labels
from dicomover.query.answers import answers_table, returned_keys
from dicomover.query.drilldown import find_below, level_of_find
from dicomover.query.resolve import Resolve, Resolver
from dicomover.query.roots import fit_query, list_models
from dicomover.query.splitting import Split, check_split, find_all
from dicomover.receiver import DEFAULT_LAYOUT, Receiver
from dicomover.requests.names import name_keys
from dicomover.requests.parse import Batch, Invalid, RequestsLike, parse_query, parse_requests, parse_returned
from dicomover.session import Session
from dicomover.text.face import setting
from dicomover.text.traces import forgetting
from dicomover.wire.services import ECHO

__all__ = ["Mover"]


class Mover:
    """Moves images out of an archive. Constructing one does no I/O.

    Parameters
    ----------
    node : Node or str
        The archive: a `Node`, or a text such as `ARCHIVE@pacs.example.org:104`.
    ae_title
        What we call ourselves; the archive has to know it.
    destination
        A third party that receives: its AE title, or a `Node` that also says where it listens.
    receive
        A folder: we receive, into it.
    port
        Where we listen when we receive. None takes 11112, or any free port if that is taken (and logs a warning);
        0 takes any free port, another one each time: open the Mover first (`with` or `open`), and `port` says which.
        The archive has to know it.
    bind
        The address to listen on; every one by default, since an archive may send from another than it answers on.
    workers
        How many processes share the port when we receive, for an archive that sends on several associations at once.
    addresses, calling_ae_titles, tls
        Who may send when we receive: addresses and networks such as `10.1.2.0/24`, AE titles, and whoever a context
        lets make a TLS connection. Anybody by default; those who are refused are told in the row.
    accept
        In which transfer syntaxes instances may come: `as-stored` takes the first that can be filed, Explicit VR Big
        Endian and Deflated only where nothing else is offered; `uncompressed` none with compressed pixels; a list of
        UIDs or keywords the first of it that is offered. What is refused for it is said in the row.
    layout
        Where an instance lies in the folder, with keywords in braces; by patient, study and series by default.
    level
        PATIENT, STUDY, SERIES or IMAGE; `auto` takes the deepest UID of each request, STUDY otherwise.
    model
        `patient` or `study`; `auto` takes Patient Root when PatientID is known, else Study Root, or what the archive
        offers.
    associations
        How many associations work side by side.
    timeouts
        How long to wait for what.
    verify
        What shows that all has arrived. `counts` asks the archive by C-FIND how many instances there are; `instances`
        asks which ones, and compares SOP Instance UIDs; `destination` also asks the destination, which has to be a
        `Node`, what it has of them afterwards; `none` does not ask.
    recheck
        Ask the archive again about requests that are complete according to the journal, which costs a C-FIND each, and
        move what has grown since; by default they are skipped at once.
    max_matches
        A request that resolves to more studies (series, images) moves nothing; None is no limit.
    retry
        What is tried again, and when: a `Retry`, `interactive` (the default: three attempts within seconds),
        `overnight` (ten attempts within an hour), a number of attempts, or `none`. Only what may end otherwise is.
    window
        When the archive may be asked, such as `mon-fri 19:00-07:00 Europe/Berlin`; any time by default.
    max_per_minute
        C-MOVEs a minute at most; None is no limit.
    utilization
        The share of the time in which an association may be kept busy, above 0 and at most 1; None is all of it.
    journal
        A file that remembers what became of every request, so that a rerun moves only what is missing; or a `Journal`,
        which can keep keyed hashes instead of patients' keys. `auto` is `journal.db` in the folder when we receive,
        and none otherwise; None is none.
    share
        Who may read images, journal and lockfiles: their `owner` alone, its `group`, or `all`; see `Receiver`.
    progress
        `auto`, `notebook`, `terminal`, `log` or `none`; True is `auto`, False is `none`.
    show_keys
        Name rows by their labels and query keys wherever they are named: on the screen, and so in a saved notebook too,
        and in the report. By default a row is called by its label, if that is a number, or by its position: labels and
        keys may name a patient.

    Raises
    ------
    ConfigurationError
        If one of them cannot be meant.

    Examples
    --------
    >>> from dicomover.testing import DemoPacs
    >>> with DemoPacs() as pacs, Mover(pacs.node, destination="WORKSTATION", progress="none") as mover:
    ...     summary = mover.move({"AccessionNumber": "no such study"})
    >>> print(summary.status[0])
    not-found
    """

    def __init__(
        self,
        node: NodeLike,
        *,
        ae_title: str = "MOVESCU",
        destination: str | Node | None = None,
        receive: str | os.PathLike[str] | None = None,
        port: int | None = None,
        bind: str | None = None,
        workers: int = 1,
        addresses: Collection[str] | None = None,
        calling_ae_titles: Collection[str] | None = None,
        tls: ssl.SSLContext | None = None,
        accept: str | Collection[str] = "as-stored",
        layout: str = DEFAULT_LAYOUT,
        level: str = "auto",
        model: str = "auto",
        associations: int = 2,
        timeouts: Timeouts = Timeouts(),  # noqa: B008 - frozen
        verify: Verify = "counts",
        recheck: bool = False,
        max_matches: int | None = 100,
        retry: RetryLike = "interactive",
        window: Window | str | None = None,
        max_per_minute: float | None = None,
        utilization: float | None = None,
        journal: str | os.PathLike[str] | Journal | None = "auto",
        share: Share = "owner",
        progress: Progress = "auto",
        show_keys: bool = False,
    ) -> None:
        self.node = Node.parse(node)
        self.ae_title = check_ae_title(ae_title, "calling AE title")
        self._destination_node = destination if isinstance(destination, Node) else None
        if isinstance(destination, Node):
            destination = destination.ae_title
        self.receive = None if receive is None else Path(receive)
        receiving = check_receiving(self.receive, port=port, bind=bind, workers=workers, accept=accept)
        receiving |= check_receiving(self.receive, addresses=addresses, calling_ae_titles=calling_ae_titles, tls=tls)
        if self.receive is not None and destination not in (None, self.ae_title):
            raise ConfigurationError(
                f"{setting('destination', destination)} and {setting('receive')} cannot both be",
                f"when we receive, the Move Destination is our own AE title {self.ae_title!r}",
            )
        if port is not None:
            check_port(port, lowest=0)
        self._receiving = receiving
        self.share = check_share(share)
        self._defaults: Options = {
            "level": level,
            "model": model,
            "associations": associations,
            "timeouts": timeouts,
            "verify": verify,
            "recheck": recheck,
            "max_matches": max_matches,
            "retry": retry,
            "window": window,
            "max_per_minute": max_per_minute,
            "utilization": utilization,
            "progress": progress,
            "show_keys": show_keys,
        }
        if (who := destination if self.receive is None else self.ae_title) is not None:
            self._defaults["destination"] = who
        check_options(self._defaults, self._destination_node)
        self._session = Session(self.node, self.ae_title, self._destination_node)
        self._receiver: Receiver | None = None
        if self.receive is not None:
            self._receiver = self._session.receiver = Receiver(
                self.receive,
                ae_title=self.ae_title,
                on_event=self._session.deliver,
                **receiving,
                layout=layout,
                share=self.share,
            )
        self._journal = journal
        self._answers = Answers()
        self._last: Job | None = None

    def __repr__(self) -> str:
        name, value = (
            ("receive", str(self.receive)) if self.receive else ("destination", self._defaults.get("destination"))
        )
        return f"Mover({str(self.node)!r}, ae_title={self.ae_title!r}, {name}={value!r})"

    def __reduce__(self) -> tuple[object, ...]:
        raise ConfigurationError(
            "a Mover cannot be copied, or sent to another process: its port, associations and batches are of this one",
            "make one there, of what can be sent: the Node, the Timeouts, the names",
        )

    # --- life

    def open(self) -> Self:
        """Start to listen, if we receive, and keep associations open between calls; `with` does the same.

        In a cell that is run again it takes the port over from the earlier Mover of this process, which is closed,
        unless a batch of that one runs.

        Returns
        -------
        Mover
            Itself.

        Raises
        ------
        ReceiverError
            If we cannot listen or write.
        """
        self._session.open()
        return self

    def close(self) -> None:
        """Cancel what still runs, release the associations and stop listening; the end of `with` does the same."""
        self._session.close()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def port(self) -> int | None:
        """Where we listen, while we do; None when a third party receives."""
        return self._session.port

    @property
    def last(self) -> Job | None:
        """The batch that was begun last, by `move` or `start`, whatever became of it; None before the first."""
        return self._last

    # --- verbs

    def echo(self) -> float:
        """Verify that the archive answers (C-ECHO).

        Returns
        -------
        float
            Seconds that it took, from the request of an association to the answer.

        Raises
        ------
        NodeError
            If it does not, with the reason and what to do.

        Examples
        --------
        >>> from dicomover.testing import DemoPacs
        >>> with DemoPacs() as pacs:
        ...     Mover(pacs.node).echo() < 60
        True
        """
        begun = time.monotonic()
        with self._session.lend_line(self._defaults["timeouts"], services=ECHO) as line:
            line.echo()
            return time.monotonic() - begun  # not how long the archive takes to let us go

    @forgetting
    def find(
        self,
        keys: Mapping[Any, Any],
        *,
        returned: Sequence[str] = (),
        limit: int | None = None,
        split: Split = "auto",
        level: str | None = None,
        model: str | None = None,
        timeouts: Timeouts | None = None,
    ) -> pd.DataFrame:
        """Ask what the archive has (C-FIND).

        Parameters
        ----------
        keys
            Query keys by keyword, tag (`0009,1001:LO`) or path (`RequestAttributesSequence.ScheduledProcedureStepID`):
            a value, a list of UIDs, a range such as `20240101-20241231`, or a text with the wildcards `*` and `?`. None
            or an empty text asks for the attribute without matching it.
        returned
            Further keywords or tags to ask for; the usual ones of the level come anyway.
        limit
            Return at most so many answers.
        split
            Archives cap what they answer, some without a word. `auto` asks again in parts, by halves of a StudyDate
            range among the keys and then by StudyTime, where an archive refuses, hangs up, or answers a number that
            looks like a cap. A whole number is the most that this archive answers; `none` takes what comes.
        level, model, timeouts
            As for the Mover; level `auto` is STUDY unless a deeper UID is among the keys. Of series and images asked
            for by keys of their study, such as its AccessionNumber, the studies (100 at most) are looked up first.

        Returns
        -------
        DataFrame
            One row per match, each once, and one column per keyword: Int64 or Float64 where DICOM's dictionary says
            that it is one number, else text. Dates and times are text as they came, such as `20240131`; several
            values are joined by a backslash; a sequence that was asked for is JSON. What does not match is left out.

        Raises
        ------
        RequestError
            If a key cannot be meant, or a value belongs below the level, such as a Modality to series.
        NodeError
            If the archive cannot be reached, or refuses: an empty table always means that nothing matches.

        Warns
        -----
        AnswerWarning
            If the archive may have more than that, or if it wrote numbers that are none.

        Examples
        --------
        >>> from dicomover.testing import DemoPacs
        >>> with DemoPacs() as pacs:
        ...     studies = Mover(pacs.node).find({"ModalitiesInStudy": "CT"})
        >>> bool(studies.ModalitiesInStudy.str.contains("CT").all())
        True
        """
        model, keys, extra = model or self._defaults["model"], name_keys(keys), parse_returned(returned)
        asked_level = level_of_find(keys, level or self._defaults["level"])
        check_split(split)
        with self._session.lend_line(timeouts or self._defaults["timeouts"]) as line:

            def find(part: Mapping[str, Any], at: Level, most: int | None) -> pd.DataFrame:
                query = parse_query(part, level=str(at), model=model, show_keys=self._defaults["show_keys"])
                columns = returned_keys(query.level, query.keys, extra if at is asked_level else [])
                offered = list_models(line.connect().offers, to_move=False)
                asked_in, sent = fit_query(query.level, query.model, columns, offered, is_auto=model == "auto")
                found = find_all(
                    lambda keys, most: line.find(query.level, asked_in, keys, sent, most),
                    query.keys, query.level, split=split, limit=most, archive=self.node,
                )  # fmt: skip
                return answers_table(found, columns)

            by_patient = model != "auto" and Model.parse(model) is Model.PATIENT
            return find_below(find, keys, asked_level, limit, with_patient=by_patient, returned=extra)

    @forgetting
    def diagnose(self) -> pd.DataFrame:
        """Examine the way to the archive and from there to the destination; nothing moves.

        A C-ECHO, a C-FIND, whether the port is open on which the images should come, and two C-MOVEs of a study that
        cannot exist: to the Move Destination, and to one that nobody has, to compare; what our receiver refused then.

        Returns
        -------
        DataFrame
            One row per check: `check`, `result` (`ok`, `failed`, `unclear`, `skipped`), `found`, `advice`: what to do.

        Examples
        --------
        >>> from dicomover.testing import DemoPacs
        >>> with DemoPacs() as pacs:
        ...     findings = Mover(pacs.node, destination="NOBODY").diagnose()
        >>> print(findings.result.tolist())
        ['ok', 'ok', 'ok', 'skipped', 'failed']
        >>> print(findings.found.iloc[-1])
        a C-MOVE of nothing to 'NOBODY' ends with 0xA801 (Move Destination unknown)
        """
        setup = Setup(
            self.node,
            self.ae_title,
            self._defaults["timeouts"],
            self._defaults.get("destination"),
            self._destination_node,
            bind=self._receiving.get("bind"),
            is_open=not any(map(self._receiving.get, ("addresses", "tls"))),
        )
        number = self._session.pool.next_message_id
        try:
            self._session.begin_job(setup.witness)
        except ReceiverError as error:  # a finding too, and no reason to know nothing of the rest
            return findings_table(diagnose(replace(setup, port=self._receiving.get("port"), trouble=error), number))
        try:
            return findings_table(diagnose(replace(setup, port=self.port), number))
        finally:
            self._session.end_job(setup.witness)

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
        requests, keys, invalid
            As for `move`.
        max_age
            For how many seconds an answer of an earlier plan of this Mover is believed; 0 asks anew. `move` always asks
            anew.
        **overrides
            What this call says otherwise than the Mover.

        Returns
        -------
        DataFrame
            One row per request: what was given, the UIDs that were found, then

            - `decision`: `move`; `several`, where it moves more than one; `skip`, where the journal says that it is
              complete; `duplicate`, where an earlier row moves all of it; and what needs a decision of yours:
              `not-found`, `too-many`, `refused`, `invalid`;
            - `level`, `matches`, `series`, `expected` and `modalities` of what was found;
            - `here`: instances of it that are here already, according to the journal;
            - `error`: why, or what a person should know.

            It can be edited and given to `move`.

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
        batch, resolve = self._read(requests, keys, invalid, options)
        resumption = self._resumption(options.get("destination", ""), only_old=True)
        with self._session.lend_line(options["timeouts"]) as line, resumption or contextlib.nullcontext():
            answers = Answers() if isinstance(requests, Cohort) else self._answers
            planned = make_plan(
                batch,
                line,
                resolve,
                answers,
                max_age,
                resumption,
                recheck=options["recheck"],
                fits_model=self._fits_model(requests, options),
            )
        return tabulate_plan(batch, planned)

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

        Parameters
        ----------
        requests
            A dict, a DataFrame of n rows or one of its columns, such as `table.AccessionNumber`, or an iterable of n
            dicts or rows. Keys are DICOM keywords or tags. In a dict every entry is a query key; in a table PatientID,
            StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID, AccessionNumber and names such as `key:StudyDate` are,
            and the other columns ride along into the summary. Or a `Cohort`: what moves is exactly what was locked,
            row by row.
        keys
            Further columns of a table that are query keys.
        invalid
            `raise` if a row cannot be meant, or `record` it as a row with the status `invalid`.
        interrupt
            After an interrupt (Ctrl-C, the kernel's stop button) `raise` `Interrupted`, so that no cell below goes on
            with a part of the images, or `return` the summary as always.
        **overrides
            What this call says otherwise than the Mover: `destination`, `level`, `model`, `associations`, `timeouts`,
            `verify`, `recheck`, `max_matches`, `retry`, `window`, `max_per_minute`, `utilization`, `progress`,
            `show_keys`; and `wildcards=True`, or the columns of a table, in whose cells * and ? are meant as in a dict.

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
            If we cannot listen or write.
        Interrupted
            If it was interrupted: what ran has been cancelled, and the summary is its `summary`.

        Notes
        -----
        Only unique keys go into a C-MOVE (PS3.4 section C.4.2.2.1); anything else is looked up by C-FIND first.

        Examples
        --------
        >>> from dicomover.testing import DemoPacs, made_study
        >>> with DemoPacs([made_study("00123", instances=7)]) as pacs:
        ...     mover = Mover(pacs.node, destination="WORKSTATION", progress="none")
        ...     summary = mover.move([{"AccessionNumber": "00123"}])
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
        return self._job(requests, keys, invalid, overrides, cancel_button=True).start()

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
        return self._job(requests, keys, invalid, overrides, cancel_button=False)

    @forgetting
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
            What this call says otherwise than the Mover: `level`, `model`, `max_matches`, `associations`, `timeouts`;
            and `wildcards`.

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
        batch = parse_requests(requests, keys=keys, **say_reading(options))
        earlier = None if path is None or overwrite or not Path(path).exists() else Cohort.load(path)
        query = {name: options[name] for name in ("level", "model", "max_matches")}
        with self._session.lend_lines(options["timeouts"], min(options["associations"], len(batch))) as lines:
            cohort = lock_requests(batch, lines, archive=self.node, query=query, privacy=privacy, secret=secret)
        return cohort if path is None else write_lockfile(cohort, path, earlier, self.share)

    @forgetting
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
        check_readable(cohort, look_again)
        options = self._options({} if timeouts is None else {"timeouts": timeouts})
        with self._session.lend_lines(options["timeouts"], min(options["associations"], len(cohort))) as lines:
            return drift_table(find_drift(cohort, lines, archive=self.node, look_again=look_again))

    # --- behind them

    def _job(
        self,
        requests: RequestsLike | Cohort,
        keys: Sequence[str],
        invalid: Invalid,
        overrides: Options,
        *,
        cancel_button: bool,
    ) -> Job:
        options = self._options(overrides)
        destination = options.get("destination")
        if destination is None:
            raise ConfigurationError(
                "nobody is named to receive: give destination= (the AE title of a third party) or receive= (a folder)"
            )
        batch, resolve = self._read(requests, keys, invalid, options)

        def cancel() -> None:
            job.cancel()

        label = row_labels(batch.given.index, batch.requests, show_keys=options["show_keys"])
        view = choose(options["progress"], on_cancel=cancel if cancel_button else None, label=label)
        verify = options["verify"]
        destination_pool = self._session.destination_pool if verify == "destination" else None
        settings = BatchSettings(
            destination=destination,
            names_missing=verify != "none",
            senders_named=bool(self._receiving.get("addresses")),
            bind=self._receiving.get("bind"),
            fits_model=self._fits_model(requests, options),
            timeouts=options["timeouts"],
            associations=options["associations"],
            resolve=resolve,
            retry=Retry.parse(options["retry"]),
            show_keys=options["show_keys"],
        )
        resumption = self._resumption(destination, recheck=options["recheck"] or verify == "destination")
        run = BatchRun.of(
            batch,
            settings,
            pool=self._session.pool,
            pace=make_pace(options),
            scp=self._receiver,
            destination_pool=destination_pool,
            resumption=resumption,
        )
        job = Job(run, view, self._begin, self._session.end_job)
        return job

    def _begin(self, job: Job) -> None:
        self._last = job
        self._session.begin_job(job)

    def _resumption(self, destination: str, *, recheck: bool = False, only_old: bool = False) -> Resumption | None:
        """Make what one job needs to go on where an earlier one stopped; None without a journal, or an old one."""
        journal, receiver = self._journal, self._receiver
        if isinstance(journal, str) and journal == "auto":
            journal = None if self.receive is None else self.receive / "journal.db"
        if journal is None:
            return None
        journal = journal.again() if isinstance(journal, Journal) else Journal(journal, share=self.share)
        if only_old and not journal.path.exists():
            return None
        node = self._destination_node
        known = node if node is not None and node.ae_title == destination else destination
        third = known if receiver is None else None
        sync = (lambda: None) if receiver is None else receiver.sync
        return Resumption(journal, self.node, third, self.receive, sync, recheck=recheck)

    def _options(self, overrides: Options) -> Options:
        if self._receiver is not None and overrides.get("destination", self.ae_title) != self.ae_title:
            raise ConfigurationError("this Mover receives itself", "make another one for a third party")
        options: Options = {**self._defaults, **overrides}
        check_options(options, self._destination_node)
        return options

    @staticmethod
    def _fits_model(requests: object, options: Options) -> bool:
        """Tell whether a model that the archive does not offer may be exchanged for the other one."""
        return options["model"] == "auto" and not isinstance(requests, Cohort)

    def _read(
        self, requests: RequestsLike | Cohort, keys: Sequence[str], invalid: Invalid, options: Options
    ) -> tuple[Batch, Resolve]:
        """Return the batch, and what says of each request what it comes to."""
        if isinstance(requests, Cohort):
            return requests.batch(keys), requests.resolver(self.node, options["verify"])
        batch = parse_requests(requests, keys=keys, invalid=invalid, **say_reading(options))
        return batch, Resolver(self.node, options["verify"], options["max_matches"])
