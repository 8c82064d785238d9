"""Our own Storage SCP: what a C-MOVE brings, filed as it was sent.

It speaks the Upper Layer itself, on blocking sockets with a thread for each association; P-DATA goes from one
buffer to the file. `Receiver` is all that the rest of the package needs to know.
"""

from __future__ import annotations

from dicomover.receiver.layout import DEFAULT_LAYOUT
from dicomover.receiver.receiver import Receiver
from dicomover.receiver.settings import Limits

__all__ = ["DEFAULT_LAYOUT", "Limits", "Receiver"]
