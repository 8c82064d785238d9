"""Our own Storage SCP: what a C-MOVE or a C-GET brings, filed as it was sent.

`Receiver` is all that others need to know. `scp` serves one association; `engine` says in which process.

Never here: requests and verdicts. Whom to let in the receiver is told, and it tells what has arrived.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dicomover.receiver.layout import DEFAULT_LAYOUT
    from dicomover.receiver.receiver import Receiver
    from dicomover.receiver.settings import Limits

__all__ = ["DEFAULT_LAYOUT", "Limits", "Receiver"]


_HOMES = {"DEFAULT_LAYOUT": "layout", "Limits": "settings", "Receiver": "receiver"}


def __getattr__(name: str) -> object:
    # The receiver's own process imports this package for what lies in it, and has no use for what its parent needs.
    if name not in _HOMES:
        raise AttributeError(f"module 'dicomover.receiver' has no attribute {name!r}")
    return getattr(importlib.import_module(f"dicomover.receiver.{_HOMES[name]}"), name)
