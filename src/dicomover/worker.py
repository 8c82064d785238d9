"""The work on one request after the other, over one association, on one thread: resolve, move, wait, judge."""

from __future__ import annotations

import contextlib
import logging
import time
from dataclasses import dataclass
from typing import Literal

from dicomover.controls import Controls, Stop
from dicomover.dimse import Association, MoveEnd
from dicomover.errors import (
    AssociationLost,
    ContextRejected,
    NodeError,
    ProtocolError,
    QueryRefused,
    ReceiverError,
)
from dicomover.events import MoveProgressed, MoveStarted, Noted, RequestStarted
from dicomover.explain import Situation, explain
from dicomover.hygiene import Request
from dicomover.identifier import Level
from dicomover.ledger import Ledger, Move, Outcome, Row
from dicomover.line import GONE, Line
from dicomover.node import Timeouts
from dicomover.outcome import SUCCESS, Counters, Ended, Status, judge
from dicomover.pool import Pool
from dicomover.receiver import Admission, Receiver
from dicomover.resolve import Resolution, Target, TooManyMatches, resolve
from dicomover.summary import Result
from dicomover.tally import COUNTING_SECONDS, STRAGGLER_SECONDS, RunningMove, Tally

__all__ = ["Reception", "Settings", "Worker"]

logger = logging.getLogger("dicomover.mover")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What one batch runs with."""

    destination: str
    timeouts: Timeouts
    associations: int = 2
    verify: Literal["counts", "none"] = "counts"
    max_matches: int | None = None


@dataclass(frozen=True, slots=True)
class Reception:
    """Where the images arrive, if it is here."""

    receiver: Receiver
    tally: Tally


class Worker:
    """Works off requests over one association."""

    def __init__(
        self, ledger: Ledger, settings: Settings, pool: Pool, controls: Controls, reception: Reception | None
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._pool = pool
        self._controls = controls
        self._reception = reception
        self._line = Line(pool, settings.timeouts, controls)

    def work(self) -> bool:
        """Work until no request is left.

        Returns
        -------
        bool
            False if there was no association to be had and the work is left to the others.
        """
        try:
            while True:
                if self._ledger.is_used_up():
                    return True  # and need no association any more
                if not self._is_useful():
                    return False
                row = self._ledger.next_row()
                if row is None:
                    return True
                try:
                    self._do(row)
                except Stop as stop:
                    self._ledger.give_up(row, stop.result)
                except ReceiverError as error:
                    self._ledger.give_up(row, Result(Status.FAILURE, error=f"not sent: {error}"))
                except Exception as error:
                    logger.exception("request %d could not be worked on", row.request.position)
                    name = type(error).__name__
                    self._ledger.give_up(row, Result(Status.FAILURE, error=f"internal error {name}, see the log"))
        finally:
            self._line.close()

    def connect(self) -> None:
        """Open the association now rather than at the first request; raises NodeError."""
        self._line.connect()

    def _is_useful(self) -> bool:
        """Have an association before taking a request, or leave it to the others."""
        with contextlib.suppress(Stop):  # the rows that are left still have to be told
            self._controls.check()
            try:
                self._line.connect()
            except NodeError as error:
                if self._controls.leave_to_others():
                    logger.info("going on with fewer associations: %s", error)
                    self._controls.emit(Noted(time.monotonic(), "going on with fewer associations"))
                    return False
                self._line.reconnect(error)
        return True

    # --- one request

    def _do(self, row: Row) -> None:
        request = row.request
        self._controls.check()
        self._controls.emit(RequestStarted(time.monotonic(), request.position))
        try:
            resolution = self._resolve(request)
        except TooManyMatches as error:
            self._ledger.end(row, Result(Status.FAILURE, matches=error.matches, error=str(error)))
        except QueryRefused as error:
            self._controls.check()
            self._ledger.end(row, Result(Status.FAILURE, error.status, error=str(error)))
        except ContextRejected as error:
            self._ledger.end(row, Result(Status.FAILURE, error=str(error)))
        except (AssociationLost, ProtocolError) as error:
            self._controls.check()
            self._ledger.end(row, Result(Status.LOST, error=f"lost during C-FIND: {error}; run it again"))
        else:
            if resolution.targets:
                for move in self._ledger.claim(row, resolution):
                    self._ledger.conclude(move, self._move(move))
            else:
                said = [f"C-FIND has no match at level {request.level}", resolution.note]
                why = "; ".join(part for part in said if part)
                self._ledger.end(row, Result(Status.NOT_FOUND, matches=0, error=why))

    def _resolve(self, request: Request) -> Resolution:
        settings = self._settings
        count = settings.verify == "counts"
        return resolve(request, self._line.find, archive=self._pool.node, count=count, max_matches=settings.max_matches)

    def _move(self, move: Move) -> Outcome:
        running = RunningMove(move.number, move.target.identifier)
        self._controls.emit(MoveStarted(time.monotonic(), move.number, move.row.request.position, move.target.expected))
        if self._reception is not None:
            self._reception.tally.begin(running)
        try:
            attempts, end = self._exchange(move, running)
            if self._reception is not None and not self._controls.cancelled:
                wanted, quiet = _still_due(end, move.target)
                self._reception.tally.wait(running, wanted, quiet)
        except ContextRejected as error:
            return Outcome(Status.FAILURE, MoveEnd(Ended.UNSENT), error=str(error))
        finally:
            if self._reception is not None:
                self._reception.tally.end(running)
        return self._judge(end, move.target, running, attempts)

    def _exchange(self, move: Move, running: RunningMove) -> tuple[int, MoveEnd]:
        """Send the C-MOVE; once more if an association that had been idle turns out to be gone."""
        attempts = 0
        while True:
            association = self._line.connect_patiently()
            was_idle = association.served > 0
            attempts += 1
            end = self._send(association, move, running)
            untouched = end.lost_by in GONE and end.counters == Counters() and not running.sop_uids
            if not (untouched and was_idle) or self._controls.cancelled:
                return attempts, end

    def _send(self, association: Association, move: Move, running: RunningMove) -> MoveEnd:
        identifier = move.target.identifier
        running.message_id = self._pool.next_message_id()
        if self._reception is not None:
            patients = identifier.uids(Level.PATIENT) if identifier.level is Level.PATIENT else frozenset()
            self._reception.receiver.admit(
                Admission(
                    move.number,
                    running.message_id,
                    patient_ids=patients,
                    study_uids=identifier.uids(Level.STUDY),
                    series_uids=identifier.uids(Level.SERIES),
                    sop_uids=identifier.uids(Level.IMAGE),
                )
            )
        return association.move(
            identifier.dataset(),
            identifier.model,
            self._settings.destination,
            running.message_id,
            on_progress=lambda counters: self._controls.emit(MoveProgressed(time.monotonic(), move.number, counters)),
            last_arrival=lambda: 0.0 if self._reception is None else self._reception.tally.last_sign(running),
        )

    def _judge(self, end: MoveEnd, target: Target, running: RunningMove, attempts: int) -> Outcome:
        port = received = size = None
        if self._reception is not None:
            port, received, size = self._reception.receiver.port, len(running.sop_uids), running.bytes
        status = judge(
            end.status_code,
            end.counters,
            expected=target.expected,
            received=received,
            ended=end.ended,
            cancelled=self._controls.cancelled,
        )
        if target.found is False and status in (Status.EMPTY, Status.FAILURE):
            status = Status.NOT_FOUND
        situation = Situation(self._settings.destination, port, target.expected, received, dict(running.refused))
        error = explain(status, end, situation)
        said = [error or ""]
        if running.conflicts:
            said.append(f"{running.conflicts} arrived with other bytes than a file that was here; both were kept")
        if running.foreign:
            said.append(f"{running.foreign} arrived with it not asked for; they lie under their own UIDs")
        if self._reception is not None and self._reception.receiver.failed is not None and not status.complete:
            said.append(str(self._reception.receiver.failed))
        return Outcome(status, end, attempts, received, size, "; ".join(part for part in said if part) or None)


def _still_due(end: MoveEnd, target: Target) -> tuple[int, float]:
    """Return how many instances may be here in the end, and how long a silence tells that no more will come."""
    claimed = end.counters.moved
    if end.ended is Ended.LOST or (claimed is None and end.status_code == SUCCESS):
        return target.expected or 0, STRAGGLER_SECONDS
    if claimed:
        return claimed + (end.counters.remaining or 0), STRAGGLER_SECONDS
    # The archive says that nothing has moved: give what is already here the time to be counted.
    return target.expected or 1, COUNTING_SECONDS
