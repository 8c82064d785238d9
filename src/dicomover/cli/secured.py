"""TLS and the user's identity at a shell: the options, and the values of the library that they come to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dicomover.cli.types import Worded
from dicomover.node import Node
from dicomover.security import TLS, Identity, Secret

if TYPE_CHECKING:
    from dicomover.cli.arguments import Arguments
    from dicomover.security.tls import TLSLike

__all__ = ["CERTIFICATES", "PEERS", "RECEIVED", "SECURED", "read_identity", "read_receiving", "secure"]


def _file(name: str, words: str, usual: str | None = None) -> Any:
    more: dict[str, Any] = {"cls": Worded, "show_default": usual} if usual else {}
    return click.option(name, type=click.Path(path_type=Path), default=None, metavar="FILE", help=words, **more)


CERTIFICATES = [
    _file("--tls-cert", "Our certificate (PEM), which is shown to whom we call, and by which we receive."),
    _file("--tls-key", "The key that belongs to it.", "in the certificate's file"),
    _file("--tls-password-file", "What opens the key, if it is encrypted."),
    _file(
        "--tls-ca",
        "The authorities that we trust (PEM), or the archive's own certificate; then also who sends has to have one.",
        "the system's, and anybody may send",
    ),
]

PEERS = [
    click.option(
        "--tls-peer",
        multiple=True,
        metavar="NAME",
        cls=Worded,
        show_default="any of the authorities'",
        help="Let in only those whose certificate has this name; repeat it for more.",
    )
]

SECURED = [
    click.option("--tls", "by_tls", is_flag=True, help="Speak TLS with the archive; the others of --tls- say so too."),
    *CERTIFICATES,
    click.option(
        "--tls-name",
        default=None,
        metavar="NAME",
        cls=Worded,
        show_default="the archive's host",
        help="The name in the archive's certificate.",
    ),
    click.option("--user", default=None, metavar="NAME", help="Name this user to the archive (PS3.7 section D.3.3.7)."),
    _file("--password-file", "The user's password."),
    click.option("--password-env", default=None, metavar="NAME", help="The environment variable that holds it."),
    _file("--jwt-file", "Show the archive this JSON Web Token."),
    _file("--saml-file", "Show the archive this SAML assertion."),
    click.option("--identity-in-plain", is_flag=True, help="Do so without TLS too, where everybody can read it."),
]
"""How the archive is spoken to, and who asks."""

RECEIVED = [
    *PEERS,
    _file("--receive-tls-cert", "Receive by TLS with this certificate, where it is another than --tls-cert."),
    _file("--receive-tls-key", "The key that belongs to it.", "in the certificate's file"),
    _file("--receive-tls-ca", "Who signs for those who send to us, where it is another than --tls-ca."),
    click.option("--receive-in-plain", is_flag=True, help="Receive without TLS, whatever --tls-cert says."),
]
"""How it is received, where it is otherwise."""


def secure(given: Arguments, node: Node) -> Node:
    """Return a node as it is to be spoken to: what is not said on the command line stays as the node has it."""
    said = (given.tls_ca, given.tls_cert, given.tls_key, given.tls_password_file, given.tls_name)
    tls: TLSLike | None = node.tls
    if given.by_tls or any(each is not None for each in said):
        tls = TLS(ca=given.tls_ca, cert=given.tls_cert, key=given.tls_key, password=_key(given), name=given.tls_name)
    identity = read_identity(given) or node.identity
    if tls is node.tls and identity is node.identity:
        return node
    return replace(node, tls=tls, identity=identity)


def read_identity(given: Arguments) -> Identity | None:
    """Return the user whom the options name."""
    how = {"in_plain": given.identity_in_plain}
    tokens = [name for name in ("jwt_file", "saml_file", "user") if getattr(given, name) is not None]
    if len(tokens) > 1:
        raise click.UsageError("--user, --jwt-file and --saml-file are identities of their own; choose one")
    passwords = [each for each in (given.password_file, given.password_env) if each is not None]
    if len(passwords) > 1:
        raise click.UsageError("--password-file and --password-env cannot both be; choose one")
    if passwords and given.user is None:
        raise click.UsageError("a password goes with a user; name --user too")
    if given.jwt_file is not None:
        return Identity.jwt(Secret.file(given.jwt_file), **how)
    if given.saml_file is not None:
        return Identity.saml(Secret.file(given.saml_file), **how)
    if given.user is None:
        return None
    if not passwords:
        return Identity.user(given.user, **how)
    kept = Secret.file(given.password_file) if given.password_file is not None else Secret.env(str(given.password_env))
    return Identity.password(given.user, kept, **how)


def read_receiving(given: Arguments, *, receives: bool = True) -> TLSLike | None:
    """Return how we receive: by TLS, if there is a certificate to do it with; None for in plain."""
    other = given.receive_tls_cert is not None
    if not other and (given.receive_tls_key is not None or given.receive_tls_ca is not None):
        raise click.UsageError("--receive-tls-key and --receive-tls-ca go with --receive-tls-cert; name that too")
    if not receives:
        if other or given.receive_in_plain or given.tls_peer:
            raise click.UsageError("--receive-… and --tls-peer are for receiving; name a folder with -od")
        return None
    if given.receive_in_plain:
        if other or given.tls_peer:
            raise click.UsageError("--receive-in-plain rules --receive-tls-cert and --tls-peer out; choose one")
        return None
    if other:
        ca = given.receive_tls_ca or given.tls_ca
        return TLS(ca=ca, cert=given.receive_tls_cert, key=given.receive_tls_key, peers=given.tls_peer)
    if given.tls_cert is not None:
        return TLS(ca=given.tls_ca, cert=given.tls_cert, key=given.tls_key, password=_key(given), peers=given.tls_peer)
    if given.tls_peer:
        raise click.UsageError("--tls-peer is for receiving by TLS; name our certificate: --tls-cert")
    return given.tls


def _key(given: Arguments) -> Secret | None:
    return None if given.tls_password_file is None else Secret.file(given.tls_password_file)
