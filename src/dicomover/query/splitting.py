"""Ask for all that matches, in parts where an archive caps its answers: by halves of the study dates, then of a day.

Archives cap in four ways. Some answer so many and say success (many products); some end with 0xFE00 although nobody
has cancelled (older Orthancs); some refuse with 0xA700 and answer nothing (dcm4chee); some hang up. The
last three show themselves. The first shows itself by a count that is round, or was met before, and by nothing else; so
such a count is held against its two halves, which costs two queries if it was chance. An archive that tells one match
in the place of others (`query/repeats.py`) is asked in parts too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import date
from typing import Literal

from pydicom import Dataset

from dicomover.attributes.reading import read_text
from dicomover.errors import (
    AnswerWarning,
    AssociationLost,
    ConfigurationError,
    LostBy,
    NodeError,
    QueryRefused,
    warn_caller,
)
from dicomover.identifier import UNIQUE_KEYS, Level
from dicomover.query.matching import agrees, is_round, select
from dicomover.query.repeats import hides_others
from dicomover.query.span import Span
from dicomover.text.face import setting
from dicomover.text.sentences import count_of
from dicomover.text.shapes import shape_of

__all__ = ["MOST_QUERIES", "Ask", "Split", "check_split", "find_all"]

logger = logging.getLogger("dicomover.splitting")

Ask = Callable[[Mapping[str, str], int | None], list[Dataset]]
"""Sends one C-FIND with these keys, and returns at most so many answers; raises NodeError."""

Split = Literal["auto", "none"] | int
"""When to ask in parts: where something hints at a cap, never, or where so many answers come."""

MOST_QUERIES = 1000
"""C-FINDs for one `find`, at most."""

_CANCELLED = 0xFE00
_ADVICE = "give a StudyDate range, such as '20240101-20241231', so that it can be asked in parts"


def check_split(split: Split, cap: int | None = None) -> Split:
    """Return it, of `auto` the cap that is known; raise a ConfigurationError if it cannot be meant."""
    if split == "auto" and cap is not None:
        return cap
    if split in ("auto", "none") or (isinstance(split, int) and not isinstance(split, bool) and split > 0):
        return split
    raise ConfigurationError(
        f"{setting('split', split)} is neither 'auto' nor 'none' nor the most that the archive answers"
    )


def find_all(
    ask: Ask,
    keys: Mapping[str, str],
    level: Level,
    *,
    split: Split = "auto",
    limit: int | None = None,
    archive: object = "the archive",
    today: date | None = None,  # where a range that is open at its end is thought to end
    show_keys: bool = False,  # in messages and the log, which else have the shape of a date
) -> list[Dataset]:
    """Return the answers that match, each once; a StudyDate among the keys lets them be asked for in parts.

    Raises NodeError if the archive cannot be asked, or refuses and cannot be asked in parts. Warns with an
    AnswerWarning if there may be more than what is returned.
    """
    return _Search(ask, keys, level, split, limit, archive, today or date.today(), show_keys).run()


class _Search:
    def __init__(
        self,
        ask: Ask,
        keys: Mapping[str, str],
        level: Level,
        split: Split,
        limit: int | None,
        archive: object,
        today: date,
        show_keys: bool,
    ) -> None:
        self._ask, self._keys, self._level, self._split = ask, keys, level, split
        self._limit, self._archive, self._today, self._show_keys = limit, archive, today, show_keys
        self._times = not keys.get("StudyTime")  # a time that is asked for already is left alone
        self._caps = {split} if isinstance(split, int) else set[int]()
        self._found: dict[object, Dataset] = {}
        self._doubts: list[str] = []
        self._by_time: list[Span] = []  # days that had to be asked by StudyTime, where studies without one do not match
        self._queries, self._spent = 0, False
        self._left_out = 0  # answers that do not match
        self._hides = False  # whether the last answers told one match in the place of others

    def run(self) -> list[Dataset]:
        span = Span.parse(self._keys.get("StudyDate", "")) if self._split != "none" else None
        if span is None:
            self._whole()
        else:
            self._part(span)
        if self._by_time:
            first, count = self._by_time[0], len(self._by_time)
            days = f"{count} days from {self._name(first)} on" if count > 1 else self._name(first)
            without = f"{self._level.plural} without one may be missing"
            self._doubts.append(f"for {days} it had to be asked by StudyTime, and {without}")
        said: list[str] = []
        if self._doubts and not self._is_full():
            more = f" and {len(self._doubts) - 3} more parts" if len(self._doubts) > 3 else ""
            said.append(f"answers may be missing: {'; '.join(self._doubts[:3])}{more}")
        if self._left_out:
            said.append(f"{count_of(self._left_out, 'answer')} left out that do not match what was asked")
        if said:
            warn_caller(f"{self._archive}: {'; '.join(said)}", AnswerWarning)
        return list(self._found.values())[: self._limit]

    def _is_full(self) -> bool:
        return self._limit is not None and len(self._found) >= self._limit

    def _whole(self) -> None:
        """Ask for everything at once, since it cannot be asked in parts."""
        try:
            kept, came, _ = self._query(self._keys)
        except QueryRefused as error:
            if self._split == "none" or not _says_too_much(error):
                raise
            raise QueryRefused(error, error.status, mend=f"if too much matches, {_ADVICE}") from error
        self._keep(kept)
        if self._hides or (self._split != "none" and self._looks_capped(came)):
            or_so = "" if self._hides else f", or say {setting('split', 'none')} if that is all"
            self._doubts.append(f"{self._just(came)}; {_ADVICE}{or_so}")

    def _part(self, span: Span) -> set[object]:
        """Ask for a part, and for its halves if that may have been too much; return what was found."""
        if self._is_full():
            return set()
        if self._queries >= MOST_QUERIES:
            if not self._spent:
                self._doubts.insert(
                    0, f"after {MOST_QUERIES:,} queries nothing was asked for from {self._name(span)} on; ask for less"
                )
            self._spent = True
            return set()
        halves = span.halves(self._today, times=self._times)
        try:
            kept, came, outside = self._query({**self._keys, **span.keys()})
        except (QueryRefused, AssociationLost) as error:
            if isinstance(error, QueryRefused) and error.status is None and span.is_within_a_day:
                return self._doubt(span, "it does not answer by StudyTime")
            if not _may_be_too_much(error) or halves is None:
                if self._queries == 1:
                    raise
                raise _of_part(error, self._name(span)) from error
            logger.info("%s does not answer for %s at once; asking in parts", self._archive, self._name(span))
            if halves[0].is_within_a_day > span.is_within_a_day:
                self._by_time.append(span)
            return self._part(halves[0]) | self._part(halves[1])
        hides = self._hides
        if not hides and not self._looks_capped(came):
            return self._keep(kept)
        if outside or halves is None:
            why = "it does not keep to what is asked for" if outside else "ask with further keys"
            self._doubt(span, f"{self._just(came)}, and smaller parts cannot be asked for: {why}")
            return self._keep(kept)
        logger.info("%d answers for %s cannot be all; asking in parts", came, self._name(span))
        inside = self._part(halves[0]) | self._part(halves[1])
        whole = self._keep(kept)
        if inside - whole and not hides:
            self._caps.add(came)
        if inside != whole and halves[0].is_within_a_day > span.is_within_a_day:
            self._by_time.append(span)
        return inside | whole

    def _query(self, keys: Mapping[str, str]) -> tuple[list[Dataset], int, bool]:
        """Return the answers that match, how many came (0 if it was we who stopped them), and if some lie outside."""
        left = None if self._limit is None else self._limit - len(self._found)
        matched = {keyword: value for keyword, value in keys.items() if value}
        self._queries += 1
        answers = self._ask(keys, left)
        kept, dropped = select(answers, matched, self._archive)
        if left is not None and len(self._names(kept)) < left <= len(answers):
            # The limit was used up by answers that do not match or come twice: the right ones may come after them.
            self._queries += 1
            answers, left = self._ask(keys, None), None
            kept, dropped = select(answers, matched, self._archive)
        self._left_out += dropped
        self._hides = hides_others(kept, self._level, matched, lambda alone: self._ask(alone, None))
        outside = dropped > 0 and any(
            agrees(answer, keyword, matched[keyword]) is False
            for answer in answers
            for keyword in ("StudyDate", "StudyTime")
            if keyword in matched
        )
        return kept, 0 if left is not None and len(answers) >= left else len(answers), outside

    def _name(self, span: Span) -> str:
        """Return a part as it may be told: a date that is asked for may be a patient's."""
        if self._show_keys:
            return str(span)
        return ", ".join(f"{keyword} {shape_of(value)}" for keyword, value in span.keys().items())

    def _looks_capped(self, came: int) -> bool:
        if self._caps:
            return came >= min(self._caps)
        return self._level in (Level.PATIENT, Level.STUDY) and is_round(came)

    def _just(self, came: int) -> str:
        if self._hides:
            return f"it told one {self._level.singular} in the place of others that match too"
        return f"exactly {came:,} {self._level.plural} came, which looks like the most that it answers at once"

    def _doubt(self, span: Span, why: str) -> set[object]:
        self._doubts.append(f"for {self._name(span)} {why}")
        return set()

    def _keep(self, answers: list[Dataset]) -> set[object]:
        named = self._names(answers)
        for name, answer in named.items():
            self._found.setdefault(name, answer)
        return set(named)

    def _names(self, answers: list[Dataset]) -> dict[object, Dataset]:
        named: dict[object, Dataset] = {}
        for answer in answers:
            named.setdefault(_identity(answer, self._level), answer)
        return named


def _says_too_much(error: NodeError) -> bool:
    status = error.status if isinstance(error, QueryRefused) else None
    return status is not None and (status == _CANCELLED or 0xA700 <= status <= 0xA7FF or 0xB000 <= status <= 0xBFFF)


def _may_be_too_much(error: NodeError) -> bool:
    if isinstance(error, AssociationLost):
        return error.by in (LostBy.ABORT, LostBy.CLOSED, LostBy.RELEASE)
    status = error.status if isinstance(error, QueryRefused) else None
    return _says_too_much(error) or (status is not None and 0xC000 <= status <= 0xCFFF)


def _of_part(error: QueryRefused | AssociationLost, part: str) -> NodeError:
    message = f"{error}, asked for {part}"
    if isinstance(error, AssociationLost):
        return AssociationLost(message, error.by)
    return QueryRefused(message, error.status)


def _identity(answer: Dataset, level: Level) -> object:
    """Return what tells an answer from all others; itself if it has no unique key."""
    if not read_text(answer, level.unique_key):
        return id(answer)
    names = [*UNIQUE_KEYS[: list(Level).index(level) + 1], "IssuerOfPatientID"]
    if level is Level.PATIENT:  # two patients may share an ID
        names += ["PatientName", "PatientBirthDate"]
    return tuple(read_text(answer, name) for name in names)
