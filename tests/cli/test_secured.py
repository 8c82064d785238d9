"""TLS and the user's identity at a shell: what the options come to."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from dicomover import TLS, ConfigurationError, Identity, Node, Secret
from dicomover.cli.secured import Secured

CA, CERT, KEY = Path("ca.pem"), Path("ours.pem"), Path("ours.key")
PLAIN = Node("pacs", 104)
PEERS = TLS(ca=CA, cert=CERT, peers=["A"])


def test_one_set_is_for_both_legs() -> None:
    """With a certificate we receive by TLS too, from whom the same authorities have signed."""
    given = Secured(tls_ca=CA, tls_cert=CERT, tls_key=KEY, tls_name="archive", tls_password_file=Path("p"))
    locked = Secret.file("p")
    assert given.secure(PLAIN).tls == TLS(ca=CA, cert=CERT, key=KEY, name="archive", password=locked)
    assert given.read_receiving() == TLS(ca=CA, cert=CERT, key=KEY, password=locked)
    assert given.read_receiving(receives=False) is None


@pytest.mark.parametrize(
    ("given", "node", "receiver"),
    [
        (Secured(), None, None),
        (Secured(by_tls=True), TLS(), None),
        (Secured(tls_ca=CA), TLS(ca=CA), None),
        (Secured(tls_ca=CA, tls_cert=CERT, receive_in_plain=True), TLS(ca=CA, cert=CERT), None),
        (Secured(tls_ca=CA, tls_cert=CERT, tls_peer=("A",)), TLS(ca=CA, cert=CERT), PEERS),
        (Secured(tls_ca=CA, receive_tls_cert=CERT), TLS(ca=CA), TLS(ca=CA, cert=CERT)),
        (Secured(receive_tls_cert=CERT, receive_tls_key=KEY), None, TLS(cert=CERT, key=KEY)),
        (
            Secured(tls_ca=CA, tls_cert=CERT, receive_tls_cert=KEY, receive_tls_ca=Path("other.pem")),
            TLS(ca=CA, cert=CERT),
            TLS(ca="other.pem", cert=KEY),
        ),
    ],
)  # fmt: skip
def test_each_leg_may_have_its_own(given: Secured, node: TLS | None, receiver: TLS | None) -> None:
    """What is said of one leg only is of that leg only."""
    assert given.secure(PLAIN).tls == node
    assert given.read_receiving() == receiver


def test_a_profile_says_what_nobody_has_typed() -> None:
    """Its TLS and identity stay; options stand in their place."""
    tls, identity = TLS(ca="profile.pem"), Identity.user("bob")
    known = Node("pacs", 104, tls=tls, identity=identity)
    kept = Secured().secure(known)
    assert (kept.tls, kept.identity) == (tls, identity)
    typed = Secured(tls_ca=CA, user="alice").secure(known)
    assert (typed.tls, typed.identity) == (TLS(ca=CA), Identity.user("alice"))
    assert Secured(tls=tls).read_receiving() is tls


@pytest.mark.parametrize(
    ("given", "identity"),
    [
        (Secured(), None),
        (Secured(user="alice"), Identity.user("alice")),
        (Secured(user="a", password_file=Path("p")), Identity.password("a", Secret.file("p"))),
        (
            Secured(user="a", password_env="P", identity_in_plain=True),
            Identity.password("a", Secret.env("P"), in_plain=True),
        ),
        (Secured(jwt_file=Path("t")), Identity.jwt(Secret.file("t"))),
        (Secured(saml_file=Path("t")), Identity.saml(Secret.file("t"))),
    ],
)
def test_who_asks(given: Secured, identity: Identity | None) -> None:
    """A user alone, with a password that is kept somewhere, or a token; never a secret on the command line."""
    assert given.read_identity() == identity


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (Secured(user="a", jwt_file=Path("t")), "choose one"),
        (Secured(user="a", password_file=Path("p"), password_env="P"), "choose one"),
        (Secured(password_env="P"), "name --user too"),
        (Secured(receive_tls_ca=CA), "go with --receive-tls-cert"),
        (Secured(receive_tls_cert=CERT, receive_in_plain=True), "choose one"),
        (Secured(tls_peer=("A",)), "name our certificate: --tls-cert"),
    ],
)
def test_what_cannot_be_meant(given: Secured, says: str) -> None:
    """It says which options do not go together."""

    def read() -> object:
        return given.read_identity(), given.read_receiving()

    with pytest.raises(click.UsageError, match=says):
        read()


def test_nobody_is_named_in_plain_by_chance() -> None:
    """Without TLS the archive is not told who asks."""
    with pytest.raises(ConfigurationError, match="in_plain"):
        Secured(user="alice").secure(PLAIN)
