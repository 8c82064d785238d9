"""Where the images should come: our own port, or a third party."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from dataclasses import replace

from dicomover.doctor.findings import Check, Setup, describe_stranger
from dicomover.errors import AssociationRejected, ConfigurationError, ContextRejected, NodeError, NodeUnreachable
from dicomover.node import Node
from dicomover.security.door import see_own_certificate
from dicomover.security.failures import names_in
from dicomover.security.tls import TLS
from dicomover.wire.association import Association

__all__ = ["check_destination", "find_own_address"]


def check_destination(setup: Setup) -> Check:
    """Examine who should receive."""
    if setup.via == "get" and setup.trouble is None:
        return Check("our port", "skipped", "images come by C-GET on our own association: no port is needed")
    if setup.trouble is not None:
        return Check("our port", "failed", setup.trouble.what, setup.trouble.mend)
    if setup.port is not None:
        return _check_own_port(setup, setup.port)
    if setup.destination_node is not None:
        return _check_third_party(setup, setup.destination_node)
    if setup.destination is not None:
        found = f"{setup.destination!r} is known to us by its AE title only"
        return Check("destination", "skipped", found, "name it as AET@host:port to have it examined")
    return Check("destination", "skipped", "nobody is named to receive")


def _check_own_port(setup: Setup, port: int) -> Check:
    address, bound = find_own_address(setup.node), _bound(setup.bind)
    if bound is not None and Node(bound, port).is_loopback and not setup.node.is_loopback:
        advice = "listen on every address; the archive cannot reach a loopback address of ours"
        return Check("our port", "failed", f"we listen on {bound} only", advice)
    here = bound or address or "127.0.0.1"
    every = "" if bound else "; we listen on every address of this machine"
    try:
        if setup.is_open and setup.tls is None:  # else our own call would be one of those that are refused
            socket.create_connection((here, port), timeout=5).close()
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        found = f"no connection to {here} port {port} from this machine ({why})"
        return Check("our port", "failed", found, "does a firewall on this machine close it?")
    if isinstance(setup.tls, TLS):
        try:
            names = names_in(see_own_certificate(setup.tls))
        except ConfigurationError as error:
            return Check("our port", "failed", error.what, error.mend)
        every += f"; it may have to call us by a name in our certificate: {', '.join(names) or 'there is none'}"
    if setup.node.is_loopback:
        advice = f"the archive has to have this port for {setup.ae_title!r}; only a move can show"
        return Check("our port", "ok", f"we listen on {here} port {port}", advice + every)
    if bound is not None and address is not None and bound != address:
        found = f"we listen on {bound} only, but go to the archive from {address}"
        advice = f"listen on every address, or see that the archive has {bound} for {setup.ae_title!r}"
        return Check("our port", "unclear", found, advice)
    where = address or "this machine's address"
    advice = (
        f"the archive has to know {setup.ae_title!r} at {where}, port {port}; whether a firewall lets it in, "
        "only a move can show"
    )
    return Check("our port", "ok", f"we listen on {here} port {port}", advice + every)


def _bound(bind: str | None) -> str | None:
    """Return the one address that we listen on; None if it is every one."""
    try:
        return None if not bind or ipaddress.ip_address(bind).is_unspecified else bind
    except ValueError:
        return bind


def _check_third_party(setup: Setup, node: Node) -> Check:
    association = Association(node, setup.ae_title, setup.timeouts)
    try:
        association.open()
        association.echo(1)
    except (AssociationRejected, ContextRejected) as error:
        advice = "it listens, but is not open to us; it may be open to the archive"
        return Check("destination", "unclear", error.what, advice)
    except NodeUnreachable as error:
        if error.code == errno.ECONNREFUSED:
            return Check("destination", "failed", error.what, "is it running, and is this its port?")
        if not error.retriable:  # it is there, and TLS with it is not
            return Check("destination", "failed", error.what, error.mend)
        return Check("destination", "unclear", error.what, "we cannot reach it from here; perhaps the archive can")
    except ConfigurationError as error:  # a certificate or a secret that is not there
        return Check("destination", "failed", error.what, error.mend)
    except NodeError as error:
        return Check("destination", "failed", describe_stranger(replace(setup, node=node), error), "is this its port?")
    finally:
        association.release()
    return Check("destination", "ok", f"{node} answers us", "whether the archive reaches it too, only a move can show")


def find_own_address(node: Node) -> str | None:
    """Return the address of this machine as the archive sees it, if the route says so; nothing is sent."""
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(node.host, node.port, type=socket.SOCK_DGRAM):
            with socket.socket(family, kind, protocol) as probe:
                probe.connect(address)
                return str(probe.getsockname()[0])
    except OSError:
        pass
    return None
