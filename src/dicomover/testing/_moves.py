"""C-MOVE and C-GET as an SCP (PS3.4 sections C.4.2, C.4.3), with the misbehaviour that was asked for."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain

from dicomover.errors import AssociationLost
from dicomover.testing._elements import encode
from dicomover.testing._exchange import Exchange, Link
from dicomover.testing._records import Request
from dicomover.testing._script import Script
from dicomover.testing._search import LEVELS, UNIQUE, Refused, check_identifier, names_list
from dicomover.testing._storing import StoreAssociation
from dicomover.testing._studies import Instance, Study, strip_bulk
from dicomover.testing._suboperations import Step, Suboperations
from dicomover.wire.messages import Message

_LIST_CAP = 65534  # the 16-bit length of a UI in Explicit VR
_IN_STORE = "-in-store"  # ends the ways to break that come in the middle of the next data set
_STRIDE = 1 << 13  # from one response to the next, of those that count what was not sent
_ZERO = {"NumberOfCompletedSuboperations": 0, "NumberOfFailedSuboperations": 0, "NumberOfWarningSuboperations": 0}


def answer_move(link: Link, message: Message, request: Request) -> None:
    """Answer one C-MOVE or C-GET request."""
    pacs = link.pacs
    exchange = Exchange(link, message)
    try:
        lacks_bulk = request.model == "IMAGE"
        check = check_without_bulk if lacks_bulk else check_move
        level = check(request.keys, request.model, strict=pacs.strict)
    except Refused as refused:
        if pacs.always_unable:
            exchange.answer(0xC000, _ZERO)
            return
        exchange.answer(refused.status, {"OffendingElement": refused.offending, "ErrorComment": refused.why})
        return
    parts = list(pacs._archive.resolve(level, pacs._heed(request.keys, level)))
    if lacks_bulk:
        parts = [(study, tuple(map(strip_bulk, instances))) for study, instances in parts if instances]
    pacs._records.note_move(request, [study for study, _ in parts])
    named = request.values("AccessionNumber")
    with pacs._moving(exchange) as busy:
        taken = pacs.misbehave.take([*named, *(study.accession_number for study, _ in parts)], "move")
        script = busy or taken.facing(is_list=names_list(request.keys))
        Retrieval(exchange, request, parts, script, link.syntax(message.context_id)).run()


def check_move(keys: Mapping[str, str], model: str, *, strict: bool) -> str:
    """Return the level of the identifier of a C-MOVE or C-GET.

    Raises Refused if a strict archive refuses it: a unique key is missing, or anything but unique keys is there.
    """
    level = check_identifier(keys, model, strict=strict)
    unique = UNIQUE[LEVELS.index(level)]
    values = {keyword: keys.get(keyword, "") for keyword in (*UNIQUE, "AccessionNumber")}
    if not (values[unique] if strict else any(values.values())):
        raise Refused(f"no {unique}", 0x0020000D)
    if any(mark in values[unique] for mark in ("*?\\" if level == "PATIENT" else "*?")):
        raise Refused(f"{unique} is a wildcard or a list", 0x0020000D)
    if strict:
        first = 0 if model == "PATIENT" else 1
        allowed = {"QueryRetrieveLevel", "SpecificCharacterSet", *UNIQUE[first : LEVELS.index(level) + 1]}
        odd = next((keyword for keyword in keys if keyword not in allowed), None)
        if odd is not None:
            raise Refused(f"{odd} is no unique key here"[:64], 0x00080050)
    return level


def check_without_bulk(keys: Mapping[str, str], model: str, *, strict: bool) -> str:
    """Return the level of a C-GET without bulk data (PS3.4 section Z.4.2.1.3.1); raises Refused if it is none."""
    odd = next((keyword for keyword in keys if keyword not in ("QueryRetrieveLevel", "SOPInstanceUID")), None)
    if keys.get("QueryRetrieveLevel") != model or not keys.get("SOPInstanceUID") or (strict and odd):
        raise Refused("images by their UIDs alone here", 0x00080018)
    return model


class Retrieval:
    """One C-MOVE or C-GET being answered: its course and its responses."""

    def __init__(
        self,
        exchange: Exchange,
        request: Request,
        parts: Sequence[tuple[Study, tuple[Instance, ...]]],
        script: Script,
        syntax: str,
    ) -> None:
        self.exchange = exchange
        self.pacs = exchange.pacs
        self.request = request
        self.script = script
        self._syntax = syntax
        self._steps: list[Step] = [
            (n, study, instance)
            for n, (study, instance) in enumerate((study, item) for study, items in parts for item in items)
        ]
        self._suboperations = Suboperations(exchange, request, script, len(self._steps))
        self._steps += [(len(self._steps) + n, study, instance) for n, study, instance in self._steps[: script.again]]
        if script.one_uid:
            self._steps = _share_uid(self._steps)
        self._before = 0  # how many count as sent although they were not
        self._failed: list[str] = []
        self._counts = {"completed": 0, "failed": 0, "warning": 0}
        self._peer_gone = False
        self._gave_up = False
        exchange.script = script

    # --- responses

    @property
    def _remaining(self) -> int:
        return len(self._steps) - sum(self._counts.values())

    def _counters(self, *, remaining: bool, zero: bool = False) -> dict[str, int | str]:
        if self.script.counters == "none":
            return {}
        counters: dict[str, int | str] = {
            "NumberOfCompletedSuboperations": 0 if zero else self._short(self._before + self._counts["completed"]),
            "NumberOfFailedSuboperations": 0 if zero else self._short(self._counts["failed"]),
            "NumberOfWarningSuboperations": 0 if zero else self._short(self._counts["warning"]),
        }
        if remaining:
            counters["NumberOfRemainingSuboperations"] = self._short(
                self._remaining + self.script.counts_from - self._before
            )
        return counters

    def _short(self, number: int) -> int:
        """Return what a counter of 16 bits says of a number."""
        return number & 0xFFFF if self.script.wraps else min(number, 0xFFFF)

    def _pending(self) -> None:
        if self.script.pending and self.pacs.pending and not self._peer_gone:
            self.exchange.answer(0xFF00, self._counters(remaining=True))

    def _final(self, status: int | None = None, *, cancelled: bool = False) -> None:
        if self._peer_gone:
            return
        if status is None:
            status = self._natural_status()
        zero = self.script.counters in ("zero", "zero-at-end")
        extra = self._counters(remaining=cancelled, zero=zero)
        if self.script.comment:
            extra |= {"OffendingElement": 0x00080050, "ErrorComment": "refused as asked for"}
        listed = {"all": self._failed, "none": [], "half": self._failed[: len(self._failed) // 2]}[self.script.listed]
        if status == 0 or zero:
            listed = []
        data = b""
        if listed:
            text = "\\".join(listed)
            if len(text) > _LIST_CAP:
                text = text[:_LIST_CAP].rpartition("\\")[0]
            data = encode({"FailedSOPInstanceUIDList": text}, self._syntax)
        self.exchange.answer(status, extra, data)
        if self.script.then == "again":
            self.exchange.answer(status, extra, data)
        elif self.script.then == "close":
            self.exchange.connection.close()

    def _natural_status(self) -> int:
        if self._counts["failed"] == 0:
            return 0xB000 if self._counts["warning"] else 0x0000
        return 0xA702 if self._counts["completed"] + self._counts["warning"] == 0 else 0xB000

    # --- the course of it

    def run(self) -> None:
        """Do what was asked for, in the way of the script."""
        script = self.script
        if script.refuse:
            self._final(script.status)
            return
        if self.pacs.always_unable and not (self._suboperations.has_way and self._steps):
            self.exchange.answer(0xC000, _ZERO)
            return
        if not self._suboperations.has_way:
            self.exchange.answer(0xA801)
            return
        others = [
            (study, instance)
            for study in (self.pacs._archive.studies() if script.swapped or script.foreign else [])
            if study not in {study for _, study, _ in self._steps}
            for instance in study.instances()[:3]
        ]
        if script.swapped:
            self._steps = [(n, *others[n % len(others)]) for n in range(len(self._steps)) if others]
        foreign = [(-1, *others[0])] if script.foreign and others else []
        if not self._steps:
            self._final(script.status or 0x0000)
            return
        if script.slow_start and self._pend_for(script.seconds):
            self._final(0xFE00, cancelled=True)
            return
        self._send(foreign)

    def _pend_for(self, seconds: float) -> bool:
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            self._pending()
            if self.exchange.wait(min(0.1, max(limit - time.monotonic(), 0))):
                return True
        return False

    def _send(self, foreign: list[Step]) -> None:
        script = self.script
        alone = script.slow or script.breaks
        instances = [instance for _, _, instance in chain(self._steps, foreign)]
        stores: list[StoreAssociation] = []
        if foreign or max(script.fail, script.skip) < len(self._steps):
            stores = self._suboperations.open(instances, 1 if alone else self.pacs.store_associations)
            if not stores:
                self._all_failed()
                return
        late = self._steps[-script.late :] if script.late else []
        try:
            cancelled = self._operate(stores, foreign)
        except BaseException:
            self._suboperations.give_back(stores)
            raise
        if not late or cancelled:
            self._suboperations.give_back(stores)
        if cancelled:
            self._final(0x0000 if script.on_cancel == "success" else 0xFE00, cancelled=script.on_cancel != "success")
            return
        if self._gave_up:
            self.exchange.answer(0xC000, _ZERO)
            return
        self._final(script.status)
        if late:
            self._suboperations.straggle(stores, late)

    def _all_failed(self) -> None:
        if self.pacs.always_unable:
            self.exchange.answer(0xC000, _ZERO)
            return
        for _, _, instance in self._steps:
            self._count("failed", instance)
        self._final(0xA702 if self.script.status is None else self.script.status)

    def _operate(self, stores: list[StoreAssociation], foreign: list[Step]) -> bool:
        """Do the sub-operations, with a pending response after each; tell whether a C-CANCEL ended it."""
        script = self.script
        obeys = script.on_cancel != "ignore"
        while self._before < script.counts_from:
            self._pending()
            self._before += min(_STRIDE, script.counts_from - self._before)
        with contextlib.closing(self._suboperations.run(stores, chain(foreign, self._steps))) as outcomes:
            while True:
                if script.breaks and sum(self._counts.values()) >= min(script.after, len(self._steps)):
                    how = script.breaks
                    if how.endswith(_IN_STORE):
                        stores[0].begin(self._steps[-1][2])
                        how = how.removesuffix(_IN_STORE)
                    if how != "endless-pending":
                        self.exchange.break_off(how, script.seconds)
                    self._pend_for_ever()
                    return True
                if script.slow and self._remaining and self._cancelled(script.seconds) and obeys:
                    return True
                done = next(outcomes, None)
                if done is None:
                    return False
                n, _, instance, outcome = done
                if n >= 0:
                    self._count(outcome, instance)
                    if outcome == "failed" and (script.stops_at_failure or self.pacs.always_unable):
                        self._gave_up = True
                        return False
                    if self._remaining:
                        self._pending()
                if self._cancelled() and obeys and self._remaining:
                    return True

    def _cancelled(self, seconds: float = 0.0) -> bool:
        try:
            if self._peer_gone:
                self.pacs._server.stopping.wait(seconds)
                return False
            return self.exchange.wait(seconds) if seconds else self.exchange.cancelled()
        except AssociationLost:
            if not self.script.sends_after_abort or self.pacs._server.stopping.is_set():
                raise
            self._peer_gone = True
            return False

    def _pend_for_ever(self) -> None:
        self._pending()
        while not self._cancelled(self.script.seconds):
            self._pending()

    def _count(self, outcome: str, instance: Instance) -> None:
        self._counts[outcome] += 1
        if outcome == "failed":
            self._failed.append(instance.sop_instance_uid)


def _share_uid(steps: Sequence[Step]) -> list[Step]:
    """Give the first instance of the second series the SOP Instance UID of the first one of all."""
    (_, _, first), *others = steps
    after = next((n for n, (_, _, item) in enumerate(others, 1) if _series_of(item) != _series_of(first)), 0)
    n, study, second = steps[after]
    uid = first.sop_instance_uid
    if len(uid) != len(second.sop_instance_uid):
        raise ValueError(f"the instances of {study.accession_number!r} have UIDs of several lengths")
    data = second.data_set_bytes().replace(second.sop_instance_uid.encode(), uid.encode())
    return [*steps[:after], (n, study, replace(second, sop_instance_uid=uid, _raw=data)), *steps[after + 1 :]]


def _series_of(instance: Instance) -> str:
    return instance.sop_instance_uid.rpartition(".")[0]
