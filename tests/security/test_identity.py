"""The user whom we name: its fields on the wire, and what of it is shown."""

from __future__ import annotations

import pickle

import pytest

from dicomover import ConfigurationError, Identity, Node, Secret


def test_the_fields_of_each_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name and password, name alone, and one field for an assertion or a token (PS3.7 section D.3.3.7)."""
    monkeypatch.setenv("MADE_UP", "made-up-secret")
    secret = Secret.env("MADE_UP")
    assert (Identity.user("älice").kind, Identity.user("älice").fields()) == (1, ("älice".encode(), b""))
    assert (Identity.password("a", secret).kind, Identity.password("a", secret).fields()) == (
        2,
        (b"a", b"made-up-secret"),
    )
    assert (Identity.saml(secret).kind, Identity.saml(secret).fields()) == (4, (b"made-up-secret", b""))
    assert (Identity.jwt(secret).kind, Identity.jwt(secret).fields()) == (5, (b"made-up-secret", b""))


def test_an_identity_shows_where_its_secret_is() -> None:
    """Its repr, str and pickle hold no secret."""
    typed = Identity.password("alice", Secret.text("made-up-secret"))
    assert "made-up-secret" not in repr(typed) + str(typed)
    kept = Identity.jwt(Secret.env("TOKEN"), confirm=True)
    assert pickle.loads(pickle.dumps(kept)) == kept
    with pytest.raises(ConfigurationError, match="not sent to another process"):
        pickle.dumps(typed)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Identity.password("alice", "made-up-secret"), r"the password is no Secret; name where it is kept"),  # type: ignore[arg-type]
        (lambda: Identity.jwt("made-up-secret"), r"the token is no Secret"),  # type: ignore[arg-type]
        (lambda: Identity.user(""), "is no name of a user"),
        (lambda: Identity(3, "alice"), "type 3 is none that we can name"),  # type: ignore[arg-type]
    ],
    ids=["password", "token", "name", "kerberos"],
)
def test_an_identity_that_cannot_be_meant(make: object, says: str) -> None:
    """It is refused at once, and a password that stands in the code is not shown."""
    with pytest.raises(ConfigurationError, match=says) as caught:
        make()  # type: ignore[operator]
    assert "made-up-secret" not in str(caught.value)


def test_nobody_is_named_in_plain_unless_somebody_says_so() -> None:
    """Without TLS a node takes an identity only with in_plain; the node's own repr says nothing of it."""
    with pytest.raises(ConfigurationError, match=r"user 'alice' would be named to h where everybody .*in_plain=True"):
        Node("h", 104, identity=Identity.user("alice"))
    node = Node("h", 104, identity=Identity.user("alice", in_plain=True))
    assert "alice" not in repr(node) + str(node)
    with pytest.raises(ConfigurationError, match="is no Identity"):
        Node("h", 104, identity="alice")  # type: ignore[arg-type]
