"""The work on one request after the other, over one association, on one thread: resolve, move, wait, judge."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from dicomover.batch.arrivals import COUNTING_SECONDS, bound_wait
from dicomover.batch.destinations import send_surely
from dicomover.batch.evidence import Evidence
from dicomover.batch.exchange import Exchange
from dicomover.batch.ledger import internal_error
from dicomover.batch.listing import Listing
from dicomover.batch.resume import Resumption
from dicomover.batch.retrieval import Retrieval, Sent
from dicomover.batch.run import BatchRun
from dicomover.batch.running import RunningMove
from dicomover.batch.verdict import Facts, judge_move
from dicomover.batch.work import OpenRow, SharedMove, Taken, Verdict
from dicomover.errors import AssociationLost, ContextRejected, NodeError, ProtocolError, QueryRefused, ReceiverError
from dicomover.events import Noted, RequestDeferred, RequestStarted
from dicomover.identifier import Level, Request
from dicomover.journal import JournalError
from dicomover.outcome import Ended, Status
from dicomover.policy.hopeless import Parties
from dicomover.policy.pace import Wait
from dicomover.policy.retry import Tried
from dicomover.query.instances import studies_of
from dicomover.query.roots import fit_model, list_models
from dicomover.query.targets import Resolution, TooManyMatches, no_match
from dicomover.summary import Result
from dicomover.text.traces import tell_trace
from dicomover.wire.lines import Line
from dicomover.wire.responses import MoveEnd
from dicomover.wire.stop import Stop

__all__ = ["Worker"]

logger = logging.getLogger("dicomover.mover")

_HELD_AGAIN_AFTER = 2.0  # seconds until a request that another run holds is looked at again
_NAP = 1.0  # seconds between two looks for retries that are due
_HANG_UP_AFTER = 60.0  # seconds of waiting for which no association is kept


class Worker:
    """Works off requests over one association, on one thread, from `work` to its end.

    Nothing here is used by two threads: what workers share is in the `BatchRun`, and is safe in itself. What may not be
    reordered: our receiver admits what a C-MOVE may bring, and the tally counts for it, before it is sent, since images
    may come before its first response; and the tally counts until the last wait for stragglers is over, since images
    may come after the final one.
    """

    def __init__(
        self,
        run: BatchRun,  # what the batch's workers share
    ) -> None:
        self._settings = run.settings
        self._pool = run.pool
        self._pace = run.pace
        self._controls = run.controls
        self._ledger = run.ledger
        self._tally = run.tally
        self._ways = run.ways
        self._resumption = run.resumption
        self._witness = run.witness
        self._handing = run.handing
        self._destinations = run.destinations
        self._line = Line(
            run.pool, run.settings.timeouts, run.controls, run.settings.retry.pauses(), run.settings.services
        )
        self._retrieval = Retrieval(
            run, self._line, lambda carrier: Exchange(run, carrier, self._wait, self._note).run, self._note
        )
        self._listing = Listing(self._line.find)

    def work(self) -> bool:
        """Work until no request is left.

        Returns
        -------
        bool
            False if there was no association to be had and the work is left to the others.
        """
        try:
            while True:
                if self._controls.stopping:
                    self._abandon_retries()
                if self._ledger.is_used_up():
                    return True  # and need no association any more
                if not self._is_useful():
                    return False
                work = self._ledger.next_work(time.monotonic())
                if work is None:
                    return True
                if isinstance(work, float):
                    with contextlib.suppress(Stop):
                        self._controls.pause(min(work, _NAP))
                elif isinstance(work, SharedMove):
                    self._safely(work.row, partial(self._attempt, work), work)
                else:
                    self._safely(work, partial(self._do, work))
        finally:
            self.close()

    def _safely(self, row: OpenRow, work: Callable[[], None], again: SharedMove | None = None) -> None:
        """Work on a row, or try a C-MOVE of it again; whatever happens, it ends."""
        try:
            work()
        except Stop as stop:
            result = stop.result
        except ReceiverError as error:
            result = self._controls.give_up(str(error)).result  # nothing can arrive any more
        except JournalError as error:
            result = self._controls.give_up(str(error)).result
            row.taken = None  # it cannot be written down
        except Exception as error:  # noqa: BLE001 - told without what it says
            logger.error("request %d could not be worked on\n%s", row.request.position, tell_trace(error))
            result = internal_error(error)
        else:
            if not row.over:
                self._controls.emit(RequestDeferred(time.monotonic(), row.request.position, row.due))
            return
        try:
            self._ledger.give_up(row, result, again)
        except JournalError as error:  # what had to end has ended all the same
            self._controls.give_up(str(error))
        except Exception as error:  # noqa: BLE001 - told without what it says
            logger.error("request %d could not be written down\n%s", row.request.position, tell_trace(error))

    def _abandon_retries(self) -> None:
        try:
            self._ledger.abandon_retries()
        except JournalError as error:  # they have ended all the same
            self._controls.give_up(str(error))

    def connect(self) -> None:
        """Open the association now rather than at the first request; raises NodeError."""
        self._line.connect()

    def close(self) -> None:
        """Give the associations back."""
        self._line.close()
        self._retrieval.close()

    def abandon(self) -> None:
        """End what it waits for; from any thread."""
        self._line.abandon()
        self._retrieval.abandon()

    def _is_useful(self) -> bool:
        """Have an association before taking a request, or leave it to the others."""
        with contextlib.suppress(Stop):  # the rows that are left still have to be told
            self._wait(self._pace.may_ask)
            begun = time.monotonic()
            try:
                self._line.connect()
            except NodeError as error:
                self._note(self._pace.rejected(error, time.monotonic() - begun))
                if self._controls.leave_to_others():
                    logger.info("going on with fewer associations: %s", error)
                    self._note("going on with fewer associations")
                    return False
                self._line.reconnect(error)
        return True

    def _wait(self, ask: Callable[[], Wait | None]) -> None:
        """Sleep until the pace allows it; raise Stop if something stops the batch."""
        self._controls.check()
        said = ""
        while (wait := ask()) is not None:
            if wait.seconds >= 1 and wait.why != said:
                said = wait.why
                self._note(said, until=time.monotonic() + wait.seconds)
            if wait.seconds > _HANG_UP_AFTER:
                self._line.hang_up()
                self._retrieval.hang_up()
                if self._witness is not None:
                    self._witness.close()
            self._controls.pause(wait.nap)

    def _note(self, text: str | None, until: float | None = None) -> None:
        if text:
            self._controls.emit(Noted(time.monotonic(), text, until))

    # --- one request

    def _do(self, row: OpenRow) -> None:
        request = row.request
        self._wait(self._handing.find_room)
        self._wait(self._pace.may_ask)
        resolution, row.resolution = row.resolution, None  # known of one that was behind another
        if resolution is None and self._resumption is not None and not self._take(row, self._resumption):
            return
        if not row.tries:
            self._controls.emit(RequestStarted(time.monotonic(), request.position))
        try:
            if resolution is None:
                resolution = self._look_up(request)
                if resolution.delay and self._ledger.put_last(row, resolution.delay):
                    return
            is_found = bool(resolution.targets)
            if self._resumption is not None and row.taken is not None and (is_found or row.taken.skip is not None):
                narrowed = self._narrow(row, row.taken, self._resumption, resolution)
                if narrowed is None:
                    return
                resolution = narrowed
        except TooManyMatches as error:
            self._ledger.end(row, Result(Status.FAILURE, matches=error.matches, error=str(error)))
        except QueryRefused as error:
            self._controls.check()
            result = Result(Status.FAILURE, error.status, error=str(error))
            self._ledger.conclude_row(row, result, Tried(Status.FAILURE, error=error))
        except ContextRejected as error:
            self._ledger.end(row, Result(Status.FAILURE, error=str(error)))
        except (AssociationLost, ProtocolError) as error:
            self._controls.check()
            result = Result(Status.LOST, error=f"lost during C-FIND: {error}; run it again")
            self._ledger.conclude_row(row, result, Tried(Status.LOST, error=error))
        else:
            if resolution.targets:
                for move in self._ledger.claim(row, resolution):
                    self._attempt(move)
            else:
                said = [no_match(request.level), resolution.note]
                why = "; ".join(part for part in said if part)
                self._ledger.end(row, Result(Status.NOT_FOUND, matches=0, error=why))

    def _look_up(self, request: Request) -> Resolution:
        asked = request
        if self._settings.fits_model:
            association = self._line.connect_patiently()
            by_patient = association.node.quirks.patient_id
            offered = list_models(association.offers, by_patient=by_patient, by_get=self._ways.gets)
            asked = fit_model(request, offered)
        return self._settings.resolve(asked, self._line.find)

    def _take(self, row: OpenRow, resumption: Resumption) -> bool:
        """Ask the journal whether this row has to be looked up now."""
        row.taken = resumption.take(row.request)
        row.kept = row.taken.kept
        if self._is_held(row, row.taken):
            return False
        if row.taken.skip is not None and not resumption.recheck:
            self._controls.emit(RequestStarted(time.monotonic(), row.request.position))
            self._ledger.end(row, row.taken.skip)
            return False
        return True

    def _narrow(self, row: OpenRow, taken: Taken, resumption: Resumption, resolution: Resolution) -> Resolution | None:
        """Leave out what is here, or at a destination that can be asked; None if nothing is to be moved now."""
        narrowed = resumption.narrow(row.request, resolution, taken, self._listing, trusts=self._witness is None)
        if narrowed.behind is not None:
            row.resolution = resolution
            self._ledger.put_behind(row, narrowed.behind)
            return None
        row.taken = narrowed
        if self._is_held(row, row.taken):
            return None
        skip, row.kept = row.taken.skip, row.taken.kept
        if self._witness is not None and row.taken.seen:
            with contextlib.suppress(QueryRefused, ContextRejected, AssociationLost, ProtocolError):
                if all(self._witness.has_all(target) for target in resolution.targets):
                    skip = taken.skip or Result(matches=resolution.matches, expected=resolution.expected)
        if skip is not None:
            self._ledger.end(row, replace(skip, status=Status.SKIPPED))
            return None
        return row.taken.left

    def _is_held(self, row: OpenRow, taken: Taken) -> bool:
        """Tell whether another run is moving some of a row, which then is looked at again later."""
        if taken.holder:
            self._note(f"another run is moving some of this: {taken.holder}")
            self._ledger.postpone(row, _HELD_AGAIN_AFTER)
        return bool(taken.holder)

    def _attempt(self, move: SharedMove) -> None:
        """Send one C-MOVE and record what it came to; stop the batch if nothing in it can work."""
        verdict, destination = send_surely(move, self._move, self._destinations, self._controls)
        tried = verdict.tried  # asked before: what is over lets go of it
        self._ledger.conclude(move, verdict, self._name_missing)
        if tried is None or self._controls.stopping:
            return
        by_get = self._ways.gets
        port = None if self._tally is None or by_get else destination.port or self._tally.scp.port
        parties = Parties(
            self._pool.node,
            self._pool.ae_title,
            destination.ae_title,
            destination.host or self._line.local_address or None,
            port,
            by_get=by_get,
        )
        if (why := self._ledger.hopeless(parties)) is not None:
            self._note(why)
            self._controls.give_up(why)

    def _move(self, move: SharedMove) -> Verdict:
        running = move.running
        if move.target.is_absent:
            plural = move.target.identifier.level.plural
            why = f"not all of the {plural} that are named have these keys, and what has not was not moved; check them"
            return Verdict(Status.NOT_FOUND, MoveEnd(Ended.UNSENT), error=why)
        if self._tally is not None:
            self._ask_for_studies(move)
            running.whose = move.target.named_patients
            if self._handing.series.wanted:
                self._handing.follow(move, self._listing.count_by_series(move.target))
            self._tally.begin(running)
        else:
            running.begun = time.monotonic()
        try:
            sent = self._retrieval.run(move)
            attempts, end = sent.attempts, sent.end
            if self._tally is not None:
                wanted, quiet = bound_wait(end, move.target)
                quiet = COUNTING_SECONDS if sent.by_get else quiet  # what came on that association has been told
                self._tally.wait(running, wanted, quiet, move.target.expected)
                if not running.has_enough(wanted, move.target.expected):
                    self._destinations.hear_out(move.number, lambda: self._controls.stopping)
                if running.doubtful:
                    self._tally.settle(running, self._listing.list_his(move.target, running.whose))
                    self._tally.wait(running, wanted, quiet, move.target.expected)
                if end.counters.failed:  # our receiver may be about to tell that it refused them
                    self._tally.wait(running, wanted + end.counters.failed, COUNTING_SECONDS)
        except ContextRejected as error:
            return Verdict(Status.FAILURE, MoveEnd(Ended.UNSENT), error=str(error))
        finally:
            if self._tally is not None:
                self._tally.end(running)
        earlier, repeated = move.latest, running.repeated
        gone = 0 if self._handing.gives_away else running.lose()
        if earlier is not None:
            attempts += earlier.attempts
            if (earlier.end.counters.moved or 0) > (end.counters.moved or 0):
                repeated = earlier.repeated  # they belong to the counters
            end = replace(end, counters=end.counters.carry(earlier.end.counters))
        evidence = self._evidence(move, end)  # which takes its time: whether somebody has cancelled is known behind it
        facts = replace(self._facts(running, sent), gone=gone)
        return judge_move(end, move, attempts, repeated, evidence, facts)

    def _ask_for_studies(self, move: SharedMove) -> None:
        """Learn which studies a patient has: their images may carry an ID that was merged, or is written otherwise."""
        running, identifier = move.running, move.target.identifier
        if identifier.level is not Level.PATIENT or running.of_patient is not None or not self._settings.names_missing:
            return
        with contextlib.suppress(QueryRefused, ContextRejected):
            studies = studies_of(identifier, self._line.find, certain=True)
            running.of_patient = frozenset(study.study for study in studies)

    def _facts(self, running: RunningMove, sent: Sent) -> Facts:
        tally = self._tally
        scp = None if tally is None else tally.scp
        destination = self._destinations.find(running.number)
        return Facts(
            destination.ae_title,
            port=None if scp is None else destination.port or scp.port,
            by_get=sent.by_get,
            remark=sent.remark,
            trouble="" if scp is None or scp.failed is None else str(scp.failed),
            cancelled=self._controls.cancelled,
            sends=self._ledger.has_moved or (tally is not None and tally.is_reached),
            bind=self._settings.bind,
            called=tally is not None and tally.was_called(running),
        )

    def _name_missing(self, move: SharedMove, verdict: Verdict) -> None:
        """Ask which instances a partial C-MOVE should have brought to us, where that is not known yet."""
        is_ours = self._tally is not None and self._settings.names_missing
        if verdict.status is Status.PARTIAL and is_ours and move.target.instances is None:
            listed = replace(move.target, instances=self._listing.list_all(move.target))
            verdict.missing = Evidence(move.running.sop_uids.keys()).missing(listed)

    def _evidence(self, move: SharedMove, end: MoveEnd) -> Evidence:
        """Look at what is there, on our disk or at a destination that can be asked."""
        if self._tally is not None:
            return Evidence(move.running.sop_uids.keys(), twins=len(move.running.twins or ()))
        return Evidence() if self._witness is None else self._witness.look_after(move.target, end)
