"""A client of one archive: how it is set up, how it lives, and what it asks without a batch: echo, find, diagnose."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, cast

import pandas as pd

from dicomover.batch.carriers import RetrieverPool
from dicomover.batch.settings import OPTIONS, Options, Progress, check_options, check_receiving
from dicomover.batch.ways import Via
from dicomover.cluster.place import check_cluster
from dicomover.disk import Share, check_share
from dicomover.doctor import Setup, diagnose, findings_table, move_one_image
from dicomover.errors import ConfigurationError, ReceiverError
from dicomover.identifier import Level, Model
from dicomover.journal import Journal
from dicomover.node import Node, NodeLike, Timeouts, check_ae_title
from dicomover.outcome import Verify
from dicomover.policy.retry import RetryLike
from dicomover.policy.window import Window
from dicomover.profiles import with_profile
from dicomover.query.answers import answers_table, returned_keys
from dicomover.query.drilldown import find_below, level_of_find
from dicomover.query.lists import UidLists
from dicomover.query.roots import fit_query, list_models
from dicomover.query.splitting import Split, check_split, find_all
from dicomover.receiver import DEFAULT_LAYOUT, Receiver
from dicomover.receiver.scp.contexts import parse_accept
from dicomover.requests.names import name_keys
from dicomover.requests.parse import parse_query, parse_returned
from dicomover.security.tls import TLSLike
from dicomover.session import Session
from dicomover.text.traces import forgetting
from dicomover.wire.services import ECHO

__all__ = ["Client"]


class Client:
    """A client of one archive; `Mover` is one, and moves. What outlives a verb is in its session.

    The words on the parameters stand at `__init__`: there a notebook finds them for `Mover?` too.
    """

    @with_profile
    def __init__(
        self,
        node: NodeLike,
        *,
        ae_title: str = "MOVESCU",
        destination: str | Node | None = None,
        receive: str | os.PathLike[str] | None = None,
        via: Via = "move",
        headers_only: bool = False,
        port: int | None = None,
        bind: str | None = None,
        workers: int = 1,
        addresses: Collection[str] | None = None,
        calling_ae_titles: Collection[str] | None = None,
        tls: TLSLike | None = None,
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
        """Say who is asked, who receives, and what is usual; a call may say otherwise. No I/O.

        Parameters
        ----------
        node : Node or str
            The archive: a `Node`, a text such as `ARCHIVE@pacs.example.org:104`, or the name of a profile.
        ae_title
            What we call ourselves; the archive has to know it.
        destination
            A third party that receives: its AE title, or a `Node` that also says where it listens.
        receive
            A folder: we receive, into it.
        via
            How images come when we receive: `move`, by C-MOVE to our port; `get`, by C-GET on our own association,
            without port and administrator; `auto`, by C-MOVE, and by C-GET where that is at a dead end.
        headers_only
            Keep what stands before the pixels when we receive, and throw those away as they come.
        port
            Where we listen when we receive; the archive has to know it. None takes 11112, or any free port if that is
            taken (and logs a warning); 0 takes any free port: open the Mover first, and `port` says which.
        bind
            The address to listen on; every one by default.
        workers
            How many processes share the port when we receive, for an archive that sends on several associations.
        addresses, calling_ae_titles, tls
            Who may send when we receive: addresses and networks such as `10.1.2.0/24`, AE titles, and by a `TLS` (or an
            `ssl.SSLContext`) whose certificate we trust. Anybody by default; who is refused is told in the row.
        accept
            In which transfer syntaxes instances may come: `as-stored` takes the first that can be filed, Explicit VR
            Big Endian and Deflated only where nothing else is offered; `uncompressed` none with compressed pixels; a
            list of UIDs or keywords the first of it that is offered. What is refused for it is said in the row.
        layout
            Where an instance lies in the folder, with keywords in braces; by patient, study and series by default.
        level
            PATIENT, STUDY, SERIES or IMAGE; `auto` takes the deepest UID of each request, STUDY otherwise.
        model
            `patient` or `study`; `auto` takes Patient Root when PatientID is known, else Study Root, or what the
            archive offers.
        associations
            How many associations work side by side.
        timeouts
            How long to wait for what.
        verify
            What shows that all has arrived. `counts` asks the archive by C-FIND how many instances there are;
            `instances` asks which ones, and compares SOP Instance UIDs; `destination` also asks the destination, which
            has to be a `Node`, what it has of them afterwards; `none` does not ask.
        recheck
            Ask the archive again about requests that are complete by the journal, and move what has grown since.
        max_matches
            A request that resolves to more studies (series, images) moves nothing; None is no limit.
        retry
            What is tried again: a `Retry`, `interactive` (three attempts within seconds), `overnight` (ten attempts
            within an hour), a number of attempts, or `none`. Only what may end otherwise is.
        window
            When the archive may be asked, such as `mon-fri 19:00-07:00 Europe/Berlin`; any time by default.
        max_per_minute
            C-MOVEs a minute at most; None is no limit.
        utilization
            The share of the time in which an association may be kept busy, above 0 and at most 1; None is all of it.
        journal
            A file that remembers what became of every request, so that a rerun moves only what is missing; or a
            `Journal`. `auto` is `journal.db` in the folder when we receive, and none otherwise; None is none.
        share
            Who may read images, journal and lockfiles: their `owner` alone, its `group`, or `all`; see `Receiver`.
        progress
            `auto`, `notebook`, `terminal`, `log` or `none`; True is `auto`, False is `none`.
        show_keys
            Name rows by their labels and query keys, on the screen, in a saved notebook and in the report. By default a
            row is called by its label, if that is a number, or its position: others may name a patient.

        Raises
        ------
        ConfigurationError
            If one of them cannot be meant.
        """
        given = locals()  # those that a call may say otherwise are named alike
        self._defaults = cast("Options", {name: given[name] for name in OPTIONS if name in given})
        self.node = Node.parse(node)
        self.ae_title = check_ae_title(ae_title, "calling AE title")
        self._destination_node = destination if isinstance(destination, Node) else None
        destination = destination.ae_title if isinstance(destination, Node) else destination
        self.receive = None if receive is None else Path(receive)
        receiving = {"port": port, "bind": bind, "workers": workers, "accept": accept, "tls": tls}
        receiving |= {"addresses": addresses, "calling_ae_titles": calling_ae_titles}
        self._syntaxes = parse_accept(accept)
        self._receiving = check_receiving(self.receive, destination, self.ae_title, **receiving)
        self.share, self._layout = check_share(share), layout
        if (who := destination if self.receive is None else self.ae_title) is not None:
            self._defaults["destination"] = who
        check_options(self._defaults, self._destination_node, receives=self.receive is not None)
        self._session = Session(self.node, self.ae_title, self._destination_node, via)
        self._receiver: Receiver | None = None
        if self.receive is not None:
            self._receiver = self._session.receiver = Receiver(
                self.receive,
                ae_title=self.ae_title,
                on_event=self._session.deliver,
                **self._receiving,
                layout=layout,
                share=self.share,
            )
            get_pool = RetrieverPool(self.node, self.ae_title, self._receiver.retriever, self._syntaxes)
            self._session.get_pool = get_pool
        usual = None if self.receive is None else self.receive / "journal.db"
        self._journal = usual if isinstance(journal, str) and journal == "auto" else journal

    def __repr__(self) -> str:
        who = f"receive={str(self.receive)!r}" if self.receive else f"destination={self._defaults.get('destination')!r}"
        return f"{type(self).__name__}({str(self.node)!r}, ae_title={self.ae_title!r}, {who})"

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

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def port(self) -> int | None:
        """Where we listen, while we do; None when a third party receives, or all comes by C-GET."""
        return self._session.port

    # --- what it asks

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
        >>> from dicomover import Mover
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
        >>> from dicomover import Mover
        >>> from dicomover.testing import DemoPacs
        >>> with DemoPacs() as pacs:
        ...     studies = Mover(pacs.node).find({"ModalitiesInStudy": "CT"})
        >>> bool(studies.ModalitiesInStudy.str.contains("CT").all())
        True
        """
        model, keys, extra = model or self._defaults["model"], name_keys(keys), parse_returned(returned)
        asked_level = level_of_find(keys, level or self._defaults["level"])
        quirks, show_keys = self.node.quirks, self._defaults["show_keys"]
        split = check_split(split, quirks.find_cap)
        with self._session.lend_line(timeouts or self._defaults["timeouts"]) as line:

            def find(part: Mapping[str, Any], at: Level, most: int | None) -> pd.DataFrame:
                query = parse_query(part, level=str(at), model=model, show_keys=show_keys)
                columns = returned_keys(query.level, query.keys, extra if at is asked_level else [])
                offered = list_models(line.connect().offers, to_move=False, by_patient=quirks.patient_id)
                asked_in, sent = fit_query(query.level, query.model, columns, offered, is_auto=model == "auto")
                return answers_table(find_all(
                    lambda keys, most: UidLists(quirks.lists).wrap(line.find)(query.level, asked_in, keys, sent, most),
                    query.keys, query.level, split=split, limit=most, archive=self.node, show_keys=show_keys
                ), columns)  # fmt: skip

            by_patient = model != "auto" and Model.parse(model) is Model.PATIENT
            return find_below(find, keys, asked_level, limit, with_patient=by_patient, returned=extra)

    @forgetting
    def diagnose(self, *, one_image: bool = False) -> pd.DataFrame:
        """Examine the way to the archive and from there to the destination; nothing moves, unless `one_image` is to.

        A C-ECHO, a C-FIND, whether the port is open, two C-MOVEs of a study that cannot exist (to the destination and
        to one that nobody has), what our receiver refused then; and a real image, which shows all, if none failed.

        Returns
        -------
        DataFrame
            One row per check: `check`, `result` (`ok`, `failed`, `unclear`, `skipped`), `found`, `advice`: what to do.

        Examples
        --------
        >>> from dicomover import Mover
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
            is_open=not self._receiving.get("addresses"),
            via=self._defaults["via"],
            **dict[str, Any](bind=self._receiving.get("bind"), tls=self._receiving.get("tls")),
        )
        with contextlib.ExitStack() as afterwards:
            try:
                self._session.begin_job(setup.witness)
                afterwards.callback(self._session.end_job, setup.witness)
                setup = replace(setup, port=self.port, has_received=self._session.has_received)
            except ReceiverError as error:  # a finding too, and no reason to know nothing of the rest
                setup = replace(setup, port=self._receiving.get("port"), trouble=error)
            checks = diagnose(setup, self._session.pool.next_message_id)
        if one_image and all(check.result != "failed" for check in checks):
            checks.append(move_one_image(self))  # type: ignore[arg-type] # whoever is asked is a Mover
        return findings_table(checks)

    # --- behind them

    def _options(self, overrides: Options) -> Options:
        if self._receiver is not None and overrides.get("destination", self.ae_title) != self.ae_title:
            raise ConfigurationError("this Mover receives itself", "make another one for a third party")
        options: Options = {**self._defaults, **overrides}
        check_options(options, self._destination_node, receives=self._receiver is not None)
        check_cluster(options, self._receiving, receives=self._receiver is not None)
        if self._defaults["via"] == "get" and options["via"] == "move":
            raise ConfigurationError("this Mover opens no port for a C-MOVE", "make another one, with via='auto'")
        return options
