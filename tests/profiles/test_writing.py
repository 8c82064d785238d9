"""Files of profiles that are changed: what is theirs stays theirs."""

from __future__ import annotations

import os
import stat
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomover import ConfigurationError, Node
from dicomover.profiles import load_profile
from dicomover.profiles.writing import add_node, write_quirks
from profiles_kit import MAIN, Home, make_home

NODE = Node("pacs.example.org", 104, ae_title='A "B" C')
COMMENTED = f"""# ours, do not touch
[me]  # us
ae_title = "R"   # padded

{MAIN}
# what it cannot
[nodes.main.quirks]   # learned
lists = true  # they said so
# cancels = false

# the other one
[nodes.other]
host = "h"
port = 1
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Make a user's folder and a project's."""
    return make_home(tmp_path, monkeypatch)


def test_a_first_node(home: Home) -> None:
    """The file and its folder are made, for their owner alone, and say what was given."""
    path = home.config / "nodes.toml"
    add_node(path, "main", NODE)
    assert load_profile("main").node == NODE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    add_node(path, "other", Node("::1", 1))
    assert path.read_text().count("\n\n[nodes.other]\n") == 1


def test_two_at_once_lose_nothing_of_each_other(home: Home) -> None:
    """What one writes while another one has read the file and not yet written it stands there in the end."""
    path = home.config / "nodes.toml"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: add_node(path, f"n{number}", NODE), range(8)))
        list(pool.map(lambda number: write_quirks(path, f"n{number}", {"find_cap": number + 1}), range(8)))
    assert [load_profile(f"n{number}").node.quirks.find_cap for number in range(8)] == list(range(1, 9))


def test_a_file_that_somebody_keeps_is_not_waited_for(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while it is said who is in the way, and nothing has changed."""
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr("dicomover.profiles.writing._WAITING", 0.1)
    path = home.user(COMMENTED)
    folder = os.open(path.parent, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    try:
        with pytest.raises(ConfigurationError, match="changed by another process; try again"):
            write_quirks(path, "main", {"find_cap": 1})
    finally:
        os.close(folder)
    assert path.read_text() == COMMENTED


def test_all_else_stays(home: Home) -> None:
    """Comments, order and padding of what is not changed are as they were, and so is the mode."""
    path = home.user(COMMENTED)
    path.chmod(0o640)
    write_quirks(path, "main", {"lists": False, "find_cap": 500})
    text = path.read_text()
    assert text == COMMENTED.replace("lists = true  #", "lists = false  #").replace(
        "so\n# cancels", "so\nfind_cap = 500\n# cancels"
    )
    add_node(path, "third", NODE)
    assert path.read_text().startswith(text)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_table_that_is_not_there_comes_below_its_node(home: Home) -> None:
    """And before the next one, with its comment."""
    path = home.user(MAIN + "\n# the other one\n[nodes.other]\nhost = 'h'\nport = 1\n")
    write_quirks(path, "main", {"cancels": False})
    assert path.read_text() == (
        MAIN + "\n[nodes.main.quirks]\ncancels = false\n\n# the other one\n[nodes.other]\nhost = 'h'\nport = 1\n"
    )


@pytest.mark.parametrize(
    "raw", [b"\xef\xbb\xbf" + MAIN.encode(), MAIN.replace("\n", "\r\n").encode(), MAIN[:-1].encode()]
)
def test_marks_and_line_ends_stay(home: Home, raw: bytes) -> None:
    """A file of Windows stays one."""
    path = home.user(raw)
    write_quirks(path, "main", {"lists": False})
    add_node(path, "other", NODE)
    written = path.read_bytes()
    assert written.startswith(raw)
    assert written.count(b"\r\n") in (0, written.count(b"\n"))
    assert load_profile("other").node == NODE


@pytest.mark.parametrize(
    "text",
    [
        "[nodes]\nmain = { host = 'h', port = 1 }\n",
        "nodes.main.host = 'h'\nnodes.main.port = 1\n",
        MAIN + "quirks = { lists = true }\n",
        MAIN + "quirks.lists = true\n",
        "[nodes]\nmain.host = 'h'\nmain.port = 1\nmain.quirks = {}\n",
    ],
)
def test_what_cannot_be_added_to_stays(home: Home, text: str) -> None:
    """Tables on one line and dotted keys are left as they are, and it is said what to write."""
    path = home.user(text)
    try:
        write_quirks(path, "main", {"lists": False})
    except ConfigurationError as error:
        assert "write below [nodes.main.quirks]: lists = false" in str(error)  # noqa: PT017
        assert path.read_text() == text
    else:
        assert load_profile("main").node.quirks.lists is False


def test_text_that_looks_like_a_table_is_none(home: Home) -> None:
    """A header inside a text of several lines changes nothing that is not meant."""
    text = 'a = """\n[nodes.main.quirks]\nlists = true\n"""\n' + MAIN
    path = home.user(text)
    with pytest.raises(ConfigurationError, match="write below"):
        write_quirks(path, "main", {"lists": False})
    assert path.read_text() == text


def test_a_link_stays_one(home: Home) -> None:
    """What it leads to is changed."""
    kept = home.own(MAIN)
    home.config.mkdir(parents=True)
    link = home.config / "nodes.toml"
    link.symlink_to(kept)
    add_node(link, "other", NODE)
    assert link.is_symlink()
    assert "[nodes.other]" in kept.read_text()


def test_a_link_to_nothing_makes_nothing(home: Home) -> None:
    """A folder that came from somebody else decides of no file outside it."""
    home.config.mkdir(parents=True)
    link, elsewhere = home.config / "nodes.toml", home.config.parent / "elsewhere" / "nodes.toml"
    link.symlink_to(elsewhere)
    with pytest.raises(ConfigurationError, match=r"is a link to .*, which is not there"):
        add_node(link, "main", NODE)
    assert not elsewhere.parent.exists()


def test_a_name_that_is_not_ascii(home: Home) -> None:
    """It is written as TOML wants it, and found again."""
    add_node(home.config / "nodes.toml", "zürich", NODE)
    write_quirks(home.config / "nodes.toml", "zürich", {"lists": False})
    profile = load_profile("zürich")
    assert (profile.node.host, profile.node.quirks.lists) == (NODE.host, False)


def test_a_broken_file_is_not_written_to(home: Home) -> None:
    """What cannot be read is named, and stays."""
    path = home.user("[nodes.main\n")
    with pytest.raises(ConfigurationError, match="is no TOML"):
        add_node(path, "main", NODE)
    assert path.read_text() == "[nodes.main\n"


@given(st.lists(st.sampled_from(COMMENTED.splitlines()), max_size=14), st.sampled_from(["\n", "\r\n"]))
def test_a_file_says_the_same_and_the_change(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], end: str
) -> None:
    """Whatever lines it has, in any order: it is changed as meant, or left as it is."""
    path = tmp_path_factory.mktemp("any") / "nodes.toml"
    path.write_bytes(end.join(lines).encode())
    before = path.read_bytes()
    try:
        write_quirks(path, "main", {"lists": False, "roles": "both"})
    except ConfigurationError:
        assert path.read_bytes() == before
    else:
        said, was = tomllib.loads(path.read_text()), tomllib.loads(before.decode())
        assert said["nodes"]["main"].pop("quirks") == {**was.get("nodes", {}).get("main", {}).get("quirks", {}),
                                                       "lists": False, "roles": "both"}  # fmt: skip
        was.setdefault("nodes", {}).setdefault("main", {}).pop("quirks", None)
        assert said == was
