"""TLS and the user's identity at a shell: the options, and the values of the library that they come to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from dicomover.cli.types import Worded
from dicomover.node import Node
from dicomover.security import TLS, Identity, Secret
from dicomover.security.tls import TLSLike

__all__ = ["CERTIFICATES", "PEERS", "RECEIVED", "SECURED", "Secured"]


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
    click.option(
        "--tls", "by_tls", is_flag=True, help="Speak TLS with the archive; --tls-ca and --tls-cert say so too."
    ),
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Secured:
    """The values of these options, and what they come to."""

    by_tls: bool = False
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_password_file: Path | None = None
    tls_ca: Path | None = None
    tls_name: str | None = None
    tls_peer: tuple[str, ...] = ()
    receive_tls_cert: Path | None = None
    receive_tls_key: Path | None = None
    receive_tls_ca: Path | None = None
    receive_in_plain: bool = False
    tls: TLSLike | None = None  # how we receive by a profile
    user: str | None = None
    password_file: Path | None = None
    password_env: str | None = None
    jwt_file: Path | None = None
    saml_file: Path | None = None
    identity_in_plain: bool = False

    def secure(self, node: Node) -> Node:
        """Return a node as it is to be spoken to: what is not said on the command line stays as the node has it."""
        said = (self.tls_ca, self.tls_cert, self.tls_key, self.tls_password_file, self.tls_name)
        tls: TLSLike | None = node.tls
        if self.by_tls or any(each is not None for each in said):
            tls = TLS(ca=self.tls_ca, cert=self.tls_cert, key=self.tls_key, password=self._key(), name=self.tls_name)
        identity = self.read_identity() or node.identity
        if tls is node.tls and identity is node.identity:
            return node
        return replace(node, tls=tls, identity=identity)

    def read_identity(self) -> Identity | None:
        """Return the user whom the options name."""
        how = {"in_plain": self.identity_in_plain}
        if sum(each is not None for each in (self.jwt_file, self.saml_file, self.user)) > 1:
            raise click.UsageError("--user, --jwt-file and --saml-file are identities of their own; choose one")
        if self.password_file is not None and self.password_env is not None:
            raise click.UsageError("--password-file and --password-env cannot both be; choose one")
        secret = None if self.password_file is None else Secret.file(self.password_file)
        secret = Secret.env(self.password_env) if self.password_env is not None else secret
        if secret is not None and self.user is None:
            raise click.UsageError("a password goes with a user; name --user too")
        if self.jwt_file is not None:
            return Identity.jwt(Secret.file(self.jwt_file), **how)
        if self.saml_file is not None:
            return Identity.saml(Secret.file(self.saml_file), **how)
        if self.user is None:
            return None
        return Identity.user(self.user, **how) if secret is None else Identity.password(self.user, secret, **how)

    def read_receiving(self, *, receives: bool = True) -> TLSLike | None:
        """Return how we receive: by TLS, if there is a certificate to do it with; None for in plain."""
        other = self.receive_tls_cert is not None
        if not other and (self.receive_tls_key is not None or self.receive_tls_ca is not None):
            raise click.UsageError("--receive-tls-key and --receive-tls-ca go with --receive-tls-cert; name that too")
        if not receives:
            if other or self.receive_in_plain or self.tls_peer:
                raise click.UsageError("--receive-… and --tls-peer are for receiving; name a folder with -od")
            return None
        if self.receive_in_plain:
            if other or self.tls_peer:
                raise click.UsageError("--receive-in-plain rules --receive-tls-cert and --tls-peer out; choose one")
            return None
        if other:
            ca = self.receive_tls_ca or self.tls_ca
            return TLS(ca=ca, cert=self.receive_tls_cert, key=self.receive_tls_key, peers=self.tls_peer)
        if self.tls_cert is None and self.tls_peer:
            raise click.UsageError("--tls-peer is for receiving by TLS; name our certificate: --tls-cert")
        if self.tls_cert is None:
            return self.tls
        key, password = self.tls_key, self._key()
        return TLS(ca=self.tls_ca, cert=self.tls_cert, key=key, password=password, peers=self.tls_peer)

    def _key(self) -> Secret | None:
        return None if self.tls_password_file is None else Secret.file(self.tls_password_file)
