"""What a profile says of TLS and of who we are; a secret is named by where it is kept, or kept from everybody else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dicomover.errors import ConfigurationError
from dicomover.profiles.files import VARIABLE, Source, user_file
from dicomover.security import TLS, Identity, Secret

__all__ = ["check_private", "read_identity", "read_tls"]

_PROOFS = ("password", "saml", "jwt")


def check_private(source: Source) -> None:
    """Refuse a file in which a secret stands and that others can read, or one of a project that names any secret.

    Raises ConfigurationError, without the secret.
    """
    for where, key, is_text in _secrets(source.table):
        if source.is_project:
            raise ConfigurationError(
                f"{source.path}: [{where}] {key} names a secret, which a project's file could send to anybody",
                f"put the node into your own {user_file()}, or name this file in {VARIABLE}, if you trust it",
            )
        if is_text and not source.is_private:
            raise ConfigurationError(
                f"{source.path}: [{where}] {key} is a secret, and others can read the file",
                f'chmod 600 {source.path}, or say where it is kept: {key} = {{ env = "NAME" }}',
            )


def _secrets(table: Mapping[str, Any], where: str = "") -> Iterator[tuple[str, str, bool]]:
    """Yield in which table a secret is said, under which key, and whether it stands there itself."""
    for name, value in table.items():
        if name in _PROOFS and where != "nodes":  # where it would be a node's name
            yield where, name, isinstance(value, str)
        elif isinstance(value, dict):
            yield from _secrets(value, f"{where}.{name}" if where else name)


def read_tls(said: bool | Mapping[str, Any], source: Source) -> TLS | None:
    """Return TLS as a file says it: `true` trusts the system's authorities, `false` is none."""
    if isinstance(said, bool):
        return TLS() if said else None
    given: dict[str, Any] = dict(said)
    for name in ("ca", "cert", "key"):
        if name in given:
            given[name] = str(source.find(given[name]))
    if "password" in given:
        given["password"] = _read_secret(given["password"], source)
    return TLS(**given)


def read_identity(said: Mapping[str, Any], source: Source) -> Identity:
    """Return the identity that a file names."""
    proofs = [name for name in _PROOFS if name in said]
    how = {name: said[name] for name in ("confirm", "in_plain") if name in said}
    if len(proofs) > 1 or ("user" in said) != (proofs in ([], ["password"])):
        raise ConfigurationError(
            "an identity is a user, a user with a password, a SAML assertion or a JWT",
            "give user; user and password; saml; or jwt",
        )
    if not proofs:
        return Identity.user(said["user"], **how)
    secret = _read_secret(said[proofs[0]], source)
    if proofs == ["password"]:
        return Identity.password(said["user"], secret, **how)
    return Identity.saml(secret, **how) if proofs == ["saml"] else Identity.jwt(secret, **how)


def _read_secret(said: str | Mapping[str, str], source: Source) -> Secret:
    """Return where a secret is kept; one that stands in the file itself is a text."""
    if isinstance(said, str):
        return Secret.text(said)
    if set(said) == {"env"}:
        return Secret.env(said["env"])
    if set(said) == {"file"}:
        return Secret.file(source.find(said["file"]))
    if set(said) == {"keyring", "user"}:
        return Secret.keyring(said["keyring"], said["user"])
    raise ConfigurationError(
        "a secret is kept in one place",
        'say { env = "NAME" }, { file = "path" }, or { keyring = "service", user = "name" }',
    )
