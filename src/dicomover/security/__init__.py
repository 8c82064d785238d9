"""How a connection is secured, and who we say that we are: TLS, user identity, and where secrets are kept.

Plain values that can be shown, copied and sent to another process; what is secret is read when it is needed, and kept
nowhere.
*Never here:* a socket of our own, and when a connection is made.
"""

from __future__ import annotations

from dicomover.security.identity import Identity
from dicomover.security.secret import Secret
from dicomover.security.tls import TLS

__all__ = ["TLS", "Identity", "Secret"]
