"""How one exchange departs from the Standard: what a misbehaviour is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from dicomover.testing._raw import BytesTwist, MessageTwist


@dataclass(frozen=True, slots=True)
class Storing:
    """How the sending of instances departs from the Standard; the defaults are good manners."""

    request: BytesTwist | None = None  # a detail of the A-ASSOCIATE-RQ
    instance: MessageTwist | None = None  # a detail of each C-STORE request
    transfer_syntax: str = ""  # the only one that is offered
    one_context: tuple[str, ...] = ()  # of these, for each SOP Class, and what is not in the one accepted is not sent
    by_the_first: bool = False  # beside the first instance's own transfer syntax uncompressed ones only are offered
    encode: Callable[[bytes], bytes] | None = None  # from Explicit VR Little Endian to that one
    excess: int = 0  # PDUs longer by so many bytes than the destination takes
    first_bytes: bytes = b""  # sent instead of an association request
    any_context: bool = False  # one of another transfer syntax will do
    no_context: bool = False  # in a context that was not accepted
    interrupted: bool = False  # a response stands between the fragments of each data set, in a C-GET


@dataclass(frozen=True, slots=True)
class Script:
    """How one exchange departs from the Standard; the defaults are good manners."""

    service: Literal["move", "find", "associate"] = "move"
    refuse: bool = False  # answer `status` before any sub-operation
    status: int | None = None  # the final status, whatever happened
    counters: Literal["true", "none", "zero", "zero-at-end"] = "true"
    pending: bool = True
    fail: int = 0  # the last so many are not sent and count as failed
    skip: int = 0  # the last so many are not sent and count as completed
    warn: int = 0  # the first so many count as warnings
    listed: Literal["all", "none", "half"] = "all"  # the Failed SOP Instance UID List
    breaks: str = ""  # what happens instead of the next response, after `after` sub-operations
    after: int = 0
    seconds: float = 0.0
    late: int = 0  # the last so many are sent `seconds` after the final response
    each: int = 1  # how often each instance is sent
    foreign: bool = False  # one instance of another study is sent too
    swapped: bool = False  # another study is sent instead
    stops_at_failure: bool = False  # the first failed sub-operation ends it with 0xC000 and zero counters
    message_id_offset: int = 0
    slow: bool = False  # `seconds` pass before each sub-operation
    slow_start: bool = False  # pending responses for `seconds` before the first one
    on_cancel: Literal["obey", "ignore", "success"] = "obey"
    sends_after_abort: bool = False
    then: Literal["", "close", "again"] = ""  # after the final response: close, or send it again
    comment: bool = False  # ErrorComment and OffendingElement come along
    ignores_keys: bool = False
    omits_keys: bool = False
    counts_off: int | None = None  # added to the NumberOf… answers; None with omits_counts
    omits_counts: bool = False
    no_match: bool = False
    no_lists: bool = False  # a list of UIDs is answered with `status`, or `breaks`, as if it named nothing
    most: int = 0  # no more answers than so many; 0 is no cap
    over: Literal["", "final", "refuse", "close"] = ""  # what comes of the others; "" is silence about them
    again: int = 0  # the first so many are sent, and counted, once more at the end
    miscounted: int = 0  # the last so many are sent, and count as failed
    one_uid: bool = False  # the first instance of the second series has the SOP Instance UID of the first one of all
    counts_from: int = 0  # counts as if so many had been sent before, beginning with pending responses that say so
    wraps: bool = False  # the counters begin again after 65,535, else they stop there
    together: bool = False  # all responses come in one PDU
    charset: tuple[str, str] | None = None  # how texts of answers are labelled ("" is not at all) and encoded
    acceptance: BytesTwist | None = None  # a detail of the A-ASSOCIATE-AC
    response: MessageTwist | None = None  # a detail of each response
    storing: Storing = Storing()  # details of what is sent to the destination

    def facing(self, *, is_list: bool) -> Script:
        """Return what it comes to before a request that names a list of UIDs, or one that does not."""
        if not self.no_lists:
            return self
        if not is_list:
            return Script(self.service)
        is_move = self.service == "move"
        counters: Literal["none", "zero"] = "none" if self.status else "zero"
        return replace(self, refuse=is_move or bool(self.status), no_match=not is_move, counters=counters)
