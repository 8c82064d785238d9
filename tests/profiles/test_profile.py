"""Profiles: a name for a node and for what a Mover is told at it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dicomover import ConfigurationError, Mover, Node, Quirks, Timeouts
from dicomover.profiles import list_profiles, load_profile
from dicomover.profiles.keys import ME, NODE
from dicomover.profiles.profile import is_name
from profiles_kit import MAIN, Home, make_home

FULL = """
[me]
ae_title = "RESEARCH"
port = 11113
receive = "cohort"
calling_ae_titles = ["ARCHIVE"]

[nodes.main]  # the large one
host = "pacs.example.org"
port = 104
ae_title = "ARCHIVE"
name = "radiology"
associations = 4
max_per_minute = 30
window = "mon-fri 19:00-07:00"
utilization = 0.5
retry = "overnight"
model = "study"
verify = "instances"
timeouts = { stall = 120, progress = 0 }
me = { ae_title = "NIGHT" }

[nodes.main.quirks]
lists = false
find_cap = 500
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Make a user's folder and a project's."""
    return make_home(tmp_path, monkeypatch)


def test_a_profile_is_a_node_and_options(home: Home) -> None:
    """All that a file says reaches the node or the Mover; relative paths are meant beside the file."""
    home.user(FULL)
    profile = load_profile("main")
    quirks = Quirks(lists=False, find_cap=500)
    assert profile.node == Node("pacs.example.org", 104, ae_title="ARCHIVE", name="radiology", quirks=quirks)
    assert profile.options["timeouts"] == Timeouts(stall=120, progress=None)
    mover = Mover("main")
    assert mover.node == profile.node
    assert mover.ae_title == "NIGHT"
    assert mover.receive == home.config / "cohort"
    assert (mover._defaults["associations"], mover._defaults["retry"]) == (4, "overnight")


def test_what_is_given_wins() -> None:
    """Over the profile, and that over the default; who says who receives has said that the other does not."""
    Path("dicomover.toml").write_text(FULL)
    mover = Mover(node=" main ", associations=1, receive="here", port=0)
    assert (mover._defaults["associations"], mover.receive, mover.ae_title) == (1, Path("here"), "NIGHT")
    assert (mover._receiving["port"], mover._receiving["calling_ae_titles"]) == (0, ["ARCHIVE"])
    third = Mover("main", destination="WORKSTATION")
    assert (third.receive, third._receiving) == (None, {})
    assert Mover("main", receive=None).receive is None
    assert Mover("main")._defaults["max_matches"] == 100


def test_the_way_in_which_images_come_is_a_nodes() -> None:
    """A profile says C-GET for whoever receives, and whoever names a third party has not meant it."""
    Path("dicomover.toml").write_text('[nodes.main]\nhost = "h"\nport = 104\nvia = "get"\n')
    assert Mover("main", receive="here")._defaults["via"] == "get"
    assert Mover("main", receive="here", via="move")._defaults["via"] == "move"
    assert Mover("main", destination="WORKSTATION")._defaults["via"] == "move"


def test_the_page_on_it_shows_one(home: Home) -> None:
    """What the page shows is a profile, and the keys that it names are those that there are."""
    page = (Path(__file__).parents[2] / "docs" / "nodes.md").read_text(encoding="utf-8")
    home.user(page.partition("```toml\n")[2].partition("```")[0])
    assert load_profile("main").node.quirks == Quirks(lists=False, find_cap=500)
    told = set(re.findall(r"`(\w+)`", page.partition("The keys of a node are")[2]))
    assert told >= (set(NODE) | set(ME)) - {"quirks", "me"}


def test_who_receives_is_said_once(home: Home) -> None:
    """Where one place says that we receive, and one above it that somebody else does, that one wins."""
    home.user("[me]\nreceive = 'in'\nport = 1\n" + MAIN + "via = 'get'\nme = { destination = 'WS7' }\n")
    assert (Mover("main").receive, Mover("main")._defaults["destination"]) == (None, "WS7")
    assert Mover("main", receive="here", via="move").receive == Path("here")
    home.own("[me]\ndestination = 'WS8'\n")
    home.user("[me]\nreceive = 'in'\n" + MAIN)
    assert Mover("main")._defaults["destination"] == "WS8"


def test_a_text_and_a_node_stay_what_they_are(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file is looked at for them, be it broken."""
    home.user("broken")
    mover = Mover("ARCHIVE@pacs.example.org:104", destination="WORKSTATION")
    assert (mover.ae_title, mover._defaults["associations"]) == ("MOVESCU", 2)
    assert Mover(Node("h", 104), destination="W").node.host == "h"
    with pytest.raises(TypeError, match="node"):
        Mover()  # type: ignore[call-arg]


def test_the_project_wins(home: Home) -> None:
    """Key by key of what is said of us; a node stands in the place of the user's whole node of that name."""
    home.user(FULL + '[nodes.other]\nhost = "h"\nport = 1\n')
    home.own('[me]\nport = 4711\n[nodes.main]\nhost = "elsewhere.example.org"\nport = 105\n')
    profile = load_profile("main")
    assert profile.node == Node("elsewhere.example.org", 105)
    assert profile.options["ae_title"] == "RESEARCH"
    assert profile.options["port"] == 4711
    assert profile.path == home.project / "dicomover.toml"
    assert [each.name for each in list_profiles()] == ["main", "other"]
    home.user(MAIN + "tls = true\nidentity = { user = 'alice' }\n")
    assert load_profile("main").node.identity is None


def test_a_file_that_is_named_is_the_only_one(home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`DICOMOVER_CONFIG` stands in the place of both files, and names one that is there."""
    home.own(MAIN)
    monkeypatch.setenv("DICOMOVER_CONFIG", str(tmp_path / "named.toml"))
    with pytest.raises(ConfigurationError, match=r"DICOMOVER_CONFIG names .*not there"):
        load_profile("main")
    (tmp_path / "named.toml").write_text(MAIN.replace("main", "only"))
    assert load_profile("only").node.port == 104
    with pytest.raises(ConfigurationError, match="there is no node 'main'"):
        Mover("main")


def test_paths_stay_when_the_folder_changes(monkeypatch: pytest.MonkeyPatch, home: Home, tmp_path: Path) -> None:
    """A file that is named from the current folder, and what it names, are where they were then."""
    home.own('[me]\nreceive = "images"\n' + MAIN)
    monkeypatch.setenv("DICOMOVER_CONFIG", "dicomover.toml")
    mover = Mover("main")
    monkeypatch.chdir(tmp_path)
    assert mover.receive == home.project / "images"


def test_a_name_that_nobody_has(home: Home) -> None:
    """It is told where it was looked for, and what is near."""
    with pytest.raises(ConfigurationError, match="dicomover nodes add") as caught:
        Mover("main")
    assert str(caught.value).count("(not there)") == 2
    home.user(MAIN)
    with pytest.raises(ConfigurationError, match="did you mean 'main'"):
        Mover("mian")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (MAIN.replace("host", "hots"), "[nodes.main] has no key 'hots'; did you mean 'host'?"),
        ("[node.main]\nhost = 'h'\n", "has no table or key 'node'; did you mean 'nodes'?"),
        ("host = 'h'\n", "put it below a line [nodes.NAME]"),
        ("[nodes]\nmain = 'ARCHIVE@h:104'\n", "[nodes.main] is a text, not a table; begin it by a line [nodes.main]"),
        ("nodes = 3\n", "[nodes] is a whole number, not a table"),
        ("[[nodes]]\nhost = 'h'\n", "[nodes] is a list, not a table"),
        ("me = 'A'\n", "[me] is a text, not a table"),
        (MAIN + "[nodes.main.quirks]\nlist = false\n", "[nodes.main.quirks] has no key 'list'; did you mean 'lists'?"),
        (MAIN + "[nodes.main.quirks]\nlists = 'no'\n", "[nodes.main.quirks] lists is a text, where true or false"),
        (MAIN + "[nodes.main.quirks]\nfind_cap = 0\n", "[nodes.main]: quirk find_cap=0"),
        (MAIN + "quirks = true\n", "[nodes.main.quirks] is true or false, not a table"),
        (MAIN.replace("104", "'104'"), "[nodes.main] port is a text, where a whole number is meant"),
        (MAIN.replace("104", "104.0"), "[nodes.main] port is a number, where a whole number is meant"),
        (MAIN.replace("104", "true"), "[nodes.main] port is true or false"),
        (MAIN.replace("104", "2024-01-01"), "[nodes.main] port is a date or time"),
        (MAIN.replace("104", "70000"), "[nodes.main]: port 70000 is not a TCP port"),
        (MAIN.replace("port = 104\n", ""), "[nodes.main] has no port"),
        (MAIN + "window = 'always'\n", "[nodes.main] window: "),
        (MAIN + "retry = 'never'\n", "[nodes.main] retry: "),
        (MAIN + "via = 'gett'\n", "[nodes.main] via is another text than is meant; did you mean 'get'?"),
        (MAIN + "verify = true\n", "[nodes.main] verify is true or false, where one of counts, destination, "),
        (MAIN + "model = 'root'\n", "[nodes.main] model is another text than is meant"),
        (MAIN + "quirks = { roles = 'scu' }\n", "[nodes.main.quirks] roles is another text than is meant"),
        ("[me]\nshare = 'world'\n", "[me] share is another text than is meant"),
        (MAIN + "associations = '2'\n", "[nodes.main] associations is a text"),
        (MAIN + "[nodes.main.timeouts]\nstall = -1\n", "[nodes.main] timeouts: timeout stall=-1"),
        (MAIN + "[nodes.main.me]\naddresses = [1]\n", "addresses is a list, where a list of texts is meant"),
        ("[me]\nreceive = \"C:\\temp\\new\"\n", "[me] receive has a control character"),
        ("[me]\nae_title = 'MUCH TOO LONG FOR ONE'\n", "[me] ae_title: "),
        ("[nodes.'a b']\nhost = 'h'\nport = 1\n", "'a b' is no name for a node"),
        ("[nodes.my.pacs]\nhost = 'h'\nport = 1\n", "[nodes.my] has no key 'pacs'"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_named(home: Home, text: str, says: str) -> None:
    """File, table and key, with the nearest of those that there are."""
    path = home.user(text)
    with pytest.raises(ConfigurationError) as caught:
        list_profiles()
    assert says in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("main", True), ("PACS-2_b", True), ("a" * 65, False), ("a.b", False), ("a:1", False), ("", False), (None, False)],
)
def test_names(text: object, is_one: bool) -> None:
    """A name has letters, digits, - and _: what has a colon or a point is an address."""
    assert is_name(text) is is_one
