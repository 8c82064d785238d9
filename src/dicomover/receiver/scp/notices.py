"""What callers make us say, in the log and to the batch: the first of a kind at once, then now and then a number.

Anybody can be refused thousands of times in a second. Whoever reads of it has to find the archive's own lines, and what
is told to the batch must not keep its thread from the images.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Container, Hashable
from dataclasses import dataclass, replace

from dicomover.events import Refusal

__all__ = ["Notices"]

_KINDS = 64  # of refusals that are told apart, while there are very many
_LINES, _LINES_AGAIN = 20, 10.0  # of a kind at once, and seconds for one more
_REFUSALS, _REFUSALS_AGAIN = 300, 0.05  # of all kinds together

logger = logging.getLogger("dicomover.receiver")


@dataclass(slots=True)
class _Allowance:
    """So many at once, and one more in each span of seconds."""

    most: int
    span: float
    left: float
    at: float

    def take(self, now: float) -> bool:
        """Use one, if there is one."""
        self.left = min(self.most, self.left + (now - self.at) / self.span)
        self.at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


@dataclass(slots=True)
class _Kind:
    """Lines that differ in nothing but names and numbers."""

    allowance: _Allowance
    level: int = 0
    text: str = ""
    more: int = 0


class Notices:
    """Says what callers make us say. Methods may be called from any thread."""

    def __init__(
        self,
        tell: Callable[[Refusal], None],  # to the batch
        clock: Callable[[], float] = time.monotonic,
        known: Container[str] = (),  # the archive's addresses: what is refused to those is not lost among strangers'
    ) -> None:
        self._tell = tell
        self._clock = clock
        self._known = known
        self._lock = threading.Lock()
        self._kinds: dict[str, _Kind] = {}
        # Of strangers, and of known addresses: theirs wait behind nobody's.
        self._refusals = [_Allowance(_REFUSALS, _REFUSALS_AGAIN, _REFUSALS, clock()) for _ in range(2)]
        self._untold: dict[Hashable, Refusal] = {}

    @property
    def owes(self) -> bool:
        """Whether something is to be said yet by `flush`."""
        return bool(self._untold) or any(kind.more for kind in list(self._kinds.values()))

    def log(self, level: int, template: str, *values: object) -> None:
        """Log a line, or count it; lines of one template are of one kind."""
        if not logger.isEnabledFor(level):
            return
        with self._lock:
            now = self._clock()
            kind = self._kinds.get(template)
            if kind is None:
                kind = self._kinds[template] = _Kind(_Allowance(_LINES, _LINES_AGAIN, _LINES, now))
            if kind.more or not kind.allowance.take(now):
                kind.more += 1
                kind.level, kind.text = level, template % values
                return
        logger.log(level, template, *values)

    def tell(self, refusal: Refusal) -> None:
        """Tell of a refusal; of very many, those of one kind together, a little later."""
        is_known = refusal.peer in self._known
        with self._lock:
            is_told = (is_known or not self._untold) and self._refusals[is_known].take(self._clock())
            if not is_told:
                self._count(refusal, _KINDS * (1 + is_known))
        if is_told:
            self._tell(refusal)

    def _count(self, refusal: Refusal, kinds: int) -> None:
        key = _key_of(refusal)
        if key not in self._untold and len(self._untold) >= kinds:
            refusal = replace(
                refusal,
                calling_ae_title="",
                peer="",
                sop_instance_uid="",
                study_instance_uid="",
                originator_message_id=None,
            )
            key = _key_of(refusal)
        earlier = self._untold.get(key)
        self._untold[key] = refusal if earlier is None else replace(earlier, count=earlier.count + refusal.count)

    def flush(self, *, ending: bool = False) -> None:
        """Say what has only been counted: all that is to be told, and of each kind of lines one, if it may be."""
        with self._lock:
            now = self._clock()
            untold, self._untold = list(self._untold.values()), {}
            lines = []
            for kind in self._kinds.values():
                if kind.more and (ending or kind.allowance.take(now)):
                    lines.append((kind.level, kind.text, kind.more - 1))
                    kind.more = 0
        for level, text, more in lines:
            logger.log(level, "%s ... and %s more like it" if more else "%s%.0s", text, f"{more:,}")
        for refusal in untold:
            self._tell(refusal)


def _key_of(refusal: Refusal) -> Hashable:
    """Return what those have in common that are told together."""
    whose = refusal.peer, refusal.calling_ae_title, refusal.originator_message_id
    return refusal.what, refusal.status, refusal.study_instance_uid, whose
