"""TLS and identities in profiles, and secrets that are named, not written down."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dicomover import TLS, ConfigurationError, Identity, Mover, Secret
from dicomover.profiles import list_profiles, load_profile
from profiles_kit import MAIN, Home, make_home

MADE_UP = "hunter2-made-up"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Make a user's folder and a project's."""
    return make_home(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("text", "tls"),
    [
        ("tls = true", TLS()),
        ("tls = false", None),
        ('tls = { ca = "ca.pem", name = "archive" }', TLS(ca="BESIDE/ca.pem", name="archive")),
        ("tls = { cert = '/etc/c.pem', key = 'k.pem', password = { env = 'P' } }",
         TLS(cert="/etc/c.pem", key="BESIDE/k.pem", password=Secret.env("P"))),
    ],
)  # fmt: skip
def test_tls_of_a_node(home: Home, text: str, tls: TLS | None) -> None:
    """It is the value that Python has; its files are meant beside the file that names them."""
    home.user(f"{MAIN}{text}\n")
    found = load_profile("main").node.tls
    assert repr(found).replace(str(home.config), "BESIDE") == repr(tls)


@pytest.mark.parametrize(
    ("text", "identity"),
    [
        ('user = "alice"', Identity.user("alice")),
        ('user = "alice"\npassword = { keyring = "pacs", user = "alice" }\nconfirm = true',
         Identity.password("alice", Secret.keyring("pacs", "alice"), confirm=True)),
        ('saml = { env = "ASSERTION" }', Identity.saml(Secret.env("ASSERTION"))),
        ('jwt = { file = "/run/token" }', Identity.jwt(Secret.file("/run/token"))),
        (f'user = "alice"\npassword = "{MADE_UP}"', Identity.password("alice", Secret.text(MADE_UP))),
    ],
)  # fmt: skip
def test_identities(home: Home, text: str, identity: Identity) -> None:
    """Each kind of identity is the value that Python has, and shows no secret."""
    home.user(f"{MAIN}tls = true\n[nodes.main.identity]\n{text}\n")
    profile = load_profile("main")
    assert profile.node.identity == identity
    assert MADE_UP not in repr(profile) + repr(profile.node) + str(profile.node.identity)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("password = { env = 'P' }", "give user; user and password; saml; or jwt"),
        ("user = 'a'\nsaml = { env = 'P' }", "give user; user and password"),
        ("confirm = true", "give user; user and password"),
        ("user = 'a'\npassword = {}", "a secret is kept in one place"),
        ("user = 'a'\npassword = { env = 'A', file = 'b' }", "a secret is kept in one place"),
        ("user = 'a'\npassword = { environ = 'A' }", "did you mean 'env'"),
        ("user = 'a'\npassword = 4711", "password is a whole number, where a text or a table is meant"),
        ("user = ''", "is no name of a user"),
    ],
)
def test_identities_that_cannot_be_meant(home: Home, text: str, says: str) -> None:
    """The table is named, and what to write."""
    home.user(f"{MAIN}tls = true\n[nodes.main.identity]\n{text}\n")
    with pytest.raises(ConfigurationError, match=r"\[nodes\.main") as caught:
        load_profile("main")
    assert says in str(caught.value)


def test_an_identity_goes_by_tls_only(home: Home) -> None:
    """In plain it is refused, as in Python, with the place of the mend."""
    home.user(f"{MAIN}[nodes.main.identity]\nuser = 'alice'\n")
    with pytest.raises(ConfigurationError, match="everybody in between can read it"):
        Mover("main")
    home.user(f"{MAIN}[nodes.main.identity]\nuser = 'alice'\nin_plain = true\n")
    assert Mover("main").node.identity == Identity.user("alice", in_plain=True)


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
@pytest.mark.parametrize(
    "text",
    [
        f"[nodes.other]\nhost='h'\nport=1\ntls=true\nidentity={{user='a', password='{MADE_UP}'}}\n",
        f"[nodes.other]\nhost='h'\nport=1\ntls={{cert='c', password='{MADE_UP}'}}\n",
        f"[me.tls]\ncert='c'\npassword='{MADE_UP}'\n",
    ],
)
def test_a_file_with_a_secret_that_others_can_read(home: Home, text: str) -> None:
    """It is refused, whichever node is asked for, and not quoted; for its owner alone it is read."""
    path = home.user(MAIN + text)
    for mode in (0o640, 0o604, 0o660):
        path.chmod(mode)
        for ask in (list_profiles, lambda: Mover("main")):
            with pytest.raises(ConfigurationError, match="others can read the file; chmod 600") as caught:
                ask()
            assert MADE_UP not in str(caught.value)
    path.chmod(0o400)
    load_profile("main")
    home.user(MAIN + "[nodes.main.tls]\npassword = { env = 'A' }\ncert = 'c'\n").chmod(0o644)
    load_profile("main")


@pytest.mark.parametrize(
    "text",
    [
        "tls = true\nidentity = { user = 'a', password = { file = '~/.netrc' } }\n",
        "tls = true\nidentity = { jwt = { env = 'TOKEN' } }\n",
        "tls = true\nidentity = { saml = { keyring = 'mail', user = 'a' } }\n",
        f"tls = true\nidentity = {{ user = 'a', password = '{MADE_UP}' }}\n",
        "tls = { cert = 'c', password = { env = 'P' } }\n",
        "[me.tls]\ncert = 'c'\npassword = { env = 'P' }\n",
    ],
)
def test_a_projects_file_names_no_secret(home: Home, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """It is refused, with where it belongs: the user's own file, or one that the user has named."""
    path = home.own(MAIN + text)
    for ask in (list_profiles, lambda: load_profile("main")):
        with pytest.raises(ConfigurationError, match=r"a project's file could.*; put the node into your own") as caught:
            ask()
        assert MADE_UP not in str(caught.value)
    monkeypatch.setenv("DICOMOVER_CONFIG", str(path))
    load_profile("main")


def test_a_projects_file_names_a_user(home: Home) -> None:
    """Who somebody is there, and a node that is named like a secret, are none."""
    home.own(f"{MAIN}tls = true\nidentity = {{ user = 'alice' }}\n" + MAIN.replace("main", "password"))
    assert load_profile("main").node.identity == Identity.user("alice")
    assert load_profile("password").node.port == 104
