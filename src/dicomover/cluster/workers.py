"""The workers of a Dask cluster, as a client sees them: who there is, and what one of them answers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any

from dicomover.cluster.messages import Trouble, host
from dicomover.errors import DicomoverError, ReceiverError

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["Busy", "Gone", "Nobody", "Silent", "Workers", "read"]

_LOOK = 2.0  # seconds between two looks whether those who are asked are there


class Silent(DicomoverError):
    """A worker does not answer, for now or for good."""


class Gone(Silent):
    """A worker is not there any more, or has given the lease back."""


class Nobody(Silent):
    """There is no worker that could be asked."""


class Busy(ReceiverError):
    """A worker cannot take a place for now, such as while its port is in use."""


class Workers:
    """Asks workers, over the scheduler, so that it works from outside of the cluster too. From any thread.

    Outside of Dask's tasks: those are forgotten when a connection is cut, run again elsewhere when a worker dies, and
    wait where a worker is busy.
    """

    def __init__(self, client: Client) -> None:
        self._client: Any = client

    @property
    def is_closed(self) -> bool:
        """Whether the client has ended: nobody answers any more."""
        return self._client.status in ("closed", "closing")

    def list_all(self) -> list[str]:
        """Return the addresses of those that are there; raises Silent if the scheduler does not answer."""
        return list(self._ask_scheduler(None))

    def has(self, address: str) -> bool:
        """Tell whether a worker is there; raises Silent if the scheduler does not answer."""
        return address in self._ask_scheduler([address])

    def list_at(self, place_host: str | None) -> list[str]:
        """Return those that run on a machine; all of them for None."""
        addresses = self.list_all()
        if place_host is None:
            return addresses
        names = {place_host}
        with contextlib.suppress(OSError, UnicodeError):
            names |= {str(found[4][0]) for found in socket.getaddrinfo(place_host, None)}
        return [each for each in addresses if each.rpartition("://")[2].rpartition(":")[0].strip("[]") in names]

    def _ask_scheduler(self, addresses: list[str] | None) -> dict[str, int]:
        async def ask() -> Any:
            return await asyncio.wait_for(self._client.nthreads(addresses), 10)

        try:
            return dict(self._client.sync(ask))
        except Exception as error:  # whatever Dask says of a connection that is gone
            raise Silent(f"the scheduler does not answer ({type(error).__name__})") from error

    def ask(self, address: str, what: str, *arguments: Any, seconds: float = 15.0) -> Any:
        """Return what a function of `hosting` answers on a worker.

        Raises Gone and Silent, and ReceiverError if it says so itself.
        """
        answer = self.ask_all([address], what, *arguments, seconds=seconds)[address]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def ask_all(self, addresses: list[str], what: str, *arguments: Any, seconds: float = 15.0) -> dict[str, Any]:
        """Ask several at once; what `ask` raises stands among the answers."""

        async def ask() -> Any:
            run = asyncio.ensure_future(self._client.run(host, what, *arguments, workers=addresses, on_error="return"))
            try:
                return await asyncio.wait_for(self._watch(run, addresses), seconds)
            finally:
                run.cancel()

        try:
            answers = self._client.sync(ask)
        except Exception as error:  # noqa: BLE001 - whatever Dask says of a connection that is gone
            silent = Silent(f"the cluster does not answer ({type(error).__name__})")
            return dict.fromkeys(addresses, silent)
        return {address: read(answers.get(address, Gone("the worker is gone"))) for address in addresses}

    async def _watch(self, run: asyncio.Future[Any], addresses: list[str]) -> Any:
        """Wait while all who were asked are there: Dask tries to reach one that has just died for half a minute."""
        while not (await asyncio.wait({run}, timeout=_LOOK))[0]:
            if len(await self._client.nthreads(addresses)) < len(addresses):
                raise Gone("a worker is gone")
        return run.result()


def read(answer: Any) -> Any:
    """Return what a worker has answered; what stands for an error as one."""
    if isinstance(answer, Trouble):
        kind = Gone if answer.is_gone else Busy if answer.is_passing else ReceiverError
        return kind(answer.what, answer.mend)
    if isinstance(answer, ImportError | AttributeError):
        why = f"the worker has no dicomover of this version ({type(answer).__name__})"
        return ReceiverError(why, "install the same version on all workers")
    if isinstance(answer, Exception) and not isinstance(answer, DicomoverError):
        return Silent(f"the worker does not answer ({type(answer).__name__})")
    return answer
