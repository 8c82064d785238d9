"""What the parts of one batch share: its book, its brakes, its way to the archive, and where its images arrive."""

from __future__ import annotations

import queue
from dataclasses import dataclass
from typing import Self

from dicomover.batch.arrivals import StorageSCP, Tally
from dicomover.batch.destinations import Destinations, OneDestination
from dicomover.batch.evidence import Witness
from dicomover.batch.handing import Handing
from dicomover.batch.ledger import Ledger
from dicomover.batch.resume import Resumption
from dicomover.batch.settings import BatchSettings
from dicomover.batch.ways import Ways
from dicomover.batch.work import OpenRow
from dicomover.events import Event
from dicomover.policy.pace import Pace
from dicomover.query.lists import UidLists
from dicomover.requests.parse import Batch
from dicomover.summary import Result
from dicomover.wire.lines import Pool
from dicomover.wire.stop import Controls

__all__ = ["BatchRun"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRun:
    """One run of a batch. Made before anything is sent; each part may be used from any thread."""

    # what is asked for, and how
    batch: Batch
    settings: BatchSettings
    pool: Pool  # associations with the archive
    pace: Pace  # how fast it may be asked
    events: queue.SimpleQueue[Event]  # what happens; read by the one thread that draws
    controls: Controls  # stops it
    ledger: Ledger  # its rows and C-MOVEs
    tally: Tally | None  # what arrives; None if a third party receives
    resumption: Resumption | None  # what earlier runs wrote down; None without a journal
    witness: Witness | None  # asks the destination what it has; None if that is not wanted
    handing: Handing  # hands out what lands, where we receive in the background
    ways: Ways  # whether images come by C-MOVE or C-GET
    get_pool: Pool | None  # associations for C-GET; None where only C-MOVE is meant
    destinations: Destinations  # to which Move Destination a C-MOVE goes
    lists: UidLists  # whether the archive takes lists of UIDs in a C-MOVE or C-GET

    @classmethod
    def of(
        cls,
        batch: Batch,
        settings: BatchSettings,
        *,
        pool: Pool,
        pace: Pace,
        scp: StorageSCP | None = None,
        destination_pool: Pool | None = None,
        get_pool: Pool | None = None,
        resumption: Resumption | None = None,
        destinations: Destinations | None = None,
    ) -> Self:
        """Put one together; no I/O."""
        events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        controls = Controls(events.put)
        asked = destination_pool
        handing = Handing(scp is not None, lambda: None if resumption is None else resumption.folder)

        def record(row: OpenRow, result: Result) -> None:
            if resumption is not None:
                resumption.record(row, result)
            handing.conclude(row, result.status)

        return cls(
            batch=batch,
            settings=settings,
            pool=pool,
            pace=pace,
            events=events,
            controls=controls,
            ledger=Ledger(
                batch,
                pool.next_number,
                events.put,
                settings.retry,
                record,
            ),
            tally=None
            if scp is None
            else Tally(
                settings.destination,
                scp,
                pool.node.ae_title,
                trusts_originators=settings.senders_named,
                headers_only=settings.headers_only,
                tell=events.put,
            ),
            resumption=resumption,
            witness=None if asked is None else Witness(asked, settings.timeouts, controls, settings.retry.pauses()),
            handing=handing,
            destinations=destinations or OneDestination(settings.destination),
            lists=UidLists(pool.node.quirks.lists),
            ways=Ways("move" if get_pool is None else settings.via),
            get_pool=get_pool,
        )
