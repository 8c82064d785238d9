"""Files of profiles as people and their editors leave them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dicomover.errors import ConfigurationError
from dicomover.profiles import files
from dicomover.profiles.files import list_files, parse, read, user_file
from profiles_kit import MAIN, Home, make_home

SECRET = "hunter2-made-up"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Make a user's folder and a project's."""
    return make_home(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    "raw",
    [
        MAIN.encode(),
        b"\xef\xbb\xbf" + MAIN.encode(),
        MAIN.replace("\n", "\r\n").encode(),
        ("# Größe, größer\n" + MAIN).encode(),
        MAIN.rstrip("\n").encode(),
    ],
    ids=["plain", "with a mark", "CRLF", "a comment beyond ASCII", "no last line end"],
)
def test_what_editors_write(home: Home, raw: bytes) -> None:
    """A byte order mark and Windows' line ends are no part of what a file says."""
    assert read(home.user(raw)).table["nodes"]["main"]["port"] == 104


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (MAIN.encode("utf-16"), "looks like UTF-16; save it as UTF-8"),
        (MAIN.encode("utf-16-le"), "looks like UTF-16"),
        (MAIN.encode() + b"# f\xfcr Testf\xe4lle\n", "not UTF-8, from line 5 on"),
        (MAIN.encode() + b'[nodes.main.tls]\nca = "C:\\Users\\ca.pem"\n', "single quotes"),
        (MAIN.encode() + b'[nodes.main.tls]\nca = "C:\\certs\\ca.pem"\n', "single quotes"),
        (MAIN.encode() + MAIN.encode(), "is no TOML: "),
        (b"[nodes.main\n", "line 1"),
        (b"host: pacs\n", "line 1"),
        (b"a = " + b"[" * 100_000, "is no TOML"),
        (b"#" * ((1 << 20) + 1), "more than 1 MiB"),
    ],
)
def test_what_cannot_be_read_is_named(home: Home, raw: bytes, says: str) -> None:
    """The file, the place and the mend are told."""
    path = home.user(raw)
    with pytest.raises(ConfigurationError) as caught:
        read(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)


def test_an_error_keeps_no_secret() -> None:
    """Neither the message nor what a traceback shows of our frames quotes a file."""
    raw = f'password = "{SECRET}"\nhost: pacs\n'.encode()
    with pytest.raises(ConfigurationError) as caught:
        parse(raw, Path("nodes.toml"))
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    trace = caught.value.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == files.__file__:
            assert not any(SECRET in str(value) for value in trace.tb_frame.f_locals.values())
        trace = trace.tb_next


def test_what_is_not_there(home: Home) -> None:
    """A file, its folder, or a folder that is a file: nothing is said there, and that is no error."""
    assert read(home.config / "nodes.toml").absent == "not there"
    home.config.parent.mkdir()
    home.config.write_text("a file")
    assert read(home.config / "nodes.toml").absent == "not there"
    assert read(Path(os.devnull)).table == {}


def test_what_is_no_file(home: Home) -> None:
    """A folder, a pipe or a link that leads to itself is named; a pipe is not waited for."""
    path = home.config / "nodes.toml"
    path.mkdir(parents=True)
    with pytest.raises(ConfigurationError, match="is no file"):
        read(path)
    path.rmdir()
    path.symlink_to(path)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read(path)
    if hasattr(os, "mkfifo"):
        path.unlink()
        os.mkfifo(path)
        with pytest.raises(ConfigurationError, match="is no file"):
            read(path)


def test_a_link_is_followed(home: Home) -> None:
    """A file may be kept elsewhere, as those who keep their settings in a repository do."""
    kept = home.own(MAIN)
    home.config.mkdir(parents=True)
    (home.config / "nodes.toml").symlink_to(kept)
    assert read(home.config / "nodes.toml").table["nodes"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read(home: Home) -> None:  # pragma: no cover - tests run as root here
    """One of ours is named; in somebody else's folder there is none."""
    path = home.user(MAIN)
    path.chmod(0)
    with pytest.raises(ConfigurationError, match="Permission denied"):
        read(path)
    home.config.chmod(0)
    assert "denied" in read(path).absent
    home.config.chmod(0o700)


def test_a_folder_that_may_not_be_looked_into(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else's home, as in a container that is run by another number than it was made for, holds nothing."""

    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = home.user(MAIN)
    monkeypatch.setattr(files, "open_file", refuse)
    with pytest.raises(ConfigurationError, match=r"Permission denied.; mend its permissions"):
        read(path)
    monkeypatch.setattr(Path, "stat", refuse)
    assert read(path).absent == "Permission denied"


def test_which_files(home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The user's and then the project's; the variable names one in the place of both, and empty it names none."""
    assert list_files() == [home.config / "nodes.toml", home.project / "dicomover.toml"]
    monkeypatch.setenv("DICOMOVER_CONFIG", "")
    assert len(list_files()) == 2
    monkeypatch.setenv("DICOMOVER_CONFIG", "~/other.toml")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert list_files() == [tmp_path / "other.toml"]


@pytest.mark.skipif(os.name != "posix", reason="homes of POSIX")
def test_a_home_that_nobody_has(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a container's user without an entry: what is meant from there is named, and all else goes on."""
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", lambda _: {}[0])
    assert read(home.user(MAIN)).table
    for path in ("~/images", "~nobody-has-this-name/images"):
        with pytest.raises(ConfigurationError, match="write the whole path"):
            read(home.user(MAIN)).find(path)
    monkeypatch.setenv("DICOMOVER_CONFIG", "~/nodes.toml")
    with pytest.raises(ConfigurationError, match="nobody's home folder"):
        list_files()


def test_where_the_user_keeps_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In the folder that the system has for settings, which XDG_CONFIG_HOME names where there is that."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert user_file().name == "nodes.toml"
    assert user_file().parent.name == "dicomover"


def test_who_else_may_read(home: Home) -> None:
    """It is told of a file whether its owner alone may read it."""
    path = home.user(MAIN)
    assert read(path).is_private
    path.chmod(0o640)
    assert read(path).is_private is (os.name != "posix")


@pytest.mark.skipif(os.name != "posix", reason="owners and modes are POSIX")
def test_what_somebody_else_can_say_is_refused(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another user has put into the current folder, or anybody may write, names no archive unless one says so."""
    path = home.own(MAIN)
    path.chmod(0o646)
    with pytest.raises(ConfigurationError, match="anybody can write"):
        read(path)
    path.chmod(0o664)
    assert read(path).table
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    if path.stat().st_uid == 0:
        os.chown(path, 4711, -1)
    with pytest.raises(ConfigurationError, match="another user's"):
        read(path)
    monkeypatch.setenv("DICOMOVER_CONFIG", str(path))
    assert read(path).table
