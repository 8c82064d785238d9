"""The archive that comes with pynetdicom, with TLS both ways if it is asked for, which its own options cannot.

python qrscp_archive.py SETTINGS.ini [AUTHORITY CERTIFICATE KEY]
"""

from __future__ import annotations

import ssl
import sys
from functools import partialmethod

from pynetdicom.ae import ApplicationEntity
from pynetdicom.apps.qrscp.qrscp import main


def secure(authority: str, certificate: str, key: str) -> None:
    """Let every application entity listen and call by TLS."""
    for purpose, method, name in (
        (ssl.Purpose.CLIENT_AUTH, "start_server", "ssl_context"),
        (ssl.Purpose.SERVER_AUTH, "associate", "tls_args"),
    ):
        context = ssl.create_default_context(purpose, cafile=authority)
        context.load_cert_chain(certificate, key)
        context.verify_mode = ssl.CERT_REQUIRED
        how = context if name == "ssl_context" else (context, "127.0.0.1")
        setattr(ApplicationEntity, method, partialmethod(getattr(ApplicationEntity, method), **{name: how}))


if __name__ == "__main__":
    settings, *keys = sys.argv[1:]
    if keys:
        secure(*keys)
    main(["-c", settings])
