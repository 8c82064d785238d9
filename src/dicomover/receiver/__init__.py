"""Our own Storage SCP: what a C-MOVE or a C-GET brings, filed as it was sent.

`Receiver` is all that others need to know. `scp` serves one association; `engine` says in which process.

Never here: requests and verdicts. Whom to let in the receiver is told, and it tells what has arrived.
"""

from __future__ import annotations

from dicomover.receiver.layout import DEFAULT_LAYOUT
from dicomover.receiver.receiver import Receiver
from dicomover.receiver.settings import Limits

__all__ = ["DEFAULT_LAYOUT", "Limits", "Receiver"]
