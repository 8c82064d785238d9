"""Secrets: read where they are kept, and shown, copied and sent on nowhere."""

from __future__ import annotations

import copy
import os
import pickle
import sys
import threading
import types
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from dicomover import TLS, ConfigurationError, Secret
from dicomover.receiver.engine.process import ANSWERING
from dicomover.security import secret as kept
from dicomover.security.tls import client_context, server_context

SAID = "made-up-secret"


def test_where_a_secret_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read from the environment, a file (without the end of its line), the keyring, or as it was typed."""
    monkeypatch.setenv("MADE_UP_PASSWORD", SAID)
    file = tmp_path / "secret"
    file.write_text(f"{SAID}\r\n")
    file.chmod(0o600)
    monkeypatch.setitem(sys.modules, "keyring", types.SimpleNamespace(get_password=lambda *who: "/".join(who)))
    assert Secret.env("MADE_UP_PASSWORD").read() == SAID.encode()
    assert Secret.file(file).read() == SAID.encode()
    assert Secret.keyring("pacs", "alice").read() == b"pacs/alice"
    assert Secret.text("pässword").read() == "pässword".encode()


def test_it_is_read_anew_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that has been renewed since is the one that is sent."""
    secret = Secret.env("MADE_UP_TOKEN")
    for token in ("first", "second"):
        monkeypatch.setenv("MADE_UP_TOKEN", token)
        assert secret.read() == token.encode()


def test_a_secret_is_shown_nowhere() -> None:
    """Neither repr, str, format nor what a dataclass hands out shows what was typed in."""

    @dataclass(frozen=True)
    class Holder:
        secret: Secret

    holder = Holder(Secret.text(SAID))
    for shown in (
        repr(holder),
        str(holder.secret),
        f"{holder.secret}",
        repr(asdict(holder)),
        repr(copy.deepcopy(holder)),
    ):
        assert SAID not in shown
    assert not hasattr(holder.secret, "__dict__")
    with pytest.raises(AttributeError):
        holder.secret.anything = 1  # type: ignore[attr-defined]


def test_what_was_typed_in_stays_in_this_process() -> None:
    """A pickle holds where a secret is kept; of one that was typed in there is none."""
    for secret in (Secret.env("NAME"), Secret.file("/run/secrets/pacs"), Secret.keyring("pacs", "alice")):
        assert pickle.loads(pickle.dumps(secret)) == secret
        assert hash(pickle.loads(pickle.dumps(secret))) == hash(secret)
    with pytest.raises(ConfigurationError, match=r"not sent to another process; name where it is kept"):
        pickle.dumps(Secret.text(SAID))
    assert copy.copy(Secret.text(SAID)) == Secret.text(SAID)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs the permissions of POSIX")
def test_a_file_that_everybody_can_read_is_refused(tmp_path: Path) -> None:
    """The mend is the command that mends it."""
    file = tmp_path / "secret"
    file.write_text(SAID)
    file.chmod(0o644)
    with pytest.raises(ConfigurationError, match=r"everybody can read the secret in .*; chmod 600 "):
        Secret.file(file).read()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda _: Secret.env("MADE_UP_MISSING"), r"Secret.env\('MADE_UP_MISSING'\): there is nothing there"),
        (lambda folder: Secret.file(folder / "missing"), "cannot be read"),
        (lambda folder: Secret.file(folder), "cannot be read"),
        (lambda _: Secret.text("x" * 70_000), r"Secret.text\(...\): there is more than 65,535 bytes there"),
    ],
    ids=["env", "file", "folder", "long"],
)
def test_a_secret_that_is_not_there(tmp_path: Path, make: object, says: str) -> None:
    """It says where it looked, and nothing else."""
    with pytest.raises(ConfigurationError, match=says) as caught:
        make(tmp_path).read()  # type: ignore[operator]
    assert "xxx" not in str(caught.value)
    frame = caught.tb.tb_next  # the first one is this test's
    while frame is not None:
        assert "xxx" not in repr(frame.tb_frame.f_locals)
        frame = frame.tb_next


def test_a_keyring_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package, or with a keyring that does not answer, it says what to do, and nothing of the secret."""

    def locked(*_: str) -> str:
        raise RuntimeError(SAID)

    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(ConfigurationError, match=r"pip install dicomover\[keyring\]"):
        Secret.keyring("pacs", "alice").read()
    monkeypatch.setitem(sys.modules, "keyring", types.SimpleNamespace(get_password=locked))
    with pytest.raises(ConfigurationError, match="does not answer") as caught:
        Secret.keyring("pacs", "alice").read()
    assert SAID not in str(caught.value)
    monkeypatch.setitem(sys.modules, "keyring", types.SimpleNamespace(get_password=lambda *_: None))
    with pytest.raises(ConfigurationError, match="there is nothing there"):
        Secret.keyring("pacs", "alice").read()


def test_a_name_that_names_nothing() -> None:
    """An empty name is refused at once."""
    with pytest.raises(ConfigurationError, match="names nothing"):
        Secret.env("")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "shell's pipe"])
@pytest.mark.parametrize(
    "read",
    [
        lambda path: Secret.file(path).read(),
        lambda path: client_context(TLS(ca=path)),
        lambda path: server_context(TLS(cert=path)),
    ],
)
def test_a_pipe_is_not_waited_for(kind: str, read: Callable[[str], object], tmp_path: Path) -> None:
    """A named pipe that nobody writes into, a folder, a device and a shell's `<(...)` are refused at once, by name."""
    path = {"folder": str(tmp_path), "device": "/dev/zero"}.get(kind, str(tmp_path / "pipe"))
    ends = os.pipe() if kind == "shell's pipe" else ()
    if kind == "pipe":
        os.mkfifo(path)
    elif ends:
        path = f"/dev/fd/{ends[0]}"
    try:
        with pytest.raises(ConfigurationError, match=r"no file, but a pipe.*; put it into a file"):
            read(path)
    finally:
        for end in ends:
            os.close(end)


def test_a_path_that_can_be_none() -> None:
    """A NUL in a path is said like a file that is not there."""
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Secret.file("a\0b").read()


def test_a_keyring_that_hangs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is waited for within a bound, below that of whoever waits for us, and told."""
    released = threading.Event()
    monkeypatch.setitem(sys.modules, "keyring", types.SimpleNamespace(get_password=lambda *_: released.wait(30) and ""))
    assert kept._PATIENCE < ANSWERING
    monkeypatch.setattr(kept, "_PATIENCE", 0.2)
    with pytest.raises(
        ConfigurationError, match=r"keyring has not answered for 0.2 s; unlock it, or keep the secret in"
    ):
        Secret.keyring("pacs", "alice").read()
    released.set()
