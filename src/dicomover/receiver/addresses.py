"""Which addresses may connect, looked at before anything is read."""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Callable, Sequence

from dicomover.errors import ConfigurationError
from dicomover.events import Refusal, Refused

__all__ = ["Doorkeeper", "check_network"]

_EVERY = 60.0  # seconds between two reports
_APART = 0.05  # seconds between two of one address, which may be the archive's: what it has tried concerns a request
_MOST_TOLD = 64  # addresses that are told of so closely
_NOT_AMONG = "connection refused: {} is not among the addresses that may connect"

logger = logging.getLogger("dicomover.receiver")


def check_network(text: str) -> str:
    """Return an address or a network in its usual form, or say why it is none.

    Raises ConfigurationError if it cannot be meant.

    Examples
    --------
    >>> check_network("10.1.2.0/24"), check_network("10.1.2.3"), check_network("::1")
    ('10.1.2.0/24', '10.1.2.3/32', '::1/128')
    """
    if not isinstance(text, str):
        raise ConfigurationError(f"peer address {text!r} is no text", "write it as '10.1.2.3' or '10.1.2.0/24'")
    try:
        return str(ipaddress.ip_network(text.removeprefix("[").removesuffix("]")))
    except ValueError:
        pass
    try:
        meant = ipaddress.ip_network(text, strict=False)
    except ValueError:
        mend = "give an IP address such as 10.1.2.3, or a network such as 10.1.2.0/24; names are not looked up"
        raise ConfigurationError(f"peer address {text!r} is neither an IP address nor a network", mend) from None
    raise ConfigurationError(
        f"peer address {text!r} names a host and a network at once",
        f"give {str(meant)!r} or {text.partition('/')[0]!r}",
    )


class Doorkeeper:
    """Lets in peers by their address, and tells of the others: of each address at once, of very many as a number.

    The log hears of the first one of an address at once, and then at most once a minute.
    """

    def __init__(
        self,
        networks: Sequence[str],  # who may connect; none is anybody
        tell: Callable[[Refusal], None],  # takes the reports
    ) -> None:
        self._networks = [ipaddress.ip_network(network) for network in networks]
        self._tell = tell
        self._next = 0.0
        self._untold = 0
        self._last = ""
        self._told: dict[str, float] = {}  # when each address was told of last

    def lets_in(self, address: str) -> bool:
        """Tell whether a peer with this address may connect; one that may not is counted."""
        if not self._networks:
            return True
        peer = ipaddress.ip_address(address)
        if any(peer in network for network in self._networks):
            return True
        self._untold += 1
        self._last = address
        now = time.monotonic()
        is_new = address not in self._told
        if now >= self._next:
            self.report()
            self._next = now + _EVERY
        elif is_new and len(self._told) < _MOST_TOLD:
            self.report()
        elif not is_new and now >= self._told[address] + _APART:
            self._untold -= 1
            self._refuse(_NOT_AMONG.format(address))
        else:
            return False
        if not is_new or len(self._told) < _MOST_TOLD:
            self._told[address] = now
        return False

    def report(self) -> None:
        """Tell of those who have not been told of."""
        count, self._untold = self._untold, 0
        if not count:
            return
        if count == 1:
            why = _NOT_AMONG.format(self._last)
        else:
            why = f"{count:,} connections refused, the last of {self._last}: not among the addresses that may connect"
        logger.warning("%s", why)
        self._refuse(why)

    def _refuse(self, why: str) -> None:
        mend = "add the address to addresses, if it is the archive's"
        self._tell(Refusal(time.monotonic(), why, what=Refused.CONNECTION, mend=mend, peer=self._last))
