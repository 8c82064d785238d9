"""Several lines to one archive, and work on many requests side by side over them."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TypeVar

from pydicom import Dataset

from dicomover.errors import AssociationLost, NodeError, NodeUnreachable
from dicomover.identifier import Level, Model
from dicomover.wire.line import Line
from dicomover.wire.stop import Controls, Stop

__all__ = ["Lines", "lines_of"]

_ATTEMPTS = 3  # of a C-FIND whose association is lost

Item = TypeVar("Item")
Result = TypeVar("Result")


class Lines:
    """Asks over whichever line is free, again if an association is lost in the middle: a lock is one piece.

    Parameters
    ----------
    lines
        Connected; each is used by one thread at a time.
    controls
        Of all of them.
    """

    def __init__(self, lines: Sequence[Line], controls: Controls) -> None:
        self._size = len(lines)
        self._controls = controls
        self._free: queue.SimpleQueue[Line] = queue.SimpleQueue()
        for line in lines:
            self._free.put(line)

    def find(
        self, level: Level, model: Model, keys: Mapping[str, str], returned: Sequence[str], limit: int | None
    ) -> list[Dataset]:
        """Ask; see `dicomover.query.resolve.Find`."""
        line = self._free.get()
        try:
            for _ in range(_ATTEMPTS - 1):
                with contextlib.suppress(AssociationLost):
                    return line.find(level, model, keys, returned, limit)
            return line.find(level, model, keys, returned, limit)
        except Stop as stop:
            raise NodeUnreachable(str(stop.result.error)) from stop
        finally:
            self._free.put(line)

    def map(self, work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Return what `work` makes of each item, in their order; what stops one of them stops all at once."""
        with ThreadPoolExecutor(self._size, "dicomover lookup") as pool:
            try:
                futures = [pool.submit(work, item) for item in items]
                for future in wait(futures, return_when=FIRST_EXCEPTION).done:
                    future.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                self._controls.cancel()
                self._controls.kill()
                raise
        return [future.result() for future in futures]


@contextlib.contextmanager
def lines_of(lend: Callable[[Controls], contextlib.AbstractContextManager[Line]], size: int) -> Iterator[Lines]:
    """Open at most `size` lines, fewer where the archive does not take as many associations.

    Raises
    ------
    NodeError
        If there is not even one to be had.
    """
    controls = Controls(lambda _: None)
    with contextlib.ExitStack() as stack:
        lines = [stack.enter_context(lend(controls))]
        lines[0].connect()
        with contextlib.suppress(NodeError):
            for _ in range(size - 1):
                line = stack.enter_context(lend(controls))
                line.connect()
                lines.append(line)
        yield Lines(lines, controls)
