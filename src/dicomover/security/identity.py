"""Who we say that we are, beside our AE title: user identity negotiation (PS3.7 section D.3.3.7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dicomover.errors import ConfigurationError
from dicomover.security.secret import Secret, check_secret

__all__ = ["Identity"]

_WORDS = {1: "user {!r}", 2: "user {!r} with a password", 4: "a SAML assertion", 5: "a JSON Web Token"}


@dataclass(frozen=True, slots=True)
class Identity:
    """The user on whose behalf an archive is asked (PS3.7 section D.3.3.7), made by one of its class methods.

    It is sent when an association is requested, by TLS only unless `in_plain` says otherwise. Many archives pass it
    over without a word; `confirm` asks for one, which goes to the log. Kerberos (type 3) is not there.

    Examples
    --------
    >>> from dicomover import Secret
    >>> Identity.password("alice", Secret.env("PACS_PASSWORD"))
    Identity(type=2, user 'alice' with a password, Secret.env('PACS_PASSWORD'))
    >>> Identity.user("alice", in_plain=True)
    Identity(type=1, user 'alice')
    """

    kind: Literal[1, 2, 4, 5]
    name: str = ""
    secret: Secret | None = None
    confirm: bool = False
    in_plain: bool = False

    def __post_init__(self) -> None:
        if self.kind not in _WORDS:
            raise ConfigurationError(
                f"an identity of type {self.kind!r} is none that we can name", "give a user, a password, SAML or a JWT"
            )
        if self.kind in (1, 2) and (not isinstance(self.name, str) or not 0 < len(self.name.encode()) <= 65535):
            raise ConfigurationError(f"user {self.name!r} is no name of a user", "give the one that the archive knows")
        if self.kind != 1:
            check_secret(self.secret, "the password" if self.kind == 2 else "the token")

    @classmethod
    def user(cls, name: str, *, confirm: bool = False, in_plain: bool = False) -> Identity:
        """Name a user, and nothing that proves it (type 1)."""
        return cls(1, name, None, confirm, in_plain)

    @classmethod
    def password(cls, name: str, secret: Secret, *, confirm: bool = False, in_plain: bool = False) -> Identity:
        """Name a user and show a password (type 2)."""
        return cls(2, name, secret, confirm, in_plain)

    @classmethod
    def saml(cls, secret: Secret, *, confirm: bool = False, in_plain: bool = False) -> Identity:
        """Show a SAML assertion (type 4), read anew for each association."""
        return cls(4, "", secret, confirm, in_plain)

    @classmethod
    def jwt(cls, secret: Secret, *, confirm: bool = False, in_plain: bool = False) -> Identity:
        """Show a JSON Web Token (type 5), read anew for each association."""
        return cls(5, "", secret, confirm, in_plain)

    def __str__(self) -> str:
        return _WORDS[self.kind].format(self.name)

    def __repr__(self) -> str:
        return f"Identity(type={self.kind}, {self}{f', {self.secret!r}' if self.secret else ''})"

    def fields(self) -> tuple[bytes, bytes]:
        """Return the primary and the secondary field; raises ConfigurationError if the secret is not there.

        Whoever calls it keeps neither: a frame that lives on shows them in a traceback.
        """
        if self.kind == 1:
            return self.name.encode(), b""
        assert self.secret is not None
        return (self.name.encode(), self.secret.read()) if self.kind == 2 else (self.secret.read(), b"")
